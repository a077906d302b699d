package postgres_test

import (
	"context"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/migrate"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/postgres"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/internal/store/storetest"
	"github.com/breakpilot/tenant-registry/migrations"
)

// newRole makes a role for all databases of a server, and returns how to connect to one of them as it. What the role
// was granted in databases that live longer than the test must be taken from it before.
func newRole(t *testing.T, server string) (role string, as func(dsn string) string) {
	t.Helper()
	const password = "only for a test"
	role = "role_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	admin := connect(t, server)
	admin.run(`CREATE ROLE ` + role + ` LOGIN PASSWORD '` + password + `'`)
	t.Cleanup(func() { admin.drop(role) })
	return role, func(dsn string) string {
		parsed, err := url.Parse(dsn)
		must(t, err)
		parsed.User = url.UserPassword(role, password)
		return parsed.String()
	}
}

func grant(t *testing.T, dsn, role string) {
	t.Helper()
	must(t, migrate.Schema{DSN: dsn, Files: migrations.FS, Tables: migrations.Tables}.Grant(
		t.Context(), migrate.Roles{App: role},
	))
}

// TestStore_granted: all that the Store promises, with the privileges that "migrate grants" gives. The databases serve
// one test after the other; the owner empties them.
func TestStore_granted(t *testing.T) {
	t.Parallel()
	role, as := newRole(t, postgrestest.Empty(t))
	type granted struct {
		dsn   string
		store *postgres.Store
	}
	free := make(chan granted, 1000)
	storetest.Run(t, func(test *testing.T) registry.Store {
		var s granted
		select {
		case s = <-free:
		default:
			s.dsn = postgrestest.New(t)
			grant(test, s.dsn, role)
			s.store = open(t, postgres.Config{
				DSN:           as(with(s.dsn, "idle_in_transaction_session_timeout", "1min")),
				SchemaVersion: migrations.Latest(), AcquireTimeout: 10 * time.Second,
			})
		}
		test.Cleanup(func() {
			if !test.Failed() {
				empty(test, s.dsn)
				free <- s
			}
		})
		return s.store
	}, storetest.Options{})
}

// empty deletes all rows, which the log refuses as long as its trigger is on.
func empty(t *testing.T, dsn string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	must(t, err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(context.Background(), `
		BEGIN;
		ALTER TABLE audit_log DISABLE TRIGGER audit_log_no_truncate;
		TRUNCATE tenants, products, catalog_requests, entitlements, api_keys, audit_log;
		ALTER TABLE audit_log ENABLE TRIGGER audit_log_no_truncate;
		COMMIT`)
	must(t, err)
}

// TestPing_granted: the role that was granted to takes changes, and without any of its privileges it is said which one
// is missing.
func TestPing_granted(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	role, as := newRole(t, dsn)
	grant(t, dsn, role)
	admin := connect(t, dsn)
	store := open(t, postgres.Config{DSN: as(dsn), SchemaVersion: migrations.Latest()})
	ping := func(want string) {
		t.Helper()
		status, err := store.Ping(t.Context())
		if err != nil || status.WritesUnavailable != want {
			t.Errorf("%+v, %v; want %q", status, err, want)
		}
	}
	ping("")
	for _, table := range migrations.Tables {
		for _, privilege := range table.App {
			if privilege == "SELECT" {
				continue
			}
			admin.run(`REVOKE ` + privilege + ` ON ` + table.Name + ` FROM ` + role)
			ping("the role of this program lacks " + privilege + " on " + table.Name)
			admin.run(`GRANT ` + privilege + ` ON ` + table.Name + ` TO ` + role)
		}
	}
	ping("")
}

// TestOpen_power: a role that owns the audit log, or may update a column of it, is warned of; the one that was granted
// to is not.
func TestOpen_power(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	role, as := newRole(t, dsn)
	grant(t, dsn, role)
	warned := func(dsn string) bool {
		var log strings.Builder
		open(t, postgres.Config{DSN: dsn, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		return strings.Contains(log.String(), "level=WARN") && strings.Contains(log.String(), "migrate grants")
	}
	if !warned(dsn) {
		t.Error("the owner is not warned of")
	}
	if warned(as(dsn)) {
		t.Error("a role that may not change the log is warned of")
	}
	connect(t, dsn).run(`GRANT UPDATE (description) ON audit_log TO ` + role)
	if !warned(as(dsn)) {
		t.Error("a role that may update a column of the log is not warned of")
	}
}
