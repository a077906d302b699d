package postgres_test

import (
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/store/postgres"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
)

// settings are what a session of the store's pool has.
func settings(t *testing.T, store *postgres.Store) map[string]string {
	t.Helper()
	got := map[string]string{}
	for _, name := range []string{
		"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "tcp_user_timeout",
		"application_name", "timezone",
	} {
		var v string
		must(t, store.Pool().QueryRow(t.Context(), `SELECT current_setting($1)`, name).Scan(&v))
		got[name] = v
	}
	return got
}

func TestOpen_sessionLimits(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	var log strings.Builder
	store := open(t, postgres.Config{DSN: dsn, SchemaVersion: 1, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for name, want := range map[string]string{
		"statement_timeout": "4s", "lock_timeout": "3s", "idle_in_transaction_session_timeout": "2s",
		"tcp_user_timeout": "5000",
		"application_name": "tenant-registry", "timezone": "UTC",
	} {
		if got := settings(t, store)[name]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if strings.Contains(log.String(), "session limit") {
		t.Errorf("logged: %s", log.String())
	}
	if n := store.Pool().Config().MaxConns; n != 10 {
		t.Errorf("the pool has %d connections", n)
	}

	// What the DSN says counts, in either way to say it.
	dsn = with(
		with(with(dsn, "lock_timeout", "1s"), "options", "-c statement-timeout=1500 -c tcp_user_timeout=0"),
		"pool_max_conns", "3",
	)
	dsn = with(dsn, "application_name", "mine")
	store = open(t, postgres.Config{DSN: dsn, SchemaVersion: 1, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for name, want := range map[string]string{
		"statement_timeout": "1500ms", "lock_timeout": "1s", "tcp_user_timeout": "0", "application_name": "mine",
		"idle_in_transaction_session_timeout": "2s",
	} {
		if got := settings(t, store)[name]; got != want {
			t.Errorf("%s is %q, want %q of the DSN", name, got, want)
		}
	}
	if n := store.Pool().Config().MaxConns; n != 3 {
		t.Errorf("the pool has %d connections, want 3 of the DSN", n)
	}
	if warnings := log.String(); strings.Count(warnings, "session limit missing") != 1 ||
		!strings.Contains(warnings, "tcp_user_timeout") {
		t.Errorf("logged: %s", warnings)
	}
}

// TestOpen_pooler meets a pooler that refuses the session's parameters: the store works without, and says what is
// missing.
func TestOpen_pooler(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	admin := connect(t, dsn)
	admin.run(`ALTER ROLE CURRENT_USER IN DATABASE ` + admin.name() + ` SET lock_timeout = '3s'`)
	p, through := startProxy(t, dsn)
	p.mu.Lock()
	p.refuses = map[string]bool{
		"statement_timeout":                   true,
		"lock_timeout":                        true,
		"idle_in_transaction_session_timeout": true,
		"tcp_user_timeout":                    true,
	}
	p.mu.Unlock()
	var log strings.Builder
	store := open(t, postgres.Config{DSN: through, SchemaVersion: 1, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	must(t, appendOne(t.Context(), store))
	_, err := store.Ping(t.Context())
	must(t, err)
	if mode := store.Pool().Config().ConnConfig.DefaultQueryExecMode; mode != pgx.QueryExecModeCacheDescribe {
		t.Errorf("statements are prepared behind a pooler: %v", mode)
	}
	warnings := log.String()
	for _, name := range []string{"statement_timeout", "idle_in_transaction_session_timeout", "tcp_user_timeout"} {
		if !strings.Contains(warnings, "SET "+name+" = ") || !strings.Contains(warnings, "ALTER ROLE") {
			t.Errorf("no warning says how to set %s: %s", name, warnings)
		}
	}
	if strings.Contains(warnings, "SET lock_timeout") {
		t.Errorf("the limit that the role has is said to be missing: %s", warnings)
	}
	// The DSN's own mode counts, and its own parameters are not given up: then there is no connection.
	store = open(t, postgres.Config{DSN: with(through, "default_query_exec_mode", "exec")})
	if mode := store.Pool().Config().ConnConfig.DefaultQueryExecMode; mode != pgx.QueryExecModeExec {
		t.Errorf("the DSN's mode is not used: %v", mode)
	}
	must(t, appendOne(t.Context(), store))
	_, err = postgres.Open(t.Context(), postgres.Config{DSN: with(through, "lock_timeout", "1s")})
	if err == nil || !strings.Contains(err.Error(), "unsupported startup parameter") {
		t.Errorf("opened with %v", err)
	}
}

// TestOpen_unreachable: why a store cannot be opened is one sentence, with the host and without the password.
func TestOpen_unreachable(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	free := listener.Addr().String()
	must(t, listener.Close())
	dsn := postgrestest.New(t)
	for name, c := range map[string]struct {
		dsn   string
		wants []string
	}{
		"no listener": {
			"postgres://app:s3cret@" + free + "/registry?sslmode=disable",
			[]string{free, "refused", "start it", `"registry"`, `"app"`},
		},
		"no such name": {
			"postgres://app:s3cret@nowhere.invalid:5432/registry",
			[]string{"nowhere.invalid:5432", "correct the host"},
		},
		"two hosts":   {"postgres://app:s3cret@" + free + ",127.0.0.1:1/registry", []string{free + ", 127.0.0.1:1 "}},
		"no database": {with(dsn, "dbname", "s3cretless"), []string{"create the database"}},
		"no such role": {
			with(with(dsn, "user", "unknown-role"), "password", "s3cret"),
			[]string{"correct the user or password"},
		},
		"no DSN": {"postgres://app:s3cret@:port/%zz", []string{"postgres://USER:PASSWORD@HOST"}},
		"empty":  {"", []string{"postgres://USER:PASSWORD@HOST"}},
	} {
		_, err := postgres.Open(t.Context(), postgres.Config{DSN: c.dsn})
		if err == nil {
			t.Errorf("%s: opened", name)
			continue
		}
		for _, want := range c.wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is not in: %v", name, want, err)
			}
		}
		if strings.Contains(err.Error(), "s3cret@") || strings.Contains(err.Error(), `"s3cret"`) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOpen_hosts: of several hosts the one that takes writes is found.
func TestOpen_hosts(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	free := listener.Addr().String()
	must(t, listener.Close())
	two := strings.Replace(dsn, "@", "@"+free+",", 1)
	if !strings.Contains(two, free) {
		t.Fatal("the DSN has no user")
	}
	store := open(t, postgres.Config{DSN: with(two, "target_session_attrs", "read-write"), SchemaVersion: 1})
	must(t, appendOne(t.Context(), store))
	_, err = store.Ping(t.Context())
	must(t, err)

	_, err = postgres.Open(
		t.Context(),
		postgres.Config{
			DSN: with(with(two, "target_session_attrs", "read-write"), "default_transaction_read_only", "on"),
		},
	)
	if err == nil || !strings.Contains(err.Error(), "name the primary") {
		t.Errorf("opened a server that takes no writes: %v", err)
	}
}
