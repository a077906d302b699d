package registry

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/apikey"
)

// Invalidation names what a change may have altered: nothing that was cached before the change and depends on one of
// these may be answered after it.
type Invalidation struct {
	Tenants  []uuid.UUID
	Keys     []uuid.UUID
	Hashes   []apikey.Hash // of secrets that became, or ceased to be, those of a key
	Products []string      // keys of products
	Slugs    []string      // old and new ones
	Orgs     []string      // keycloak_org_ids, old and new ones
	All      bool          // everything: there is too much to name
}

// Empty reports whether nothing is named.
func (i Invalidation) Empty() bool {
	return !i.All && len(i.Tenants)+len(i.Keys)+len(i.Hashes)+len(i.Products)+len(i.Slugs)+len(i.Orgs) == 0
}

// InvalidationWriter publishes invalidations.
type InvalidationWriter interface {
	// PublishInvalidation delivers an invalidation to every cache on the same store, after the commit and only then.
	PublishInvalidation(ctx context.Context, i Invalidation) error
}

// invalidationRecorder is a transaction that records what its writes invalidate. A write that is not here invalidates
// nothing that is cached; a test lists them all.
type invalidationRecorder struct {
	Tx
	recorded Invalidation
}

// record adds what a successful write invalidates.
func (r *invalidationRecorder) record(err error, i Invalidation) error {
	if err != nil {
		return err
	}
	all := &r.recorded
	all.Tenants = append(all.Tenants, i.Tenants...)
	all.Keys = append(all.Keys, i.Keys...)
	all.Hashes = append(all.Hashes, i.Hashes...)
	all.Products = append(all.Products, i.Products...)
	all.Slugs = append(all.Slugs, i.Slugs...)
	all.Orgs = append(all.Orgs, i.Orgs...)
	all.All = all.All || i.All
	return nil
}

// publish publishes what was recorded.
func (r *invalidationRecorder) publish(ctx context.Context) error {
	if r.recorded.Empty() {
		return nil
	}
	return r.PublishInvalidation(ctx, r.recorded)
}

// InsertTenant implements TenantWriter.
func (r *invalidationRecorder) InsertTenant(ctx context.Context, t Tenant) error {
	i := Invalidation{Tenants: []uuid.UUID{t.ID}, Slugs: []string{t.Slug}}
	if t.KeycloakOrgID != "" {
		i.Orgs = []string{t.KeycloakOrgID}
	}
	return r.record(r.Tx.InsertTenant(ctx, t), i)
}

// EraseSubjects implements ErasureWriter.
func (r *invalidationRecorder) EraseSubjects(
	ctx context.Context, tenant uuid.UUID, subjects []string, texts bool, now time.Time,
) (bool, error) {
	changed, err := r.Tx.EraseSubjects(ctx, tenant, subjects, texts, now)
	if !changed {
		return false, err
	}
	return changed, r.record(err, Invalidation{Tenants: []uuid.UUID{tenant}})
}

// UpdateTenant implements TenantWriter.
func (r *invalidationRecorder) UpdateTenant(ctx context.Context, t Tenant) error {
	i := Invalidation{Tenants: []uuid.UUID{t.ID}}
	if t.KeycloakOrgID != "" {
		i.Orgs = []string{t.KeycloakOrgID}
	}
	return r.record(r.Tx.UpdateTenant(ctx, t), i)
}

// InsertProduct implements CatalogWriter.
func (r *invalidationRecorder) InsertProduct(ctx context.Context, p Product) error {
	return r.record(r.Tx.InsertProduct(ctx, p), Invalidation{Products: []string{p.Key}})
}

// InsertEntitlement implements EntitlementWriter.
func (r *invalidationRecorder) InsertEntitlement(ctx context.Context, e Entitlement) error {
	return r.record(r.Tx.InsertEntitlement(ctx, e), Invalidation{Tenants: []uuid.UUID{e.TenantID}})
}

// InsertAPIKey implements APIKeyWriter.
func (r *invalidationRecorder) InsertAPIKey(ctx context.Context, k APIKey) error {
	return r.record(r.Tx.InsertAPIKey(ctx, k), k.invalidation())
}

// UpdateAPIKey implements APIKeyWriter.
func (r *invalidationRecorder) UpdateAPIKey(ctx context.Context, k APIKey) error {
	return r.record(r.Tx.UpdateAPIKey(ctx, k), k.invalidation())
}

// invalidation is what writing a key invalidates: its secrets are there now, and another secret may have gone.
func (k APIKey) invalidation() Invalidation {
	i := Invalidation{Keys: []uuid.UUID{k.ID}, Hashes: []apikey.Hash{k.Hash}}
	if k.PreviousHash != (apikey.Hash{}) {
		i.Hashes = append(i.Hashes, k.PreviousHash)
	}
	return i
}
