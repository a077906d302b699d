package postgres

import (
	"cmp"
	"context"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

// ListAuditEvents implements registry.AuditReader. A plan that is made once for all values walks the whole log in
// search of a rare one.
func (r reader) ListAuditEvents(ctx context.Context, q registry.AuditQuery) (registry.AuditRows, error) {
	found := registry.AuditRows{Items: []audit.Event{}, Examined: q.Position}
	if q.Limit <= 0 {
		return found, nil
	}
	statement := eventsQuery(q)
	statement.args = append([]any{r.plannedEachTime()}, statement.args...)
	rows, err := examine(ctx, r, statement, scanEvent)
	if err != nil {
		return registry.AuditRows{}, err
	}
	driving, narrowing := q.Filters()
	hidden := false
	for i, row := range rows {
		found.Count = max(i+1, row.number)
		switch {
		case !row.hit:
		case row.value.Erased == nil || registry.MatchesAll(append(driving, narrowing...), &row.value):
			found.Items = append(found.Items, row.value)
		default: // what the filters found is erased, and not deleted yet
			hidden = true
		}
		found.Examined, found.ExaminedHash = q.PositionOf(row.value), row.value.ChainHash
		found.Truncated = row.truncated && len(found.Items) < q.Limit
	}
	if hidden && len(rows) >= q.Limit {
		found.Truncated = true
	}
	return found, nil
}

// columns are what the filters compare, all but OnFailure: its index is partial, so its value is part of the text.
var columns = map[registry.FilterOn]string{
	registry.OnCorrelation: "a.correlation_id", registry.OnTarget: "a.target_id", registry.OnActor: "a.actor_id",
	registry.OnAction: "a.action", registry.OnArea: "a.area", registry.OnCRUD: "a.crud",
	registry.OnEmitter:     "a.emitter_id",
	registry.OnCreatedFrom: "a.created", registry.OnCreatedBefore: "a.created",
}

// reported is whether an event has an emitter, erased or not.
const reported = "(a.emitter_id IS NOT NULL OR coalesce(a.digests ? 'emitter', false))"

var comparisons = map[registry.FilterOn]string{registry.OnCreatedFrom: ">=", registry.OnCreatedBefore: "<"} // else "="

// all are the conditions of filters.
func (s *statement) all(filters []registry.AuditFilter) []string {
	var list []string
	for _, f := range filters {
		switch {
		case f.On == registry.OnOwn && f.Value == true:
			list = append(list, "NOT "+reported)
		case f.On == registry.OnOwn:
			list = append(list, reported)
		case f.On != registry.OnFailure:
			list = append(list, columns[f.On]+" "+cmp.Or(comparisons[f.On], "=")+" "+s.value(f.Value))
		case f.Value == true:
			list = append(list, "a.is_failure")
		default:
			list = append(list, "NOT a.is_failure")
		}
	}
	return list
}

// drive is the condition of the filter that drives, and what its rows are sorted by before their position, which
// changes no order: it is LIKE without a wildcard. By = Postgres would know that all rows have the same value, and that
// the index of that column is not the only one with the order that is asked for; it then goes along the positions,
// where it thinks that it will soon meet a value that is frequent, and if all such events are old it passes all others
// first.
func (s *statement) drive(driving []registry.AuditFilter) (where []string, sorted string) {
	if len(driving) == 0 || driving[0].On == registry.OnFailure {
		return s.all(driving), ""
	}
	column := columns[driving[0].On]
	return []string{column + " LIKE " + s.value(literally(driving[0].Value.(string)))}, column
}

// literally makes LIKE compare with the text itself.
var literally = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace

// eventsQuery has a condition for each filter that is set and no other, so that each text is planned for the index of
// the filter that drives.
func eventsQuery(q registry.AuditQuery) query {
	driving, narrowing := q.Filters()
	var s statement
	k := keyset{
		op: "list audit events", table: "audit_log a", columns: eventColumns, position: "a.pos",
		descending: !q.Ascending,
		limit:      q.Limit, maxExamined: q.Bound(),
	}
	k.scope, k.first = s.drive(driving)
	if q.GroupID != nil {
		k.position = "a.seq"
		k.scope = append(k.scope, s.condition("a.group_id = ?", *q.GroupID))
	}
	if q.Position != 0 {
		after := " > ?"
		if k.descending {
			after = " < ?"
		}
		k.scope = append(k.scope, s.condition(k.position+after, q.Position))
	}
	k.filters = s.all(narrowing)
	return k.query(&s)
}

// GetNewestPosition implements registry.AuditReader.
func (r reader) GetNewestPosition(ctx context.Context) (int64, error) {
	return one(ctx, r, query{"newest position", `SELECT coalesce(max(pos), 0) FROM audit_log`, nil}, pgx.RowTo[int64])
}

// ListGroupsAfter implements registry.AuditReader.
func (r reader) ListGroupsAfter(ctx context.Context, position int64, limit int) (registry.GroupsAfter, error) {
	const sql = `
		SELECT coalesce(max(a.pos), least($1, (SELECT coalesce(max(pos), 0) FROM audit_log))),
			coalesce(array_agg(DISTINCT a.group_id), '{}'), count(*) = $2
		FROM (SELECT pos, group_id FROM audit_log WHERE pos > $1 ORDER BY pos LIMIT $2) AS a`
	return one(ctx, r, query{"list groups after", sql, []any{position, limit}},
		func(row pgx.CollectableRow) (found registry.GroupsAfter, err error) {
			err = row.Scan(&found.Position, &found.Groups, &found.More)
			return found, err
		})
}

// GetChainHead implements registry.AuditReader.
func (r reader) GetChainHead(ctx context.Context, group uuid.UUID) (audit.ChainHead, error) {
	const sql = `SELECT seq, encode(chain_hash, 'hex') FROM audit_log WHERE group_id = $1 ORDER BY seq DESC LIMIT 1`
	heads, err := many(ctx, r, query{"chain head", sql, []any{group}}, pgx.RowToStructByPos[audit.ChainHead])
	if err != nil || len(heads) == 0 {
		return audit.ChainHead{}, err
	}
	return heads[0], nil
}
