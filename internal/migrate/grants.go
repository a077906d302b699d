package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/migrations"
)

// Roles are those that Grant grants to. Auditor may be empty.
type Roles struct {
	App     string // of the server
	Auditor string // reads the audit log, and nothing else
}

// Grant gives each role the privileges that s.Tables list for it, and no other one on these tables, and takes CONNECT
// on the database from PUBLIC: who can connect can hold the advisory locks that changes need. All of it is one
// transaction, and may be repeated. The roles must exist and own none of the tables, and the schema must be as new as
// the files.
func (s Schema) Grant(ctx context.Context, to Roles) error {
	sess, result, at, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer sess.close()
	switch {
	case at.Dirty:
		return sess.diagnose(ctx, at, nil)
	case at.Version < result.Latest:
		return fmt.Errorf("the schema is at version %d, this build needs %d: apply the migrations before the grants",
			at.Version, result.Latest)
	}
	if err := sess.compare(ctx, s.Tables, at.Version); err != nil {
		return err
	}
	tx, err := sess.conn.Begin(ctx)
	if err != nil {
		return sess.lost(ctx, err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	g := grants{session: sess, tx: tx, tables: s.Tables}
	if err := g.apply(ctx, to); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return sess.lost(ctx, err)
	}
	return nil
}

// grants is the transaction of a Grant.
type grants struct {
	*session
	tx     pgx.Tx
	tables []migrations.Table
}

func (g grants) apply(ctx context.Context, to Roles) error {
	if to.App == to.Auditor {
		return errors.New("the server and the auditor need two roles: name another one")
	}
	database := pgx.Identifier{g.database}.Sanitize()
	if err := g.exec(ctx, `REVOKE ALL ON `+g.list()+` FROM PUBLIC`); err != nil {
		return err
	}
	// Who may create functions in the schema could have the owner's functions call them.
	if err := g.exec(ctx, `REVOKE CREATE ON SCHEMA `+pgx.Identifier{g.schema}.Sanitize()+` FROM PUBLIC`); err != nil {
		return err
	}
	// Who owns the database needs no privilege; another role that migrates would lock itself out.
	if err := g.exec(ctx, `GRANT CONNECT ON DATABASE `+database+` TO SESSION_USER`); err != nil {
		return err
	}
	if err := g.exec(ctx, `REVOKE CONNECT ON DATABASE `+database+` FROM PUBLIC`); err != nil {
		return err
	}
	for _, role := range []struct {
		name string
		of   func(migrations.Table) privileges
	}{
		{to.App, func(t migrations.Table) privileges { return privileges{t.App, t.AppFunctions} }},
		{to.Auditor, func(t migrations.Table) privileges { return privileges{t.Auditor, nil} }},
	} {
		if role.name == "" {
			continue
		}
		if err := g.grant(ctx, role.name, database, role.of); err != nil {
			return err
		}
	}
	return g.checkOwned(ctx, to)
}

// privileges are those on one table, and the functions of it that may be called.
type privileges struct{ table, functions []string }

// grant gives one role what it needs, in place of what it had.
func (g grants) grant(
	ctx context.Context, name, database string, needs func(migrations.Table) privileges,
) error {
	if err := g.checkRole(ctx, name); err != nil {
		return err
	}
	role := pgx.Identifier{name}.Sanitize()
	statements := []string{
		`GRANT CONNECT ON DATABASE ` + database + ` TO ` + role,
		`GRANT USAGE ON SCHEMA ` + pgx.Identifier{g.schema}.Sanitize() + ` TO ` + role,
		`REVOKE CREATE ON SCHEMA ` + pgx.Identifier{g.schema}.Sanitize() + ` FROM ` + role,
		`REVOKE ALL ON ` + g.list() + ` FROM ` + role,
	}
	for _, t := range g.tables {
		needed := needs(t)
		if len(needed.table) > 0 {
			statements = append(statements, `GRANT `+strings.Join(needed.table, ", ")+` ON `+g.qualified(t)+` TO `+role)
		}
		for _, function := range t.AppFunctions {
			name := `FUNCTION ` + pgx.Identifier{g.schema}.Sanitize() + `.` + function
			statements = append(statements, `REVOKE ALL ON `+name+` FROM PUBLIC`, `REVOKE ALL ON `+name+` FROM `+role)
			if slices.Contains(needed.functions, function) {
				statements = append(statements, `GRANT EXECUTE ON `+name+` TO `+role)
			}
		}
	}
	for _, sql := range statements {
		if err := g.exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// checkRole refuses a role that is not there, or that grants would not bind.
func (g grants) checkRole(ctx context.Context, name string) error {
	const owns = `
		SELECT EXISTS (SELECT FROM unnest($2::text[]) AS t (name) JOIN pg_class c ON c.oid = to_regclass(t.name)
			WHERE pg_has_role(r.oid, c.relowner, 'MEMBER'))
		FROM pg_roles r WHERE r.rolname = $1`
	names := make([]string, len(g.tables))
	for i, t := range g.tables {
		names[i] = g.qualified(t)
	}
	var owner bool
	switch err := g.tx.QueryRow(ctx, owns, name, names).Scan(&owner); {
	case errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("there is no role %q: create it first, CREATE ROLE %s LOGIN", name,
			pgx.Identifier{name}.Sanitize())
	case err != nil:
		return g.lost(ctx, err)
	case owner:
		return fmt.Errorf("the role %q may do all that the owner of the tables may, so grants do not bind it: "+
			"name another one, that is no superuser and no member of the owner", name)
	}
	return nil
}

// checkOwned finds what Postgres only warns of: who does not own the database or the schema cannot change its
// privileges.
func (g grants) checkOwned(ctx context.Context, to Roles) error {
	const state = `
		SELECT has_database_privilege('public', $2, 'CONNECT') OR NOT bool_and(
				has_database_privilege(r.name, $2, 'CONNECT')), NOT bool_and(has_schema_privilege(r.name, $3, 'USAGE'))
		FROM unnest($1::text[]) AS r (name) WHERE r.name <> ''`
	var open, hidden bool
	roles := []string{to.App, to.Auditor}
	if err := g.tx.QueryRow(ctx, state, roles, g.database, g.schema).Scan(&open, &hidden); err != nil {
		return g.lost(ctx, err)
	}
	const remedy = "this role may not change who uses the %[1]s: its owner has to run %[2]s"
	switch {
	case open:
		name := pgx.Identifier{g.database}.Sanitize()
		return fmt.Errorf(remedy+", then repeat the grants", "database", "GRANT CONNECT ON DATABASE "+name+
			" TO each role that needs it, and REVOKE CONNECT ON DATABASE "+name+" FROM PUBLIC")
	case hidden:
		return fmt.Errorf(remedy+" TO each role, then repeat the grants", "schema",
			"GRANT USAGE ON SCHEMA "+pgx.Identifier{g.schema}.Sanitize())
	}
	return nil
}

func (g grants) exec(ctx context.Context, sql string) error {
	if _, err := g.tx.Exec(ctx, sql); err != nil {
		return g.lost(ctx, err)
	}
	return nil
}

func (g grants) qualified(t migrations.Table) string {
	return pgx.Identifier{g.schema, t.Name}.Sanitize()
}

func (g grants) list() string {
	names := make([]string, len(g.tables))
	for i, t := range g.tables {
		names[i] = g.qualified(t)
	}
	return strings.Join(names, ", ")
}
