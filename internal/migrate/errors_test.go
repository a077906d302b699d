package migrate_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/breakpilot/tenant-registry/internal/migrate"
)

const canary = "c4n4ry-p4ssw0rd"

func TestConnectErrorsAreASentence(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		dsn  string
		want error
		says string
	}{
		"no server there": {
			"postgres://u:" + canary + "@127.0.0.1:1/d", migrate.ErrConnect, "127.0.0.1:1: connection refused",
		},
		"several hosts": {
			"postgres://u:" + canary + "@127.0.0.1:1,127.0.0.1:2/d", migrate.ErrConnect, "127.0.0.1:1, 127.0.0.1:2",
		},
		"no host by name": {"postgres://u:" + canary + "@nowhere.invalid/d", migrate.ErrConnect, "nowhere.invalid"},
		"a pooler": {
			"postgres://u:" + canary + "@" + pooler(t) + "/d?sslmode=disable", migrate.ErrConnect,
			"MIGRATE_DATABASE_URL",
		},
		"no DSN at all": {canary + " " + canary, migrate.ErrDSN, "postgres://"},
		"bad port":      {"postgres://u:" + canary + "@h:port/d", migrate.ErrDSN, "postgres://"},
		"bad escape":    {"postgres://u:%zz" + canary + "@h/d", migrate.ErrDSN, "postgres://"},
		"bad parameter": {"host=h password=" + canary + " port=x", migrate.ErrDSN, "postgres://"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := migrate.Schema{DSN: test.dsn, Files: fileSets["one"]}.Up(t.Context())
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v, want it to say %q", err, test.says)
			}
			if strings.Contains(err.Error(), canary) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q holds the password or is more than a line", err)
			}
		})
	}
}

// pooler refuses a session's settings the way PgBouncer does.
func pooler(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			backend := pgproto3.NewBackend(conn, conn)
			if _, err := backend.ReceiveStartupMessage(); err == nil {
				backend.Send(&pgproto3.ErrorResponse{
					Severity: "FATAL", Code: "08P01", Message: "unsupported startup parameter: lock_timeout",
				})
				_ = backend.Flush()
			}
			conn.Close()
		}
	}()
	return listener.Addr().String()
}

func TestCreate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i, name := range []string{"add_team_table", "2nd"} {
		up, down, err := migrate.Create(dir, name)
		base := filepath.Join(dir, []string{"000001_add_team_table", "000002_2nd"}[i])
		if err != nil || up != base+".up.sql" || down != base+".down.sql" {
			t.Fatalf("%s, %s, %v", up, down, err)
		}
		for _, path := range []string{up, down} {
			text, err := os.ReadFile(path)
			if err != nil || strings.Count(string(text), "\n") != 1 || !strings.HasPrefix(string(text), "-- ") {
				t.Errorf("%s: %q, %v; want one line of comment", path, text, err)
			}
		}
	}
	before := entries(t, dir)
	for _, name := range []string{"", "Add", "add-team", "../x", "a b", "a.b", "ä", strings.Repeat("a", 101)} {
		if _, _, err := migrate.Create(dir, name); err == nil {
			t.Errorf("%q was taken for a name", name)
		}
	}
	if after := entries(t, dir); !slices.Equal(before, after) {
		t.Errorf("refused names left %v", after)
	}
	if _, _, err := migrate.Create(filepath.Join(dir, "missing"), "x"); err == nil ||
		!strings.Contains(err.Error(), "root of the repository") {
		t.Errorf("a folder that is missing: %v", err)
	}
}

func TestCreateNeverOverwrites(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	taken := filepath.Join(dir, "000001_x.down.sql") // without its up file it counts as no version
	if err := os.WriteFile(taken, []byte("DROP TABLE precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := migrate.Create(dir, "x"); err == nil {
		t.Error("no error")
	}
	if got := entries(t, dir); len(got) != 1 {
		t.Errorf("half a pair was left: %v", got)
	}
	if text, err := os.ReadFile(taken); err != nil || string(text) != "DROP TABLE precious" {
		t.Errorf("now it holds %q, %v", text, err)
	}
}

func entries(t *testing.T, dir string) (names []string) {
	t.Helper()
	found, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range found {
		names = append(names, entry.Name())
	}
	return names
}
