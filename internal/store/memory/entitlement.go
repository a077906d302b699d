package memory

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// ListEntitlements implements registry.EntitlementReader.
func (r reader) ListEntitlements(ctx context.Context, tenant uuid.UUID) ([]registry.Entitlement, error) {
	return read(ctx, r, func(own bool) ([]registry.Entitlement, error) {
		t := r.db.tenants[tenant]
		if t == nil {
			return []registry.Entitlement{}, nil
		}
		return copies(t.entitlements.rows, own, copyEntitlement), nil
	})
}

// ListTenantsOfProduct implements registry.EntitlementReader.
func (r reader) ListTenantsOfProduct(
	ctx context.Context, product string, tenants []uuid.UUID,
) ([]uuid.UUID, error) {
	if err := (texts{product}).check(); err != nil {
		return nil, err
	}
	return read(ctx, r, func(own bool) ([]uuid.UUID, error) {
		found := []uuid.UUID{}
		for _, id := range tenants {
			if t := r.db.tenants[id]; t != nil && product != "" && t.has(product, own) && !slices.Contains(found, id) {
				found = append(found, id)
			}
		}
		return found, nil
	})
}

// has reports whether the tenant has, or had, an entitlement to a product or a key bound to it.
func (t *tenant) has(product string, own bool) bool {
	for _, r := range t.sources(product) {
		if r.seen(own) != nil {
			return true
		}
	}
	return slices.ContainsFunc(t.keys.rows, func(r *row[registry.APIKey]) bool {
		k := r.seen(own)
		return k != nil && k.Product == product
	})
}

// InsertEntitlement implements registry.EntitlementWriter.
func (t *tx) InsertEntitlement(ctx context.Context, e registry.Entitlement) error {
	return t.write(ctx, func() error {
		e, err := storedEntitlement(e)
		if err != nil {
			return err
		}
		owner := t.db.tenants[e.TenantID]
		switch {
		case t.db.entitlements[e.ID] != nil:
			return registry.ErrDuplicate
		case e.Source == registry.SourceTrial && owner.hasTrial(e.Product):
			return registry.ErrTrialExists
		case owner == nil, t.db.products[e.Product] == nil, e.RequestID != nil && t.db.requests[*e.RequestID] == nil:
			return registry.ErrNoParent
		}
		r := &row[registry.Entitlement]{}
		set(t, r, e)
		add(t, t.db.entitlements, e.ID, r)
		owner.entitlements.insert(t, r)
		return nil
	})
}

// hasTrial reports whether the tenant, if there is one, has or had a trial of a product.
func (t *tenant) hasTrial(product string) bool {
	return t != nil && slices.ContainsFunc(t.sources(product), func(r *row[registry.Entitlement]) bool {
		return r.newest().Source == registry.SourceTrial
	})
}

// sources are the rows of the tenant's entitlements to one product.
func (t *tenant) sources(product string) []*row[registry.Entitlement] {
	rows := t.entitlements.rows[t.entitlements.search(&registry.Entitlement{Product: product}):]
	end := slices.IndexFunc(rows, func(r *row[registry.Entitlement]) bool { return r.newest().Product != product })
	if end < 0 {
		return rows
	}
	return rows[:end]
}

var sources = []registry.Source{registry.SourceTrial, registry.SourcePlan, registry.SourceGrant, registry.SourceRequest}

// storedEntitlement is an entitlement as its row holds it.
func storedEntitlement(e registry.Entitlement) (registry.Entitlement, error) {
	config, err := parsed(e.Config)
	if err != nil {
		return e, err
	}
	e.Config = config
	e = copyEntitlement(e)
	micros(&e.StartsAt, e.EndsAt, e.RevokedAt, &e.CreatedAt, &e.UpdatedAt)
	switch {
	case !slices.Contains(sources, e.Source):
		return e, broken("entitlement source")
	case e.EndsAt != nil && !e.EndsAt.After(e.StartsAt):
		return e, broken("entitlement period")
	}
	return e, texts{e.Product}.andLimits(e.Limits).check()
}

func copyEntitlement(e registry.Entitlement) registry.Entitlement {
	e.EndsAt, e.RevokedAt, e.RequestID = copyOf(e.EndsAt), copyOf(e.RevokedAt), copyOf(e.RequestID)
	e.Limits, e.Config = copyLimits(e.Limits), copyConfig(e.Config)
	return e
}
