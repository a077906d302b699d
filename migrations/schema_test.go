package migrations_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/breakpilot/tenant-registry/internal/migrate"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/migrations"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

func TestMigrate_upDownRoundTrip(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Empty(t)
	schema := migrate.Schema{DSN: dsn, Files: migrations.FS, Env: "dev"}
	conn := connect(t, dsn)

	up := func() {
		t.Helper()
		if result, err := schema.Up(t.Context()); err != nil || result.To != migrations.Latest() {
			t.Fatalf("up: %+v, %v", result, err)
		}
		want := []string{"api_keys", "audit_log", "catalog_requests", "entitlements", "products", "tenants"}
		if got := list(t, conn, tables); !slices.Equal(got, want) {
			t.Errorf("tables %v, want %v", got, want)
		}
		want = []string{"audit_crud: c r u d", "catalog_request_status: pending approved rejected cancelled",
			"entitlement_source: trial plan grant request", "tenant_status: trial active frozen"}
		if got := list(t, conn, enums); !slices.Equal(got, want) {
			t.Errorf("enums %v, want %v", got, want)
		}
	}
	up()
	if result, err := schema.DownAll(t.Context()); err != nil || result.To != 0 {
		t.Fatalf("down: %+v, %v", result, err)
	}
	if got := list(t, conn, everything); len(got) != 0 {
		t.Errorf("left after down: %v", got)
	}
	up()
}

const (
	tables = `SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_migrations'`
	enums  = `SELECT t.typname || ': ' || string_agg(e.enumlabel, ' ' ORDER BY e.enumsortorder)
		FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid GROUP BY t.typname`
	everything = `SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
			AND relname NOT LIKE 'schema_migrations%'
		UNION ALL SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace
			AND typname NOT LIKE '%schema_migrations'
		UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace`
)

const (
	acme  = "00000000-0000-0000-0000-000000000001"
	other = "00000000-0000-0000-0000-000000000002"
)

func TestSeed_canInsertAndQuery(t *testing.T) {
	t.Parallel()
	conn := connect(t, postgrestest.New(t))
	seed(t, conn)

	var slug, product, source, request, key, action string
	err := conn.QueryRow(t.Context(), `SELECT t.slug, p.key, e.source, r.status, k.name, a.action FROM tenants t
		JOIN entitlements e ON e.tenant_id = t.id JOIN products p ON p.key = e.product_key
		JOIN catalog_requests r ON r.id = e.request_id JOIN api_keys k ON k.tenant_id = t.id
		JOIN audit_log a ON a.tenant_id = t.id WHERE t.id = $1`, acme).
		Scan(&slug, &product, &source, &request, &key, &action)
	if err != nil {
		t.Fatal(err)
	}
	got, want := []string{slug, product, source, request, key, action},
		[]string{"acme", "certifai", "request", "approved", "ci", "tenant.create"}
	if !slices.Equal(got, want) {
		t.Errorf("read back %v", got)
	}

	if _, err := conn.Exec(t.Context(), `DELETE FROM products WHERE key = 'certifai'`); code(err) != "23503" {
		t.Errorf("delete of a product in use: %v, want it refused", err)
	}
	exec(t, conn, `DELETE FROM tenants WHERE id = $1`, acme)
	for _, table := range []string{"catalog_requests", "entitlements", "api_keys"} {
		if got := list(t, conn, `SELECT tenant_id::text FROM `+table); !slices.Equal(got, []string{other}) {
			t.Errorf("%s after the delete of a tenant: %v, want the other tenant's row only", table, got)
		}
	}
	if got := list(t, conn, `SELECT key FROM products`); !slices.Equal(got, []string{"certifai"}) {
		t.Errorf("products after the delete of a tenant: %v", got)
	}
	want = []string{acme + " detached", other + " " + other}
	got = list(t, conn, `SELECT group_id || ' ' || coalesce(tenant_id::text, 'detached') FROM audit_log`)
	if !slices.Equal(got, want) {
		t.Errorf("audit_log after the delete of a tenant: %v, want %v", got, want)
	}
}

func TestSlugConstraint(t *testing.T) {
	t.Parallel()
	conn := connect(t, postgrestest.New(t))
	for name, slug := range map[string]string{
		"empty": "", "too short": "ab", "too long": strings.Repeat("a", 64),
		"leading dash": "-acme", "trailing dash": "acme-", "upper case": "Acme", "underscore": "ac_me", "dot": "ac.me",
		"space": "ac me", "punycode": "xn--acme", "not ASCII": "äcme",
		"trailing line feed": "acme\n", "leading line feed": "\nacme",
	} {
		_, err := conn.Exec(t.Context(), insertTenant, newID(t, conn), slug)
		var pgErr *pgconn.PgError
		if !errors.As(err, &pgErr) || pgErr.ConstraintName != "tenants_slug_check" {
			t.Errorf("%s, %q: %v, want it refused by tenants_slug_check", name, slug, err)
		}
	}
	for _, slug := range []string{"abc", "a-b", "123", "a--b", "xn-b", "axn--b", strings.Repeat("a", 63)} {
		exec(t, conn, insertTenant, newID(t, conn), slug)
	}
	if _, err := conn.Exec(t.Context(), insertTenant, newID(t, conn), "abc"); code(err) != "23505" {
		t.Errorf("a slug that is taken: %v", err)
	}
}

