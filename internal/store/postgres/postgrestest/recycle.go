package postgrestest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A database that a test used serves a later one if nothing but rows was changed in it: to empty it costs a tenth of
// making one. It gets another name, so that no connection of the earlier test finds it, and it is compared with the
// template: one that differs is dropped.

// catalogsSQL lists the catalogs of a database that hold something else than what TRUNCATE and VACUUM change, and
// statistics about rows.
const catalogsSQL = `
	SELECT oid::regclass::text FROM pg_class
	WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r' AND NOT relisshared
		AND relname NOT IN ('pg_class', 'pg_statistic')
	ORDER BY 1`

// stateSQL is what a migrated database is but for its rows: the relations, the settings, the version of the schema, and
// of each catalog the number of its entries and how many were made since the template was.
const stateSQL = `
	SELECT 'relation ' || concat_ws(' ', oid, relname, relnamespace, relowner, reltablespace, relam, relkind,
			relpersistence, relnatts, relchecks, relhasrules, relhastriggers, relrowsecurity, relforcerowsecurity,
			relreplident, reloptions, relacl)
		FROM pg_class WHERE oid >= 16384
	UNION ALL SELECT 'statistics ' || starelid::text FROM pg_statistic WHERE starelid >= 16384
	UNION ALL SELECT 'setting ' || s::text
		FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase WHERE datname = current_database()
	UNION ALL SELECT 'database ' || concat_ws(' ', datdba, datallowconn, datconnlimit, datacl)
		FROM pg_database WHERE datname = current_database()
	UNION ALL SELECT 'version ' || v::text FROM public.schema_migrations v`

// filledSQL lists the tables that hold rows, or held some.
const filledSQL = `
	SELECT oid::regclass::text FROM pg_class
	WHERE relkind = 'r' AND oid >= 16384 AND oid <> 'public.schema_migrations'::regclass AND pg_relation_size(oid) > 0`

// template is a database that others are copied from.
type template struct {
	name  string
	query string // of the state
	state string // of the database; empty: no copy serves a second test
}

// describe reads the state of a template.
func (t *template) describe(ctx context.Context, conn *pgx.Conn) error {
	rows, _ := conn.Query(ctx, catalogsSQL)
	catalogs, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	var newest string
	if err := conn.QueryRow(ctx, `SELECT format('age(%L::xid)', pg_current_xact_id()::xid)`).Scan(&newest); err != nil {
		return err
	}
	query := stateSQL
	for _, name := range catalogs {
		query += fmt.Sprintf(
			"\n\tUNION ALL SELECT concat_ws(' ', '%s', count(*), count(*) FILTER (WHERE age(xmin) < %s)) FROM %s",
			name, newest, name)
	}
	t.query = `SELECT md5(string_agg(line, E'\n' ORDER BY line)) FROM (` + query + `) AS lines (line)`
	t.state, err = t.stateOf(ctx, conn)
	return err
}

func (t *template) stateOf(ctx context.Context, conn *pgx.Conn) (state string, err error) {
	err = conn.QueryRow(ctx, t.query, pgx.QueryExecModeSimpleProtocol).Scan(&state)
	return state, err
}

// recycle empties a database that a test has left, and returns its new name. It fails if the database is not as the
// template was, or cannot be emptied; the database must then be dropped, under the name returned.
func (s *server) recycle(name string, from template) (renamed string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), statementTimeout)
	defer cancel()
	renamed = newName()
	if err := s.rename(ctx, name, renamed); err != nil {
		return name, err
	}
	conn, err := pgx.Connect(ctx, withoutTriggers(withDatabase(s.dsn, renamed)))
	if err != nil {
		return renamed, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	state, err := from.stateOf(ctx, conn)
	if err != nil {
		return renamed, err
	}
	if state != from.state {
		return renamed, errors.New("the test changed more than rows")
	}
	return renamed, truncate(ctx, conn)
}

// truncate deletes all rows but the version of the schema, in a session that fires no triggers.
func truncate(ctx context.Context, on interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}) error {
	rows, _ := on.Query(ctx, filledSQL)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) == 0 {
		return err
	}
	_, err = on.Exec(ctx, `TRUNCATE `+strings.Join(tables, ", ")+` CASCADE`)
	return err
}

// rename ends all connections to a database and gives it another name.
func (s *server) rename(ctx context.Context, name, renamed string) error {
	return s.admin(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		const (
			others = `SELECT count(*) FROM pg_stat_activity WHERE datname = $1`
			end    = `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1`
		)
		for left, wait := 1, time.Millisecond; left > 0; wait *= 2 { // most end after their client
			if err := conn.QueryRow(ctx, others, name).Scan(&left); err != nil || left == 0 {
				break // if it failed so does what follows
			}
			if wait > 10*time.Millisecond {
				if _, err := conn.Exec(ctx, end, name); err != nil {
					return err
				}
			}
			time.Sleep(min(wait, 100*time.Millisecond))
		}
		_, err := conn.Exec(ctx, fmt.Sprintf(`ALTER DATABASE %s RENAME TO %s`, name, renamed))
		return err
	})
}

// withoutTriggers makes a session fire no trigger, which is for superusers.
func withoutTriggers(dsn string) string {
	return withParameter(dsn, "session_replication_role", "replica")
}

func newName() string { return "tr_test_" + strings.ToLower(rand.Text()) }
