package migrations_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

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
