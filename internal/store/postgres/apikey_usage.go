package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// UpdateAPIKeyUsage implements registry.APIKeyWriter. It locks keys without their tenant, and therefore waits for no
// lock: a key that is locked is skipped, so no order of locks can deadlock with it. It compares with the rows that it
// locked: others may be newer than the statement's snapshot. Its commit does not hold the audit lock, so it waits for
// no standby: after a failover times of use may be older than they were.
func (t *tx) UpdateAPIKeyUsage(ctx context.Context, uses []registry.APIKeyUse) error {
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
		WHERE k.id = w.id
			AND (w.last_used_at IS DISTINCT FROM w.at OR w.previous_used_at IS DISTINCT FROM w.previous_at)`
	ids, hashes, times := make([]uuid.UUID, len(uses)), make([][]byte, len(uses)), make([]time.Time, len(uses))
	for i, use := range uses {
		ids[i], hashes[i], times[i] = use.ID, use.Hash[:], use.At
	}
	return t.call(ctx, "update API key usage", func(ctx context.Context, on querier) error {
		var b pgx.Batch
		b.Queue(`SET LOCAL synchronous_commit = local`)
		b.Queue(sql, ids, hashes, times, registry.UsageResolution)
		return on.SendBatch(ctx, &b).Close()
	})
}
