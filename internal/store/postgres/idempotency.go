package postgres

import (
	"context"
	"encoding/binary"

	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

const earlierEventColumns = `
	a.idempotency_key, a.idempotency_fingerprint, a.idempotency_ordinal, a.id, encode(a.hash, 'hex'),
	coalesce(a.target_id, '')`

func scanEarlierEvent(row pgx.CollectableRow) (e registry.EarlierEvent, err error) {
	var key, fingerprint []byte
	if err := row.Scan(&key, &fingerprint, &e.Ordinal, &e.ID, &e.Hash, &e.TargetID); err != nil {
		return e, err
	}
	copy(e.Key[:], key)
	copy(e.Fingerprint[:], fingerprint)
	return e, nil
}

// ReserveIdempotencyKey implements registry.IdempotencyStore.
func (t *tx) ReserveIdempotencyKey(ctx context.Context, key audit.Digest) ([]registry.EarlierEvent, error) {
	const (
		lock   = `SELECT pg_advisory_xact_lock($1, $2)`
		lookup = `SELECT` + earlierEventColumns + `
			FROM audit_log a WHERE a.idempotency_key = $1 ORDER BY a.idempotency_ordinal`
	)
	found := []registry.EarlierEvent{}
	err := t.call(ctx, "reserve idempotency key", func(ctx context.Context, on querier) error {
		var b pgx.Batch
		b.Queue(lock, int32(binary.BigEndian.Uint32(key[:4])), int32(binary.BigEndian.Uint32(key[4:8])))
		b.Queue(lookup, key[:]).Query(func(rows pgx.Rows) (err error) {
			found, err = pgx.AppendRows(found, rows, scanEarlierEvent)
			return err
		})
		return on.SendBatch(ctx, &b).Close()
	})
	return found, err
}

func ordinalOrNull(r audit.IdempotencyRecord) *int {
	if r == (audit.IdempotencyRecord{}) {
		return nil
	}
	return &r.Ordinal
}
