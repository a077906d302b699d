package postgres

import (
	"cmp"
	"context"
	"math"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// statement collects conditions and their values.
type statement struct{ args []any }

// value adds a value and returns its placeholder.
func (s *statement) value(v any) string {
	s.args = append(s.args, v)
	return "$" + strconv.Itoa(len(s.args))
}

// condition adds a value and returns a condition on it, in which each ? stands for the value.
func (s *statement) condition(text string, v any) string {
	return strings.ReplaceAll(text, "?", s.value(v))
}

// keyset is a page of a list: the rows of an index from a position on, in its order. scope is what the index answers;
// filters narrow what is found there, and bound how much is examined.
type keyset struct {
	op, table, columns string
	position           string   // the column that orders the list
	first              string   // a column to sort by first, whose value the scope fixes; empty: none
	descending         bool     // the order of position
	scope, filters     []string // conditions, all of which must hold
	limit, maxExamined int
}

// query is one statement for the page. Each row says whether it matches the filters, and whether it is the last that
// may be examined although there are more, and which of those examined it is. Without filters every row matches. With
// filters the inner query walks the index and numbers what it finds; the outer one stops it as soon as it has enough.
// If it never has, the last row examined is returned too, so that it is known how far that was.
func (k keyset) query(s *statement) query {
	condition := ""
	if len(k.scope) > 0 {
		condition = " WHERE " + strings.Join(k.scope, " AND ")
	}
	order := " ASC"
	if k.descending {
		order = " DESC"
	}
	sorted := " ORDER BY " + k.position + order
	if k.first != "" {
		sorted = " ORDER BY " + k.first + order + ", " + k.position + order
	}
	if len(k.filters) == 0 && (k.maxExamined == 0 || k.limit <= k.maxExamined) {
		sql := `SELECT` + k.columns + `, true, false, 0 FROM ` + k.table + condition + sorted + ` LIMIT ` + s.value(
			k.limit,
		)
		return query{k.op, sql, s.args}
	}
	name := k.table[strings.LastIndexByte(k.table, ' ')+1:]
	hit := "coalesce(" + strings.Join(append(k.filters, "true"), " AND ") + ", false)" // what is unset matches nothing
	most := s.value(cmp.Or(k.maxExamined, math.MaxInt))
	sql := `SELECT` + k.columns + `, ` + hit + `, ` + name + `.follows IS NOT NULL AND ` + name + `.n = ` + most + `,
			` + name + `.n
		FROM (
			SELECT ` + name + `.*, row_number() OVER along AS n, lead(` + k.position + `) OVER along AS follows
			FROM ` + k.table + condition + `
			WINDOW along AS (` + strings.TrimSpace(sorted) + `)` + sorted + ` LIMIT ` + most + `
		) AS ` + name + `
		WHERE ` + hit + ` OR ` + name + `.follows IS NULL OR ` + name + `.n = ` + most +
		sorted + ` LIMIT ` + s.value(k.limit)
	return query{k.op, sql, s.args}
}

// examined is a row of a keyset.
type examined[T any] struct {
	value     T
	hit       bool // it matches the filters
	truncated bool // it is the last row that may be examined, and there are more
	number    int  // it was the number-th that was examined; 0: all that were are rows
}

// examine runs a keyset's query. scan scans its columns, and into more what is selected after them.
func examine[T any](
	ctx context.Context, c caller, q query, scan func(row pgx.CollectableRow, more ...any) (T, error),
) ([]examined[T], error) {
	return manyWide(ctx, c, q, func(row pgx.CollectableRow) (e examined[T], err error) {
		e.value, err = scan(row, &e.hit, &e.truncated, &e.number)
		return e, err
	})
}