// The role of the test owns the table: privileges alone would not stop it.
func TestAuditLog_appendOnly(t *testing.T) {
	t.Parallel()
	conn := connect(t, postgrestest.New(t))
	seed(t, conn)
	const owned = `SELECT tablename FROM pg_tables WHERE tablename = 'audit_log' AND tableowner = current_user`
	if got := list(t, conn, owned); len(got) != 1 {
		t.Fatal("the test does not run as the owner")
	}
	for name, statement := range map[string]string{
		"update":                       `UPDATE audit_log SET action = 'x.y'`,
		"update to the same value":     `UPDATE audit_log SET action = action`,
		"another tenant":               `UPDATE audit_log SET tenant_id = '` + other + `' WHERE pos = 1`,
		"NULL and another change":      `UPDATE audit_log SET tenant_id = NULL, description = 'x'`,
		"NULL and a NULL hidden in it": `UPDATE audit_log SET tenant_id = NULL, fields = NULL`,
		"delete":                       `DELETE FROM audit_log`,
		"truncate":                     `TRUNCATE audit_log`,
		"truncate by cascade":          `TRUNCATE tenants CASCADE`,
	} {
		if _, err := conn.Exec(t.Context(), statement); code(err) != "42501" {
			t.Errorf("%s: %v, want SQLSTATE 42501", name, err)
		}
	}
	const (
		detach = `UPDATE audit_log SET tenant_id = NULL WHERE group_id = $1`
		attach = `UPDATE audit_log SET tenant_id = $1 WHERE group_id = $1`
	)
	exec(t, conn, detach, acme)
	if _, err := conn.Exec(t.Context(), detach, acme); code(err) != "42501" {
		t.Errorf("NULL again: %v, want SQLSTATE 42501", err)
	}
	if _, err := conn.Exec(t.Context(), attach, acme); code(err) != "42501" {
		t.Errorf("attaching an event again: %v, want SQLSTATE 42501", err)
	}
	got := list(t, conn, `SELECT action || ' ' || (fields ->> 'k') FROM audit_log`)
	if !slices.Equal(got, []string{"tenant.create v", "tenant.create v"}) {
		t.Errorf("the events are now %v", got)
	}
}

const insertTenant = `INSERT INTO tenants (id, slug, name, status, metadata, version, created_at, updated_at)
	VALUES ($1, $2, 'Name', 'trial', '{}', 1, now(), now())`

// seed writes one product, and for each of two tenants one row of every other table.
func seed(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	exec(t, conn, `
		INSERT INTO products (key, name, description, audience, requestable, trial_days, default_limits, default_config,
			created_at, updated_at)
		VALUES ('certifai', 'CertifAI', '', 'public', true, 14, '{}', '{}', now(), now())`)
	for pos, tenant := range []struct{ id, slug string }{{acme, "acme"}, {other, "other"}} {
		exec(t, conn, insertTenant, tenant.id, tenant.slug)
		exec(t, conn, `
			INSERT INTO catalog_requests (id, tenant_id, product_key, status, requested_by, decided_by, decided_at,
				created_at, updated_at)
			VALUES ($1, $1, 'certifai', 'approved', 'u1', 'op', now(), now(), now())`, tenant.id)
		exec(t, conn, `
			INSERT INTO entitlements (id, tenant_id, product_key, source, starts_at, limits, config, request_id,
				created_at, updated_at)
			VALUES ($1, $1, 'certifai', 'request', now(), '{}', '{}', $1, now(), now())`, tenant.id)
		exec(t, conn, `
			INSERT INTO api_keys (id, tenant_id, name, environment, scopes, prefix, hash, previous_ended, disabled,
				version, created_by,
				created_at, updated_at)
			VALUES ($1, $1, 'ci', 'live', '{}', 'bp_live_abcd', sha256($2), false, false, 1, 'u1', now(), now())`,
			tenant.id, []byte(tenant.slug))
		exec(t, conn, `
			INSERT INTO audit_log (pos, id, group_id, seq, tenant_id, action, area, crud, is_failure, is_anonymous,
				actor_id, actor_salt, fields, fields_salt, created, received, prev_chain_hash, chain_hash)
			VALUES ($2, $1, $1, 1, $1, 'tenant.create', 'tenant', 'c', false, true, 'u1', uuid_send($1), '{"k": "v"}',
				uuid_send($1), now(), now(), decode(repeat('00', 32), 'hex'), sha256('c'))`, tenant.id, pos+1)
	}
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func exec(t *testing.T, conn *pgx.Conn, query string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), query, args...); err != nil {
		t.Fatalf("%v: %s", err, query)
	}
}

// list returns one column, sorted.
func list(t *testing.T, conn *pgx.Conn, query string) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	values, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(values)
	return values
}

func newID(t *testing.T, conn *pgx.Conn) string {
	t.Helper()
	return list(t, conn, `SELECT gen_random_uuid()::text`)[0]
}

func code(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return ""
}

// TestCacheFlush: rows that are deleted by hand, one by one or all at once, are what replicas may have cached, so that
// each such statement notifies them.
func TestCacheFlush(t *testing.T) {
	t.Parallel()
	for statement, flushes := range map[string]bool{
		`DELETE FROM tenants`: true, `DELETE FROM entitlements`: true, `DELETE FROM api_keys`: true,
		`TRUNCATE entitlements`: true, `TRUNCATE api_keys`: true,
		`TRUNCATE catalog_requests CASCADE`: true, `TRUNCATE products CASCADE`: true, // entitlements with them
		`ALTER TABLE audit_log DROP CONSTRAINT audit_log_tenant_id_fkey; TRUNCATE tenants CASCADE`: true,
		`UPDATE products SET name = 'other'`: false,
	} {
		conn := connect(t, postgrestest.New(t))
		seed(t, conn)
		exec(t, conn, `LISTEN tenant_registry`)
		exec(t, conn, statement)
		if got := heard(t, conn); slices.Equal(got, []string{"flush"}) != flushes {
			t.Errorf("%s notifies %q", statement, got)
		}
	}
}
