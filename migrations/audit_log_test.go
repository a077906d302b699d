package migrations_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/breakpilot/tenant-registry/internal/migrate"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/migrations"
)

// insertEvent inserts an event at a place: its pos, its group, its seq, and SQL for the hash that it follows.
const insertEvent = `INSERT INTO audit_log (pos, id, group_id, seq, action, area, crud, is_failure, is_anonymous,
		created, received, prev_chain_hash, chain_hash)
	SELECT %d, gen_random_uuid(), '%s'::uuid, %d, 'a.b', 'a', 'c'::audit_crud, false, true, now(), now(),
		%s, sha256('c')`

const noHash = `decode(repeat('00', 32), 'hex')`

// TestAuditLog_places: who may insert takes the next place of the log and of a chain, and no other one.
func TestAuditLog_places(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	seed(t, connect(t, dsn))
	conn := connectAs(t, dsn, newRole(t, dsn, `SELECT, INSERT ON audit_log`))
	missing := newID(t, conn)
	at := func(pos int64, group string, seq int64, prev string) string {
		return fmt.Sprintf(insertEvent, pos, group, seq, prev)
	}
	head := `sha256('c')` // of every chain
	for name, statement := range map[string]string{
		"a gap in the log":               at(4, acme, 2, head),
		"the last number of JSON":        at(1<<53-1, acme, 2, head),
		"the last place":                 at(math.MaxInt64, acme, 2, head),
		"a gap in the chain":             at(3, acme, 3, head),
		"the last place of a chain":      at(3, acme, math.MaxInt64, head),
		"another hash":                   at(3, acme, 2, `sha256('d')`),
		"the hash of no chain":           at(3, acme, 2, noHash),
		"a chain that has no beginning":  at(3, missing, 2, head),
		"a hash before a chain":          at(3, missing, 1, head),
		"a gap, and nothing in conflict": at(4, acme, 2, head) + ` ON CONFLICT DO NOTHING`,
		"the next place, and a gap":      at(3, acme, 2, head) + ` UNION ALL ` + selectOf(at(5, other, 2, head)),
		"a gap beside the next place": `WITH one AS (` + at(3, acme, 2, head) + `) ` +
			at(5, other, 2, head),
	} {
		_, err := conn.Exec(t.Context(), statement)
		var pgErr *pgconn.PgError
		if !errors.As(err, &pgErr) || pgErr.Code != "23505" || pgErr.ConstraintName != "audit_log_places" {
			t.Errorf("%s: %v, want it refused by audit_log_places", name, err)
		}
	}
	exec(t, conn, at(3, acme, 2, head))
	exec(t, conn, at(5, missing, 2, head)+` UNION ALL `+selectOf(at(4, missing, 1, noHash)))
	got := list(t, conn, `SELECT pos || ' ' || seq FROM audit_log`)
	if want := []string{"1 1", "2 1", "3 2", "4 1", "5 2"}; !slices.Equal(got, want) {
		t.Errorf("the log has %q, want %q", got, want)
	}
}

// selectOf is what an INSERT inserts.
func selectOf(insert string) string { return insert[strings.Index(insert, "SELECT"):] }

// TestAuditLog_plan: a session that first appended to a small log reads single rows of a large one, too, be it that the
// log was empty, or had statistics of its few rows.
func TestAuditLog_plan(t *testing.T) {
	t.Parallel()
	for _, before := range []string{``, `VACUUM ANALYZE audit_log`} {
		conn := connect(t, postgrestest.New(t))
		seed(t, conn)
		exec(t, conn, before)
		const heads = `SELECT audit_log_heads('{` + acme + `}')`
		exec(t, conn, heads)
		for pos := int64(3); pos < 1000; pos += 100 {
			insert := fmt.Sprintf(insertEvent, pos, acme, pos-1, `sha256('c')`)
			insert = strings.NewReplacer("SELECT "+fmt.Sprint(pos), "SELECT n + "+fmt.Sprint(pos),
				fmt.Sprintf("%d, 'a.b'", pos-1), fmt.Sprintf("n + %d, 'a.b'", pos-1)).Replace(insert)
			exec(t, conn, insert+` FROM generate_series(0, 99) AS n`)
		}
		const scans = `SELECT indexrelid::regclass::text FROM pg_index
			WHERE indrelid = 'audit_log'::regclass AND pg_stat_get_xact_numscans(indexrelid) > 0
			UNION ALL SELECT relname FROM pg_stat_xact_user_tables WHERE relname = 'audit_log' AND seq_scan > 0`
		exec(t, conn, `BEGIN`)
		exec(t, conn, heads)
		exec(t, conn, fmt.Sprintf(insertEvent, 1003, acme, 1002, `sha256('c')`))
		want := []string{"audit_log_group_id_seq_key", "audit_log_pkey"}
		if got := list(t, conn, scans); !slices.Equal(got, want) {
			t.Errorf("%s: appends scanned %q, want %q", before, got, want)
		}
	}
}

