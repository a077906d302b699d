// Package internal_test holds the tests of the project's shape: who may import whom, and that what is written about the project is so.
package internal_test

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/breakpilot/tenant-registry/"

// mayImport says for each package which others of ours its non-test files may import.
var mayImport = map[string][]string{
	"migrations":                           {},
	"internal/registry":                    {},
	"internal/config":                      {},
	"internal/telemetry":                   {},
	"internal/telemetry/telemetrytest":     {},
	"internal/migrate":                     {},
	"internal/store/memory":                {"internal/registry"},
	"internal/store/cache":                 {"internal/registry"},
	"internal/store/postgres":              {"internal/registry"},
	"internal/store/storetest":             {"internal/registry"},
	"internal/store/postgres/postgrestest": {"internal/migrate", "migrations"},
	"internal/auth":                        {},
	"internal/auth/authtest":               {"internal/auth"},
	"internal/server":                      {"internal/auth", "internal/registry"},
	"cmd/migrate":                          {"internal/migrate", "migrations"},
	"internal/bench": {
		"internal/auth", "internal/auth/authtest", "internal/migrate", "internal/registry", "internal/store/postgres",
		"internal/store/postgres/postgrestest", "migrations",
	},
	"cmd/server": {
		"internal/auth", "internal/config", "internal/registry", "internal/server", "internal/store/cache", "internal/store/memory",
		"internal/store/postgres", "internal/telemetry", "migrations",
	},
}

// onlyIn says which packages may import a library that stands for a room: SQL is a store's, HTTP the server's.
var onlyIn = map[string][]string{
	"github.com/jackc/pgx/v5": {
		"internal/store/postgres", "internal/store/postgres/postgrestest", "internal/migrate", "internal/telemetry", "internal/bench",
	},
	"github.com/golang-migrate/migrate/v4": {"internal/migrate"},
	"github.com/maypok86/otter/v2":         {"internal/store/cache"},
	"net/http": {
		"internal/auth", "internal/auth/authtest", "internal/server", "internal/telemetry", "internal/telemetry/telemetrytest", "cmd/server", "internal/bench",
	},
	"go.opentelemetry.io":                         {"internal/telemetry", "internal/telemetry/telemetrytest"},
	"github.com/getkin/kin-openapi":               {},
	"github.com/testcontainers/testcontainers-go": {"internal/store/postgres/postgrestest"},
	"testing": {
		"internal/auth/authtest", "internal/store/storetest", "internal/store/postgres/postgrestest", "internal/telemetry/telemetrytest",
	},
}

type listed struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var found []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); err == io.EOF {
			return found
		} else if err != nil {
			t.Fatal(err)
		}
		found = append(found, p)
	}
}

func TestImports(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		if p.ImportPath+"/" == module || name == "internal" {
			continue // only tests
		}
		allowed, known := mayImport[name]
		if !known {
			t.Errorf("%s is a new room: say in mayImport what it may import, and in CONTRIBUTING.md what belongs there", name)
		}
		for _, path := range p.Imports {
			if ours, is := strings.CutPrefix(path, module); is && !slices.Contains(allowed, ours) {
				t.Errorf("%s must not import %s: see \"Where a line of code goes\" in CONTRIBUTING.md", name, ours)
			}
			for library, rooms := range onlyIn {
				if (path == library || strings.HasPrefix(path, library+"/")) && !slices.Contains(rooms, name) {
					t.Errorf("%s must not import %s: that belongs in %s", name, path, strings.Join(rooms, ", "))
				}
			}
		}
	}
}

func TestTopLevel(t *testing.T) {
	t.Parallel()
	allowed := []string{
		"cmd", "internal", "migrations", "openapi.yaml", "openapi_test.go", "Makefile", "Dockerfile", "go.mod", "go.sum", "README.md",
		"CONTRIBUTING.md", "LICENSE", "bin",
	}
	found, err := filepath.Glob("../*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range found {
		if name := filepath.Base(path); !strings.HasPrefix(name, ".") && !slices.Contains(allowed, name) {
			t.Errorf("%s stands at the top level, where only these do: %s", name, strings.Join(allowed, ", "))
		}
	}
}

// TestEnvironment holds that only the programs and the tests read the environment: the rest is told.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	err := filepath.WalkDir("..", func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		told := !strings.Contains(path, "/cmd/") && !strings.Contains(path, "/bench/") && !strings.Contains(path, "/postgrestest/")
		if told && strings.Contains(string(text), "os.Getenv") {
			t.Errorf("%s reads the environment; only the programs do, and pass on what was read", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
