package postgres

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// auditLock is the one advisory lock of this schema, "audit" in ASCII: who holds it may append. The locks of idempotency keys are pairs
// of numbers, which Postgres keeps apart.
const auditLock int64 = 0x6175646974

const markedColumns = `a.once_key, a.once_print, a.once_ordinal, a.id, encode(a.hash, 'hex'), coalesce(a.target_id, '')`

func scanMarked(row pgx.CollectableRow) (m registry.MarkedEvent, err error) {
	var key, print []byte
	if err := row.Scan(&key, &print, &m.Ordinal, &m.ID, &m.Hash, &m.TargetID); err != nil {
		return m, err
	}
	copy(m.Key[:], key)
	copy(m.Print[:], print)
	return m, nil
}

// Claim implements registry.AuditWriter.
func (t *tx) Claim(ctx context.Context, key registry.Hash) ([]registry.MarkedEvent, error) {
	const (
		lock   = `SELECT pg_advisory_xact_lock($1, $2)`
		lookup = `SELECT ` + markedColumns + ` FROM audit_log a WHERE a.once_key = $1 ORDER BY a.once_ordinal`
	)
	found := []registry.MarkedEvent{}
	err := t.call(ctx, "claim idempotency key", func(ctx context.Context, on querier) error {
		var b pgx.Batch
		b.Queue(lock, int32(binary.BigEndian.Uint32(key[:4])), int32(binary.BigEndian.Uint32(key[4:8])))
		b.Queue(lookup, key[:]).Query(func(rows pgx.Rows) (err error) {
			found, err = pgx.AppendRows(found, rows, scanMarked)
			return err
		})
		return on.SendBatch(ctx, &b).Close()
	})
	return found, err
}

// AuditHead implements registry.AuditWriter.
func (t *tx) AuditHead(ctx context.Context, group uuid.UUID) (registry.AuditHead, error) {
	heads, err := t.AuditHeads(ctx, []uuid.UUID{group}, nil)
	head := heads.Chains[group]
	return registry.AuditHead{Pos: heads.Pos, Seq: head.Seq, ChainHash: head.Hash}, err
}

// AuditHeads implements registry.AuditWriter. The lock is one statement and the heads the next: a statement reads as of its own
// beginning, which is before it gets a lock.
func (t *tx) AuditHeads(ctx context.Context, groups []uuid.UUID, keys []registry.Hash) (registry.AuditHeads, error) {
	const (
		lock   = `SELECT pg_advisory_xact_lock($1)`
		newest = `SELECT coalesce((SELECT max(pos) FROM audit_log), 0)`
		chains = `
			SELECT last.group_id, last.seq, encode(last.chain_hash, 'hex') FROM unnest($1::uuid[]) AS g (id)
			CROSS JOIN LATERAL (SELECT * FROM audit_log WHERE group_id = g.id ORDER BY seq DESC LIMIT 1) AS last`
		marked = `SELECT ` + markedColumns + ` FROM audit_log a WHERE a.once_key = ANY($1) ORDER BY a.once_ordinal`
	)
	heads := registry.AuditHeads{Chains: map[uuid.UUID]registry.ChainHead{}, Marked: map[registry.Hash][]registry.MarkedEvent{}}
	err := t.call(ctx, "audit heads", func(ctx context.Context, on querier) error {
		var b pgx.Batch
		b.Queue(lock, auditLock)
		b.Queue(newest).QueryRow(func(row pgx.Row) error { return row.Scan(&heads.Pos) })
		b.Queue(chains, groups).Query(func(rows pgx.Rows) error {
			var group uuid.UUID
			var head registry.ChainHead
			_, err := pgx.ForEachRow(rows, []any{&group, &head.Seq, &head.Hash}, func() error {
				heads.Chains[group] = head
				return nil
			})
			return err
		})
		if len(keys) > 0 {
			b.Queue(marked, hashes(keys)).Query(func(rows pgx.Rows) error {
				found, err := pgx.CollectRows(rows, scanMarked)
				for _, m := range found {
					heads.Marked[m.Key] = append(heads.Marked[m.Key], m)
				}
				return err
			})
		}
		return on.SendBatch(ctx, &b).Close()
	})
	return heads, err
}

func hashes(of []registry.Hash) [][]byte {
	all := make([][]byte, len(of))
	for i := range of {
		all[i] = of[i][:]
	}
	return all
}

// InsertEvent implements registry.AuditWriter.
func (t *tx) InsertEvent(ctx context.Context, e registry.AuditEvent) error {
	return t.InsertEvents(ctx, []registry.AuditEvent{e})
}

