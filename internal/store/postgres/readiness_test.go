package postgres_test

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/postgres"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

func TestPing(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	admin := connect(t, dsn)
	at := value[int64](admin, `SELECT version FROM schema_migrations`)
	needs := uint(at) + 1
	for _, c := range []struct {
		name, change string
		version      uint
		reason       string // empty: ready
	}{
		{"new enough", `UPDATE schema_migrations SET version = version + 1`, needs, ""},
		{"newer", `UPDATE schema_migrations SET version = version + 1`, needs + 1, ""},
		{"dirty", `UPDATE schema_migrations SET dirty = true`, needs + 1, "fix it"},
		{
			"older", `UPDATE schema_migrations SET dirty = false, version = version - 2`, needs - 1,
			"needs 2: run the migrations",
		},
		{"wiped", `DELETE FROM schema_migrations`, 0, "version 0, this program needs 2: run the migrations"},
		{"no schema", `DROP TABLE schema_migrations`, 0, "version 0, this program needs 2: run the migrations"},
	} {
		admin.run(c.change)
		var log strings.Builder
		store := open(
			t, postgres.Config{DSN: dsn, SchemaVersion: needs, Logger: slog.New(slog.NewTextHandler(&log, nil))},
		)
		status, err := store.Ping(t.Context())
		if status.Store != "postgres" || status.SchemaVersion != c.version {
			t.Errorf("%s: %+v", c.name, status)
		}
		var unready *registry.UnreadyError
		switch {
		case c.reason == "":
			must(t, err)
		case !errors.As(err, &unready) || !errors.Is(err, registry.ErrUnavailable):
			t.Errorf("%s: %v", c.name, err)
		case !strings.HasSuffix(unready.Reason, c.reason):
			t.Errorf("%s: %s", c.name, unready.Reason)
		}
		if warned := strings.Contains(log.String(), "database not ready"); warned != (c.reason != "") {
			t.Errorf("%s: logged %q", c.name, log.String())
		}
	}
}

func TestPing_readOnly(t *testing.T) {
	t.Parallel()
	dsn := with(postgrestest.New(t), "default_transaction_read_only", "on")
	store := open(t, postgres.Config{DSN: dsn, SchemaVersion: 1})
	for range 2 {
		status, err := store.Ping(t.Context())
		if err != nil || status.WritesUnavailable != "the database is read-only" {
			t.Errorf("ping: %+v, %v", status, err)
		}
	}
}

// TestOpen_noSchema: every call on a database that was not migrated is one that another time may answer.
func TestOpen_noSchema(t *testing.T) {
	t.Parallel()
	store := open(t, postgres.Config{DSN: postgrestest.Empty(t), SchemaVersion: 1})
	_, err := store.ListProducts(t.Context())
	want(t, err, registry.ErrUnavailable)
	want(t, appendOne(t.Context(), store), registry.ErrUnavailable)
}

// TestPing_recovery: the rows of a standby may be older than what was acknowledged.
func TestPing_recovery(t *testing.T) {
	t.Parallel()
	pair := newPair(t)
	store := open(t, postgres.Config{DSN: pair.StandbyDSN()})
	status, err := store.Ping(t.Context())
	var unready *registry.UnreadyError
	if !errors.As(err, &unready) || !errors.Is(err, registry.ErrUnavailable) ||
		!strings.Contains(unready.Reason, "in recovery") {
		t.Errorf("ping: %+v, %v", status, err)
	}
}

// TestPing_privileges: a role that may only read is served, and cannot change anything.
func TestPing_privileges(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	admin := connect(t, dsn)
	role := "reader_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	admin.run(`CREATE ROLE ` + role + ` LOGIN`)
	t.Cleanup(func() { admin.drop(role) })
	admin.run(`GRANT SELECT ON ALL TABLES IN SCHEMA public TO ` + role)
	store := open(t, postgres.Config{DSN: with(dsn, "role", role), SchemaVersion: 1})
	status, err := store.Ping(t.Context())
	if err != nil || !strings.Contains(status.WritesUnavailable, "lacks") ||
		!strings.Contains(status.WritesUnavailable, "INSERT on audit_log") {
		t.Errorf("ping: %+v, %v", status, err)
	}
	admin.run(`GRANT INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO ` + role)
	status, err = store.Ping(t.Context())
	if err != nil || !strings.Contains(status.WritesUnavailable, "EXECUTE on audit_log_erase(") {
		t.Errorf("without that to erase: %+v, %v", status, err)
	}
	admin.run(`GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO ` + role)
	status, err = store.Ping(t.Context())
	if err != nil || status.WritesUnavailable != "" {
		t.Errorf("with the privileges: %+v, %v", status, err)
	}
}

// TestPing_shared: a thousand callers at once are answered by one look at the database.
func TestPing_shared(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	store, err := postgres.Open(t.Context(), postgres.Config{DSN: dsn, SchemaVersion: 1, PingTimeout: 10 * time.Second})
	must(t, err)
	t.Cleanup(store.Close)
	admin := connect(t, dsn)
	looks := func() int64 {
		return value[int64](admin, `SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'schema_migrations'`)
	}
	before := looks()
	var pings sync.WaitGroup
	for range 1000 {
		pings.Go(func() {
			if _, err := store.Ping(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	pings.Wait()
	// The statistics are late by up to a second, which is also that of what came before.
	testkit.Eventually(t, "the statistics", func() bool { return looks() > before })
	if n := looks() - before; n > 20 {
		t.Errorf("1000 calls looked %d times", n)
	}
}

// TestPing_ages: the connections of Ping are as old as those of the pool at most, so that a password that has changed
// is noticed.
func TestPing_ages(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	aging := with(with(dsn, "pool_max_conn_lifetime", "100ms"), "pool_health_check_period", "50ms")
	store := open(t, postgres.Config{DSN: aging, SchemaVersion: 1})
	admin := connect(t, dsn)
	oldest := func() time.Duration {
		seconds := value[float64](admin, `SELECT coalesce(extract(epoch FROM max(now() - backend_start)), 0)::float8
			FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'tenant-registry'`)
		return time.Duration(seconds * float64(time.Second))
	}
	for range 20 {
		_, err := store.Ping(t.Context())
		must(t, err)
		pauseFor(t.Context(), 50*time.Millisecond)
	}
	if age := oldest(); age > 700*time.Millisecond {
		t.Errorf("a connection is %s old", age)
	}
}
