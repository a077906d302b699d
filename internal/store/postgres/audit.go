package postgres

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

const eventColumns = `
	a.pos, a.id, a.group_id, a.seq, coalesce(a.group_name, ''), a.action, a.crud,
	coalesce(a.actor_id, ''), coalesce(a.actor_name, ''), coalesce(a.actor_href, ''), coalesce(a.actor_type, ''), a.actor_fields,
	coalesce(a.target_id, ''), coalesce(a.target_name, ''), coalesce(a.target_href, ''), coalesce(a.target_type, ''), a.target_fields,
	coalesce(a.source_ip, ''), coalesce(a.description, ''), a.is_failure, a.is_anonymous, a.fields,
	coalesce(a.component, ''), coalesce(a.version, ''), coalesce(a.external_id, ''), a.metadata, a.created, a.received,
	coalesce(a.correlation_id, ''), coalesce(a.emitter_id, ''), coalesce(a.emitter_name, ''),
	encode(a.hash, 'hex'), encode(a.prev_chain_hash, 'hex'), encode(a.chain_hash, 'hex')`

// scanEvent scans eventColumns, and into more what is selected behind them.
func scanEvent(row pgx.CollectableRow, more ...any) (e registry.AuditEvent, err error) {
	var actor, target, fields, metadata []byte
	err = row.Scan(append([]any{
		&e.Pos, &e.ID, &e.GroupID, &e.Seq, &e.GroupName, &e.Action, &e.CRUD,
		&e.Actor.ID, &e.Actor.Name, &e.Actor.Href, &e.Actor.Type, &actor,
		&e.Target.ID, &e.Target.Name, &e.Target.Href, &e.Target.Type, &target,
		&e.SourceIP, &e.Description, &e.IsFailure, &e.IsAnonymous, &fields,
		&e.Component, &e.Version, &e.ExternalID, &metadata, &e.Created, &e.Received,
		&e.CorrelationID, &e.EmitterID, &e.EmitterName,
		&e.Hash, &e.PrevChainHash, &e.ChainHash,
	}, more...)...)
	if err != nil {
		return e, err
	}
	for _, m := range []struct {
		text  []byte
		value *map[string]string
	}{{actor, &e.Actor.Fields}, {target, &e.Target.Fields}, {fields, &e.Fields}, {metadata, &e.Metadata}} {
		if *m.value, err = parse[map[string]string](m.text); err != nil {
			return e, err
		}
	}
	return e, nil
}

// Event implements registry.AuditReader.
func (r reader) Event(ctx context.Context, id uuid.UUID) (registry.AuditEvent, error) {
	const sql = `SELECT` + eventColumns + ` FROM audit_log a WHERE a.id = $1`
	return one(ctx, r, query{"read event", sql, []any{id}}, func(row pgx.CollectableRow) (registry.AuditEvent, error) {
		return scanEvent(row)
	})
}

// auditLock is the one advisory lock of this schema, "audit" in ASCII: who holds it may append.
const auditLock int64 = 0x6175646974

// AuditHead implements registry.AuditWriter. The lock is one statement and the head the next: a statement reads as of its own
// beginning, which is before it gets a lock.
func (t *tx) AuditHead(ctx context.Context, group uuid.UUID) (registry.AuditHead, error) {
	const (
		lock = `SELECT pg_advisory_xact_lock($1)`
		head = `
			SELECT coalesce((SELECT max(pos) FROM audit_log), 0), coalesce(last.seq, 0), coalesce(encode(last.chain_hash, 'hex'), '')
			FROM (SELECT 1) AS always
			LEFT JOIN (SELECT seq, chain_hash FROM audit_log WHERE group_id = $1 ORDER BY seq DESC LIMIT 1) AS last ON true`
	)
	var found registry.AuditHead
	err := t.call(ctx, "audit head", func(ctx context.Context, on querier) error {
		var b pgx.Batch
		b.Queue(lock, auditLock)
		b.Queue(head, group).QueryRow(func(row pgx.Row) error { return row.Scan(&found.Pos, &found.Seq, &found.ChainHash) })
		return on.SendBatch(ctx, &b).Close()
	})
	return found, err
}

// InsertEvent implements registry.AuditWriter. The foreign key holds the group to being a tenant; the platform's own has none.
func (t *tx) InsertEvent(ctx context.Context, e registry.AuditEvent) error {
	const sql = `
		INSERT INTO audit_log (pos, id, group_id, seq, tenant_id, group_name, action, area, crud,
			actor_id, actor_name, actor_href, actor_type, actor_fields,
			target_id, target_name, target_href, target_type, target_fields,
			source_ip, description, is_failure, is_anonymous, fields,
			component, version, external_id, metadata, created, received,
			correlation_id, emitter_id, emitter_name,
			hash, prev_chain_hash, chain_hash)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26,
			$27, $28, $29, $30, $31, $32, $33, decode($34, 'hex'), decode($35, 'hex'), decode($36, 'hex'))`
	return change(ctx, t, query{"insert event", sql, []any{
		e.Pos, e.ID, e.GroupID, e.Seq, idOrNull(e.GroupID), textOrNull(e.GroupName), e.Action, e.Area(), e.CRUD,
		textOrNull(e.Actor.ID), textOrNull(e.Actor.Name), textOrNull(e.Actor.Href), textOrNull(e.Actor.Type), documentOrNull(e.Actor.Fields),
		textOrNull(e.Target.ID), textOrNull(e.Target.Name), textOrNull(e.Target.Href), textOrNull(e.Target.Type), documentOrNull(e.Target.Fields),
		textOrNull(e.SourceIP), textOrNull(e.Description), e.IsFailure, e.IsAnonymous, documentOrNull(e.Fields),
		textOrNull(e.Component), textOrNull(e.Version), textOrNull(e.ExternalID), documentOrNull(e.Metadata), e.Created, e.Received,
		textOrNull(e.CorrelationID), textOrNull(e.EmitterID), textOrNull(e.EmitterName),
		e.Hash, e.PrevChainHash, e.ChainHash,
	}})
}
