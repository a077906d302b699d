package migrate_test

import (
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/migrate"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// TestUp_throughPooler: a pooler that ignores session parameters is refused before any lock is taken.
func TestUp_throughPooler(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Empty(t)
	_, err := schema(testkit.Pooler(t, dsn), "one").Up(t.Context())
	if !errors.Is(err, migrate.ErrConnect) || !strings.Contains(err.Error(), "MIGRATE_DATABASE_URL") {
		t.Errorf("up ended with %v", err)
	}
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var locks, tables int
	err = conn.QueryRow(t.Context(), `SELECT
		(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database =
			(SELECT oid FROM pg_database WHERE datname = current_database())),
		(SELECT count(*) FROM pg_tables WHERE schemaname = 'public')`).Scan(&locks, &tables)
	if err != nil || locks != 0 || tables != 0 {
		t.Errorf("%d locks and %d tables are there: %v", locks, tables, err)
	}
}

// TestUp_poolParameters: a DSN that the server's pool reads is good for migrations, too.
func TestUp_poolParameters(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.Empty(t)
	separator := "?"
	if strings.Contains(dsn, "?") {
		separator = "&"
	}
	if _, err := schema(dsn+separator+"pool_max_conns=3&pool_max_conn_lifetime=1m", "one").Up(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestUp_deadFirstHost: of several hosts the first swallows everything, which delays one connection and not each.
func TestUp_deadFirstHost(t *testing.T) {
	t.Parallel()
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Close()
	dsn, err := url.Parse(postgrestest.Empty(t))
	if err != nil {
		t.Fatal(err)
	}
	dsn.Host = dead.Addr().String() + "," + dsn.Host
	query := dsn.Query()
	query.Set("connect_timeout", "2")
	dsn.RawQuery = query.Encode()
	began := time.Now()
	if _, err := schema(dsn.String(), "one").Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 1900*time.Millisecond || took > 3900*time.Millisecond {
		t.Errorf("it took %s, and one attempt at the dead host takes 2 s", took)
	}
}
