package postgrestest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// The test binary plays another process when this says which.
const helperVariable = "POSTGRESTEST_HELPER"

func TestMain(m *testing.M) {
	switch os.Getenv(helperVariable) {
	case "cluster":
		holdCluster()
	case "engine":
		_, err := fromContainer(context.Background(), defaultImage)
		fmt.Println(err)
	default:
		os.Exit(Main(m))
	}
}

func holdCluster() {
	srv, err := fromBinaries(context.Background())
	if err != nil {
		fmt.Println("failed:", err)
		return
	}
	fmt.Println(srv.dsn)
	select {}
}

func TestFromURL(t *testing.T) {
	t.Parallel()
	skipShort(t)
	given := Empty(t) // a server of any kind; this is the database that must not be changed
	srv, err := fromURL(t.Context(), given)
	if err != nil {
		t.Fatal(err)
	}
	useServer(t, srv)
	if got := tables(t, given); got != 0 {
		t.Errorf("%d tables in the database of TEST_DATABASE_URL, want none", got)
	}
}

func TestFromContainer(t *testing.T) {
	t.Parallel()
	skipShort(t)
	srv, err := fromContainer(t.Context(), image(os.Getenv))
	if err != nil {
		notTested(t, "a server from a container", "TEST_REQUIRE_CONTAINER", err)
		return
	}
	useServer(t, srv)
}

func TestFromBinaries(t *testing.T) {
	t.Parallel()
	skipShort(t)
	srv, err := fromBinaries(t.Context())
	if err != nil {
		notTested(t, "a server from the binaries of this machine", "TEST_REQUIRE_BINARIES", err)
		return
	}
	useServer(t, srv)
}

// notTested is no silent skip: it is printed at the end of the run, and fails where the environment insists.
func notTested(t *testing.T, what, insist string, reason error) {
	t.Helper()
	if os.Getenv(insist) == "1" {
		t.Fatalf("%s=1, but there is none: %v", insist, reason)
	}
	t.Logf("NOT TESTED: %s: %v", what, reason)
	say("NOT TESTED: %s: %v (%s=1 makes this a failure)", what, reason, insist)
}

