package postgres_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
	"github.com/breakpilot/tenant-registry/internal/store/postgres"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/internal/store/storetest"
)

func TestMain(m *testing.M) {
	if dsn := os.Getenv(holderDSN); dsn != "" {
		fmt.Println(holdAuditLock(dsn))
		return
	}
	os.Exit(postgrestest.Main(m))
}

func openStore(t *testing.T) registry.Store { return postgrestest.Store(t) }

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, openStore, storetest.Options{})
}

func TestCompare(t *testing.T) {
	t.Parallel()
	storetest.Compare(t, openStore, func(*testing.T) registry.Store { return memory.New() })
}

// TestClose is not parallel, so that every goroutine it finds at its end is the store's.
func TestClose(t *testing.T) {
	dsn := postgrestest.New(t)
	before := goleak.IgnoreCurrent()
	store, err := postgres.Open(t.Context(), postgres.Config{DSN: dsn, PingTimeout: 10 * time.Second})
	must(t, err)
	insertTenant(t, store, "tenant")
	_, err = store.Ping(t.Context())
	must(t, err)
	store.Close()
	store.Close()
	goleak.VerifyNone(t, before)

	_, err = registry.GetTenantBySlug(t.Context(), store, "tenant")
	want(t, err, registry.ErrUnavailable)
	want(t, appendOne(t.Context(), store), registry.ErrUnavailable)
	_, err = store.Ping(t.Context())
	want(t, err, registry.ErrUnavailable)
}
