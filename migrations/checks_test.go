package migrations_test

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
)

// Products are added by hand too, so the table takes only what the program can read.
func TestProductChecks(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), postgrestest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	insert := func(name, limits, config, until string) error {
		_, err := conn.Exec(t.Context(), `
			INSERT INTO products (key, name, description, audience, requestable, trial_days, default_limits,
				default_config, available_from, available_until, created_at, updated_at)
			VALUES ('k' || md5(random()::text), $1, '', 'public', true, 14, $2, $3,
				'2026-01-01Z', $4::text::timestamptz, now(), now())`,
			name, limits, config, until)
		return err
	}
	for name, c := range map[string]struct {
		name, limits, config, until string
		taken                       bool
	}{
		"limits and config": {
			"P", `{"seats": 5, "projects": null, "big": 9223372036854775807}`, `{"a": [1.5]}`, "2027-01-01Z", true,
		},
		"neither":            {"P", `{}`, `{}`, "2027-01-01Z", true},
		"no name":            {"", `{}`, `{}`, "2027-01-01Z", false},
		"a fraction":         {"P", `{"seats": 1.5}`, `{}`, "2027-01-01Z", false},
		"a text":             {"P", `{"seats": "5"}`, `{}`, "2027-01-01Z", false},
		"over 64 bits":       {"P", `{"seats": 9223372036854775808}`, `{}`, "2027-01-01Z", false},
		"limits as an array": {"P", `[]`, `{}`, "2027-01-01Z", false},
		"limits as null":     {"P", `null`, `{}`, "2027-01-01Z", false},
		"config as null":     {"P", `{}`, `null`, "2027-01-01Z", false},
		"config as an array": {"P", `{}`, `[1]`, "2027-01-01Z", false},
		"no end in sight":    {"P", `{}`, `{}`, "infinity", false},
		"ends before it is":  {"P", `{}`, `{}`, "2025-01-01Z", false},
	} {
		if err := insert(c.name, c.limits, c.config, c.until); (err == nil) != c.taken {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// unreadable are values of the kinds of columns that are held to what the program can read, and which of them it can.
var unreadable = map[string]map[string]bool{
	"are_limits": {
		`{}`: true, `{"seats": 5, "projects": null, "big": 9223372036854775807, "least": -9223372036854775808}`: true,
		`{"seats": 1e3}`: true, `{"seats": -0}`: true,
		`{"seats": 1.5}`: false, `{"seats": 10.0}`: false, `{"seats": 1e400}`: false, `{"seats": "5"}`: false,
		`{"seats": true}`: false, `{"seats": [5]}`: false, `{"seats": []}`: false, `{"seats": {"n": 5}}`: false,
		`{"seats": 9223372036854775808}`: false, `{"seats": -9223372036854775809}`: false,
		`[]`: false, `[5]`: false, `null`: false, `5`: false,
	},
	"are_texts": {
		`{}`: true, `{"a": "", "b": "5"}`: true,
		`{"a": null}`: false, `{"a": 5}`: false, `{"a": ["x"]}`: false, `{"a": []}`: false, `{"a": {"b": "x"}}`: false,
		`["x"]`: false, `null`: false, `"x"`: false,
	},
	"is_config": {
		`{}`: true, `{"a": [1.5, null, {"b": true}]}`: true, nested(32): true, nested(33): false, nested(3000): false,
		`[]`: false, `null`: false,
	},
	"is_erasure": {
		`{"events": 1, "first": 9, "parts": 9007199254740991, "set": "` + digest + `"}`: true,
		`{"events": 0, "first": 9, "parts": 3, "set": "` + digest + `"}`:                false,
		`{"events": 1, "first": 9, "parts": 3, "set": "` + digest[1:] + `"}`:            false,
		`{"events": 1.5, "first": 9, "parts": 3, "set": "` + digest + `"}`:              false,
		`{"events": "1", "first": 9, "parts": 3, "set": "` + digest + `"}`:              false,
		`{"events": 1, "parts": 3, "set": "` + digest + `"}`:                            false,
		`{"events": 1, "first": 9, "parts": 3}`:                                         false,
		`{}`:                                                                            false, `[]`: false,
	},
	"is_time": {
		"0001-01-01T00:00:00Z": true, "9999-12-31T23:59:59.999999Z": true,
		"infinity": false, "-infinity": false, "10000-01-01T00:00:00Z": false, "0001-12-31T23:59:59Z BC": false,
	},
}

// nested is a configuration with a value so many levels down, in objects and arrays in turn.
func nested(levels int) string {
	text := "1"
	for i := range levels - 1 {
		if text = `[` + text + `]`; i%2 == 1 {
			text = `{"a": ` + text[1:len(text)-1] + `}`
		}
	}
	return `{"a": ` + text + `}`
}

func TestChecks_values(t *testing.T) {
	t.Parallel()
	conn := connect(t, postgrestest.New(t))
	types := map[string]string{"is_time": "timestamptz"}
	for check, values := range unreadable {
		for value, readable := range values {
			var got bool
			sql := fmt.Sprintf(`SELECT %s($1::text::%s)`, check, cmp.Or(types[check], "jsonb"))
			if err := conn.QueryRow(t.Context(), sql, value).Scan(&got); err != nil || got != readable {
				t.Errorf("%s of %.60s: %t, %v; want %t", check, value, got, err, readable)
			}
		}
	}
}

// TestChecks_everyColumn: each column of times, and each of JSON, is held to what the program can read.
func TestChecks_everyColumn(t *testing.T) {
	t.Parallel()
	conn := connect(t, postgrestest.New(t))
	const columns = `
		SELECT a.attrelid::regclass || '.' || a.attname || ' ' || format_type(a.atttypid, NULL)
		FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0
			AND a.atttypid IN ('jsonb'::regtype, 'timestamptz'::regtype)
			AND NOT EXISTS (
				SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c'
					AND pg_get_constraintdef(k.oid) ~
						('(are_limits|are_texts|is_config|is_erasure|is_time)\(' || a.attname || '\)'))`
	for _, column := range list(t, conn, columns) {
		t.Errorf("%s may hold what the program cannot read", column)
	}
}

const salt = `uuid_send(gen_random_uuid())`

// TestChecks_rows: what the program could not read does not get into a row.
func TestChecks_rows(t *testing.T) {
	t.Parallel()
	conn := connect(t, postgrestest.New(t))
	seed(t, conn)
	event := func(column, value string) string {
		insert := fmt.Sprintf(insertEvent, 3, acme, 2, `sha256('c')`)
		insert = strings.Replace(insert, "(pos,", "("+column+", pos,", 1)
		return strings.Replace(insert, "SELECT ", "SELECT "+value+", ", 1)
	}
	late := strings.Replace(event("source_ip, source_salt", `'x', `+salt), "now()", "timestamptz 'infinity'", 1)
	for statement, constraint := range map[string]string{
		`UPDATE tenants SET metadata = '{"a": 1}'`:                  "tenants_metadata_check",
		`UPDATE tenants SET frozen_at = 'infinity'`:                 "tenants_times_check",
		`UPDATE products SET updated_at = '-infinity'`:              "products_times_check",
		`UPDATE products SET default_limits = '{"seats": 10.0}'`:    "products_limits_check",
		`UPDATE products SET default_config = '` + nested(33) + `'`: "products_config_check",
		`UPDATE catalog_requests SET created_at = 'infinity'`:       "catalog_requests_times_check",
		`UPDATE entitlements SET ends_at = 'infinity'`:              "entitlements_times_check",
		`UPDATE entitlements SET limits = '{"seats": [5]}'`:         "entitlements_limits_check",
		`UPDATE entitlements SET config = '` + nested(33) + `'`:     "entitlements_config_check",
		`UPDATE api_keys SET expires_at = 'infinity'`:               "api_keys_times_check",
		`UPDATE api_keys SET scopes = '{a, NULL}'`:                  "api_keys_scopes_check",
		`UPDATE api_keys SET scopes = '{{a}, {b}}'`:                 "api_keys_scopes_check",
		event("fields, fields_salt", `'{"a": 1}'::jsonb, `+salt):    "audit_log_fields_check",
		event("metadata, metadata_salt", `'null'::jsonb, `+salt):    "audit_log_fields_check",
		event("actor_fields", `'{"a": null}'::jsonb`):               "audit_log_fields_check",
		event("target_fields", `'{"a": ["x"]}'::jsonb`):             "audit_log_fields_check",
		event("fields", `'{}'::jsonb`):                              "audit_log_salts_check",
		event("actor_salt", salt):                                   "audit_log_salts_check",
		event("version", `'1'`):                                     "audit_log_salts_check",
		event("hash", `sha256('a')`):                                "audit_log_salts_check",
		event("group_name, group_salt", `'Acme', sha256('a')`):      "audit_log_salt_lengths_check",
		event("hash, hash_salt", `'x'::bytea, `+salt):               "audit_log_hashes_check",
		event("erase", `'{}'::jsonb`):                               "audit_log_erase_check",
		event("marks", `'{}'::jsonb`):                               "audit_log_places",
		event("digests", `'{}'::jsonb`):                             "audit_log_places",
		late:                                                        "audit_log_times_check",
	} {
		_, err := conn.Exec(t.Context(), statement)
		var pgErr *pgconn.PgError
		if !errors.As(err, &pgErr) || pgErr.ConstraintName != constraint {
			t.Errorf("%.80s: %v, want it refused by %s", statement, err, constraint)
		}
	}
	for _, statement := range []string{
		`UPDATE tenants SET metadata = '{"a": "1"}', frozen_at = '9999-12-31Z'`,
		`UPDATE entitlements SET limits = '{"seats": 10}', config = '` + nested(32) + `'`,
		`UPDATE api_keys SET scopes = '{a, b}', expires_at = '0001-01-01Z'`,
		event("fields, fields_salt", `'{"a": "1"}'::jsonb, `+salt),
	} {
		exec(t, conn, statement)
	}
}
