package internal_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/server"
)

// frozenDialect are words of a private dialect that no frozen name may have: the schema, metrics and problem codes are
// used elsewhere and can never be renamed. (The names of openapi.yaml are held by openapi_test.go.)
var frozenDialect = []string{
	"once", "print", "tell", "touched", "keeping", "shelf", "mend", "whoever", "nobody", "somebody", "wish", "alike",
}

var (
	capital     = regexp.MustCompile(`([a-z0-9])([A-Z])`)
	wordBorders = regexp.MustCompile(`[^A-Za-z]+`)
	identifier  = regexp.MustCompile(`\b[a-z][a-z0-9_]*\b`)
	metricName  = regexp.MustCompile(`"(tenant_registry\.[a-z_.]+)"`)
	sqlComment  = regexp.MustCompile(`(?m)--.*$`)
)

// dialectOf is the word of the dialect that a name has, between "_", "." and capitals; empty if it has none.
func dialectOf(name string) string {
	for _, part := range wordBorders.Split(capital.ReplaceAllString(name, "$1 $2"), -1) {
		if word := strings.ToLower(part); slices.Contains(frozenDialect, word) {
			return word
		}
	}
	return ""
}

func checkFrozen(t *testing.T, where, name string) {
	t.Helper()
	if word := dialectOf(name); word != "" {
		t.Errorf("%s: the name %s has the word %s: use the field's (CONTRIBUTING.md, \"Style\")", where, name, word)
	}
}

func TestWords_schema(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal("there are no migrations", err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range identifier.FindAllString(sqlComment.ReplaceAllString(string(text), ""), -1) {
			checkFrozen(t, path, name)
		}
	}
}

func TestWords_metrics(t *testing.T) {
	t.Parallel()
	found := 0
	sources(t, func(path string, text []byte) {
		for _, name := range metricName.FindAllStringSubmatch(string(text), -1) {
			found++
			checkFrozen(t, path, name[1])
		}
	})
	if found < 2 {
		t.Errorf("%d metrics found: the test shows nothing", found)
	}
}

func TestWords_problemCodes(t *testing.T) {
	t.Parallel()
	for code := range server.Problems() {
		checkFrozen(t, "problems", code)
	}
}

// The check finds what it is for.
func TestWords_control(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"once_key": true, "tenants_tell": true, "cache.keeping": true, "ProductWish": true, "oncelike": false,
		"fingerprint": false, "intelligence": false, "amendment": false,
	} {
		got := dialectOf(name) != ""
		if got != want {
			t.Errorf("%s has a word of the dialect: %t, want %t", name, got, want)
		}
	}
}
