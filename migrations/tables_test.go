package migrations_test

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/migrate"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/migrations"
)

// TestTables_areTheMigrations: the list of tables names all that the migrations make, and for each column the version
// that makes it.
func TestTables_areTheMigrations(t *testing.T) {
	t.Parallel()
	want := map[string]uint{}
	for version := uint(1); version <= migrations.Latest(); version++ {
		dsn := postgrestest.Empty(t)
		if _, err := (migrate.Schema{DSN: dsn, Files: upTo(t, version)}).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		conn := connect(t, dsn)
		names := list(t, conn, `SELECT tablename FROM pg_tables WHERE schemaname = 'public'`)
		has := columnsOf(t, conn, names)
		if problem := migrations.Mismatch(migrations.Tables, version, has); problem != "" {
			t.Errorf("at version %d: %s", version, problem)
		}
		now := map[string]uint{}
		for _, c := range has {
			column := fmt.Sprintf("%s.%s %s", c.Table, c.Name, c.Type)
			now[column] = version
			if since, before := want[column]; before {
				now[column] = since
			}
		}
		want = now
	}
	got := map[string]uint{}
	for _, table := range migrations.Tables {
		for _, c := range table.Columns {
			for column := range strings.SplitSeq(c.List, ",") {
				got[table.Name+"."+strings.TrimSpace(column)] = c.Since
			}
		}
	}
	for _, column := range slices.Sorted(maps.Keys(want)) {
		if got[column] != want[column] {
			t.Errorf("the migrations make %s at version %d, the list has %d", column, want[column], got[column])
		}
	}
	for _, column := range slices.Sorted(maps.Keys(got)) {
		if want[column] == 0 {
			t.Errorf("the list has %s, which the migrations do not make", column)
		}
	}
}

// upTo are the files of the first versions.
func upTo(t *testing.T, version uint) fs.FS {
	t.Helper()
	files := fstest.MapFS{}
	for n := uint(1); n <= version; n++ {
		names, err := fs.Glob(migrations.FS, fmt.Sprintf("%06d_*.sql", n))
		if err != nil || len(names) == 0 {
			t.Fatalf("there is no version %d, %v", n, err)
		}
		for _, name := range names {
			text, err := migrations.FS.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			files[name] = &fstest.MapFile{Data: text}
		}
	}
	return files
}

func columnsOf(t *testing.T, conn *pgx.Conn, tables []string) []migrations.Column {
	t.Helper()
	rows, _ := conn.Query(t.Context(), migrations.ColumnsSQL, tables)
	has, err := pgx.CollectRows(rows, pgx.RowToStructByPos[migrations.Column])
	if err != nil {
		t.Fatal(err)
	}
	return has
}

// TestMismatch: what is missing is named in one sentence; what else is there does not matter.
func TestMismatch(t *testing.T) {
	t.Parallel()
	for change, want := range map[string]string{
		``: "",
		`ALTER TABLE tenants ADD COLUMN plan text`:                               "",
		`CREATE TABLE plans ()`:                                                  "",
		`ALTER TABLE tenants ALTER COLUMN region TYPE varchar(50)`:               "",
		`ALTER TABLE api_keys ALTER COLUMN scopes TYPE varchar(50)[]`:            "",
		`ALTER TABLE products ALTER COLUMN trial_days TYPE bigint`:               "",
		`CREATE DOMAIN word AS text; ALTER TABLE tenants ALTER region TYPE word`: "",

		`ALTER TABLE tenants RENAME COLUMN region TO area`: "the table tenants has no column region: ",
		`DROP TABLE api_keys`:                              "there is no table api_keys: ",
		`ALTER TABLE products ALTER COLUMN trial_days TYPE numeric`: "the column trial_days of the table " +
			"products is of type numeric, this program needs integer: ",
		`ALTER TABLE tenants DROP CONSTRAINT tenants_times_check, ALTER created_at TYPE timestamp`: "" +
			"the column created_at of the table tenants is of type timestamp without time zone, this program needs " +
			"timestamp with time zone: ",
		`DROP TABLE tenants, products, entitlements, catalog_requests, api_keys, audit_log`: "schema_migrations is " +
			"there, but no table of this program: ",
	} {
		conn := connect(t, postgrestest.New(t))
		exec(t, conn, change)
		got := migrations.Mismatch(migrations.Tables, migrations.Latest(),
			columnsOf(t, conn, migrations.TableNames(migrations.Tables)))
		if (got == "") != (want == "") || !strings.HasPrefix(got, want) {
			t.Errorf("after %q: %q, want %q", change, got, want)
		}
	}
	if got := migrations.Mismatch([]migrations.Table{{Name: "a"}, {Name: "b", Columns: []migrations.Columns{
		{Since: 1, List: "one text"}, {Since: 2, List: "two text"},
	}}}, 1, []migrations.Column{{Table: "b", Name: "one", Type: "text"}}); got != "" {
		t.Errorf("version 1 is said to lack what comes with version 2: %s", got)
	}
}
