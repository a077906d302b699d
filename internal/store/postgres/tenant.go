package postgres

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

const tenantColumns = `
	t.id, t.slug, t.name, t.status, coalesce(t.region, ''), coalesce(t.external_id, ''), coalesce(t.keycloak_org_id,
		''),
	t.metadata, t.version, t.created_at, t.updated_at, t.activated_at, t.frozen_at`

// tenantRow scans the tenantColumns.
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

// GetTenant implements registry.TenantReader.
func (r reader) GetTenant(ctx context.Context, id uuid.UUID) (registry.Tenant, error) {
	const sql = `SELECT` + tenantColumns + ` FROM tenants t WHERE t.id = $1`
	return one(ctx, r, query{"read tenant", sql, []any{id}}, scanTenant)
}

// GetTenantsBySlug implements registry.TenantReader.
func (r reader) GetTenantsBySlug(ctx context.Context, slugs []string) (map[string]registry.Tenant, error) {
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

// GetTenantByKeycloakOrg implements registry.TenantReader.
func (r reader) GetTenantByKeycloakOrg(ctx context.Context, org string) (registry.Tenant, error) {
	const sql = `SELECT` + tenantColumns + ` FROM tenants t WHERE t.keycloak_org_id = $1`
	return one(ctx, r, query{"read tenant by organisation", sql, []any{textOrNull(org)}}, scanTenant)
}

// LockTenant implements registry.TenantWriter. Its lock does not conflict with a foreign key check.
func (t *tx) LockTenant(ctx context.Context, id uuid.UUID) (registry.Tenant, error) {
	const sql = `SELECT` + tenantColumns + ` FROM tenants t WHERE t.id = $1 FOR NO KEY UPDATE`
	return one(ctx, t, query{"lock tenant", sql, []any{id}}, scanTenant)
}

// LockTenantsShared implements registry.TenantWriter.
func (t *tx) LockTenantsShared(
	ctx context.Context, ids []uuid.UUID, skipLocked bool,
) (locked map[uuid.UUID]bool, err error) {
	err = t.call(ctx, "lock tenants shared", func(ctx context.Context, on querier) error {
		var b pgx.Batch
		locked = queueSharedLocks(&b, ids, skipLocked)
		return on.SendBatch(ctx, &b).Close()
	})
	return locked, err
}

// queueSharedLocks adds the locks of tenants to a batch, whose results are in the map. They are those that a foreign
// key check takes.
func queueSharedLocks(b *pgx.Batch, ids []uuid.UUID, skipLocked bool) map[uuid.UUID]bool {
	const (
		skipping = `
		WITH locked AS (SELECT id FROM tenants WHERE id = ANY($1) ORDER BY id FOR KEY SHARE SKIP LOCKED)
		SELECT t.id, EXISTS (SELECT FROM locked WHERE locked.id = t.id) FROM tenants t WHERE t.id = ANY($1)`
		waiting = `SELECT id, true FROM tenants WHERE id = ANY($1) ORDER BY id FOR KEY SHARE`
	)
	locked := map[uuid.UUID]bool{}
	if len(ids) == 0 {
		return locked
	}
	sql := waiting
	if skipLocked {
		sql = skipping
	}
	b.Queue(sql, ids).Query(func(rows pgx.Rows) error {
		var id uuid.UUID
		var held bool
		_, err := pgx.ForEachRow(rows, []any{&id, &held}, func() error {
			locked[id] = held
			return nil
		})
		return err
	})
	return locked
}

// InsertTenant implements registry.TenantWriter.
func (t *tx) InsertTenant(ctx context.Context, v registry.Tenant) error {
	const sql = `
		INSERT INTO tenants (id, slug, name, status, region, external_id, keycloak_org_id,
			metadata, version, created_at, updated_at, activated_at, frozen_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`
	return change(ctx, t, query{"insert tenant", sql, []any{
		v.ID, v.Slug, v.Name, v.Status, textOrNull(v.Region), textOrNull(v.ExternalID), textOrNull(v.KeycloakOrgID),
		jsonDocument{v.Metadata}, v.Version, v.CreatedAt, v.UpdatedAt, v.ActivatedAt, v.FrozenAt,
	}})
}

// UpdateTenant implements registry.TenantWriter. It sets no column of a unique index, so a foreign key check need not
// wait for it.
func (t *tx) UpdateTenant(ctx context.Context, v registry.Tenant) error {
	const sql = `
		UPDATE tenants SET status = $2, name = $3, region = $4, external_id = $5,
			metadata = $6, version = $7, updated_at = $8, activated_at = $9, frozen_at = $10
		WHERE id = $1`
	return change(ctx, t, query{"update tenant", sql, []any{
		v.ID, v.Status, v.Name, textOrNull(v.Region), textOrNull(v.ExternalID),
		jsonDocument{v.Metadata}, v.Version, v.UpdatedAt, v.ActivatedAt, v.FrozenAt,
	}})
}