// TestTriggers_searchPath: a role with a schema of its own cannot put its functions in the place of Postgres's. The
// control is the same without the path that the functions have: each does harm.
func TestTriggers_searchPath(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		function, shadow, attack string
		refused                  string // SQLSTATE; empty: the attack is on what the statement publishes
	}{
		"a change of the log": {
			"audit_log_append_only",
			`CREATE SEQUENCE shadows.calls; -- the rows differ, and then what may differ does not
			CREATE FUNCTION shadows.same(record, record) RETURNS boolean LANGUAGE plpgsql AS
				'BEGIN RETURN nextval(''shadows.calls'') % 2 = 0; END';
			CREATE OPERATOR shadows.= (LEFTARG = record, RIGHTARG = record, FUNCTION = shadows.same)`,
			`UPDATE audit_log SET tenant_id = NULL, action = 'forged' WHERE pos = 1`, "42501",
		},
		"a place far off": {
			"audit_log_places",
			`CREATE FUNCTION shadows.same(bigint, bigint) RETURNS boolean STRICT LANGUAGE sql AS
				'SELECT true';
			CREATE OPERATOR shadows.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = shadows.same)`,
			fmt.Sprintf(insertEvent, int64(1<<53-1), acme, 2, `sha256('c')`), "23505",
		},
		"a notification": {
			"notify_cache_flush",
			`CREATE FUNCTION shadows.pg_notify(text, text) RETURNS void LANGUAGE sql AS ''`,
			`DELETE FROM tenants WHERE slug = 'acme'`, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := postgrestest.New(t)
			owner := connect(t, dsn)
			seed(t, owner)
			role := newRole(t, dsn, `SELECT, INSERT, UPDATE ON audit_log`, `SELECT, DELETE ON tenants`)
			exec(t, owner, `CREATE SCHEMA shadows AUTHORIZATION `+role)
			attack := func() (harm bool) {
				exec(t, owner, `LISTEN tenant_registry`)
				conn := connectAs(t, dsn, role)
				exec(t, conn, `SET search_path = shadows, pg_catalog, public`)
				_, err := conn.Exec(t.Context(), c.attack)
				if code(err) != c.refused && err != nil {
					t.Errorf("refused with %v", err)
				}
				if c.refused != "" {
					return err == nil
				}
				return !slices.Equal(heard(t, owner), []string{"flush"})
			}
			exec(t, connectAs(t, dsn, role), c.shadow)
			if attack() {
				t.Error("the attack did harm")
			}
			exec(t, owner, `INSERT INTO tenants (id, slug, name, status, metadata, version, created_at, updated_at)
				SELECT gen_random_uuid(), 'acme', 'n', 'trial', '{}', 1, now(), now()
				WHERE NOT EXISTS (SELECT FROM tenants WHERE slug = 'acme')`)
			exec(t, owner, `ALTER FUNCTION `+c.function+`() RESET search_path`)
			if !attack() {
				t.Error("the control does no harm: this test shows nothing")
			}
		})
	}
}

// heard are the notifications so far.
func heard(t *testing.T, conn *pgx.Conn) (payloads []string) {
	t.Helper()
	exec(t, conn, `NOTIFY tenant_registry, 'so far'`)
	for {
		n, err := conn.WaitForNotification(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n.Payload == "so far" {
			return payloads
		}
		payloads = append(payloads, n.Payload)
	}
}

// TestTriggers_ofOtherSchema: every trigger function has a path of its own, with the schema that the migration ran in.
func TestTriggers_ofOtherSchema(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Empty(t)
	conn := connect(t, dsn)
	exec(t, conn, `CREATE SCHEMA "Another ""one"""`)
	exec(t, conn, `ALTER ROLE CURRENT_USER IN DATABASE `+pgx.Identifier{conn.Config().Database}.Sanitize()+
		` SET search_path = "Another ""one"""`)
	if _, err := (migrate.Schema{DSN: dsn, Files: migrations.FS}).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn = connect(t, dsn)
	const paths = `SELECT DISTINCT coalesce(array_to_string(proconfig, '; '), proname || ' has none') FROM pg_proc
		JOIN pg_namespace n ON n.oid = pronamespace
		WHERE prorettype = 'trigger'::regtype AND nspname = current_schema()`
	for _, settings := range list(t, conn, paths) {
		const want = `search_path=pg_catalog, "Another ""one""", pg_temp`
		if !slices.Contains(strings.Split(settings, "; "), want) {
			t.Errorf("a trigger function has the settings %s, want %s", settings, want)
		}
	}
	exec(t, conn, `SET search_path = pg_catalog`)
	event := fmt.Sprintf(insertEvent, 1, acme, 1, noHash)
	exec(t, conn, strings.ReplaceAll(event, "audit_", `"Another ""one""".audit_`))
}

// newRole makes a role that is gone after the test, with privileges on objects of the database.
func newRole(t *testing.T, dsn string, privileges ...string) string {
	t.Helper()
	owner := connect(t, dsn)
	role := "role_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	exec(t, owner, `CREATE ROLE `+role)
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		if _, err := conn.Exec(context.Background(), `DROP OWNED BY `+role+` CASCADE; DROP ROLE `+role); err != nil {
			t.Error(err)
		}
	})
	for _, privilege := range privileges {
		exec(t, owner, `GRANT `+privilege+` TO `+role)
	}
	return role
}

// connectAs is connect for a role that cannot log in.
func connectAs(t *testing.T, dsn, role string) *pgx.Conn {
	t.Helper()
	conn := connect(t, dsn)
	exec(t, conn, `SET ROLE `+role)
	return conn
}
