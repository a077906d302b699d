package migrations

import (
	"fmt"
	"slices"
	"strings"
)

// Table is a table that the program uses.
type Table struct {
	Name string
	// Columns are those that the program reads or writes. A migration that adds one adds it here, too.
	Columns []Columns
	// App and Auditor are the privileges that the role of the server and that of an auditor need, and no others.
	App, Auditor []string
	// AppFunctions are functions, with the types of their arguments, that the role of the server needs, and no other.
	AppFunctions []string
}

// Columns are columns that the schema has since one version: "name type", separated by commas.
type Columns struct {
	Since uint
	List  string
}

// Tables are all tables that the program uses: what "migrate grants" grants, and what "migrate up" and /readyz look for
// in a database.
var Tables = []Table{
	{
		Name:    "schema_migrations", // golang-migrate makes it
		Columns: []Columns{{1, `version bigint, dirty boolean`}},
		App:     []string{"SELECT"},
	},
	{
		Name: "tenants",
		Columns: []Columns{{1, `
			id uuid, slug text, name text, status tenant_status, region text, external_id text, keycloak_org_id text,
			metadata jsonb, version bigint, created_at timestamp with time zone, updated_at timestamp with time zone,
			activated_at timestamp with time zone, frozen_at timestamp with time zone`}},
		App: []string{"SELECT", "INSERT", "UPDATE"},
	},
	{
		Name: "products",
		Columns: []Columns{{1, `
			key text, name text, description text, audience text, requestable boolean, trial_days integer,
			default_limits jsonb, default_config jsonb, available_from timestamp with time zone,
			available_until timestamp with time zone, created_at timestamp with time zone,
			updated_at timestamp with time zone`}},
		App: []string{"SELECT", "INSERT"},
	},
	{
		Name: "catalog_requests",
		Columns: []Columns{{1, `
			id uuid, tenant_id uuid, product_key text, status catalog_request_status, message text, requested_by text,
			decided_by text, decided_at timestamp with time zone, decision_reason text,
			created_at timestamp with time zone, updated_at timestamp with time zone`}},
		App: []string{"SELECT", "INSERT", "UPDATE"},
	},
	{
		Name: "entitlements",
		Columns: []Columns{{1, `
			id uuid, tenant_id uuid, product_key text, source entitlement_source, starts_at timestamp with time zone,
			ends_at timestamp with time zone, revoked_at timestamp with time zone, limits jsonb, config jsonb,
			request_id uuid, created_at timestamp with time zone, updated_at timestamp with time zone`}},
		App: []string{"SELECT", "INSERT"},
	},
	{
		Name: "api_keys",
		Columns: []Columns{{1, `
			id uuid, tenant_id uuid, name text, environment text, product_key text, scopes text[], prefix text,
			hash bytea, previous_hash bytea, previous_ends_at timestamp with time zone, previous_ended boolean,
			previous_used_at timestamp with time zone, rotated_at timestamp with time zone,
			expires_at timestamp with time zone, disabled boolean, last_used_at timestamp with time zone,
			version bigint, created_by text, created_at timestamp with time zone, updated_at timestamp with time zone,
			revoked_at timestamp with time zone, revoked_by text, revoke_reason text`}},
		App: []string{"SELECT", "INSERT", "UPDATE"},
	},
	{
		Name: "audit_log",
		Columns: []Columns{{1, `
			pos bigint, id uuid, group_id uuid, seq bigint, tenant_id uuid, group_name text, action text, area text,
			crud audit_crud, actor_id text, actor_name text, actor_href text, actor_type text, actor_fields jsonb,
			on_behalf_of_id text, on_behalf_of_name text, target_id text, target_name text, target_href text,
			target_type text, target_fields jsonb, source_ip text,
			description text, is_failure boolean, is_anonymous boolean, fields jsonb, component text, version text,
			external_id text, metadata jsonb, created timestamp with time zone, received timestamp with time zone,
			correlation_id text, emitter_id text, emitter_name text, hash bytea, erase jsonb, actor_salt bytea,
			emitter_salt bytea, fields_salt bytea, group_salt bytea, hash_salt bytea, metadata_salt bytea,
			on_behalf_of_salt bytea, source_salt bytea, target_salt bytea, text_salt bytea, marks jsonb,
			digests jsonb, prev_chain_hash bytea,
			chain_hash bytea, idempotency_key bytea, idempotency_fingerprint bytea, idempotency_ordinal integer`}},
		App:          []string{"SELECT", "INSERT"},
		Auditor:      []string{"SELECT"},
		AppFunctions: []string{"audit_log_erase(uuid, uuid, bigint[], text[], text[])"},
	},
}

// TableNames are the names of tables.
func TableNames(tables []Table) []string {
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = t.Name
	}
	return names
}

// Column is a column as a database has it, with its type as Postgres writes it.
type Column struct{ Table, Name, Type string }

// ColumnsSQL reads the Columns of the tables that are in the search_path and whose names are given as a list. The type
// is without its length, and of a domain that of its values.
const ColumnsSQL = `
	SELECT t.name, a.attname, format_type(CASE y.typtype WHEN 'd' THEN y.typbasetype ELSE y.oid END, NULL)
	FROM unnest($1::text[]) AS t (name)
	JOIN pg_attribute a ON a.attrelid = to_regclass(t.name) AND a.attnum > 0 AND NOT a.attisdropped
	JOIN pg_type y ON y.oid = a.atttypid`

// Mismatch is one sentence about the first table or column of tables that a database does not have at a version of the
// schema, or that has a type which the program cannot read; empty: there is none. Columns that are not listed do not
// count: a newer release added them.
func Mismatch(tables []Table, version uint, has []Column) string {
	types := map[string]map[string]string{}
	for _, c := range has {
		if types[c.Table] == nil {
			types[c.Table] = map[string]string{}
		}
		types[c.Table][c.Name] = c.Type
	}
	if len(tables) > 1 && !slices.ContainsFunc(tables[1:], func(t Table) bool { return types[t.Name] != nil }) {
		return "schema_migrations is there, but no table of this program: it belongs to another service, so use " +
			"another database, or another schema by search_path"
	}
	for _, table := range tables {
		for _, since := range table.Columns {
			if since.Since > version {
				continue
			}
			if problem := since.mismatch(table.Name, types[table.Name]); problem != "" {
				return problem + ": restore it, or use a database of this program's own"
			}
		}
	}
	return ""
}

func (c Columns) mismatch(table string, types map[string]string) string {
	if types == nil {
		return fmt.Sprintf("there is no table %s", table)
	}
	for name, want := range c.all() {
		switch is, there := types[name]; {
		case !there:
			return fmt.Sprintf("the table %s has no column %s", table, name)
		case !readable(want, is):
			return fmt.Sprintf("the column %s of the table %s is of type %s, this program needs %s",
				name, table, is, want)
		}
	}
	return ""
}

// all goes through the names and types.
func (c Columns) all() func(yield func(name, kind string) bool) {
	return func(yield func(name, kind string) bool) {
		for column := range strings.SplitSeq(c.List, ",") {
			if name, kind, _ := strings.Cut(strings.TrimSpace(column), " "); !yield(name, kind) {
				return
			}
		}
	}
}

// readable reports whether the program can read and write a type in the place of another.
func readable(want, is string) bool {
	texts := []string{"text", "character varying", "character"}
	integers := []string{"bigint", "integer", "smallint"}
	switch {
	case is == want:
		return true
	case want == "text":
		return slices.Contains(texts, is)
	case want == "text[]":
		return is == "character varying[]"
	case slices.Contains(integers, want):
		return slices.Contains(integers, is)
	}
	return false
}
