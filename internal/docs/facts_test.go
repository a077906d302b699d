package docs_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/migrations"
)

// TestFacts_verify compares what the pages say of verify with the code.
func TestFacts_verify(t *testing.T) {
	t.Parallel()
	codes := []registry.VerifyCode{
		registry.Malformed, registry.KeyNotFound, registry.KeyRevoked, registry.KeyDisabled, registry.KeyExpired,
		registry.TenantFrozen, registry.NotEntitled, registry.InsufficientScope, registry.Valid,
	}
	var listed []registry.VerifyCode
	list := quoted(t, "answers 200 with a `code`, the first that applies of ([^.]*)\\.")
	for _, word := range regexp.MustCompile("`([A-Z_]+)`").FindAllStringSubmatch(list, -1) {
		listed = append(listed, registry.VerifyCode(word[1]))
	}
	if !slices.Equal(codes, listed) {
		t.Errorf("the page lists %q, the code has %q", listed, codes)
	}
	if quoted(t, "may cache a verdict for `max_age_seconds`, at most (\\w+)\\.") != fmt.Sprint(registry.MaxAge) {
		t.Errorf("a verdict may be cached for %d seconds", registry.MaxAge)
	}
}

// TestFacts_start compares what the README and the pages say of setting the service up with what it takes.
func TestFacts_start(t *testing.T) {
	t.Parallel()
	if tenant := quoted(t, "seeded with the tenant `acme` \\(id `([^`]+)`\\)"); tenant != registry.AcmeID.String() {
		t.Errorf("acme is %s", registry.AcmeID)
	}
	if version := quoted(t, `You need Go ([0-9.]+) or later`); !strings.Contains(read(t, "go.mod"), "\ngo "+version) {
		t.Errorf("go.mod requires another Go than %s", version)
	}
	if _, err := pgx.ParseConfig("postgres://h/d?" + quoted(t, "set\\s+`(default_query_exec_mode=\\w+)`")); err != nil {
		t.Error(err)
	}
}

// TestFacts_otel asserts that telemetry reads the variables that the page lists.
func TestFacts_otel(t *testing.T) {
	t.Parallel()
	settings := read(t, "internal/telemetry/settings.go")
	signal := regexp.MustCompile(`_(TRACES|METRICS|LOGS)_ENDPOINT`)
	for _, row := range table(t, page("operations"), "Observability") {
		for _, name := range regexp.MustCompile("`([A-Z_]+)`").FindAllStringSubmatch(row[0], -1) {
			general := signal.ReplaceAllString(name[1], "_{signal}_ENDPOINT")
			if !strings.Contains(settings, general+" ") {
				t.Errorf("telemetry does not read %s", name[1])
			}
		}
	}
}

// TestFacts_privileges compares the privileges that the page lists with those that are granted.
func TestFacts_privileges(t *testing.T) {
	t.Parallel()
	listed := map[string][2]string{}
	for _, row := range table(t, page("operations"), "Privileges") {
		for _, name := range strings.Split(row[0], ", ") {
			listed[bare(name)] = [2]string{row[1], row[2]}
		}
	}
	for _, table := range migrations.Tables {
		want := [2]string{strings.Join(table.App, ", "), strings.Join(table.Auditor, ", ")}
		if listed[table.Name] != want {
			t.Errorf("the page says %q of %s, granted is %q", listed[table.Name], table.Name, want)
		}
		for _, function := range table.AppFunctions {
			name, _, _ := strings.Cut(function, "(")
			if got := quoted(t, "The server also gets EXECUTE on the function `(\\w+)`"); got != name {
				t.Errorf("the page names the function %s, granted is %s", got, name)
			}
		}
	}
	if len(listed) != len(migrations.Tables) {
		t.Errorf("the page lists %d tables, there are %d", len(listed), len(migrations.Tables))
	}
}
