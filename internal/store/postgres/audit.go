package postgres

import (
	"context"
	"strconv"
	"strings"

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

func scanEvent(row pgx.CollectableRow) (e registry.AuditEvent, err error) {
	var actor, target, fields, metadata []byte
	err = row.Scan(
		&e.Pos, &e.ID, &e.GroupID, &e.Seq, &e.GroupName, &e.Action, &e.CRUD,
		&e.Actor.ID, &e.Actor.Name, &e.Actor.Href, &e.Actor.Type, &actor,
		&e.Target.ID, &e.Target.Name, &e.Target.Href, &e.Target.Type, &target,
		&e.SourceIP, &e.Description, &e.IsFailure, &e.IsAnonymous, &fields,
		&e.Component, &e.Version, &e.ExternalID, &metadata, &e.Created, &e.Received,
		&e.CorrelationID, &e.EmitterID, &e.EmitterName,
		&e.Hash, &e.PrevChainHash, &e.ChainHash)
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
	return one(ctx, r, query{"read event", sql, []any{id}}, scanEvent)
}

// Events implements registry.AuditReader. A plan that is made once for all values walks the whole log in search of a rare one.
func (r reader) Events(ctx context.Context, q registry.AuditQuery) ([]registry.AuditEvent, error) {
	statement := eventsQuery(q)
	statement.args = append([]any{r.plannedEachTime()}, statement.args...)
	return many(ctx, r, statement, scanEvent)
}

// eventsQuery has a condition for each filter that is set and no other, so that each text is planned for the index of its filter.
func eventsQuery(q registry.AuditQuery) query {
	var (
		where []string
		args  []any
	)
	and := func(condition string, value any) {
		args = append(args, value)
		where = append(where, condition+" $"+strconv.Itoa(len(args)))
	}
	position, order, behind := "a.pos", "DESC", "<"
	if q.GroupID != nil {
		position = "a.seq"
		and("a.group_id =", *q.GroupID)
	}
	if q.Ascending {
		order, behind = "ASC", ">"
	}
	for _, filter := range []struct{ column, value string }{
		{"a.action", q.Action}, {"a.area", q.Area}, {"a.actor_id", q.ActorID}, {"a.target_id", q.TargetID},
		{"a.correlation_id", q.CorrelationID},
	} {
		if filter.value != "" {
			and(filter.column+" =", filter.value)
		}
	}
	switch {
	case q.IsFailure == nil:
	case *q.IsFailure:
		where = append(where, "a.is_failure")
	default:
		where = append(where, "NOT a.is_failure")
	}
	if q.After != 0 {
		and(position+" "+behind, q.After)
	}
	sql := `SELECT` + eventColumns + ` FROM audit_log a`
	if len(where) > 0 {
		sql += " WHERE " + strings.Join(where, " AND ")
	}
	args = append(args, max(q.Limit, 0))
	sql += " ORDER BY " + position + " " + order + " LIMIT $" + strconv.Itoa(len(args))
	return query{"list events", sql, args}
}
