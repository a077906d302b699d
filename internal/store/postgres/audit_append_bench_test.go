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
)

// BenchmarkAppend compares appends of 100 events with those to a log whose rule of places is off. They are made in
// turn; the ratio is of the medians of what the INSERT takes.
func BenchmarkAppend(b *testing.B) {
	const many = 100
	var stores [2]*postgres.Store
	for i := range stores {
		dsn := postgrestest.New(b)
		store, err := postgres.Open(b.Context(), postgres.Config{DSN: dsn, MaxConns: 3})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(store.Close)
		stores[i] = store
	}
	_, err := stores[0].Pool().Exec(b.Context(), `ALTER TABLE audit_log DISABLE TRIGGER audit_log_places`)
	if err != nil {
		b.Fatal(err)
	}
	var took [2][]time.Duration
	for round := range max(b.N, 300) {
		for _, i := range []int{round % 2, 1 - round%2} {
			took[i] = append(took[i], appendMany(b, stores[i], many))
		}
	}
	for i := range took {
		slices.Sort(took[i])
	}
	without, with := took[0][len(took[0])/2], took[1][len(took[1])/2]
	b.ReportMetric(float64(without.Microseconds()), "without-µs")
	b.ReportMetric(float64(with.Microseconds()), "with-µs")
	b.ReportMetric(float64(with)/float64(without), "ratio")
}

// appendMany appends events to the platform's own chain, and returns what the INSERT took.
func appendMany(b *testing.B, store *postgres.Store, many int) (took time.Duration) {
	b.Helper()
	err := store.Tx(b.Context(), func(tx registry.Tx) error {
		head, err := testkit.LockAuditHead(b.Context(), tx, uuid.Nil)
		if err != nil {
			return err
		}
		events := make([]audit.Event, many)
		for i := range events {
			events[i] = testkit.Place(audit.Event{
				ID: uuid.Must(uuid.NewV7()), Action: "document.share", CRUD: audit.Update, Created: noon,
				Actor: audit.Party{ID: "user-17", Name: "A person", Type: "user"}, SourceIP: "192.0.2.10",
				Target: audit.Party{ID: "document-4711", Type: "document"}, Received: noon,
				Fields: map[string]string{"channel": "web"},
			}, head)
			head = testkit.AuditHead{Pos: events[i].Pos, Seq: events[i].Seq, ChainHash: events[i].ChainHash}
		}
		begun := time.Now()
		err = tx.InsertAuditEvents(b.Context(), events)
		took = time.Since(begun)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return took
}
