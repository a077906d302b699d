package postgres_test

import (
	"context"
	"os"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
	"github.com/breakpilot/tenant-registry/internal/store/postgres"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/internal/store/storetest"
)

func TestMain(m *testing.M) {
	os.Exit(postgrestest.Main(m))
}

// open opens a store that is closed when the test ends.
func open(t *testing.T, cfg postgres.Config) *postgres.Store {
	t.Helper()
	store, err := postgres.Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return store
}

// openPatient opens a store on a new database. Its transactions may be idle for as long as the test likes.
func openPatient(t *testing.T) registry.Store {
	t.Helper()
	dsn := with(postgrestest.New(t), "idle_in_transaction_session_timeout", "1min")
	return open(t, postgres.Config{DSN: dsn, SchemaVersion: 1})
}

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, openPatient, storetest.Options{})
}

func TestCompare(t *testing.T) {
	t.Parallel()
	storetest.Compare(t, openPatient, func(*testing.T) registry.Store { return memory.New() })
}