// useServer takes a migrated and an empty database from a server, and stops it.
func useServer(t *testing.T, srv *server) {
	t.Helper()
	t.Log(srv.about)
	f := &fixture{found: true, server: srv}
	t.Run("databases", func(t *testing.T) {
		if got := tables(t, f.database(t, true)); got < 6 {
			t.Errorf("%d tables in a migrated database, want all", got)
		}
		if got := tables(t, f.database(t, false)); got != 0 {
			t.Errorf("%d tables in an empty database", got)
		}
	})
	var left int
	err := srv.admin(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT count(*) FROM pg_database WHERE datname = $1`, f.template.name).Scan(&left)
	})
	if err != nil || left != 1 {
		t.Errorf("before the end: %d templates, %v; want one", left, err)
	}
	if err := f.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func tables(t *testing.T, dsn string) (n int) {
	t.Helper()
	conn := connect(t, dsn)
	const sql = `SELECT count(*) FROM pg_tables WHERE schemaname = 'public'`
	if err := conn.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// connect leaves the connection open until after the test's databases are dropped.
func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestEachTestHasADatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	var first string
	t.Run("first", func(t *testing.T) {
		first = New(t)
		if _, err := connect(t, first).Exec(t.Context(), `CREATE TABLE mine ()`); err != nil {
			t.Fatal(err)
		}
		if second := New(t); tables(t, second) != tables(t, first)-1 {
			t.Error("a database holds what was made in another one")
		}
	})
	if conn, err := pgx.Connect(t.Context(), first); err == nil {
		conn.Close(t.Context())
		t.Error("the database is still there after its test")
	}
}

// A cluster must not outlive its process, even one that is killed and can clean nothing up.
func TestClusterDiesWithItsProcess(t *testing.T) {
	t.Parallel()
	skipShort(t)
	if _, err := binaries(); err != nil {
		notTested(t, "the end of a cluster whose process is killed", "TEST_REQUIRE_BINARIES", err)
		return
	}
	helper := exec.Command(os.Args[0])
	helper.Env = append(os.Environ(), helperVariable+"=cluster")
	out, err := helper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := helper.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	dsn := strings.TrimSpace(line)
	var folder string
	if err := connect(t, dsn).QueryRow(t.Context(), `SHOW data_directory`).Scan(&folder); err != nil {
		t.Fatal(err)
	}
	if err := helper.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = helper.Wait()
	deadline := time.Now().Add(20 * time.Second)
	for {
		conn, connErr := pgx.Connect(t.Context(), dsn)
		if connErr == nil {
			conn.Close(t.Context())
		}
		_, statErr := os.Stat(filepath.Dir(folder))
		if connErr != nil && errors.Is(statErr, fs.ErrNotExist) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("20 s after its process was killed: connect: %v, its folder: %v", connErr, statErr)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// An engine's address where something listens and never answers must not hold the tests up.
func TestSilentEngineIsGivenUp(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*engineTimeout)
	defer cancel()
	helper := exec.CommandContext(ctx, os.Args[0])
	helper.Env = append(os.Environ(), helperVariable+"=engine", "DOCKER_HOST=tcp://"+listener.Addr().String())
	out, err := helper.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "no Docker engine") {
		t.Errorf("%v, %q; want it to say that there is no engine", err, out)
	}
}

func TestShortSkipsAndSaysSo(t *testing.T) {
	t.Parallel()
	report := filepath.Join(t.TempDir(), "report")
	short := exec.Command(os.Args[0], "-test.short", "-test.v", "-test.run=^TestFromURL$")
	short.Env = append(os.Environ(), "TEST_POSTGRES_REPORT="+report)
	out, err := short.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- SKIP: TestFromURL") {
		t.Errorf("%v, %s", err, out)
	}
	reported, err := os.ReadFile(report)
	if want := "skipped: -short"; err != nil || !strings.Contains(string(reported), want) ||
		!strings.Contains(string(out), want) {
		t.Errorf("the run does not say that it left tests out: %v, %q, %s", err, reported, out)
	}
}

func TestFindTakesTheFirstWay(t *testing.T) {
	t.Parallel()
	works := func(name string) way {
		return func(context.Context) (*server, error) { return &server{about: name}, nil }
	}
	fails := func(reason string) way {
		return func(context.Context) (*server, error) { return nil, errors.New(reason) }
	}
	for name, test := range map[string]struct {
		env                 map[string]string
		container, binaries way
		about, err          string
	}{
		"container first": {nil, works("container"), works("binaries"), "container", ""},
		"then binaries":   {nil, fails("no engine"), works("binaries"), "binaries (no container: no engine)", ""},
		"neither": {
			nil, fails("no engine"), fails("no initdb"), "",
			"TEST_DATABASE_URL|no engine|no initdb|apt-get install postgresql|-short",
		},
		"container wanted": {
			map[string]string{"TEST_REQUIRE_CONTAINER": "1"}, fails("no engine"), works("binaries"), "",
			"TEST_REQUIRE_CONTAINER=1|no engine",
		},
		"a URL that fails": {
			map[string]string{"TEST_DATABASE_URL": "postgres://127.0.0.1:1/x"},
			works("container"), works("binaries"), "", "TEST_DATABASE_URL",
		},
	} {
		srv, err := find(func(key string) string { return test.env[key] }, test.container, test.binaries)
		if test.err == "" {
			if err != nil || srv.about != test.about {
				t.Errorf("%s: %v, %v", name, srv, err)
			}
			continue
		}
		for _, part := range strings.Split(test.err, "|") {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v; want it to name %s", name, err, part)
			}
		}
	}
}

func TestMajorVersion(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if got := majorVersion(folder); got != 0 {
		t.Errorf("an empty folder holds version %d", got)
	}
	for name, text := range map[string]string{
		"initdb": "", "pg_ctl": "", "postgres": "#!/bin/sh\necho 'postgres (PostgreSQL) 13.4 (Debian)'\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if got := majorVersion(folder); got != 13 {
		t.Errorf("version %d, want 13", got)
	}
}

func TestWithDatabase(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]string{
		"postgres://u:p%40s@h:5432/old?sslmode=disable": "postgres://u:p%40s@h:5432/new?sslmode=disable",
		"postgresql://h/?dbname=old":                    "postgresql://h/new",
		"host=h user=u dbname=old":                      "host=h user=u dbname=old dbname=new",
	} {
		got := withDatabase(dsn, "new")
		config, err := pgx.ParseConfig(got)
		if got != want || err != nil || config.Database != "new" {
			t.Errorf("%s: %s, %v", dsn, got, err)
		}
	}
}
