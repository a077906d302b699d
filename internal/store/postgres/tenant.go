package postgres

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

const tenantColumns = `
	t.id, t.slug, t.name, t.status, coalesce(t.region, ''), coalesce(t.external_id, ''), coalesce(t.keycloak_org_id, ''),
	t.metadata, t.version, t.created_at, t.updated_at, t.activated_at, t.frozen_at`

// tenantRow takes the tenantColumns.
type tenantRow struct {
	tenant   registry.Tenant
	metadata []byte
}

func (r *tenantRow) targets() []any {
	t := &r.tenant
	return []any{
		&t.ID, &t.Slug, &t.Name, &t.Status, &t.Region, &t.ExternalID, &t.KeycloakOrgID,
		&r.metadata, &t.Version, &t.CreatedAt, &t.UpdatedAt, &t.ActivatedAt, &t.FrozenAt,
	}
}

func (r *tenantRow) value() (_ registry.Tenant, err error) {
	r.tenant.Metadata, err = parse[map[string]string](r.metadata)
	return r.tenant, err
}

func scanTenant(row pgx.CollectableRow) (registry.Tenant, error) {
	var r tenantRow
	if err := row.Scan(r.targets()...); err != nil {
		return registry.Tenant{}, err
	}
	return r.value()
}

// Tenant implements registry.TenantReader.
func (r reader) Tenant(ctx context.Context, id uuid.UUID) (registry.Tenant, error) {
	const sql = `SELECT` + tenantColumns + ` FROM tenants t WHERE t.id = $1`
	return one(ctx, r, query{"read tenant", sql, []any{id}}, scanTenant)
}

// TenantBySlug implements registry.TenantReader.
func (r reader) TenantBySlug(ctx context.Context, slug string) (registry.Tenant, error) {
	const sql = `SELECT` + tenantColumns + ` FROM tenants t WHERE t.slug = $1`
	return one(ctx, r, query{"read tenant by slug", sql, []any{slug}}, scanTenant)
}

// ManyTenantsBySlug implements registry.TenantReader.
func (r reader) ManyTenantsBySlug(ctx context.Context, slugs []string) (map[string]registry.Tenant, error) {
	const sql = `SELECT` + tenantColumns + ` FROM tenants t WHERE t.slug = ANY($1)`
	tenants, err := many(ctx, r, query{"read tenants by slug", sql, []any{list(slugs)}}, scanTenant)
	if err != nil {
		return nil, err
	}
	found := make(map[string]registry.Tenant, len(tenants))
	for _, t := range tenants {
		found[t.Slug] = t
	}
	return found, nil
}

// TenantByOrg implements registry.TenantReader.
func (r reader) TenantByOrg(ctx context.Context, org string) (registry.Tenant, error) {
	const sql = `SELECT` + tenantColumns + ` FROM tenants t WHERE t.keycloak_org_id = $1`
	return one(ctx, r, query{"read tenant by organisation", sql, []any{textOrNull(org)}}, scanTenant)
}

// LockTenant implements registry.TenantWriter. Its lock does not conflict with a foreign key check.
func (t *tx) LockTenant(ctx context.Context, id uuid.UUID) (registry.Tenant, error) {
	const sql = `SELECT` + tenantColumns + ` FROM tenants t WHERE t.id = $1 FOR NO KEY UPDATE`
	return one(ctx, t, query{"lock tenant", sql, []any{id}}, scanTenant)
}

// HoldTenant implements registry.TenantWriter. Its lock is the one that a foreign key check takes.
func (t *tx) HoldTenant(ctx context.Context, id uuid.UUID) error {
	const sql = `SELECT t.id FROM tenants t WHERE t.id = $1 FOR KEY SHARE`
	_, err := one(ctx, t, query{"hold tenant", sql, []any{id}}, pgx.RowTo[uuid.UUID])
	return err
}

// HoldTenants implements registry.TenantWriter.
func (t *tx) HoldTenants(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]bool, error) {
	const sql = `
		WITH held AS (SELECT id FROM tenants WHERE id = ANY($1) ORDER BY id FOR KEY SHARE SKIP LOCKED)
		SELECT t.id, EXISTS (SELECT FROM held WHERE held.id = t.id) FROM tenants t WHERE t.id = ANY($1)`
	type row struct {
		ID   uuid.UUID
		Held bool
	}
	held := map[uuid.UUID]bool{}
	if len(ids) == 0 {
		return held, nil
	}
	rows, err := many(ctx, t, query{"hold tenants", sql, []any{ids}}, pgx.RowToStructByPos[row])
	for _, r := range rows {
		held[r.ID] = r.Held
	}
	return held, err
}

// InsertTenant implements registry.TenantWriter.
func (t *tx) InsertTenant(ctx context.Context, v registry.Tenant) error {
	const sql = `
		INSERT INTO tenants (id, slug, name, status, region, external_id, keycloak_org_id,
			metadata, version, created_at, updated_at, activated_at, frozen_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`
	return change(ctx, t, query{"insert tenant", sql, []any{
		v.ID, v.Slug, v.Name, v.Status, textOrNull(v.Region), textOrNull(v.ExternalID), textOrNull(v.KeycloakOrgID),
		document{v.Metadata}, v.Version, v.CreatedAt, v.UpdatedAt, v.ActivatedAt, v.FrozenAt,
	}})
}

// UpdateTenant implements registry.TenantWriter. It sets no column of a unique index, so a foreign key check need not wait for it.
func (t *tx) UpdateTenant(ctx context.Context, v registry.Tenant) error {
	const sql = `
		UPDATE tenants SET status = $2, name = $3, region = $4, external_id = $5,
			metadata = $6, version = $7, updated_at = $8, activated_at = $9, frozen_at = $10
		WHERE id = $1`
	return change(ctx, t, query{"update tenant", sql, []any{
		v.ID, v.Status, v.Name, textOrNull(v.Region), textOrNull(v.ExternalID),
		document{v.Metadata}, v.Version, v.UpdatedAt, v.ActivatedAt, v.FrozenAt,
	}})
}
