package migrate_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/migrate"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/migrations"
)

// rolePassword is that of the roles which tests make.
const rolePassword = "only for a test"

// newRole makes a role that is gone after the test. Its name needs quotes.
func newRole(t *testing.T, dsn string) string {
	t.Helper()
	role := `The "role" ` + uuid.NewString()
	quoted := pgx.Identifier{role}.Sanitize()
	query(t, connect(t, dsn), `CREATE ROLE `+quoted+` LOGIN PASSWORD '`+rolePassword+`'`)
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		if _, err := conn.Exec(context.Background(), `DROP OWNED BY `+quoted+`; DROP ROLE `+quoted); err != nil {
			t.Error(err)
		}
	})
	return role
}

// as is a DSN for another role.
func as(t *testing.T, dsn, role string) string {
	t.Helper()
	parsed, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	parsed.User = url.UserPassword(role, rolePassword)
	return parsed.String()
}

func ours(dsn string) migrate.Schema {
	return migrate.Schema{DSN: dsn, Files: migrations.FS, Tables: migrations.Tables, Env: "dev"}
}

// privilegesOf are what a role may do with the tables.
func privilegesOf(t *testing.T, conn *pgx.Conn, role string) (all []string) {
	t.Helper()
	rows, _ := conn.Query(t.Context(), `
		SELECT t.name || ' ' || p.name FROM unnest($2::text[]) AS t (name),
			unnest('{SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER}'::text[]) AS p (name)
		WHERE has_table_privilege($1, t.name, p.name)
			OR p.name IN ('INSERT', 'UPDATE') AND has_any_column_privilege($1, t.name, p.name)
		ORDER BY 1`, role, migrations.TableNames(migrations.Tables))
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestGrant: the roles have what the list says and nothing else, whatever they had, and no other role may connect.
func TestGrant(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	app, auditor, other := newRole(t, dsn), newRole(t, dsn), newRole(t, dsn)
	conn := connect(t, dsn)
	if open, err := pgx.Connect(t.Context(), as(t, dsn, other)); err != nil {
		t.Fatalf("the control cannot connect: %v", err)
	} else {
		open.Close(t.Context())
	}
	for _, sql := range []string{
		`GRANT ALL ON audit_log, tenants TO %s`, `GRANT UPDATE (description) ON audit_log TO PUBLIC`,
		`GRANT DELETE ON api_keys TO PUBLIC`,
	} {
		query(t, conn, strings.ReplaceAll(sql, "%s", pgx.Identifier{app}.Sanitize()))
	}
	var wantApp, wantAuditor []string
	for _, table := range migrations.Tables {
		for _, privilege := range table.App {
			wantApp = append(wantApp, table.Name+" "+privilege)
		}
		for _, privilege := range table.Auditor {
			wantAuditor = append(wantAuditor, table.Name+" "+privilege)
		}
	}
	slices.Sort(wantApp)
	for range 2 {
		if err := ours(dsn).Grant(t.Context(), migrate.Roles{App: app, Auditor: auditor}); err != nil {
			t.Fatal(err)
		}
		for role, want := range map[string][]string{app: wantApp, auditor: wantAuditor, other: nil} {
			if got := privilegesOf(t, conn, role); !slices.Equal(got, want) {
				t.Errorf("%s may %q, want %q", role, got, want)
			}
			in, err := pgx.Connect(t.Context(), as(t, dsn, role))
			if (err == nil) != (role != other) {
				t.Errorf("%s connects with %v", role, err)
			}
			if err == nil {
				query(t, in, `SELECT count(*) FROM audit_log`)
				in.Close(t.Context())
			}
		}
	}
}

// TestGrant_atOnce: init containers may grant at the same time.
func TestGrant_atOnce(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	app := newRole(t, dsn)
	done := make(chan error)
	for range 4 {
		go func() { done <- ours(dsn).Grant(context.Background(), migrate.Roles{App: app}) }()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestGrant_refused: what cannot be granted is one sentence, and nothing of it is granted.
func TestGrant_refused(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	app := newRole(t, dsn)
	conn := connect(t, dsn)
	var me string
	if err := conn.QueryRow(t.Context(), `SELECT current_user`).Scan(&me); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		to   migrate.Roles
		says string
	}{
		"no such server":  {migrate.Roles{App: "no one"}, `there is no role "no one": create it first`},
		"no such auditor": {migrate.Roles{App: app, Auditor: "no one"}, `there is no role "no one"`},
		"one role":        {migrate.Roles{App: app, Auditor: app}, "two roles"},
		"the owner":       {migrate.Roles{App: me}, "may do all that the owner of the tables may"},
	} {
		err := ours(dsn).Grant(t.Context(), c.to)
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	if got := privilegesOf(t, conn, app); len(got) > 0 {
		t.Errorf("refusals granted %q", got)
	}
	query(t, conn, `UPDATE schema_migrations SET dirty = true`)
	wantDirty(t, ours(dsn).Grant(t.Context(), migrate.Roles{App: app}), migrate.Committed, migrations.Latest(),
		migrations.Latest())
	err := ours(postgrestest.Empty(t)).Grant(t.Context(), migrate.Roles{App: app})
	if err == nil || !strings.Contains(err.Error(), "apply the migrations before the grants") {
		t.Errorf("without a schema: %v", err)
	}
}

// TestGrant_notOurDatabase: a role that migrates a database of another owner is told what that owner has to run, and
// with that done it can grant.
func TestGrant_notOurDatabase(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Empty(t)
	migrator, app := newRole(t, dsn), newRole(t, dsn)
	conn := connect(t, dsn)
	query(t, conn, `CREATE SCHEMA registry AUTHORIZATION `+pgx.Identifier{migrator}.Sanitize())
	database := pgx.Identifier{conn.Config().Database}.Sanitize()
	query(t, conn, fmt.Sprintf(`ALTER ROLE %s IN DATABASE %s SET search_path = registry`,
		pgx.Identifier{migrator}.Sanitize(), database))
	s := ours(as(t, dsn, migrator))
	mustUp(t, s)
	err := s.Grant(t.Context(), migrate.Roles{App: app})
	revoke := `REVOKE CONNECT ON DATABASE ` + database + ` FROM PUBLIC`
	if err == nil || !strings.Contains(err.Error(), revoke) {
		t.Fatalf("%v, want it to say %s", err, revoke)
	}
	query(t, conn, revoke)
	for _, role := range []string{migrator, app} {
		query(t, conn, `GRANT CONNECT ON DATABASE `+database+` TO `+pgx.Identifier{role}.Sanitize())
	}
	if err := s.Grant(t.Context(), migrate.Roles{App: app}); err != nil {
		t.Error(err)
	}
}
