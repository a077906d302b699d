package postgres

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/audit"
)

const eventColumns = `
	a.pos, a.id, a.group_id, a.seq, coalesce(a.group_name, ''), a.action, a.crud,
	coalesce(a.actor_id, ''), coalesce(a.actor_name, ''), coalesce(a.actor_href, ''), coalesce(a.actor_type, ''),
		a.actor_fields,
	coalesce(a.target_id, ''), coalesce(a.target_name, ''), coalesce(a.target_href, ''), coalesce(a.target_type, ''),
		a.target_fields,
	coalesce(a.source_ip, ''), coalesce(a.description, ''), a.is_failure, a.is_anonymous, a.fields,
	coalesce(a.component, ''), coalesce(a.version, ''), coalesce(a.external_id, ''), a.metadata, a.created, a.received,
	coalesce(a.correlation_id, ''), coalesce(a.emitter_id, ''), coalesce(a.emitter_name, ''),
	encode(a.hash, 'hex'), encode(a.prev_chain_hash, 'hex'), encode(a.chain_hash, 'hex')`

// scanEvent scans eventColumns, and into more what is selected after them.
func scanEvent(row pgx.CollectableRow, more ...any) (e audit.Event, err error) {
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

// GetAuditEvent implements registry.AuditReader.
func (r reader) GetAuditEvent(ctx context.Context, id uuid.UUID) (audit.Event, error) {
	const sql = `SELECT` + eventColumns + ` FROM audit_log a WHERE a.id = $1`
	return one(ctx, r, query{"read event", sql, []any{id}}, func(row pgx.CollectableRow) (audit.Event, error) {
		return scanEvent(row)
	})
}