// InsertEvents implements registry.AuditWriter. The foreign key holds a group to being a tenant; the platform's own has none.
func (t *tx) InsertEvents(ctx context.Context, events []registry.AuditEvent) error {
	const sql = `
		INSERT INTO audit_log (pos, id, group_id, seq, tenant_id, group_name, action, area, crud,
			actor_id, actor_name, actor_href, actor_type, target_id, target_name, target_href, target_type,
			source_ip, description, is_failure, is_anonymous, component, version, external_id, created, received,
			correlation_id, emitter_id, emitter_name, once_key, once_print, once_ordinal,
			actor_fields, target_fields, fields, metadata, hash, prev_chain_hash, chain_hash)
		SELECT * FROM unnest(
			$1::bigint[], $2::uuid[], $3::uuid[], $4::bigint[], $5::uuid[], $6::text[], $7::text[], $8::text[], $9::text[]::audit_crud[],
			$10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[],
			$18::text[], $19::text[], $20::boolean[], $21::boolean[], $22::text[], $23::text[], $24::text[], $25::timestamptz[], $26::timestamptz[],
			$27::text[], $28::text[], $29::text[], $30::bytea[], $31::bytea[], $32::integer[],
			$33::text[]::jsonb[], $34::text[]::jsonb[], $35::text[]::jsonb[], $36::text[]::jsonb[], $37::bytea[], $38::bytea[], $39::bytea[])`
	args, err := eventColumnsOf(events)
	return t.call(ctx, "insert events", func(ctx context.Context, on querier) error {
		if err == nil {
			_, err = on.Exec(ctx, sql, args...)
		}
		return err
	})
}

type event = registry.AuditEvent

// eventColumnsOf has a list for each column.
func eventColumnsOf(events []event) ([]any, error) {
	args := []any{
		column(events, func(e *event) int64 { return e.Pos }),
		column(events, func(e *event) [16]byte { return e.ID }),
		column(events, func(e *event) [16]byte { return e.GroupID }),
		column(events, func(e *event) int64 { return e.Seq }),
		column(events, func(e *event) *[16]byte { return (*[16]byte)(idOrNull(e.GroupID)) }),
		column(events, func(e *event) *string { return textOrNull(e.GroupName) }),
		column(events, func(e *event) string { return e.Action }),
		column(events, func(e *event) string { return e.Area() }),
		column(events, func(e *event) string { return string(e.CRUD) }),
		column(events, func(e *event) *string { return textOrNull(e.Actor.ID) }),
		column(events, func(e *event) *string { return textOrNull(e.Actor.Name) }),
		column(events, func(e *event) *string { return textOrNull(e.Actor.Href) }),
		column(events, func(e *event) *string { return textOrNull(e.Actor.Type) }),
		column(events, func(e *event) *string { return textOrNull(e.Target.ID) }),
		column(events, func(e *event) *string { return textOrNull(e.Target.Name) }),
		column(events, func(e *event) *string { return textOrNull(e.Target.Href) }),
		column(events, func(e *event) *string { return textOrNull(e.Target.Type) }),
		column(events, func(e *event) *string { return textOrNull(e.SourceIP) }),
		column(events, func(e *event) *string { return textOrNull(e.Description) }),
		column(events, func(e *event) bool { return e.IsFailure }),
		column(events, func(e *event) bool { return e.IsAnonymous }),
		column(events, func(e *event) *string { return textOrNull(e.Component) }),
		column(events, func(e *event) *string { return textOrNull(e.Version) }),
		column(events, func(e *event) *string { return textOrNull(e.ExternalID) }),
		column(events, func(e *event) time.Time { return e.Created }),
		column(events, func(e *event) time.Time { return e.Received }),
		column(events, func(e *event) *string { return textOrNull(e.CorrelationID) }),
		column(events, func(e *event) *string { return textOrNull(e.EmitterID) }),
		column(events, func(e *event) *string { return textOrNull(e.EmitterName) }),
		column(events, func(e *event) []byte { return hashOrNull(e.Once.Key) }),
		column(events, func(e *event) []byte { return hashOrNull(e.Once.Print) }),
		column(events, func(e *event) *int { return ordinalOrNull(e.Once) }),
	}
	for _, fields := range []func(*event) map[string]string{
		func(e *event) map[string]string { return e.Actor.Fields },
		func(e *event) map[string]string { return e.Target.Fields },
		func(e *event) map[string]string { return e.Fields },
		func(e *event) map[string]string { return e.Metadata },
	} {
		texts, err := columnOr(events, func(e *event) (*string, error) { return fieldsOrNull(fields(e)) })
		if err != nil {
			return nil, err
		}
		args = append(args, texts)
	}
	for _, digest := range []func(*event) string{
		func(e *event) string { return e.Hash },
		func(e *event) string { return e.PrevChainHash },
		func(e *event) string { return e.ChainHash },
	} {
		digests, err := columnOr(events, func(e *event) ([]byte, error) { return hex.DecodeString(digest(e)) })
		if err != nil {
			return nil, err
		}
		args = append(args, digests)
	}
	return args, nil
}

func column[T any](events []event, of func(*event) T) []T {
	values := make([]T, len(events))
	for i := range events {
		values[i] = of(&events[i])
	}
	return values
}

// columnOr is column of what may fail.
func columnOr[T any](events []event, of func(*event) (T, error)) ([]T, error) {
	var failed error
	values := column(events, func(e *event) T {
		value, err := of(e)
		failed = errors.Join(failed, err)
		return value
	})
	return values, failed
}

func ordinalOrNull(m registry.OnceMark) *int {
	if m == (registry.OnceMark{}) {
		return nil
	}
	return &m.Ordinal
}
