package postgrestest

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

const someRows = `
	INSERT INTO tenants (id, slug, name, status, metadata, version, created_at, updated_at)
	VALUES (gen_random_uuid(), 'tenant', 'n', 'trial', '{}', 1, now(), now());
	INSERT INTO audit_log (pos, id, group_id, seq, tenant_id, action, area, crud, is_failure, is_anonymous, created,
		received, prev_chain_hash, chain_hash)
	SELECT 1, id, id, 1, id, 'a', 'a', 'c', false, true, now(), now(), decode(repeat('00', 32), 'hex'), sha256('c')
	FROM tenants`

// used is a new migrated database in which a test did something. The connection to it is left open.
func used(t *testing.T, does string) (srv *server, name string, from template) {
	t.Helper()
	skipShort(t)
	srv, original, err := process.ready(true)
	if err != nil {
		t.Fatal(err)
	}
	name = newName()
	if err := srv.create(t.Context(), name, original); err != nil {
		t.Fatal(err)
	}
	does = strings.ReplaceAll(does, "THIS", name)
	if _, err := connect(t, withDatabase(srv.dsn, name)).Exec(t.Context(), does); err != nil {
		t.Fatal(err)
	}
	if process.template.state == "" {
		t.Skip("the role of TEST_DATABASE_URL is no superuser: no database serves a second test")
	}
	return srv, name, process.template
}

// TestRecycle: a database in which only rows were changed is empty afterwards, and cannot be reached by its old name.
func TestRecycle(t *testing.T) {
	t.Parallel()
	for name, does := range map[string]string{
		"nothing":               `SELECT 1`,
		"rows":                  someRows,
		"rows that were undone": `BEGIN;` + someRows + `; ROLLBACK`,
		"a schema and back":     `CREATE TABLE mine (); DROP TABLE mine; ` + someRows,
		"a lock and a listener": `LISTEN tenant_registry; SELECT pg_advisory_lock(1); BEGIN; ` + someRows,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, old, from := used(t, does)
			renamed, err := srv.recycle(old, from)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = srv.drop(renamed) })
			if _, err := pgx.Connect(t.Context(), withDatabase(srv.dsn, old)); err == nil {
				t.Error("the database can be reached by its old name")
			}
			conn := connect(t, withDatabase(srv.dsn, renamed))
			var rows, versions int
			err = conn.QueryRow(t.Context(), `
				SELECT (SELECT count(*) FROM tenants) + (SELECT count(*) FROM audit_log), count(*)
				FROM schema_migrations`).
				Scan(&rows, &versions)
			if err != nil || rows != 0 || versions != 1 {
				t.Errorf("%d rows, %d versions of the schema, %v", rows, versions, err)
			}
			if _, err := conn.Exec(t.Context(), someRows); err != nil {
				t.Error(err)
			}
			if _, err := conn.Exec(t.Context(), `DELETE FROM audit_log`); err == nil {
				t.Error("the triggers do not fire any more")
			}
		})
	}
}

