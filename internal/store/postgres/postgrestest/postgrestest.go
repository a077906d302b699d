// Package postgrestest gives each test a Postgres database of its own.
//
// A package that uses it hands its tests to Main:
//
//	func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }
//
// One server serves all tests of a process. It is the one that TEST_DATABASE_URL names, where databases are created
// beside the one in the URL, which is never changed; else a container, if a Docker engine answers and has or can pull
// the image that TEST_POSTGRES_IMAGE names; else a cluster made for this process by the server binaries of this
// machine. If there is none of them the test fails and says so. Under -short, and only then, the test is skipped.
//
// The server used, or that tests were skipped, is printed to stderr and appended to the file that TEST_POSTGRES_REPORT
// names, because "go test" hides what a package prints when its tests pass.
package postgrestest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/breakpilot/tenant-registry/internal/migrate"
	"github.com/breakpilot/tenant-registry/migrations"
)

var errNoMain = errors.New("this package needs func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }")

// One statement on a busy test machine takes far less; a hang must not outlive the test's own time limit.
const statementTimeout = time.Minute

var (
	inMain  atomic.Bool
	skipped atomic.Bool
	process fixture // the server of this test process
	printed sync.Mutex
)

// New returns the DSN of a database with the newest schema and no rows, which no other test uses. It is gone when the
// test ends, and so is every connection to it.
func New(t testing.TB) string {
	t.Helper()
	return process.database(t, true)
}

// Empty is New without a schema.
func Empty(t testing.TB) string {
	t.Helper()
	return process.database(t, false)
}

// Main runs the tests of a package, stops the server they used and returns the exit code. New and Empty fail without
// it.
func Main(m interface{ Run() int }) int {
	inMain.Store(true)
	code := m.Run()
	if err := process.stop(); err != nil {
		say("cannot clean up: %v", err)
		code = max(code, 1)
	}
	if skipped.Load() {
		say("the tests that need Postgres were skipped: -short")
	}
	return code
}

// say prints a message that the person who runs the tests must not overlook.
func say(format string, args ...any) {
	text := strings.TrimSpace(fmt.Sprintf(format, args...))
	line := "postgrestest: " + strings.ReplaceAll(text, "\n", "; ") + "\n"
	printed.Lock()
	defer printed.Unlock()
	fmt.Fprint(os.Stderr, line)
	path := os.Getenv("TEST_POSTGRES_REPORT")
	if path == "" {
		return
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		fmt.Fprintf(os.Stderr, "postgrestest: TEST_POSTGRES_REPORT: %v\n", err)
		return
	}
	defer file.Close()
	fmt.Fprint(file, line)
}

// fixture is a server, found when first needed, and the migrated database on it that others are cloned from.
type fixture struct {
	mu       sync.Mutex
	found    bool
	server   *server
	err      error
	template template // the zero template: it was not needed yet
	emptied  []string // the names of migrated databases that served a test and may serve another
	stores   []*store // that served a test and may serve another
}

// database makes a database for one test.
func (f *fixture) database(t testing.TB, migrated bool) string {
	t.Helper()
	skipShort(t)
	if !inMain.Load() {
		t.Fatalf("postgrestest: %v", errNoMain)
	}
	srv, template, err := f.ready(migrated)
	if err != nil {
		t.Fatalf("postgrestest: %v", err)
	}
	name := ""
	if migrated {
		name = f.takeEmptied()
	}
	if name == "" {
		name = newName()
		ctx, cancel := context.WithTimeout(t.Context(), statementTimeout)
		defer cancel()
		if err := srv.create(ctx, name, template); err != nil {
			t.Fatalf("postgrestest: %v", err)
		}
	}
	t.Cleanup(func() {
		if err := f.release(name, migrated); err != nil {
			t.Errorf("postgrestest: %v", err)
		}
	})
	return withDatabase(srv.dsn, name)
}

// takeEmptied returns the name of a migrated database that served a test before; empty: there is none.
func (f *fixture) takeEmptied() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := len(f.emptied) - 1
	if last < 0 {
		return ""
	}
	name := f.emptied[last]
	f.emptied = f.emptied[:last]
	return name
}

// original is the template; other tests may be about to make it.
func (f *fixture) original() template {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.template
}

// release ends the use of a database: it is emptied for another test or, if that cannot be, dropped.
func (f *fixture) release(name string, migrated bool) error {
	from := f.original()
	if from.state == "" || !migrated {
		return f.server.drop(name)
	}
	name, err := f.server.recycle(name, from)
	if err != nil {
		return f.server.drop(name)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.emptied = append(f.emptied, name)
	return nil
}

func skipShort(t testing.TB) {
	t.Helper()
	if testing.Short() {
		skipped.Store(true)
		t.Skip("needs Postgres, and -short leaves such tests out")
	}
}

// ready returns the server, and the database to clone from: ours if a schema is wanted, else Postgres's own empty one.
func (f *fixture) ready(migrated bool) (*server, string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.found {
		f.found = true
		f.server, f.err = find(os.Getenv, func(ctx context.Context) (*server, error) {
			return fromContainer(ctx, image(os.Getenv))
		}, fromBinaries)
		if f.err == nil {
			say("%s", f.server.about)
		}
	}
	if f.err != nil || !migrated {
		return f.server, emptyTemplate, f.err
	}
	if f.template.name == "" {
		f.template, f.err = f.server.migrated()
	}
	return f.server, f.template.name, f.err
}

func (f *fixture) stop() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.server == nil {
		return nil
	}
	names := f.emptied
	if f.template.name != "" {
		names = append(names, f.template.name)
	}
	var dropped error
	for _, s := range f.stores {
		s.Close()
		names = append(names, s.database)
	}
	for _, name := range names {
		dropped = errors.Join(dropped, f.server.drop(name))
	}
	return errors.Join(dropped, f.server.close())
}

// migrated makes a database with the newest schema. It belongs to this process, so that nothing is left on the server
// and two processes with different migrations do not meet.
func (s *server) migrated() (made template, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), statementTimeout)
	defer cancel()
	made.name = "tr_template_" + strings.ToLower(rand.Text())
	if err := s.create(ctx, made.name, emptyTemplate); err != nil {
		return template{}, err
	}
	dsn := withDatabase(s.dsn, made.name)
	schema := migrate.Schema{DSN: dsn, Files: migrations.FS}
	if _, err := schema.Up(ctx); err != nil {
		return template{}, errors.Join(
			fmt.Errorf("the migrations fail on an empty database: %w", err), s.drop(made.name),
		)
	}
	conn, err := pgx.Connect(ctx, withoutTriggers(dsn))
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == insufficientPrivilege {
		return made, nil // no superuser: each test has a new database
	}
	if err != nil {
		return template{}, errors.Join(err, s.drop(made.name))
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return made, made.describe(ctx, conn)
}
