package postgres

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/migrations"
)

// schemaCheck compares the columns of the database with those that this program uses: when it first sees a version of
// the schema, while they differ, and after statements have met a table, a column or a type that is not there.
type schemaCheck struct {
	faults func() int64 // how many statements have

	mu      sync.Mutex
	version uint // that was compared last; 0: none
	seen    int64
	problem string
}

// compare returns one sentence about what is missing; empty: nothing is.
func (c *schemaCheck) compare(ctx context.Context, on querier, version uint) (string, error) {
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

// changePrivileges are the privileges that changes need: lists of tables and of a privilege on each.
func changePrivileges() (tables, privileges []string) {
	for _, t := range migrations.Tables {
		for _, privilege := range t.App {
			if privilege != "SELECT" {
				tables, privileges = append(tables, t.Name), append(privileges, privilege)
			}
		}
	}
	return tables, privileges
}
