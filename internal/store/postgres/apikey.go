package postgres

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

const keyColumns = `
	k.id, k.tenant_id, k.name, k.environment, coalesce(k.product_key, ''), k.scopes, k.prefix, k.hash, k.expires_at, k.disabled,
	k.created_by, k.created_at, k.updated_at, k.revoked_at, coalesce(k.revoked_by, ''), coalesce(k.revoke_reason, '')`

// keyRow takes the keyColumns.
type keyRow struct {
	key  registry.APIKey
	hash []byte
}

func (r *keyRow) targets() []any {
	k := &r.key
	return []any{
		&k.ID, &k.TenantID, &k.Name, &k.Environment, &k.Product, &k.Scopes, &k.Prefix, &r.hash, &k.ExpiresAt, &k.Disabled,
		&k.CreatedBy, &k.CreatedAt, &k.UpdatedAt, &k.RevokedAt, &k.RevokedBy, &k.RevokeReason,
	}
}

func (r *keyRow) value() (registry.APIKey, error) {
	if copy(r.key.Hash[:], r.hash) != len(r.hash) {
		return r.key, fmt.Errorf("the hash of key %s has %d bytes", r.key.ID, len(r.hash))
	}
	return r.key, nil
}

func scanKey(row pgx.CollectableRow) (registry.APIKey, error) {
	var r keyRow
	if err := row.Scan(r.targets()...); err != nil {
		return registry.APIKey{}, err
	}
	return r.value()
}

// APIKey implements registry.APIKeyReader.
func (r reader) APIKey(ctx context.Context, id uuid.UUID) (registry.APIKey, error) {
	const sql = `SELECT` + keyColumns + ` FROM api_keys k WHERE k.id = $1`
	return one(ctx, r, query{"read API key", sql, []any{id}}, scanKey)
}

// APIKeys implements registry.APIKeyReader. The order of the ids is that of creation.
func (r reader) APIKeys(ctx context.Context, tenant, before uuid.UUID, limit int) ([]registry.APIKey, error) {
	const (
		newest = `SELECT` + keyColumns + ` FROM api_keys k WHERE k.tenant_id = $1 ORDER BY k.id DESC LIMIT $2`
		older  = `SELECT` + keyColumns + ` FROM api_keys k WHERE k.tenant_id = $1 AND k.id < $3 ORDER BY k.id DESC LIMIT $2`
	)
	q := query{"list API keys", newest, []any{tenant, max(limit, 0)}}
	if before != uuid.Nil {
		q.sql, q.args = older, append(q.args, before)
	}
	return many(ctx, r, q, scanKey)
}

// CountAPIKeys implements registry.APIKeyReader.
func (r reader) CountAPIKeys(ctx context.Context, tenant uuid.UUID) (int, error) {
	const sql = `SELECT count(*) FROM api_keys k WHERE k.tenant_id = $1 AND k.revoked_at IS NULL`
	return one(ctx, r, query{"count API keys", sql, []any{tenant}}, pgx.RowTo[int])
}

// KeyFacts implements registry.APIKeyReader. It is one statement, so that all it answers is of one instant: a row for each
// entitlement, or one without.
func (r reader) KeyFacts(ctx context.Context, hash registry.Hash, product string) (registry.KeyFacts, error) {
	const sql = `SELECT` + keyColumns + `,` + tenantColumns + `,` + entitlementColumns + `
		FROM api_keys k
		JOIN tenants t ON t.id = k.tenant_id
		LEFT JOIN entitlements e ON e.tenant_id = k.tenant_id AND e.product_key = coalesce($2, k.product_key)
		WHERE k.hash = $1
		ORDER BY e.id`
	facts := registry.KeyFacts{Entitlements: []registry.Entitlement{}}
	rows, err := many(ctx, r, query{"read key facts", sql, []any{hash[:], textOrNull(product)}}, scanFacts)
	switch {
	case err != nil:
		return registry.KeyFacts{}, err
	case len(rows) == 0:
		return registry.KeyFacts{}, registry.ErrNotFound
	}
	facts.Key, facts.Tenant = rows[0].Key, rows[0].Tenant
	for _, row := range rows {
		facts.Entitlements = append(facts.Entitlements, row.Entitlements...)
	}
	return facts, nil
}

func scanFacts(row pgx.CollectableRow) (facts registry.KeyFacts, err error) {
	var (
		k keyRow
		t tenantRow
		e entitlementRow
	)
	if err := row.Scan(append(append(k.targets(), t.targets()...), e.targets()...)...); err != nil {
		return facts, err
	}
	if facts.Key, err = k.value(); err != nil {
		return facts, err
	}
	if facts.Tenant, err = t.value(); err != nil || e.id == nil {
		return facts, err
	}
	entitlement, err := e.value()
	facts.Entitlements = []registry.Entitlement{entitlement}
	return facts, err
}

// LockAPIKey implements registry.APIKeyWriter.
func (t *tx) LockAPIKey(ctx context.Context, id uuid.UUID) (registry.APIKey, error) {
	const sql = `SELECT` + keyColumns + ` FROM api_keys k WHERE k.id = $1 FOR NO KEY UPDATE`
	return one(ctx, t, query{"lock API key", sql, []any{id}}, scanKey)
}

// InsertAPIKey implements registry.APIKeyWriter.
func (t *tx) InsertAPIKey(ctx context.Context, k registry.APIKey) error {
	const sql = `
		INSERT INTO api_keys (id, tenant_id, name, environment, product_key, scopes, prefix, hash, expires_at, disabled,
			created_by, created_at, updated_at, revoked_at, revoked_by, revoke_reason)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`
	return change(ctx, t, query{"insert API key", sql, []any{
		k.ID, k.TenantID, k.Name, k.Environment, textOrNull(k.Product), list(k.Scopes), k.Prefix, k.Hash[:], k.ExpiresAt, k.Disabled,
		k.CreatedBy, k.CreatedAt, k.UpdatedAt, k.RevokedAt, textOrNull(k.RevokedBy), textOrNull(k.RevokeReason),
	}})
}

// UpdateAPIKey implements registry.APIKeyWriter.
func (t *tx) UpdateAPIKey(ctx context.Context, k registry.APIKey) error {
	const sql = `
		UPDATE api_keys SET name = $2, scopes = $3, expires_at = $4, disabled = $5,
			revoked_at = $6, revoked_by = $7, revoke_reason = $8, updated_at = $9
		WHERE id = $1`
	return change(ctx, t, query{"update API key", sql, []any{
		k.ID, k.Name, list(k.Scopes), k.ExpiresAt, k.Disabled,
		k.RevokedAt, textOrNull(k.RevokedBy), textOrNull(k.RevokeReason), k.UpdatedAt,
	}})
}

// list is never nil, which would be NULL.
func list(s []string) []string { return append([]string{}, s...) }
