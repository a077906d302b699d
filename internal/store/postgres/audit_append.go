package postgres

import (
	"context"
	"encoding/hex"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

// auditLock is the key of the advisory lock of the audit log, "audit" in ASCII: the transaction that holds it may
// append. The locks of idempotency keys are pairs of numbers, which are another key space.
const auditLock int64 = 0x6175646974

// LockAuditLog implements registry.AuditWriter.
func (t *tx) LockAuditLog(ctx context.Context, groups []uuid.UUID, keys []audit.Digest) (registry.AuditHeads, error) {
	var heads registry.AuditHeads
	err := t.call(ctx, "lock audit log", func(ctx context.Context, on querier) error {
		var b pgx.Batch
		found := queueLogLock(&b, groups, keys)
		err := on.SendBatch(ctx, &b).Close()
		heads = *found
		return err
	})
	return heads, err
}

// LockForAppend implements registry.AuditWriter.
func (t *tx) LockForAppend(
	ctx context.Context, tenants []uuid.UUID, skipLocked bool, groups []uuid.UUID, keys []audit.Digest,
) (locked map[uuid.UUID]bool, heads registry.AuditHeads, err error) {
	err = t.call(ctx, "lock for append", func(ctx context.Context, on querier) error {
		var b pgx.Batch
		locked = queueSharedLocks(&b, tenants, skipLocked)
		found := queueLogLock(&b, groups, keys)
		err := on.SendBatch(ctx, &b).Close()
		heads = *found
		return err
	})
	return locked, heads, err
}

// queueLogLock adds the audit lock to a batch, whose results are in the heads. The lock is one statement and the heads
// the next: a statement reads as of its own beginning, which is before it gets a lock.
func queueLogLock(b *pgx.Batch, groups []uuid.UUID, keys []audit.Digest) *registry.AuditHeads {
	const (
		lock    = `SELECT pg_advisory_xact_lock($1)`
		stand   = `SELECT of_group, place, coalesce(encode(hash, 'hex'), '') FROM audit_log_heads($1)`
		earlier = `SELECT` + earlierEventColumns + `
			FROM audit_log a WHERE a.idempotency_key = ANY($1) ORDER BY a.idempotency_ordinal`
	)
	heads := &registry.AuditHeads{
		Chains:  map[uuid.UUID]audit.ChainHead{},
		Earlier: map[audit.Digest][]registry.EarlierEvent{},
	}
	b.Queue(lock, auditLock)
	b.Queue(stand, groups).Query(func(rows pgx.Rows) error {
		var group *uuid.UUID
		var head audit.ChainHead
		_, err := pgx.ForEachRow(rows, []any{&group, &head.Seq, &head.Hash}, func() error {
			if group == nil {
				heads.Pos = head.Seq
			} else {
				heads.Chains[*group] = head
			}
			return nil
		})
		return err
	})
	if len(keys) > 0 {
		b.Queue(earlier, hashes(keys)).Query(func(rows pgx.Rows) error {
			found, err := pgx.CollectRows(rows, scanEarlierEvent)
			for _, e := range found {
				heads.Earlier[e.Key] = append(heads.Earlier[e.Key], e)
			}
			return err
		})
	}
	return heads
}

func hashes(of []audit.Digest) [][]byte {
	all := make([][]byte, len(of))
	for i := range of {
		all[i] = of[i][:]
	}
	return all
}

// InsertAuditEvents implements registry.AuditWriter. The foreign key holds a group to being a tenant; the platform's
// own has none. The INSERT is sent with the COMMIT, or with the next call, and so is its failure.
func (t *tx) InsertAuditEvents(ctx context.Context, events []audit.Event) error {
	const sql = `
		INSERT INTO audit_log (pos, id, group_id, seq, tenant_id, group_name, action, area, crud,
			actor_id, actor_name, actor_href, actor_type, target_id, target_name, target_href, target_type,
			source_ip, description, is_failure, is_anonymous, component, version, external_id, created, received,
			correlation_id, emitter_id, emitter_name, idempotency_key, idempotency_fingerprint, idempotency_ordinal,
			actor_fields, target_fields, fields, metadata, hash, prev_chain_hash, chain_hash,
			on_behalf_of_id, on_behalf_of_name, erase, actor_salt, emitter_salt, fields_salt, group_salt, hash_salt,
			metadata_salt, on_behalf_of_salt, source_salt, target_salt, text_salt)
		SELECT * FROM unnest(
			$1::bigint[], $2::uuid[], $3::uuid[], $4::bigint[], $5::uuid[], $6::text[], $7::text[], $8::text[],
				$9::text[]::audit_crud[],
			$10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[],
			$18::text[], $19::text[], $20::boolean[], $21::boolean[], $22::text[], $23::text[], $24::text[],
				$25::timestamptz[], $26::timestamptz[],
			$27::text[], $28::text[], $29::text[], $30::bytea[], $31::bytea[], $32::integer[],
			$33::text[]::jsonb[], $34::text[]::jsonb[], $35::text[]::jsonb[], $36::text[]::jsonb[], 
			$37::bytea[], $38::bytea[], $39::bytea[], $40::text[], $41::text[], $42::text[]::jsonb[],
			$43::bytea[], $44::bytea[], $45::bytea[], $46::bytea[], $47::bytea[], $48::bytea[], $49::bytea[],
				$50::bytea[], $51::bytea[], $52::bytea[])`
	args, err := eventColumnsOf(events)
	return t.call(ctx, "insert audit events", func(ctx context.Context, _ querier) error {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			t.inner.writeLast(sql, args)
		}
		return err
	})
}

