package registry

import (
	"context"
	"maps"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/violation"
)

// Grant entitles a tenant to a product from now on, open-ended, with the product's default limits and configuration.
// Source is SourceGrant or SourcePlan: the others have use cases of their own.
func (s *Service) Grant(
	ctx context.Context, by Caller, tenant uuid.UUID, product string, source Source,
) (Result[Entitlement], error) {
	var c checks
	c.productKey("/product", product)
	if source != SourceGrant && source != SourcePlan {
		c.add("/source", violation.OneOf("grant", "plan"))
	}
	if err := c.err(); err != nil {
		return Result[Entitlement]{}, err
	}
	return change(ctx, s, by, tenant, func(tx Tx, now time.Time) (*outcome[Entitlement], error) {
		t, err := lockUnfrozenTenant(ctx, tx, by, tenant)
		if err != nil {
			return nil, err
		}
		p, err := tx.GetProduct(ctx, product)
		if err != nil {
			return nil, refuse(err, map[error]*Error{
				ErrNotFound: notFound(CodeProductNotFound, "product").in("/product"),
			})
		}
		e := p.grant(t.ID, source, now)
		if err := tx.InsertEntitlement(ctx, e); err != nil {
			return nil, err
		}
		return changed(e, e.event("entitlement.create", audit.Create, t))
	})
}

// grant makes the entitlement of a tenant to this product. It copies the product's defaults as they are now: a later
// change of the defaults changes no entitlement that exists.
func (p Product) grant(tenant uuid.UUID, source Source, now time.Time) Entitlement {
	return Entitlement{
		ID: newID(), TenantID: tenant, Product: p.Key, Source: source, StartsAt: now,
		Limits: maps.Clone(p.DefaultLimits), Config: maps.Clone(p.DefaultConfig), CreatedAt: now, UpdatedAt: now,
	}
}
