// Package internal_test holds the project to its shape: who may import whom, how long functions and files are, and
// which words are not used where names are frozen.
package internal_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/breakpilot/tenant-registry/"

// mayImport lists for each package which others of ours its non-test files may import.
var mayImport = map[string][]string{
	"migrations":         {},
	"internal/timestamp": {},
	"internal/apikey":    {},
	"internal/violation": {},
	"internal/docs":      {},
	"internal/config":    {"internal/dsn", "internal/share"},
	"internal/telemetry": {},
	"internal/dsn":       {},
	"internal/migrate":   {"internal/dsn", "migrations"},
	"internal/auth":      {},
	"internal/audit":     {"internal/timestamp"},
	"internal/registry": {
		"internal/apikey", "internal/audit", "internal/share", "internal/timestamp", "internal/violation",
	},
	"internal/share":      {},
	"internal/server/web": {"internal/timestamp", "internal/violation"},
	"internal/server": {
		"internal/apikey", "internal/audit", "internal/auth", "internal/docs", "internal/registry",
		"internal/server/web", "internal/share", "internal/timestamp", "internal/violation",
	},
	"internal/store/memory": {"internal/apikey", "internal/audit", "internal/registry", "internal/timestamp"},
	"internal/store/cache":  {"internal/apikey", "internal/registry"},
	"internal/store/postgres": {
		"internal/apikey", "internal/audit", "internal/dsn", "internal/registry", "internal/timestamp",
		"migrations",
	},

	"cmd/migrate": {"internal/config", "internal/dsn", "internal/migrate", "migrations"},
	"cmd/server": {
		"internal/audit", "internal/auth", "internal/config", "internal/dsn", "internal/registry", "internal/server",
		"internal/share", "internal/store/cache", "internal/store/memory", "internal/store/postgres",
		"internal/telemetry", "migrations",
	},
	"cmd/bench": {
		"internal/apikey", "internal/audit", "internal/auth", "internal/auth/authtest", "internal/migrate",
		"internal/registry", "internal/store/postgres", "internal/store/postgres/postgrestest", "internal/timestamp",
		"migrations",
	},
}

// onlyForTests are the packages that only tests import; they may import whatever they test.
var onlyForTests = []string{
	"internal/auth/authtest", "internal/store/postgres/postgrestest", "internal/store/storetest",
	"internal/store/storetest/faultstore", "internal/telemetry/telemetrytest", "internal/testkit",
	"internal/testkit/cluster",
}

// onlyIn lists the packages whose non-test files may import a library from elsewhere. A library that is not here is
// new: it must earn its place (the page on dependencies says how).
var onlyIn = map[string][]string{
	"github.com/coreos/go-oidc/v3":  {"internal/auth"},
	"github.com/exaring/otelpgx":    {"internal/telemetry"},
	"github.com/go-jose/go-jose/v4": {"internal/auth"},
	"github.com/go-json-experiment/json": {
		"internal/audit", "internal/auth", "internal/registry", "internal/server/web", "internal/server",
		"internal/store/memory", "internal/store/postgres", "cmd/bench",
	},
	"github.com/golang-migrate/migrate/v4": {"internal/migrate"},
	"github.com/google/uuid": {
		"internal/audit", "internal/registry", "internal/server", "internal/server/web", "internal/store/cache",
		"internal/store/memory", "internal/store/postgres", "internal/telemetry", "cmd/server", "cmd/bench",
	},
	"github.com/jackc/pgx/v5": {
		"internal/store/postgres", "internal/migrate", "internal/dsn", "internal/telemetry", "cmd/bench",
	},
	"github.com/maypok86/otter/v2": {
		"internal/auth", "internal/registry", "internal/server/web", "internal/store/cache",
	},
	"github.com/prometheus":       {"internal/telemetry"},
	"github.com/yuin/goldmark":    {"internal/docs"},
	"go.opentelemetry.io":         {"internal/telemetry"},
	"golang.org/x/mod/sumdb/note": {"internal/audit", "internal/registry", "cmd/server"},
	"golang.org/x/text":           {"internal/registry"},
	"golang.org/x/time/rate":      {"internal/server/web"},
	"net/http": {
		"internal/auth", "internal/server", "internal/server/web", "internal/telemetry", "cmd/server", "cmd/bench",
	},
	"testing": {},
}

type listed struct {
	ImportPath string
	Standard   bool
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
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return found
		} else if err != nil {
			t.Fatal(err)
		}
		found = append(found, p)
	}
}

