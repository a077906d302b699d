package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/migrate"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
)

// The test binary plays a migrator that a test can kill when this holds a DSN and the other the name of a file set.
const (
	helperDSN   = "MIGRATE_HELPER_DSN"
	helperFiles = "MIGRATE_HELPER_FILES"
)

func TestMain(m *testing.M) {
	if dsn := os.Getenv(helperDSN); dsn != "" {
		_, err := migrate.Schema{DSN: dsn, Files: fileSets[os.Getenv(helperFiles)]}.Up(context.Background())
		fmt.Println(err)
		return
	}
	os.Exit(postgrestest.Main(m))
}

// The file sets are what binaries of different ages hold.
var fileSets = map[string]fstest.MapFS{
	"one":    files("CREATE TABLE a ()"),
	"two":    files("CREATE TABLE a ()", "CREATE TABLE b ()"),
	"broken": files("CREATE TABLE a ()", "CREATE TABLE b ();\nSELECT nonsense;"),
	"slow":   files("CREATE TABLE a ()", "CREATE TABLE b (); SELECT pg_advisory_xact_lock(7)"),
	"index":  files("CREATE TABLE a (n int)", "CREATE INDEX CONCURRENTLY b ON a (n)"),
}

// files makes one version of each statement; going down drops what it created.
func files(ups ...string) fstest.MapFS {
	set := fstest.MapFS{}
	for i, up := range ups {
		base := fmt.Sprintf("%06d_step", i+1)
		set[base+".up.sql"] = &fstest.MapFile{Data: []byte(up)}
		set[base+".down.sql"] = &fstest.MapFile{Data: fmt.Appendf(nil, "DROP TABLE %c -- no line feed", 'a'+i)}
	}
	return set
}

func schema(dsn, set string) migrate.Schema {
	return migrate.Schema{DSN: dsn, Files: fileSets[set], Env: "dev", LockWait: 20 * time.Second}
}

func TestUpAndDown(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Empty(t)
	s := schema(dsn, "two")
	wantState(t, s, migrate.State{})
	for _, step := range []struct {
		name     string
		do       func(context.Context) (migrate.Result, error)
		from, to uint
	}{
		{"up", s.Up, 0, 2}, {"up again", s.Up, 2, 2}, {"down", s.Down, 2, 1}, {"up", s.Up, 1, 2},
		{"down", s.Down, 2, 1},
		{"down", s.Down, 1, 0}, {"down from nothing", s.Down, 0, 0}, {"down all from nothing", s.DownAll, 0, 0},
		{"up", s.Up, 0, 2}, {"down all", s.DownAll, 2, 0},
	} {
		got, err := step.do(t.Context())
		if want := (migrate.Result{From: step.from, To: step.to, Latest: 2}); err != nil || got != want {
			t.Fatalf("%s: %+v, %v; want %+v", step.name, got, err, want)
		}
		wantState(t, s, migrate.State{Version: step.to})
		if want := []string{"a", "b"}[:step.to]; !slices.Equal(tables(t, dsn), want) {
			t.Fatalf("%s: tables %v, want %v", step.name, tables(t, dsn), want)
		}
	}
}

func TestOlderBinaryLeavesANewerSchemaAlone(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Empty(t)
	mustUp(t, schema(dsn, "two"))
	older := schema(dsn, "one")
	got, err := older.Up(t.Context())
	if want := (migrate.Result{From: 2, To: 2, Latest: 1}); err != nil || got != want {
		t.Errorf("up: %+v, %v; want %+v", got, err, want)
	}
	for name, back := range map[string]func(context.Context) (migrate.Result, error){
		"down": older.Down, "down-all": older.DownAll,
	} {
		if _, err := back(t.Context()); err == nil || !strings.Contains(err.Error(), "knows only 1") {
			t.Errorf("%s: %v, want a refusal", name, err)
		}
	}
	wantState(t, older, migrate.State{Version: 2})
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Empty(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	applied := 0
	for range 5 {
		wg.Go(func() {
			// waits for snapshots, so also for badly waiting rivals
			result, err := schema(dsn, "index").Up(context.Background())
			mu.Lock()
			defer mu.Unlock()
			if err != nil || result.To != 2 {
				t.Errorf("%+v, %v", result, err)
			}
			applied += int(result.To - result.From)
		})
	}
	wg.Wait()
	if applied != 2 {
		t.Errorf("%d versions were applied by all together, want 2", applied)
	}
	wantState(t, schema(dsn, "index"), migrate.State{Version: 2})
}

func TestDownIsForDev(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Empty(t)
	mustUp(t, schema(dsn, "two"))
	for env, allowed := range map[string]bool{
		"prod": false, "": false, "production": false, "stage": false, "dev": true,
	} {
		s := schema(dsn, "two")
		s.Env = env
		for name, back := range map[string]func(context.Context) (migrate.Result, error){
			"down": s.Down, "down-all": s.DownAll,
		} {
			mustUp(t, s)
			_, err := back(t.Context())
			if allowed != (err == nil) || !allowed && !errors.Is(err, migrate.ErrRefused) {
				t.Errorf("%s with APP_ENV=%q: %v", name, env, err)
			}
			if !allowed {
				wantState(t, s, migrate.State{Version: 2})
			}
		}
	}
}

func TestLockHeldForEver(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Empty(t)
	holder := connect(t, dsn)
	query(t, holder, `SELECT pg_advisory_lock($1)`, migrate.LockKey)
	s := schema(dsn, "one")
	s.LockWait = 300 * time.Millisecond
	begun := time.Now()
	_, err := s.Up(t.Context())
	if !errors.Is(err, migrate.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint(holder.PgConn().PID())) {
		t.Errorf("%v; want ErrLocked that names backend %d", err, holder.PgConn().PID())
	}
	if took := time.Since(begun); took < s.LockWait || took > s.LockWait+10*time.Second {
		t.Errorf("gave up after %v, want soon after %v", took, s.LockWait)
	}
	wantState(t, s, migrate.State{})
	query(t, holder, `SELECT pg_advisory_unlock($1)`, migrate.LockKey)
	mustUp(t, s)
}

func TestForceKnowsTheVersions(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Empty(t)
	s := schema(dsn, "two")
	if _, err := s.Force(t.Context(), 3); err == nil || !strings.Contains(err.Error(), "no version 3") {
		t.Errorf("%v, want a refusal", err)
	}
	if got, err := s.Force(t.Context(), 2); err != nil || got.To != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	wantState(t, s, migrate.State{Version: 2})
	if got := tables(t, dsn); len(got) != 0 {
		t.Errorf("force made tables %v", got)
	}
	if got, err := s.Force(t.Context(), 0); err != nil || got.To != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	mustUp(t, s)
}

func wantState(t *testing.T, s migrate.Schema, want migrate.State) {
	t.Helper()
	if got, err := s.Version(t.Context()); err != nil || got != want {
		t.Errorf("state %+v, %v; want %+v", got, err, want)
	}
}

func mustUp(t *testing.T, s migrate.Schema) {
	t.Helper()
	if got, err := s.Up(t.Context()); err != nil || got.To < got.Latest {
		t.Fatalf("up: %+v, %v", got, err)
	}
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func query(t *testing.T, conn *pgx.Conn, text string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), text, args...); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}

// tables are those that the files made.
func tables(t *testing.T, dsn string) []string {
	t.Helper()
	rows, err := connect(t, dsn).Query(t.Context(),
		`SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_migrations' ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return names
}
