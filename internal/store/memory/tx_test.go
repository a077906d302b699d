package memory

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/testkit"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// TestRollbackLeavesNothing looks into the tables: what was undone must not even take up memory.
func TestRollbackLeavesNothing(t *testing.T) {
	t.Parallel()
	s, ctx, undo := New(), context.Background(), errors.New("undo")
	sizes := func() map[string]int {
		db := s.db
		return map[string]int{
			"tenants": len(db.tenants), "slugs": len(db.slugs), "orgs": len(db.orgs),
			"products": len(db.products), "catalog": len(db.catalog.rows), "requests": len(db.requests),
			"entitlements": len(db.entitlements), "keys": len(db.keys), "hashes": len(db.hashes),
			"events": len(db.events), "log": len(db.log.rows), "chains": len(db.chains),
			"idempotency": len(db.idempotency), "slot": len(db.slot),
		}
	}
	var within map[string]int
	err := s.Tx(ctx, func(tx registry.Tx) error {
		for _, err := range writeOneOfEach(ctx, tx) {
			if err != nil {
				t.Error(err)
			}
		}
		within = sizes()
		return undo
	})
	if !errors.Is(err, undo) {
		t.Fatal(err)
	}
	for table, n := range sizes() {
		if n != 0 || within[table] != 1 {
			t.Errorf("%s: %d within the transaction, %d after it was undone; want 1 and 0", table, within[table], n)
		}
	}
}

func writeOneOfEach(ctx context.Context, tx registry.Tx) []error {
	tenant, now, hash := uuid.New(), time.Now(), strings.Repeat("0", 64)
	return []error{
		tx.InsertTenant(
			ctx,
			registry.Tenant{ID: tenant, Slug: "slug", Status: registry.StatusTrial, KeycloakOrgID: "org", Version: 1},
		),
		tx.InsertProduct(ctx, registry.Product{Key: "key", Audience: registry.Public}),
		tx.InsertCatalogRequest(
			ctx,
			registry.CatalogRequest{ID: uuid.New(), TenantID: tenant, Product: "key", Status: registry.RequestPending},
		),
		tx.InsertEntitlement(ctx, registry.Entitlement{
			ID: uuid.New(), TenantID: tenant, Product: "key", Source: registry.SourceTrial, StartsAt: now,
		}),
		tx.InsertAPIKey(ctx, registry.APIKey{ID: uuid.New(), TenantID: tenant, Environment: apikey.Live, Version: 1}),
		testkit.InsertAuditEvent(ctx, tx, audit.Event{
			Salts: audit.Salts{audit.PartHash: {1}},
			ID:    uuid.New(), GroupID: tenant, CRUD: audit.Create, Pos: 1, Seq: 1, Hash: hash, PrevChainHash: hash,
			ChainHash: hash,
			Idempotency: audit.IdempotencyRecord{
				Key: audit.Digest{1}, Fingerprint: audit.Fingerprint{Hash: audit.Digest{2}},
			},
		}),
	}
}
