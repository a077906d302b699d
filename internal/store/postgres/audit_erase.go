package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

// erasureIdle is how long the lock of an erasure outlasts its holder: longer than one page of it takes.
const erasureIdle = "30s"

// erasureLock is a transaction that holds an advisory lock and nothing else, not even a snapshot.
type erasureLock struct {
	pool *pool
	conn *pgxpool.Conn
	tx   *transaction
}

// LockErasures implements registry.ErasureStore.
func (s *Store) LockErasures(ctx context.Context, group uuid.UUID) (registry.ErasureLock, error) {
	var b pgx.Batch
	b.Queue(`SET LOCAL idle_in_transaction_session_timeout = '` + erasureIdle + `'`)
	b.Queue(`SELECT set_config(name, '0', true) FROM pg_settings WHERE name = 'transaction_timeout'`)
	b.Queue(`SELECT pg_advisory_xact_lock($1)`, erasureKey("run", group))
	var l erasureLock
	err := s.pool.again(ctx, func() error {
		conn, err := s.pool.acquire(ctx)
		if err != nil {
			return err
		}
		l = erasureLock{s.pool, conn, &transaction{conn: conn.Conn()}}
		if err = l.tx.SendBatch(ctx, &b).Close(); err != nil {
			l.Release()
		}
		return err
	})
	if err != nil {
		return nil, s.pool.failure("lock erasures", err)
	}
	// The commit of one whose lock was lost may be under way still.
	err = s.pool.call(ctx, "await erasure commit", func(ctx context.Context, on querier) error {
		_, err := on.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, erasureKey("commit", group))
		return err
	})
	if err != nil {
		l.Release()
		return nil, err
	}
	return l, nil
}

// LockErasureCommit implements registry.ErasureWriter.
func (t *tx) LockErasureCommit(ctx context.Context, group uuid.UUID) error {
	return t.call(ctx, "lock erasure commit", func(ctx context.Context, on querier) error {
		var b pgx.Batch
		b.Queue(`SELECT pg_advisory_xact_lock($1)`, erasureKey("commit", group))
		return on.SendBatch(ctx, &b).Close()
	})
}

// erasureKey is the key of one of the advisory locks of a chain's erasures.
func erasureKey(of string, group uuid.UUID) int64 {
	key := sha256.Sum256(append([]byte("erasure "+of+" "), group[:]...))
	return int64(binary.BigEndian.Uint64(key[:]))
}

// Check implements registry.ErasureLock.
func (l erasureLock) Check(ctx context.Context) error {
	_, err := l.tx.Exec(ctx, `SELECT`)
	return l.pool.failure("check the lock of erasures", err)
}

// Release implements registry.ErasureLock.
func (l erasureLock) Release() {
	ctx, cancel := context.WithTimeout(context.Background(), rollbackTimeout)
	defer cancel()
	l.tx.Rollback(ctx)
	release(l.conn)
}

// MarkEventParts implements registry.ErasureWriter.
func (t *tx) MarkEventParts(ctx context.Context, group, erasure uuid.UUID, parts []registry.EventParts) error {
	at, names, _ := columnsOf(parts)
	return t.eraseParts(ctx, "mark event parts", group, &erasure, at, names, nil)
}

// DeleteEventParts implements registry.ErasureWriter.
func (t *tx) DeleteEventParts(ctx context.Context, group uuid.UUID, parts []registry.EventParts) error {
	at, names, digests := columnsOf(parts)
	return t.eraseParts(ctx, "delete event parts", group, nil, at, names, digests)
}

func (t *tx) eraseParts(
	ctx context.Context, op string, group uuid.UUID, erasure *uuid.UUID, at []int64, names, digests []string,
) error {
	return t.call(ctx, op, func(ctx context.Context, on querier) error {
		_, err := on.Exec(ctx, `SELECT audit_log_erase($1, $2, $3, $4, $5)`, group, erasure, at, names, digests)
		return err
	})
}

// columnsOf has a list for each argument of audit_log_erase, with an entry for each part.
func columnsOf(parts []registry.EventParts) (at []int64, names, digests []string) {
	digests = []string{}
	for _, event := range parts {
		for _, p := range audit.AllParts {
			if digest, ok := event.Parts[p]; ok {
				at, names = append(at, event.Seq), append(names, p.String())
				digests = append(digests, hex.EncodeToString(digest[:]))
			}
		}
	}
	return at, names, digests
}

// EraseSubjects implements registry.ErasureWriter.
func (t *tx) EraseSubjects(
	ctx context.Context, tenant uuid.UUID, subjects []string, texts bool, now time.Time,
) (bool, error) {
	const erased, onBehalfOf = `'` + registry.ErasedName + `'`, `'` + registry.OnBehalfOf + `'`
	is := func(column string) string {
		return strings.ReplaceAll(`(@ <> `+erased+` AND EXISTS (SELECT FROM unnest($2::text[]) AS s (id)
			WHERE @ = s.id OR starts_with(@, s.id || `+onBehalfOf+`)
				OR right(@, length(`+onBehalfOf+` || s.id)) = `+onBehalfOf+` || s.id))`, `@`, column)
	}
	set := func(column string) string {
		return column + ` = CASE WHEN ` + is(column) + ` THEN ` + erased + ` ELSE ` + column + ` END`
	}
	remove := func(column, beside string) string {
		return column + ` = CASE WHEN $3 AND ` + is(beside) + ` THEN NULL ELSE ` + column + ` END`
	}
	var b pgx.Batch
	b.Queue(`UPDATE api_keys SET `+set("created_by")+`, `+set("revoked_by")+`, `+remove("revoke_reason", "revoked_by")+
		`, version = version + 1, updated_at = greatest(updated_at, $4)
		WHERE tenant_id = $1 AND (`+is("created_by")+` OR `+is("revoked_by")+`)`, tenant, subjects, texts, now)
	b.Queue(`UPDATE catalog_requests SET `+set("requested_by")+`, `+set("decided_by")+`, `+
		remove("message", "requested_by")+`, `+remove("decision_reason", "decided_by")+
		`, updated_at = greatest(updated_at, $4)
		WHERE tenant_id = $1 AND (`+is("requested_by")+` OR `+is("decided_by")+`)`, tenant, subjects, texts, now)
	var changed int64
	err := t.call(ctx, "erase subjects", func(ctx context.Context, on querier) error {
		changed = 0
		results := on.SendBatch(ctx, &b)
		for range b.Len() {
			tag, err := results.Exec()
			if err != nil {
				_ = results.Close()
				return err
			}
			changed += tag.RowsAffected()
		}
		return results.Close()
	})
	return changed > 0, err
}
