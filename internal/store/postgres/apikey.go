package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

const keyColumns = `
	k.id, k.tenant_id, k.name, k.environment, coalesce(k.product_key, ''), k.scopes, k.prefix, k.hash,
	k.previous_hash, k.previous_ends_at, k.previous_used_at, k.rotated_at, k.expires_at, k.disabled, k.last_used_at, k.version,
	k.created_by, k.created_at, k.updated_at, k.revoked_at, coalesce(k.revoked_by, ''), coalesce(k.revoke_reason, '')`

// keyRow takes the keyColumns.
type keyRow struct {
	key            registry.APIKey
	hash, previous []byte
}

func (r *keyRow) targets() []any {
	k := &r.key
	return []any{
		&k.ID, &k.TenantID, &k.Name, &k.Environment, &k.Product, &k.Scopes, &k.Prefix, &r.hash,
		&r.previous, &k.PreviousEndsAt, &k.PreviousUsedAt, &k.RotatedAt, &k.ExpiresAt, &k.Disabled, &k.LastUsedAt, &k.Version,
		&k.CreatedBy, &k.CreatedAt, &k.UpdatedAt, &k.RevokedAt, &k.RevokedBy, &k.RevokeReason,
	}
}

func (r *keyRow) value() (registry.APIKey, error) {
	for _, h := range []struct {
		into *registry.Hash
		is   []byte
	}{{&r.key.Hash, r.hash}, {&r.key.PreviousHash, r.previous}} {
		if copy(h.into[:], h.is) != len(h.is) {
			return r.key, fmt.Errorf("a hash of key %s has %d bytes", r.key.ID, len(h.is))
		}
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
func (r reader) APIKeys(ctx context.Context, q registry.KeyQuery) (registry.KeyPage, error) {
	page := registry.KeyPage{Keys: []registry.APIKey{}}
	if q.Limit < 1 {
		return page, ctx.Err()
	}
	keys, err := many(ctx, r, keysQuery(q), scanKey)
	switch {
	case err != nil:
		return page, err
	case len(keys) > q.Limit:
		page.Keys, page.Next = keys[:q.Limit], keys[q.Limit-1].ID
		return page, nil
	}
	page.Keys = keys
	if q.Examine < 1 {
		return page, nil
	}
	// The last that was looked at, and one behind it. What is older than a key never changes.
	const sql = `SELECT k.id FROM api_keys k WHERE k.tenant_id = $1 AND ($2::uuid IS NULL OR k.id < $2) ORDER BY k.id DESC OFFSET $3 LIMIT 2`
	ends, err := many(ctx, r, query{"find the end of a page of API keys", sql, []any{q.TenantID, idOrNull(q.Before), q.Examine - 1}}, pgx.RowTo[uuid.UUID])
	if err != nil {
		return registry.KeyPage{}, err
	}
	if len(ends) == 2 {
		page.Next = ends[0]
	}
	return page, nil
}

// keysQuery asks for one key more than the page has. It looks at q.Examine keys in the order of the index and tells which of them match,
// as registry.KeyQuery.Matches says.
func keysQuery(q registry.KeyQuery) query {
	var (
		args  []any
		where []string
	)
	arg := func(value any) string {
		args = append(args, value)
		return "$" + strconv.Itoa(len(args))
	}
	and := func(condition string, value any) {
		where = append(where, strings.ReplaceAll(condition, "?", arg(value)))
	}
	of := "k.tenant_id = " + arg(q.TenantID)
	if q.Before != uuid.Nil {
		of += " AND k.id < " + arg(q.Before)
	}
	examined := "SELECT * FROM api_keys k WHERE " + of + " ORDER BY k.id DESC"
	if q.Examine > 0 {
		examined += " LIMIT " + arg(q.Examine)
	}
	if q.Product != "" {
		and("k.product_key = ?", q.Product)
	}
	if q.Environment != "" {
		and("k.environment = ?", q.Environment)
	}
	if q.State != "" {
		and(`CASE WHEN k.revoked_at IS NOT NULL THEN 'revoked' WHEN k.disabled THEN 'disabled'
			WHEN k.expires_at <= `+arg(q.Now)+` THEN 'expired' ELSE 'active' END = ?`, string(q.State))
	}
	if q.UnusedSince != nil {
		and("k.created_at < ? AND (k.last_used_at IS NULL OR k.last_used_at < ?)", q.UnusedSince)
	}
	if q.ExpiresBefore != nil {
		and("k.expires_at < ?", q.ExpiresBefore)
	}
	sql := "SELECT" + keyColumns + " FROM (" + examined + ") AS k"
	if where != nil {
		sql += " WHERE " + strings.Join(where, " AND ")
	}
	return query{"list API keys", sql + " ORDER BY k.id DESC LIMIT " + arg(q.Limit+1), args}
}

// CountAPIKeys implements registry.APIKeyReader.
func (r reader) CountAPIKeys(ctx context.Context, tenant uuid.UUID) (int, error) {
	const sql = `SELECT count(*) FROM api_keys k WHERE k.tenant_id = $1 AND k.revoked_at IS NULL`
	return one(ctx, r, query{"count API keys", sql, []any{tenant}}, pgx.RowTo[int])
}

// KeyFacts implements registry.APIKeyReader.
func (r reader) KeyFacts(ctx context.Context, hash registry.Hash, product string) (registry.KeyFacts, error) {
	lookup := registry.KeyLookup{Hash: hash, Product: product}
	found, err := r.ManyKeyFacts(ctx, []registry.KeyLookup{lookup})
	if err != nil {
		return registry.KeyFacts{}, err
	}
	facts, there := found[lookup]
	if !there {
		return registry.KeyFacts{}, registry.ErrNotFound
	}
	return facts, nil
}

// KeyFactsSQL answers look-ups, given as a list of hashes and one of products, with a row for each entitlement, or one without. It
// is one statement, so that all it answers is of one instant.
const KeyFactsSQL = `SELECT q.n,` + keyColumns + `,` + tenantColumns + `,` + entitlementColumns + `
	FROM unnest($1::bytea[], $2::text[]) WITH ORDINALITY AS q (hash, product, n)
	CROSS JOIN LATERAL (
		SELECT * FROM api_keys WHERE hash = q.hash UNION ALL SELECT * FROM api_keys WHERE previous_hash = q.hash LIMIT 1) AS k
	JOIN tenants t ON t.id = k.tenant_id
	LEFT JOIN entitlements e ON e.tenant_id = k.tenant_id AND e.product_key = coalesce(nullif(q.product, ''), k.product_key)
	ORDER BY q.n, e.id`

// ManyKeyFacts implements registry.APIKeyReader.
func (r reader) ManyKeyFacts(ctx context.Context, asked []registry.KeyLookup) (map[registry.KeyLookup]registry.KeyFacts, error) {
	hashes, products := make([][]byte, len(asked)), make([]string, len(asked))
	for i, lookup := range asked {
		hashes[i], products[i] = lookup.Hash[:], lookup.Product
	}
	rows, err := many(ctx, r, query{"read key facts", KeyFactsSQL, []any{hashes, products}}, scanFacts)
	if err != nil {
		return nil, err
	}
	found := make(map[registry.KeyLookup]registry.KeyFacts, len(asked))
	for len(rows) > 0 {
		first := rows[0]
		by := &registry.Holder{Tenant: first.tenant, Entitlements: []registry.Entitlement{}}
		for ; len(rows) > 0 && rows[0].n == first.n; rows = rows[1:] {
			by.Entitlements = append(by.Entitlements, rows[0].sources...)
		}
		lookup := asked[first.n-1]
		found[lookup] = first.key.Facts(lookup.Hash, by)
	}
	return found, nil
}

// factsRow is a row of KeyFactsSQL.
type factsRow struct {
	n       int
	key     registry.APIKey
	tenant  registry.Tenant
	sources []registry.Entitlement // one or none
}

func scanFacts(row pgx.CollectableRow) (got factsRow, err error) {
	var (
		k keyRow
		t tenantRow
		e entitlementRow
	)
	if err := row.Scan(slices.Concat([]any{&got.n}, k.targets(), t.targets(), e.targets())...); err != nil {
		return got, err
	}
	if got.key, err = k.value(); err != nil {
		return got, err
	}
	if got.tenant, err = t.value(); err != nil || e.id == nil {
		return got, err
	}
	entitlement, err := e.value()
	got.sources = []registry.Entitlement{entitlement}
	return got, err
}

// LockAPIKey implements registry.APIKeyWriter.
func (t *tx) LockAPIKey(ctx context.Context, id uuid.UUID) (registry.APIKey, error) {
	const sql = `SELECT` + keyColumns + ` FROM api_keys k WHERE k.id = $1 FOR NO KEY UPDATE`
	return one(ctx, t, query{"lock API key", sql, []any{id}}, scanKey)
}

// InsertAPIKey implements registry.APIKeyWriter.
func (t *tx) InsertAPIKey(ctx context.Context, k registry.APIKey) error {
	const sql = `
		INSERT INTO api_keys (id, tenant_id, name, environment, product_key, scopes, prefix, hash,
			previous_hash, previous_ends_at, previous_used_at, rotated_at, expires_at, disabled, last_used_at, version,
			created_by, created_at, updated_at, revoked_at, revoked_by, revoke_reason)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)`
	return change(ctx, t, query{"insert API key", sql, []any{
		k.ID, k.TenantID, k.Name, k.Environment, textOrNull(k.Product), list(k.Scopes), k.Prefix, k.Hash[:],
		hashOrNull(k.PreviousHash), k.PreviousEndsAt, k.PreviousUsedAt, k.RotatedAt, k.ExpiresAt, k.Disabled, k.LastUsedAt, k.Version,
		k.CreatedBy, k.CreatedAt, k.UpdatedAt, k.RevokedAt, textOrNull(k.RevokedBy), textOrNull(k.RevokeReason),
	}})
}

// UpdateAPIKey implements registry.APIKeyWriter.
func (t *tx) UpdateAPIKey(ctx context.Context, k registry.APIKey) error {
	const sql = `
		UPDATE api_keys SET name = $2, scopes = $3, expires_at = $4, disabled = $5,
			revoked_at = $6, revoked_by = $7, revoke_reason = $8, updated_at = $9, version = $10,
			prefix = $11, hash = $12, previous_hash = $13, previous_ends_at = $14, previous_used_at = $15, rotated_at = $16
		WHERE id = $1`
	return change(ctx, t, query{"update API key", sql, []any{
		k.ID, k.Name, list(k.Scopes), k.ExpiresAt, k.Disabled,
		k.RevokedAt, textOrNull(k.RevokedBy), textOrNull(k.RevokeReason), k.UpdatedAt, k.Version,
		k.Prefix, k.Hash[:], hashOrNull(k.PreviousHash), k.PreviousEndsAt, k.PreviousUsedAt, k.RotatedAt,
	}})
}

// TouchAPIKeys implements registry.APIKeyWriter. It locks keys without their tenant, and so waits for none: what would have to be waited
// for is skipped, so no order of locks can make a circle of it. What it compares with comes from the rows that it locked: others may be
// newer than the statement's snapshot.
func (t *tx) TouchAPIKeys(ctx context.Context, uses []registry.KeyUse) error {
	const sql = `
		WITH used AS (
			SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::timestamptz[]) AS u (id, hash, at)
		), free AS (
			SELECT k.id, k.previous_hash, k.last_used_at, k.previous_used_at FROM api_keys k
			WHERE k.id = ANY ($1::uuid[]) ORDER BY k.id FOR NO KEY UPDATE SKIP LOCKED
		), newest AS (
			SELECT u.id, max(u.at) AS at, max(u.at) FILTER (WHERE u.hash = f.previous_hash) AS previous_at
			FROM free f JOIN used u ON u.id = f.id GROUP BY u.id
		), worth AS (
			SELECT f.*,
				CASE WHEN n.at < f.last_used_at + $4::interval THEN f.last_used_at ELSE n.at END AS at,
				CASE WHEN n.previous_at < f.previous_used_at + $4::interval THEN f.previous_used_at
					ELSE coalesce(n.previous_at, f.previous_used_at) END AS previous_at
			FROM free f JOIN newest n ON n.id = f.id
		)
		UPDATE api_keys k SET last_used_at = w.at, previous_used_at = w.previous_at FROM worth w
		WHERE k.id = w.id AND (w.last_used_at IS DISTINCT FROM w.at OR w.previous_used_at IS DISTINCT FROM w.previous_at)`
	ids, hashes, times := make([]uuid.UUID, len(uses)), make([][]byte, len(uses)), make([]time.Time, len(uses))
	for i, use := range uses {
		ids[i], hashes[i], times[i] = use.ID, use.Hash[:], use.At
	}
	return t.call(ctx, "note uses of API keys", func(ctx context.Context, on querier) error {
		_, err := on.Exec(ctx, sql, ids, hashes, times, registry.UseGrain)
		return err
	})
}

// list is never nil, which would be NULL.
func list(s []string) []string { return append([]string{}, s...) }

func hashOrNull(h registry.Hash) []byte {
	if h == (registry.Hash{}) {
		return nil
	}
	return h[:]
}
