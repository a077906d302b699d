package postgres

import (
	"context"
	"encoding/binary"

	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

// earlierEventColumns are those of an EarlierEvent, without the fingerprint of one of which a part is erased.
const earlierEventColumns = `
	a.idempotency_key, CASE WHEN NOT coalesce((SELECT bool_or(audit_log_erased(m.value, a.group_id, a.seq))
		FROM jsonb_each_text(a.marks) AS m), false) THEN a.idempotency_fingerprint END, a.idempotency_ordinal, a.id,
	coalesce(encode(a.hash, 'hex'), ''),
	coalesce(a.target_id, '')`

func scanEarlierEvent(row pgx.CollectableRow) (e registry.EarlierEvent, err error) {
	var key, fingerprint []byte
	if err := row.Scan(&key, &fingerprint, &e.Ordinal, &e.ID, &e.Hash, &e.TargetID); err != nil {
		return e, err
	}
	copy(e.Key[:], key)
	n := copy(e.Fingerprint.Salt[:], fingerprint)
	copy(e.Fingerprint.Hash[:], fingerprint[n:])
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

// fingerprintOrNull is the fingerprint as it is stored: the salt, and then the hash.
func fingerprintOrNull(r audit.IdempotencyRecord) []byte {
	if r.Fingerprint == (audit.Fingerprint{}) {
		return nil
	}
	return append(r.Fingerprint.Salt[:], r.Fingerprint.Hash[:]...)
}