// TestRecycle_changed: a database in which a test changed more than rows serves no other one.
func TestRecycle_changed(t *testing.T) {
	t.Parallel()
	for name, does := range map[string]string{
		"a table":                   `CREATE TABLE mine ()`,
		"a column":                  `ALTER TABLE tenants ADD COLUMN mine text`,
		"a column's default":        `ALTER TABLE tenants ALTER COLUMN name SET DEFAULT 'n'`,
		"a column that may be NULL": `ALTER TABLE tenants ALTER COLUMN name DROP NOT NULL`,
		"a constraint":              `ALTER TABLE tenants DROP CONSTRAINT tenants_slug_check`,
		"an index":                  `CREATE INDEX mine ON tenants (name)`,
		"an index less":             `DROP INDEX audit_log_tenant`,
		"a trigger that is off":     `ALTER TABLE audit_log DISABLE TRIGGER audit_log_append_only`,
		"a trigger less":            `DROP TRIGGER tenants_notify ON tenants`,
		"a function":                `ALTER FUNCTION notify_cache_flush() SET work_mem = '1MB'`,
		"a sequence":                `CREATE SEQUENCE mine`,
		"an enum's value":           `ALTER TYPE tenant_status ADD VALUE 'mine'`,
		"privileges":                `REVOKE SELECT ON tenants FROM CURRENT_USER`,
		"a comment":                 `COMMENT ON TABLE schema_migrations IS 'mine'`,
		"storage":                   `ALTER TABLE tenants SET (fillfactor = 50)`,
		"statistics":                someRows + `; ANALYZE tenants`,
		"the version":               `UPDATE schema_migrations SET dirty = true`,
		"no version":                `DELETE FROM schema_migrations`,
		"no table of versions":      `DROP TABLE schema_migrations`,
		"a schema":                  `CREATE SCHEMA mine`,
		"a view":                    `CREATE VIEW mine AS SELECT 1`,
		"a setting":                 `ALTER DATABASE THIS SET lock_timeout = '1s'`,
		"a setting of the role":     `ALTER ROLE CURRENT_USER IN DATABASE THIS SET lock_timeout = '1s'`,
		"read-only":                 `ALTER DATABASE THIS SET default_transaction_read_only = on`,
		"its connections":           `ALTER DATABASE THIS CONNECTION LIMIT 5`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, old, from := used(t, does)
			renamed, err := srv.recycle(old, from)
			if err == nil {
				t.Error("it would serve another test")
			}
			if err := srv.drop(renamed); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestRelease: a database that a test left serves the next one under another name.
func TestRelease(t *testing.T) {
	t.Parallel()
	srv, name, from := used(t, someRows)
	f := &fixture{found: true, server: srv, template: from}
	if err := f.release(name, true); err != nil {
		t.Fatal(err)
	}
	next := f.takeEmptied()
	if next == "" || next == name || f.takeEmptied() != "" {
		t.Errorf("after %s comes %q", name, next)
	}
	if _, err := connect(t, withDatabase(srv.dsn, next)).Exec(t.Context(), `CREATE TABLE mine ()`); err != nil {
		t.Fatal(err)
	}
	if err := f.release(next, true); err != nil || f.takeEmptied() != "" {
		t.Errorf("a database that was changed serves another test, or %v", err)
	}
	if _, err := pgx.Connect(t.Context(), withDatabase(srv.dsn, next)); err == nil {
		t.Error("a database that was changed is still there")
	}
}

// TestStore_reused: a store that a test left serves the next one without a row of it, and on the same connections.
func TestStore_reused(t *testing.T) {
	t.Parallel()
	skipShort(t)
	f := &fixture{found: true}
	var err error
	if f.server, _, err = process.ready(true); err != nil {
		t.Fatal(err)
	}
	f.template = process.template
	first, err := f.takeStore()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Pool().Exec(t.Context(), someRows); err != nil {
		t.Fatal(err)
	}
	if err := f.releaseStore(first, false); err != nil {
		t.Fatal(err)
	}
	if f.template.state == "" {
		t.Skip("the role of TEST_DATABASE_URL is no superuser: no store serves a second test")
	}
	second, err := f.takeStore()
	if err != nil || second != first {
		t.Fatalf("another store is used, or %v", err)
	}
	products, err := second.ListProducts(t.Context())
	head, headErr := second.GetNewestPosition(t.Context())
	if err != nil || headErr != nil || len(products) != 0 || head != 0 {
		t.Errorf("%d products, position %d, %v, %v", len(products), head, err, headErr)
	}
	if _, err := second.Pool().Exec(t.Context(), `DELETE FROM audit_log`); err != nil {
		t.Error(err)
	}
	if _, err := second.Pool().Exec(t.Context(), someRows); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Pool().Exec(t.Context(), `DELETE FROM audit_log`); err == nil {
		t.Error("the triggers do not fire any more")
	}
	if err := f.releaseStore(second, true); err != nil {
		t.Fatal(err)
	}
	third, err := f.takeStore()
	if err != nil || third == second {
		t.Fatalf("the store of a test that failed serves another one, or %v", err)
	}
	if err := f.giveUp(third); err != nil {
		t.Error(err)
	}
}
