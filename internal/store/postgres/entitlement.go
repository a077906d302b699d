package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

const entitlementColumns = `
	e.id, e.tenant_id, e.product_key, e.source, e.starts_at, e.ends_at, e.revoked_at, e.limits, e.config, e.request_id,
	e.created_at, e.updated_at`

// entitlementRow scans the entitlementColumns, all NULL where an outer join found none.
type entitlementRow struct {
	id, tenant            *uuid.UUID
	product               *string
	source                *registry.Source
	starts, ends, revoked *time.Time
	limits, config        []byte
	request               *uuid.UUID
	created, updated      *time.Time
}

func (r *entitlementRow) targets() []any {
	return []any{
		&r.id, &r.tenant, &r.product, &r.source, &r.starts, &r.ends, &r.revoked, &r.limits, &r.config, &r.request,
		&r.created, &r.updated,
	}
}

// value must not be called of a row without an id.
func (r *entitlementRow) value() (registry.Entitlement, error) {
	e := registry.Entitlement{
		ID: *r.id, TenantID: *r.tenant, Product: *r.product, Source: *r.source, StartsAt: *r.starts, EndsAt: r.ends,
		RevokedAt: r.revoked, RequestID: r.request, CreatedAt: *r.created, UpdatedAt: *r.updated,
	}
	var err error
	if e.Limits, err = parse[registry.Limits](r.limits); err != nil {
		return e, err
	}
	e.Config, err = parse[registry.Config](r.config)
	return e, err
}

func scanEntitlement(row pgx.CollectableRow) (registry.Entitlement, error) {
	var r entitlementRow
	if err := row.Scan(r.targets()...); err != nil {
		return registry.Entitlement{}, err
	}
	return r.value()
}

// ListTenantsOfProduct implements registry.EntitlementReader.
func (r reader) ListTenantsOfProduct(
	ctx context.Context, product string, tenants []uuid.UUID,
) ([]uuid.UUID, error) {
	const sql = `
		SELECT t.id FROM tenants t
		WHERE t.id = ANY($2) AND (
			EXISTS (SELECT FROM entitlements e WHERE e.tenant_id = t.id AND e.product_key = $1)
			OR EXISTS (SELECT FROM api_keys k WHERE k.tenant_id = t.id AND k.product_key = $1))`
	return many(ctx, r, query{"list tenants of product", sql, []any{product, tenants}}, pgx.RowTo[uuid.UUID])
}

// ListEntitlements implements registry.EntitlementReader. The order of the ids is that of creation.
func (r reader) ListEntitlements(ctx context.Context, tenant uuid.UUID) ([]registry.Entitlement, error) {
	const sql = `SELECT` + entitlementColumns + `
		FROM entitlements e WHERE e.tenant_id = $1 ORDER BY e.product_key, e.id`
	return many(ctx, r, query{"list entitlements", sql, []any{tenant}}, scanEntitlement)
}

// InsertEntitlement implements registry.EntitlementWriter.
func (t *tx) InsertEntitlement(ctx context.Context, e registry.Entitlement) error {
	const sql = `
		INSERT INTO entitlements (id, tenant_id, product_key, source, starts_at, ends_at, revoked_at, limits, config,
			request_id,
			created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`
	return change(ctx, t, query{"insert entitlement", sql, []any{
		e.ID, e.TenantID, e.Product, e.Source, e.StartsAt, e.EndsAt, e.RevokedAt, jsonDocument{e.Limits},
		jsonDocument{e.Config}, e.RequestID,
		e.CreatedAt, e.UpdatedAt,
	}})
}
