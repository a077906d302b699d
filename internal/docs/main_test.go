package docs_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/docs"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// root is the folder of the repository, as seen from the tests.
const root = "../.."

// programs is where the programs are built to, once for all tests.
var programs string

func TestMain(m *testing.M) {
	var err error
	if programs, err = os.MkdirTemp("", "docs"); err != nil {
		panic(err)
	}
	code := postgrestest.Main(m)
	_ = os.RemoveAll(programs)
	os.Exit(code)
}

// serverProgram and migrateProgram build a program at the first call and return its path.
var (
	serverProgram  = sync.OnceValues(func() (string, error) { return build("tenant-registry", "./cmd/server") })
	migrateProgram = sync.OnceValues(func() (string, error) { return build("migrate", "./cmd/migrate") })
)

func build(name, path string) (string, error) {
	program := filepath.Join(programs, name)
	if out, err := shell("go build -o " + program + " " + path).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return program, nil
}

func built(t *testing.T, program func() (string, error)) string {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// documents are the Markdown files that the tests hold, by their path from the root.
func documents() []string {
	list := []string{"README.md", "CONTRIBUTING.md"}
	for _, p := range docs.Pages() {
		list = append(list, page(p.Slug))
	}
	return list
}

func page(slug string) string { return "internal/docs/pages/" + slug + ".md" }

// read returns a file by its path from the root.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// prose returns a document without its code blocks.
func prose(t *testing.T, path string) string {
	t.Helper()
	return regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(read(t, path), "")
}

// everything is the README and the pages on one line, for looking facts up.
func everything(t *testing.T) string {
	t.Helper()
	var all []string
	for _, path := range documents() {
		all = append(all, strings.Fields(read(t, path))...)
	}
	return strings.Join(all, " ")
}

// quoted returns the first group of an expression that must match exactly once in the README and the pages, since a
// fact is stated once.
func quoted(t *testing.T, expression string) string {
	t.Helper()
	found := regexp.MustCompile(expression).FindAllStringSubmatch(everything(t), -1)
	if len(found) != 1 {
		t.Fatalf("the README and the pages say %q %d times", expression, len(found))
	}
	return found[0][1]
}

// blocks returns the code blocks of the README and the pages in a language, in order.
func blocks(t *testing.T, language string) []string {
	t.Helper()
	fence := regexp.MustCompile("(?ms)^```" + language + "\n(.*?)^```$")
	var all []string
	for _, path := range documents() {
		for _, m := range fence.FindAllStringSubmatch(read(t, path), -1) {
			all = append(all, m[1])
		}
	}
	if len(all) == 0 {
		t.Fatalf("there is no block of %s", language)
	}
	return all
}

// table returns the rows of the table directly under a heading of a document, each as its cells.
func table(t *testing.T, path, heading string) [][]string {
	t.Helper()
	_, section, found := strings.Cut(prose(t, path), "# "+heading+"\n")
	if !found {
		t.Fatalf("%s has no section %q", path, heading)
	}
	section, _, _ = strings.Cut(section, "\n#")
	var rows [][]string
	for line := range strings.Lines(section) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	if len(rows) < 2 {
		t.Fatalf("%s has no table under %q", path, heading)
	}
	return rows[1:]
}

func bare(cell string) string { return strings.Trim(cell, "`") }

// shell is a script as a reader would paste it, in the folder of the project, that ends at the first command that
// fails. A server that it starts takes a free port.
func shell(script string) *exec.Cmd {
	cmd := exec.Command("sh", "-ec", script)
	cmd.Dir = root
	own := []string{"APP_ENV", "DATABASE_URL", "MIGRATE_DATABASE_URL", "ADMIN_ADDR", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); !slices.Contains(own, name) {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(cmd.Env, "ADDR=127.0.0.1:0", "DRAIN_DELAY=0s")
	return cmd
}

// start runs a script that ends in a server, until the test ends, and returns what it printed up to then and its
// address.
func start(t *testing.T, script string) (said, base string) {
	t.Helper()
	cmd, out, ended := shell(script), &testkit.Output{}, make(chan struct{})
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what make starts is ended with it
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) // as from the keyboard
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			t.Error("the server does not end when it is interrupted")
		}
		if strings.Contains(out.String(), "goroutine ") {
			t.Errorf("the server printed a stack: %s", out)
		}
	})
	listens := regexp.MustCompile(`(?m)^  ready +(http://\S+)/readyz$`)
	deadline := time.After(4 * time.Minute) // it is compiled first
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if found := listens.FindStringSubmatch(out.String()); found != nil {
			return out.String(), found[1]
		}
		select {
		case <-tick.C:
		case <-ended:
			t.Fatalf("the script ended: %s", out)
		case <-deadline:
			t.Fatalf("the server does not report that it listens: %s", out)
		}
	}
}

// serve starts the built server in development with further settings of the shell.
func serve(t *testing.T, settings string) (base string) {
	t.Helper()
	_, base = start(t, settings+" APP_ENV=dev exec "+built(t, serverProgram))
	return base
}
