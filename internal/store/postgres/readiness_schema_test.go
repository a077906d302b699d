package postgres_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/postgres"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/migrations"
)

// unready pings, and checks that the answer is that the store is not ready, for this reason; empty: it is ready.
func unready(t *testing.T, store *postgres.Store, reason string) {
	t.Helper()
	_, err := store.Ping(t.Context())
	var is *registry.UnreadyError
	switch {
	case reason == "":
		must(t, err)
	case !errors.As(err, &is) || !strings.HasPrefix(is.Reason, reason) || strings.Contains(is.Reason, "\n"):
		t.Errorf("ping: %v, want %q", err, reason)
	}
}

// TestPing_foreignSchema: a store on the database of another service is not ready.
func TestPing_foreignSchema(t *testing.T) {
	t.Parallel()
	for _, there := range []string{
		`CREATE TABLE schema_migrations (version bigint, dirty boolean);
		INSERT INTO schema_migrations VALUES (7, false)`,
		`CREATE TABLE schema_migrations (version varchar); INSERT INTO schema_migrations VALUES ('20260101000000')`,
	} {
		dsn := postgrestest.Empty(t)
		connect(t, dsn).run(there)
		store := open(t, postgres.Config{DSN: dsn, SchemaVersion: 1})
		unready(t, store, "schema_migrations is there, but no table of this program")
	}
}

// TestPing_changedSchema: what is missing is noticed after a statement has met it, or by a store that is opened then.
// It is over when it is there again.
func TestPing_changedSchema(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ change, back, reason string }{
		"a column": {
			`ALTER TABLE tenants RENAME COLUMN region TO area`, `ALTER TABLE tenants RENAME COLUMN area TO region`,
			"the table tenants has no column region: ",
		},
		"a table": {
			`ALTER TABLE tenants RENAME TO customers`, `ALTER TABLE customers RENAME TO tenants`,
			"there is no table tenants: ",
		},
		"a type": {
			`ALTER TABLE tenants ALTER COLUMN slug TYPE integer USING 0`,
			`ALTER TABLE tenants ALTER COLUMN slug TYPE text USING ''`,
			"the column slug of the table tenants is of type integer, this program needs text: ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := postgrestest.New(t)
			admin := connect(t, dsn)
			admin.run(`ALTER TABLE tenants DROP CONSTRAINT tenants_slug_check`)
			store := open(t, postgres.Config{DSN: dsn, SchemaVersion: 1})
			unready(t, store, "")
			admin.run(c.change)
			_, err := registry.GetTenantBySlug(t.Context(), store, "tenant")
			if err == nil || errors.Is(err, registry.ErrNotFound) {
				t.Fatalf("the change does no harm: %v", err)
			}
			unready(t, store, c.reason)
			unready(t, open(t, postgres.Config{DSN: dsn, SchemaVersion: 1}), c.reason)
			admin.run(c.back)
			unready(t, store, "")
		})
	}
}

// TestPing_unknownColumns: what a newer release added does not matter, and a probe does not look for columns each time.
func TestPing_unknownColumns(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	admin := connect(t, dsn)
	admin.run(`ALTER TABLE tenants ADD COLUMN plan text; CREATE TABLE plans ()`)
	store := open(t, postgres.Config{DSN: dsn, SchemaVersion: migrations.Latest()})
	for range 3 {
		unready(t, store, "")
	}
	admin.run(`ALTER TABLE tenants RENAME COLUMN region TO area`) // which no statement meets
	unready(t, store, "")
	admin.run(`UPDATE schema_migrations SET version = version + 1`)
	unready(t, store, "the table tenants has no column region: ")
}
