package storetest

import (
	"errors"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

// oneOfEach are rows of every type that need nothing but each other, in an order in which they can be written.
func oneOfEach(slug, product string) []any {
	tenant := fullTenant(slug)
	request := decided(fullRequest(tenant.ID, product))
	return []any{
		tenant, fullProduct(product), request, fullRequest(tenant.ID, product),
		fullEntitlement(tenant.ID, product, request.ID),
		trial(tenant.ID, product), fullKey(tenant.ID, product), fullEvent(tenant.ID), fullEvent(uuid.Nil),
	}
}

var errUnreadable = errors.Join(
	registry.ErrNotFound,
	errors.New("storetest: rows of this type are read with their tenant only"),
)

// readBack reads a row by what names it.
func readBack(f *fixture, row any) error {
	only := func(_ any, err error) error { return err }
	switch row := row.(type) {
	case registry.Tenant:
		return only(f.store.GetTenant(f.ctx, row.ID))
	case registry.Product:
		return only(f.store.GetProduct(f.ctx, row.Key))
	case registry.APIKey:
		byHash := only(lookupKey(f.ctx, f.store, registry.KeyLookup{Hash: row.Hash}))
		return errors.Join(only(f.store.GetAPIKey(f.ctx, row.ID)), byHash)
	case audit.Event:
		return only(f.store.GetAuditEvent(f.ctx, row.ID))
	}
	return errUnreadable
}

// snapshot is everything that can be read of a tenant and of what all share.
func snapshot(f *fixture, r registry.Reader, tenant uuid.UUID, product string) string {
	f.Helper()
	var all []any
	see := func(v any, err error) {
		if err != nil && !errors.Is(err, registry.ErrNotFound) {
			f.Fatalf("unexpected error: %v", err)
		}
		all = append(all, v, err != nil)
	}
	t, err := r.GetTenant(f.ctx, tenant)
	see(t, err)
	see(one(lookupTenant(f.ctx, r, t.Slug)))
	see(one(lookupOrg(f.ctx, r, t.KeycloakOrgID)))
	see(one(r.GetProduct(f.ctx, product)))
	see(one(r.ListProducts(f.ctx)))
	see(one(r.ListPendingCatalogRequests(f.ctx, tenant)))
	see(one(r.ListCatalogRequests(f.ctx, tenant, uuid.Nil, 100)))
	see(one(r.ListEntitlements(f.ctx, tenant)))
	see(one(r.ListTenantsOfProduct(f.ctx, product, []uuid.UUID{tenant, newID()})))
	see(one(r.CountAPIKeys(f.ctx, tenant)))
	page, err := r.ListAPIKeys(f.ctx, registry.APIKeyQuery{TenantID: tenant, PageRequest: firstPage(100)})
	see(page, err)
	for _, k := range page.Items {
		see(one(r.GetAPIKey(f.ctx, k.ID)))
		see(one(lookupKey(f.ctx, r, registry.KeyLookup{Hash: k.Hash, Product: product})))
	}
	see(one(r.ListAuditEvents(f.ctx, registry.AuditQuery{PageRequest: firstPage(100)})))
	see(one(r.ListAuditEvents(f.ctx, registry.AuditQuery{PageRequest: firstPage(100), GroupID: &tenant})))
	see(one(r.GetNewestPosition(f.ctx)))
	see(one(r.ListGroupsAfter(f.ctx, 0, 1000)))
	see(one(r.GetChainHead(f.ctx, tenant)))
	return show(all)
}

// one makes any answer one that holds any value.
func one[T any](v T, err error) (any, error) { return v, err }
