package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// proxied returns a DSN that leads to the same database as dsn, through a proxy.
func proxied(t *testing.T, dsn string) (string, *testkit.Proxy) {
	t.Helper()
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	p := testkit.NewProxy(t, net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))))
	if !strings.Contains(dsn, "://") {
		host, port, _ := net.SplitHostPort(p.Addr())
		return dsn + " host=" + host + " port=" + port, p // the last ones count
	}
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = p.Addr()
	return u.String(), p
}

// connect opens a connection to a database for the length of the test.
func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// runSQL runs a statement without an answer.
func runSQL(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// disconnect ends all other sessions in a database that have begun, and returns when they have ended.
func disconnect(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	const terminate = `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_start < $1`
	var begun time.Time
	if err := conn.QueryRow(t.Context(), `SELECT clock_timestamp()`).Scan(&begun); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, func() error {
		var left int
		err := conn.QueryRow(t.Context(), terminate, begun).Scan(&left)
		if err == nil && left > 0 {
			err = fmt.Errorf("%d sessions have not ended", left)
		}
		return err
	})
}

// databaseName is the name of the database, quoted.
func databaseName(t *testing.T, conn *pgx.Conn) string {
	t.Helper()
	var name string
	if err := conn.QueryRow(t.Context(), `SELECT quote_ident(current_database())`).Scan(&name); err != nil {
		t.Fatal(err)
	}
	return name
}
