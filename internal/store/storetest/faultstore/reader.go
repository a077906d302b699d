package faultstore

import (
	"context"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

// reader decorates a registry.Reader.
type reader struct {
	inner  registry.Reader
	h      *hooks
	prefix string // of the names of its calls
}

// read makes a call of the reader unless it is to fail.
func read[T any](ctx context.Context, r reader, name string, do func() (T, error)) (T, error) {
	return call(ctx, r.h, r.prefix+name, do)
}

func (r reader) GetTenant(ctx context.Context, id uuid.UUID) (registry.Tenant, error) {
	return read(ctx, r, "GetTenant", func() (registry.Tenant, error) { return r.inner.GetTenant(ctx, id) })
}

func (r reader) GetTenantsBySlug(ctx context.Context, slugs []string) (map[string]registry.Tenant, error) {
	return read(
		ctx, r, "GetTenantsBySlug",
		func() (map[string]registry.Tenant, error) { return r.inner.GetTenantsBySlug(ctx, slugs) },
	)
}

func (r reader) GetTenantByKeycloakOrg(ctx context.Context, org string) (registry.Tenant, error) {
	return read(
		ctx, r, "GetTenantByKeycloakOrg",
		func() (registry.Tenant, error) { return r.inner.GetTenantByKeycloakOrg(ctx, org) },
	)
}

func (r reader) GetProduct(ctx context.Context, key string) (registry.Product, error) {
	return read(ctx, r, "GetProduct", func() (registry.Product, error) { return r.inner.GetProduct(ctx, key) })
}

func (r reader) ListProducts(ctx context.Context) ([]registry.Product, error) {
	return read(ctx, r, "ListProducts", func() ([]registry.Product, error) { return r.inner.ListProducts(ctx) })
}

func (r reader) GetCatalogRequest(ctx context.Context, id uuid.UUID) (registry.CatalogRequest, error) {
	return read(
		ctx, r, "GetCatalogRequest",
		func() (registry.CatalogRequest, error) { return r.inner.GetCatalogRequest(ctx, id) },
	)
}

func (r reader) ListCatalogRequests(
	ctx context.Context, tenant, after uuid.UUID, limit int,
) ([]registry.CatalogRequest, error) {
	return read(ctx, r, "ListCatalogRequests", func() ([]registry.CatalogRequest, error) {
		return r.inner.ListCatalogRequests(ctx, tenant, after, limit)
	})
}

func (r reader) ListPendingCatalogRequests(ctx context.Context, tenant uuid.UUID) ([]registry.CatalogRequest, error) {
	return read(ctx, r, "ListPendingCatalogRequests", func() ([]registry.CatalogRequest, error) {
		return r.inner.ListPendingCatalogRequests(ctx, tenant)
	})
}

func (r reader) ListEntitlements(ctx context.Context, tenant uuid.UUID) ([]registry.Entitlement, error) {
	return read(
		ctx, r, "ListEntitlements",
		func() ([]registry.Entitlement, error) { return r.inner.ListEntitlements(ctx, tenant) },
	)
}

func (r reader) GetAPIKey(ctx context.Context, id uuid.UUID) (registry.APIKey, error) {
	return read(ctx, r, "GetAPIKey", func() (registry.APIKey, error) { return r.inner.GetAPIKey(ctx, id) })
}

func (r reader) ListAPIKeys(ctx context.Context, q registry.APIKeyQuery) (registry.Page[registry.APIKey], error) {
	return read(
		ctx, r, "ListAPIKeys", func() (registry.Page[registry.APIKey], error) { return r.inner.ListAPIKeys(ctx, q) },
	)
}

func (r reader) CountAPIKeys(ctx context.Context, tenant uuid.UUID) (int, error) {
	return read(ctx, r, "CountAPIKeys", func() (int, error) { return r.inner.CountAPIKeys(ctx, tenant) })
}

func (r reader) GetKeyFacts(
	ctx context.Context, lookups []registry.KeyLookup,
) (map[registry.KeyLookup]registry.KeyFacts, error) {
	return read(ctx, r, "GetKeyFacts", func() (map[registry.KeyLookup]registry.KeyFacts, error) {
		return r.inner.GetKeyFacts(ctx, lookups)
	})
}

func (r reader) GetAuditEvent(ctx context.Context, id uuid.UUID) (audit.Event, error) {
	return read(ctx, r, "GetAuditEvent", func() (audit.Event, error) { return r.inner.GetAuditEvent(ctx, id) })
}

func (r reader) ListTenantsOfProduct(
	ctx context.Context, product string, tenants []uuid.UUID,
) ([]uuid.UUID, error) {
	return read(ctx, r, "ListTenantsOfProduct", func() ([]uuid.UUID, error) {
		return r.inner.ListTenantsOfProduct(ctx, product, tenants)
	})
}

func (r reader) ListAuditEvents(ctx context.Context, q registry.AuditQuery) (registry.AuditRows, error) {
	return read(
		ctx, r, "ListAuditEvents", func() (registry.AuditRows, error) { return r.inner.ListAuditEvents(ctx, q) },
	)
}

func (r reader) ListGroupsAfter(ctx context.Context, position int64, limit int) (registry.GroupsAfter, error) {
	return read(ctx, r, "ListGroupsAfter", func() (registry.GroupsAfter, error) {
		return r.inner.ListGroupsAfter(ctx, position, limit)
	})
}

func (r reader) GetNewestPosition(ctx context.Context) (int64, error) {
	return read(ctx, r, "GetNewestPosition", func() (int64, error) { return r.inner.GetNewestPosition(ctx) })
}

func (r reader) GetChainHead(ctx context.Context, group uuid.UUID) (audit.ChainHead, error) {
	return read(ctx, r, "GetChainHead", func() (audit.ChainHead, error) { return r.inner.GetChainHead(ctx, group) })
}
