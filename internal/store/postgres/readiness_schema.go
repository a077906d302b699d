package postgres

import (
	"context"
	"errors"
	"math"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/migrations"
)

// schemaCheck compares the columns of the database with those that this program uses: when it first sees a version of
// the schema, while they differ, and after calls have failed in a way that may come from it.
type schemaCheck struct {
	faults func() int64 // how many calls have

	mu      sync.Mutex
	version uint // that was compared last; 0: none
	seen    int64
	problem string
}

// compare returns one sentence about what is missing; empty: nothing is.
func (c *schemaCheck) compare(ctx context.Context, on querier, s serverState) (string, error) {
	version := uint(max(s.version, 0))
	if s.foreign {
		version = math.MaxUint // all there is
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	faults := c.faults()
	if version == 0 || version == c.version && faults == c.seen && c.problem == "" {
		return "", nil
	}
	rows, _ := on.Query(ctx, migrations.ColumnsSQL, migrations.TableNames(migrations.Tables))
	has, err := pgx.CollectRows(rows, pgx.RowToStructByPos[migrations.Column])
	if err != nil {
		return "", err
	}
	c.version, c.seen, c.problem = version, faults, migrations.Mismatch(migrations.Tables, version, has)
	return c.problem, nil
}

// changePrivileges are the privileges that changes need: lists of tables and of a privilege on each, and of functions
// that are called.
func changePrivileges() (tables, privileges, functions []string) {
	for _, t := range migrations.Tables {
		for _, privilege := range t.App {
			if privilege != "SELECT" {
				tables, privileges = append(tables, t.Name), append(privileges, privilege)
			}
		}
		functions = append(functions, t.AppFunctions...)
	}
	return tables, privileges, functions
}

// isFault reports whether an error is one of the program and its schema: a table or a column that is not there, a value
// of another type. It is none if it says something about rows, or that another time may do.
func isFault(err error) bool {
	if err == nil || errors.Is(err, registry.ErrUnavailable) {
		return false
	}
	return hasCode(err, undefinedTable) || meaning(err) == nil
}