func TestLayout_imports(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		if p.ImportPath+"/" == module || name == "internal" || slices.Contains(onlyForTests, name) {
			continue
		}
		allowed, known := mayImport[name]
		if !known {
			t.Errorf("%s is a new package: say in mayImport what it may import,"+
				" and in CONTRIBUTING.md what belongs there", name)
		}
		for _, path := range p.Imports {
			if ours, is := strings.CutPrefix(path, module); is {
				if !slices.Contains(allowed, ours) {
					t.Errorf("%s must not import %s: see \"Where a line of code goes\" in CONTRIBUTING.md", name, ours)
				}
				continue
			}
			checkLibrary(t, name, path)
		}
	}
}

// checkLibrary holds the import of a library from elsewhere, or of a package of Go's that stands for a room, to onlyIn.
func checkLibrary(t *testing.T, name, path string) {
	t.Helper()
	for library, rooms := range onlyIn {
		if path != library && !strings.HasPrefix(path, library+"/") {
			continue
		}
		if !slices.Contains(rooms, name) {
			t.Errorf("%s must not import %s: that belongs in %s", name, path, strings.Join(rooms, ", "))
		}
		return
	}
	if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") {
		t.Errorf("%s imports %s, which is new: enter it in onlyIn, and on the page of dependencies", name, path)
	}
}

func TestLayout_topLevel(t *testing.T) {
	t.Parallel()
	allowed := []string{
		"cmd", "internal", "migrations", "openapi.yaml", "openapi_test.go", "Makefile", "Dockerfile", "go.mod",
		"go.sum", "README.md", "CONTRIBUTING.md", "LICENSE", "bin",
	}
	found, err := filepath.Glob("../*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range found {
		if name := filepath.Base(path); !strings.HasPrefix(name, ".") && !slices.Contains(allowed, name) {
			t.Errorf("%s is at the top level, where only these are: %s", name, strings.Join(allowed, ", "))
		}
	}
}

// sources calls visit with every Go file of the project that is not a test's.
func sources(t *testing.T, visit func(path string, text []byte)) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		for _, dir := range onlyForTests {
			if filepath.ToSlash(filepath.Dir(path)) == "../"+dir {
				return nil
			}
		}
		text, err := os.ReadFile(path)
		if err == nil {
			visit(path, text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestLayout_lengths holds files to what can be read in a sitting, and functions to a screen.
func TestLayout_lengths(t *testing.T) {
	t.Parallel()
	const fileLines, functionLines = 320, 60
	sources(t, func(path string, text []byte) {
		if lines := strings.Count(string(text), "\n"); lines > fileLines {
			t.Errorf("%s has %d lines, over %d: split it by aggregate or verb", path, lines, fileLines)
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, text, parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			return
		}
		for _, decl := range file.Decls {
			function, is := decl.(*ast.FuncDecl)
			if !is {
				continue
			}
			lines := set.Position(function.End()).Line - set.Position(function.Pos()).Line + 1
			if lines > functionLines {
				t.Errorf("%s: %s has %d lines, over %d", path, function.Name.Name, lines, functionLines)
			}
		}
	})
}

// TestLayout_columns holds Go, SQL, Make and shell files to lines that fit beside another file.
func TestLayout_columns(t *testing.T) {
	t.Parallel()
	const columns = 120
	out, err := exec.Command("git", "-C", "..", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		t.Skipf("this is not a clone: %v", err) // a release archive, say
	}
	for _, path := range strings.Split(strings.TrimRight(string(out), "\x00"), "\x00") {
		text, err := os.ReadFile(filepath.Join("..", path))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if len([]rune(strings.ReplaceAll(line, "\t", "    "))) > columns && isProse(path, line) {
				t.Errorf("%s:%d has over %d columns", path, i+1, columns)
			}
		}
	}
}

// isProse reports whether a line could be broken: it is of a kind of file that people read, and no table, URL or
// pattern.
func isProse(path, line string) bool {
	kinds := []string{".go", ".sql", ".md", ".yaml", "Makefile", ".ci/run", ".ci/postgres", ".ci/image"}
	if !slices.ContainsFunc(kinds, func(kind string) bool { return strings.HasSuffix(path, kind) }) {
		return false
	}
	switch {
	case strings.HasSuffix(path, ".md"):
		return !strings.HasPrefix(strings.TrimSpace(line), "|") && !strings.Contains(line, "http")
	case strings.HasSuffix(path, ".yaml"):
		return !strings.Contains(line, "pattern:") && !strings.Contains(line, "http")
	}
	return !strings.Contains(line, "http://") && !strings.Contains(line, "https://")
}

// TestLayout_environment holds that only the programs and the tests read the environment; everything else is passed
// what was read.
func TestLayout_environment(t *testing.T) {
	t.Parallel()
	sources(t, func(path string, text []byte) {
		if !strings.Contains(path, "/cmd/") && strings.Contains(string(text), "os.Getenv") {
			t.Errorf("%s reads the environment: only the programs do", path)
		}
	})
}
