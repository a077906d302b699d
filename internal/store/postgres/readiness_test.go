package postgres_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/postgres"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
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
		if status != (registry.StoreStatus{Store: "postgres", SchemaVersion: c.version}) {
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
		if warned := strings.Contains(log.String(), "level=WARN"); warned != (c.reason != "") {
			t.Errorf("%s: logged %q", c.name, log.String())
		}
	}
}

func TestPing_readOnly(t *testing.T) {
	t.Parallel()
	dsn := with(postgrestest.New(t), "default_transaction_read_only", "on")
	store := open(t, postgres.Config{DSN: dsn, SchemaVersion: 1})
	for range 2 {
		_, err := store.Ping(t.Context())
		var unready *registry.UnreadyError
		if !errors.As(err, &unready) || !strings.Contains(unready.Reason, "read-only") {
			t.Errorf("ping: %v", err)
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
