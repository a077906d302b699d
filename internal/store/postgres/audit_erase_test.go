package postgres_test

import (
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/postgres"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/migrations"
)

// TestErasure_rowsRead asserts that an erasure reads each event of the chain a few times, and not all later ones for
// each that it takes, also where there are no statistics yet.
func TestErasure_rowsRead(t *testing.T) {
	t.Parallel()
	const count, each = 2000, 30
	dsn := postgrestest.New(t)
	admin := connect(t, dsn)
	store, err := postgres.Open(t.Context(), postgres.Config{DSN: dsn, SchemaVersion: migrations.Latest()})
	must(t, err)
	s := registry.New(store, registry.Options{Shares: &registry.ShareCaps{}})
	by := registry.Caller{Access: registry.FullAccess, Actor: audit.Party{ID: "op"}}
	tenant, err := s.CreateTenant(t.Context(), by, registry.TenantInput{Slug: "acme-works", Name: "Acme"})
	must(t, err)
	for range count / registry.MaxBulk {
		events := make([]audit.Event, registry.MaxBulk)
		for i := range events {
			events[i] = audit.Event{
				GroupID: tenant.Value.ID, Action: "a.b", CRUD: audit.Read, Actor: audit.Party{ID: "zoe"},
			}
		}
		_, err := s.RecordEvents(t.Context(), by, events)
		must(t, err)
	}
	before := rowsRead(admin, "audit_log")
	got, err := s.EraseEvents(t.Context(), by, registry.ErasureInput{
		GroupID: tenant.Value.ID, Subjects: []string{"zoe"}, Reason: "Request 12",
	})
	must(t, err)
	if got.Value.Events != count {
		t.Errorf("%d events were taken, want %d", got.Value.Events, count)
	}
	closeAndReport(t, admin, store)
	until(t, "the statistics arrive", 10*time.Second, func() bool { return rowsRead(admin, "audit_log") > before })
	if read := rowsRead(admin, "audit_log") - before; read > count*each {
		t.Errorf("%d rows were read for %d events", read, count)
	}
}
