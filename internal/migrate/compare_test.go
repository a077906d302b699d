package migrate_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/migrate"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/migrations"
)

// TestUp_foreign: a database of another service, or one that lacks what the program uses, is named in one sentence, and
// nothing is changed in it.
func TestUp_foreign(t *testing.T) {
	t.Parallel()
	const migrated = `CREATE TABLE orders ();
		CREATE TABLE schema_migrations (version bigint PRIMARY KEY, dirty boolean)`
	for name, c := range map[string]struct {
		there string // in an empty database, or instead of something in a migrated one
		empty bool
		says  string // empty: nothing to do
	}{
		"ours":                  {``, false, ""},
		"ours and a new column": {`ALTER TABLE tenants ADD COLUMN plan text`, false, ""},
		"another service at our version": {
			migrated + `; INSERT INTO schema_migrations VALUES (1, false)`, true, "belongs to another service",
		},
		"another service at a later version": {
			migrated + `; INSERT INTO schema_migrations VALUES (77, false)`, true, "belongs to another service",
		},
		"another tool": {
			`CREATE TABLE schema_migrations (version varchar PRIMARY KEY);
			INSERT INTO schema_migrations VALUES ('20260101000000')`, true, "belongs to another service",
		},
		"no table":  {`DROP TABLE api_keys`, false, "there is no table api_keys"},
		"no column": {`ALTER TABLE tenants DROP COLUMN region`, false, "the table tenants has no column region"},
		"another type": {
			`ALTER TABLE tenants ALTER COLUMN version TYPE numeric`, false,
			"the column version of the table tenants is of",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := postgrestest.Empty(t)
			if !c.empty {
				mustUp(t, ours(dsn))
			}
			query(t, connect(t, dsn), c.there)
			before := tables(t, dsn)
			result, err := ours(dsn).Up(t.Context())
			if c.says == "" {
				if err != nil || result.From != result.To {
					t.Errorf("%+v, %v", result, err)
				}
				return
			}
			if !errors.Is(err, migrate.ErrForeign) || !strings.Contains(err.Error(), c.says) ||
				strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want %q", err, c.says)
			}
			if after := tables(t, dsn); !slices.Equal(before, after) {
				t.Errorf("the tables are %q, were %q", after, before)
			}
		})
	}
}

// TestUp_isCompared: what the files made is compared with the list, too.
func TestUp_isCompared(t *testing.T) {
	t.Parallel()
	s := schema(postgrestest.Empty(t), "index")
	s.Tables = []migrations.Table{{Name: "schema_migrations"}, {Name: "a", Columns: []migrations.Columns{
		{Since: 1, List: "n integer"}, {Since: 2, List: "m integer"},
	}}}
	_, err := s.Up(t.Context())
	if !errors.Is(err, migrate.ErrForeign) || !strings.Contains(err.Error(), "the table a has no column m") {
		t.Errorf("%v", err)
	}
	wantState(t, s, migrate.State{Version: 2})
}
