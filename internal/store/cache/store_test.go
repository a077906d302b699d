package cache_test

import (
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/cache"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
	"github.com/breakpilot/tenant-registry/internal/store/postgres"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/internal/store/storetest"
)

// patience is what a call may take on a busy test machine.
const patience = 20 * time.Second

// openMemory puts a cache in front of a store in memory.
func openMemory(*testing.T) registry.Store { return cache.New(memory.New(), cache.Options{}) }

// openPostgres puts a cache in front of an empty database.
func openPostgres(t *testing.T) registry.Store {
	t.Helper()
	return cache.New(postgrestest.Store(t), cache.Options{})
}

func openStore(t *testing.T, dsn string) *postgres.Store {
	t.Helper()
	store, err := postgres.Open(
		t.Context(), postgres.Config{DSN: dsn, AcquireTimeout: patience / 2, PingTimeout: patience / 2, MaxConns: 8},
	)
	must(t, err)
	t.Cleanup(store.Close)
	return store
}

// TestStore holds a store behind the cache to what every store promises.
func TestStore(t *testing.T) {
	t.Parallel()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		storetest.Run(t, openMemory, storetest.Options{OneWriter: true, Shared: true})
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		storetest.Run(t, openPostgres, storetest.Options{Shared: true})
	})
}

// TestCompare shows that a store with a cache answers as one without, in memory; as Postgres does too, so does a cache
// of it.
func TestCompare(t *testing.T) {
	t.Parallel()
	storetest.Compare(t, openMemory, func(*testing.T) registry.Store { return memory.New() })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
