package postgres_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/postgres"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/internal/testkit"
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

// TestErasure_everyColumn asserts that of an event that has everything an erasure of all parts leaves the skeleton and
// what is no person's, and nothing of any other column, also of one that is added later.
func TestErasure_everyColumn(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	admin := connect(t, dsn)
	store := open(t, postgres.Config{DSN: dsn, SchemaVersion: migrations.Latest()})
	tenant := insertTenant(t, store, "acme-works")
	key := audit.IdempotencyRecord{Key: audit.Digest{1}, Fingerprint: audit.NewFingerprint([]byte("command"))}
	e := audit.Event{
		ID: uuid.Must(uuid.NewV7()), GroupID: tenant.ID, GroupName: "g", Action: "a.b", CRUD: audit.Read, Created: noon,
		Received: noon, Actor: wholeParty, Target: wholeParty, OnBehalfOf: audit.Named{ID: "o", Name: "n"},
		Emitter: audit.Named{ID: "e", Name: "n"}, SourceIP: "192.0.2.1", Description: "d", Component: "c", Version: "v",
		ExternalID: "x", CorrelationID: "r", Fields: wholeParty.Fields, Metadata: wholeParty.Fields, Idempotency: key,
	}
	erasure := audit.Event{
		ID: uuid.Must(uuid.NewV7()), GroupID: tenant.ID, Action: "audit.erase", CRUD: audit.Delete, IsAnonymous: true,
		Created: noon, Received: noon, Erasure: &audit.Erasure{Events: 1, First: 1, Parts: 10},
	}
	write := func(fn func(tx registry.Tx) error) { must(t, store.Tx(t.Context(), fn)) }
	place := func(e audit.Event, then func(tx registry.Tx, e audit.Event) error) {
		write(func(tx registry.Tx) error {
			head, err := testkit.LockAuditHead(t.Context(), tx, tenant.ID)
			must(t, err)
			placed := testkit.Place(e, head)
			must(t, testkit.InsertAuditEvent(t.Context(), tx, placed))
			return then(tx, placed)
		})
	}
	all := registry.EventParts{Seq: 1, Parts: map[audit.Part]audit.Digest{}}
	place(e, func(tx registry.Tx, e audit.Event) error {
		for _, p := range audit.AllParts {
			all.Parts[p] = e.DigestOf(p)
		}
		return tx.MarkEventParts(t.Context(), tenant.ID, erasure.ID, []registry.EventParts{all})
	})
	filled := value[[]string](admin, columnsThat+`<> 'null'`)
	place(erasure, func(tx registry.Tx, _ audit.Event) error {
		return tx.DeleteEventParts(t.Context(), tenant.ID, []registry.EventParts{all})
	})
	left := []string{
		"action", "area", "chain_hash", "created", "crud", "digests", "group_id", "id", "idempotency_key",
		"idempotency_ordinal", "is_anonymous", "is_failure", "marks", "pos", "prev_chain_hash", "received", "seq",
		"tenant_id",
	}
	if got := value[[]string](admin, columnsThat+`<> 'null'`); !slices.Equal(got, left) {
		t.Errorf("the erased event has %q, want %q", got, left)
	}
	if len(filled) != 52 {
		t.Errorf("%d columns had a value: this test shows less than it could: %q", len(filled), filled)
	}
}

var wholeParty = audit.Party{ID: "i", Name: "n", Href: "h", Type: "t", Fields: map[string]string{"k": "v"}}

const columnsThat = `SELECT array_agg(c.key ORDER BY c.key) FROM audit_log a, jsonb_each(to_jsonb(a)) AS c
	WHERE a.seq = 1 AND c.value `
