package postgres

import (
	"context"
	"fmt"

	"github.com/breakpilot/tenant-registry/internal/apikey"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

const keyColumns = `
	k.id, k.tenant_id, k.name, k.environment, coalesce(k.product_key, ''), k.scopes, k.prefix, k.hash,
	k.previous_hash, k.previous_ends_at, k.previous_ended, k.previous_used_at, k.rotated_at, k.expires_at, k.disabled,
	k.last_used_at, k.version,
	k.created_by, k.created_at, k.updated_at, k.revoked_at, coalesce(k.revoked_by, ''), coalesce(k.revoke_reason, '')`

// keyRow scans the keyColumns.
type keyRow struct {
	key            registry.APIKey
	hash, previous []byte
}

func (r *keyRow) targets() []any {
	k := &r.key
	return []any{
		&k.ID, &k.TenantID, &k.Name, &k.Environment, &k.Product, &k.Scopes, &k.Prefix, &r.hash,
		&r.previous, &k.PreviousEndsAt, &k.PreviousEnded, &k.PreviousUsedAt, &k.RotatedAt, &k.ExpiresAt, &k.Disabled,
		&k.LastUsedAt, &k.Version,
		&k.CreatedBy, &k.CreatedAt, &k.UpdatedAt, &k.RevokedAt, &k.RevokedBy, &k.RevokeReason,
	}
}

func (r *keyRow) value() (registry.APIKey, error) {
	for _, h := range []struct {
		into *apikey.Hash
		is   []byte
	}{{&r.key.Hash, r.hash}, {&r.key.PreviousHash, r.previous}} {
		if copy(h.into[:], h.is) != len(h.is) {
			return r.key, fmt.Errorf("a hash of key %s has %d bytes", r.key.ID, len(h.is))
		}
	}
	return r.key, nil
}

// scanKey scans keyColumns, and into more what is selected after them.
func scanKey(row pgx.CollectableRow, more ...any) (registry.APIKey, error) {
	var r keyRow
	if err := row.Scan(append(r.targets(), more...)...); err != nil {
		return registry.APIKey{}, err
	}
	return r.value()
}

// oneKey is scanKey for a row of nothing else.
func oneKey(row pgx.CollectableRow) (registry.APIKey, error) { return scanKey(row) }

// GetAPIKey implements registry.APIKeyReader.
func (r reader) GetAPIKey(ctx context.Context, id uuid.UUID) (registry.APIKey, error) {
	const sql = `SELECT` + keyColumns + ` FROM api_keys k WHERE k.id = $1`
	return one(ctx, r, query{"read API key", sql, []any{id}}, oneKey)
}

// LockAPIKey implements registry.APIKeyWriter.
func (t *tx) LockAPIKey(ctx context.Context, id uuid.UUID) (registry.APIKey, error) {
	const sql = `SELECT` + keyColumns + ` FROM api_keys k WHERE k.id = $1 FOR NO KEY UPDATE`
	return one(ctx, t, query{"lock API key", sql, []any{id}}, oneKey)
}

// InsertAPIKey implements registry.APIKeyWriter.
func (t *tx) InsertAPIKey(ctx context.Context, k registry.APIKey) error {
	const sql = `
		INSERT INTO api_keys (id, tenant_id, name, environment, product_key, scopes, prefix, hash,
			previous_hash, previous_ends_at, previous_used_at, rotated_at, expires_at, disabled, last_used_at, version,
			created_by, created_at, updated_at, revoked_at, revoked_by, revoke_reason, previous_ended)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
			$23)`
	return change(ctx, t, query{"insert API key", sql, []any{
		k.ID, k.TenantID, k.Name, k.Environment, textOrNull(k.Product), list(k.Scopes), k.Prefix, k.Hash[:],
		hashOrNull(k.PreviousHash), k.PreviousEndsAt, k.PreviousUsedAt, k.RotatedAt, k.ExpiresAt, k.Disabled,
		k.LastUsedAt, k.Version,
		k.CreatedBy, k.CreatedAt, k.UpdatedAt, k.RevokedAt, textOrNull(k.RevokedBy), textOrNull(k.RevokeReason),
		k.PreviousEnded,
	}})
}

// UpdateAPIKey implements registry.APIKeyWriter.
func (t *tx) UpdateAPIKey(ctx context.Context, k registry.APIKey) error {
	const sql = `
		UPDATE api_keys SET name = $2, scopes = $3, expires_at = $4, disabled = $5,
			revoked_at = $6, revoked_by = $7, revoke_reason = $8, updated_at = $9, version = $10,
			prefix = $11, hash = $12, previous_hash = $13, previous_ends_at = $14, previous_used_at = $15,
				rotated_at = $16, previous_ended = $17
		WHERE id = $1`
	return change(ctx, t, query{"update API key", sql, []any{
		k.ID, k.Name, list(k.Scopes), k.ExpiresAt, k.Disabled,
		k.RevokedAt, textOrNull(k.RevokedBy), textOrNull(k.RevokeReason), k.UpdatedAt, k.Version,
		k.Prefix, k.Hash[:], hashOrNull(k.PreviousHash), k.PreviousEndsAt, k.PreviousUsedAt, k.RotatedAt,
		k.PreviousEnded,
	}})
}

// list is never nil, which would be NULL.
func list(s []string) []string { return append([]string{}, s...) }

func hashOrNull(h apikey.Hash) []byte {
	if h == (apikey.Hash{}) {
		return nil
	}
	return h[:]
}