type auditEvent = audit.Event

// eventColumnsOf has a list for each column.
func eventColumnsOf(events []auditEvent) ([]any, error) {
	args := []any{
		column(events, func(e *auditEvent) int64 { return e.Pos }),
		column(events, func(e *auditEvent) [16]byte { return e.ID }),
		column(events, func(e *auditEvent) [16]byte { return e.GroupID }),
		column(events, func(e *auditEvent) int64 { return e.Seq }),
		column(events, func(e *auditEvent) *[16]byte { return (*[16]byte)(parentOf(e)) }),
		column(events, func(e *auditEvent) *string { return textOrNull(e.GroupName) }),
		column(events, func(e *auditEvent) string { return e.Action }),
		column(events, func(e *auditEvent) string { return e.Area() }),
		column(events, func(e *auditEvent) string { return string(e.CRUD) }),
		column(events, func(e *auditEvent) *string { return textOrNull(e.Actor.ID) }),
		column(events, func(e *auditEvent) *string { return textOrNull(e.Actor.Name) }),
		column(events, func(e *auditEvent) *string { return textOrNull(e.Actor.Href) }),
		column(events, func(e *auditEvent) *string { return textOrNull(e.Actor.Type) }),
		column(events, func(e *auditEvent) *string { return textOrNull(e.Target.ID) }),
		column(events, func(e *auditEvent) *string { return textOrNull(e.Target.Name) }),
		column(events, func(e *auditEvent) *string { return textOrNull(e.Target.Href) }),
		column(events, func(e *auditEvent) *string { return textOrNull(e.Target.Type) }),
		column(events, func(e *auditEvent) *string { return textOrNull(e.SourceIP) }),
		column(events, func(e *auditEvent) *string { return textOrNull(e.Description) }),
		column(events, func(e *auditEvent) bool { return e.IsFailure }),
		column(events, func(e *auditEvent) bool { return e.IsAnonymous }),
		column(events, func(e *auditEvent) *string { return textOrNull(e.Component) }),
		column(events, func(e *auditEvent) *string { return textOrNull(e.Version) }),
		column(events, func(e *auditEvent) *string { return textOrNull(e.ExternalID) }),
		column(events, func(e *auditEvent) time.Time { return e.Created }),
		column(events, func(e *auditEvent) time.Time { return e.Received }),
		column(events, func(e *auditEvent) *string { return textOrNull(e.CorrelationID) }),
		column(events, func(e *auditEvent) *string { return textOrNull(e.Emitter.ID) }),
		column(events, func(e *auditEvent) *string { return textOrNull(e.Emitter.Name) }),
		column(events, func(e *auditEvent) []byte { return digestOrNull(e.Idempotency.Key) }),
		column(events, func(e *auditEvent) []byte { return fingerprintOrNull(e.Idempotency) }),
		column(events, func(e *auditEvent) *int { return ordinalOrNull(e.Idempotency) }),
	}
	for _, fields := range []func(*auditEvent) map[string]string{
		func(e *auditEvent) map[string]string { return e.Actor.Fields },
		func(e *auditEvent) map[string]string { return e.Target.Fields },
		func(e *auditEvent) map[string]string { return e.Fields },
		func(e *auditEvent) map[string]string { return e.Metadata },
	} {
		texts, err := columnOr(events, func(e *auditEvent) (*string, error) { return fieldsOrNull(fields(e)) })
		if err != nil {
			return nil, err
		}
		args = append(args, texts)
	}
	for _, digest := range []func(*auditEvent) string{
		func(e *auditEvent) string { return e.Hash },
		func(e *auditEvent) string { return e.PrevChainHash },
		func(e *auditEvent) string { return e.ChainHash },
	} {
		digests, err := columnOr(events, func(e *auditEvent) ([]byte, error) { return hex.DecodeString(digest(e)) })
		if err != nil {
			return nil, err
		}
		args = append(args, digests)
	}
	return appendErasable(args, events)
}

// appendErasable adds the columns that erasures brought.
func appendErasable(args []any, events []auditEvent) ([]any, error) {
	args = append(args,
		column(events, func(e *auditEvent) *string { return textOrNull(e.OnBehalfOf.ID) }),
		column(events, func(e *auditEvent) *string { return textOrNull(e.OnBehalfOf.Name) }),
	)
	erasures, err := columnOr(events, erasureOrNull)
	if err != nil {
		return nil, err
	}
	args = append(args, erasures)
	for _, p := range audit.AllParts {
		args = append(args, column(events, func(e *auditEvent) []byte { return saltOrNull(e.Salts[p]) }))
	}
	return args, nil
}

// parentOf is the tenant that an event belongs to: none if it is the platform's, or of a tenant that was deleted.
func parentOf(e *auditEvent) *uuid.UUID {
	if e.GroupDeleted {
		return nil
	}
	return idOrNull(e.GroupID)
}

func column[T any](events []auditEvent, of func(*auditEvent) T) []T {
	values := make([]T, len(events))
	for i := range events {
		values[i] = of(&events[i])
	}
	return values
}

// columnOr is column of what may fail.
func columnOr[T any](events []auditEvent, of func(*auditEvent) (T, error)) ([]T, error) {
	var failed error
	values := column(events, func(e *auditEvent) T {
		value, err := of(e)
		failed = errors.Join(failed, err)
		return value
	})
	return values, failed
}

func digestOrNull(d audit.Digest) []byte {
	if d == (audit.Digest{}) {
		return nil
	}
	return d[:]
}

func saltOrNull(s audit.Salt) []byte {
	if s == (audit.Salt{}) {
		return nil
	}
	return s[:]
}
