package postgres

import (
	"cmp"
	"context"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// Events implements registry.AuditReader. A plan that is made once for all values walks the whole log in search of a rare one.
func (r reader) Events(ctx context.Context, q registry.AuditQuery) (registry.AuditRows, error) {
	found := registry.AuditRows{Items: []registry.AuditEvent{}, Examined: q.After}
	if q.Limit <= 0 {
		return found, nil
	}
	statement := eventsQuery(q)
	statement.args = append([]any{r.plannedEachTime()}, statement.args...)
	rows, err := many(ctx, r, statement, scanRow)
	if err != nil {
		return registry.AuditRows{}, err
	}
	for _, row := range rows {
		if row.hit {
			found.Items = append(found.Items, row.AuditEvent)
		}
		found.Examined, found.Cut = q.Position(row.AuditEvent), row.last && len(found.Items) < q.Limit
	}
	return found, nil
}

// auditRow is an event that was looked at.
type auditRow struct {
	registry.AuditEvent
	hit  bool // it matches
	last bool // it is the last that may be looked at, and not the last that there is
}

func scanRow(row pgx.CollectableRow) (r auditRow, err error) {
	r.AuditEvent, err = scanEvent(row, &r.hit, &r.last)
	return r, err
}

// columns are what the filters compare, all but OnFailure: its index is partial, so its value is part of the text.
var columns = map[registry.FilterOn]string{
	registry.OnCorrelation: "a.correlation_id", registry.OnTarget: "a.target_id", registry.OnActor: "a.actor_id",
	registry.OnAction: "a.action", registry.OnArea: "a.area", registry.OnCRUD: "a.crud",
	registry.OnCreatedFrom: "a.created", registry.OnCreatedBefore: "a.created",
}

var comparisons = map[registry.FilterOn]string{registry.OnCreatedFrom: ">=", registry.OnCreatedBefore: "<"} // else "="

// statement collects conditions and their values.
type statement struct{ args []any }

func (s *statement) value(v any) string {
	s.args = append(s.args, v)
	return "$" + strconv.Itoa(len(s.args))
}

func (s *statement) all(filters []registry.AuditFilter) []string {
	var list []string
	for _, f := range filters {
		switch {
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

// drive is the condition of the filter that drives, and what its rows are sorted by before their position, which changes no order: it is
// LIKE without a wildcard. By = Postgres would know that all rows have the same value, and that the index of that column is not the
// only one with the order that is asked for; it then goes along the positions, where it thinks that it will soon meet a value that is
// frequent, and if all such events are old it passes all others first.
func (s *statement) drive(driving []registry.AuditFilter) (where []string, sorted string) {
	if len(driving) == 0 || driving[0].On == registry.OnFailure {
		return s.all(driving), ""
	}
	column := columns[driving[0].On]
	return []string{column + " LIKE " + s.value(literally(driving[0].Value.(string)))}, column
}

// literally makes LIKE compare with the text itself.
var literally = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace

// eventsQuery has a condition for each filter that is set and no other, so that each text is planned for the index of the filter that
// drives. The inner query goes along that index and numbers what it finds; the outer one stops it as soon as it has enough. If it never
// has, the last row that was looked at comes too, so that it is known how far that was.
func eventsQuery(q registry.AuditQuery) query {
	driving, narrowing := q.Filters()
	var s statement
	where, first := s.drive(driving)
	position, order, behind := "a.pos", "DESC", " < "
	if q.GroupID != nil {
		position = "a.seq"
		where = append(where, "a.group_id = "+s.value(*q.GroupID))
	}
	if q.Ascending {
		order, behind = "ASC", " > "
	}
	if q.After != 0 {
		where = append(where, position+behind+s.value(q.After))
	}
	condition := ""
	if len(where) > 0 {
		condition = " WHERE " + strings.Join(where, " AND ")
	}
	sorted := " ORDER BY " + position + " " + order
	if first != "" {
		sorted = " ORDER BY " + first + " " + order + ", " + position + " " + order
	}
	if len(narrowing) == 0 && q.Limit <= q.Bound() { // whatever is looked at is found
		sql := `SELECT` + eventColumns + `, true, false FROM audit_log a` + condition + sorted + " LIMIT " + s.value(q.Limit)
		return query{"list events", sql, s.args}
	}
	hit := "coalesce(" + strings.Join(append(s.all(narrowing), "true"), " AND ") + ", false)" // what is unset matches nothing
	most := s.value(q.Bound())
	sql := `SELECT` + eventColumns + `, ` + hit + `, a.follows IS NOT NULL AND a.n = ` + most + `
		FROM (
			SELECT a.*, row_number() OVER along AS n, lead(a.pos) OVER along AS follows
			FROM audit_log a` + condition + ` WINDOW along AS (` + strings.TrimSpace(sorted) + `)` + sorted + ` LIMIT ` + most + `
		) AS a
		WHERE ` + hit + ` OR a.follows IS NULL OR a.n = ` + most + sorted + ` LIMIT ` + s.value(q.Limit)
	return query{"list events", sql, s.args}
}

// NewestPos implements registry.AuditReader.
func (r reader) NewestPos(ctx context.Context) (int64, error) {
	return one(ctx, r, query{"newest event", `SELECT coalesce(max(pos), 0) FROM audit_log`, nil}, pgx.RowTo[int64])
}

// AuditChain implements registry.AuditReader.
func (r reader) AuditChain(ctx context.Context, group uuid.UUID) (registry.ChainHead, error) {
	const sql = `SELECT seq, encode(chain_hash, 'hex') FROM audit_log WHERE group_id = $1 ORDER BY seq DESC LIMIT 1`
	heads, err := many(ctx, r, query{"chain head", sql, []any{group}}, pgx.RowToStructByPos[registry.ChainHead])
	if err != nil || len(heads) == 0 {
		return registry.ChainHead{}, err
	}
	return heads[0], nil
}
