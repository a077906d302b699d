package postgres_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/audit"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/postgres"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
)

// log is a log of so many events. The oldest tenth are of one tenant, the oldest fifth of one actor, one action and so
// on, and nothing that comes later has any of it: a search that goes from the newest on, and only reads the events,
// passes all others first.
type log struct {
	store *postgres.Store
	old   uuid.UUID
	much  uuid.UUID // the tenant that has all the others
}

func newLog(b *testing.B, rows int) log {
	b.Helper()
	dsn := postgrestest.New(b)
	conn, err := pgx.Connect(b.Context(), dsn)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(context.Background())
	l := log{
		old:  uuid.MustParse("00000000-0000-7000-8000-000000000001"),
		much: uuid.MustParse("00000000-0000-7000-8000-000000000002"),
	}
	run := func(sql string, args ...any) {
		if _, err := conn.Exec(b.Context(), sql, args...); err != nil {
			b.Fatal(err)
		}
	}
	run(`
		INSERT INTO tenants (id, slug, name, status, metadata, version, created_at, updated_at)
		SELECT id, 'tenant-' || n, 'n', 'trial', '{}', 1, now(), now()
		FROM unnest(ARRAY[$1, $2]::uuid[]) WITH ORDINALITY AS t (id, n)`, l.old, l.much)
	run(`
		INSERT INTO audit_log (pos, id, group_id, seq, tenant_id, action, area, crud, actor_id, target_id, is_failure,
			is_anonymous, fields, description, created, received, correlation_id, prev_chain_hash, chain_hash,
			actor_salt, target_salt, fields_salt, text_salt)
		SELECT i, gen_random_uuid(), g, CASE WHEN i <= $4::int THEN i ELSE i - $4::int END, g, w || '.do', w,
			(ARRAY['c', 'r', 'u'])[1 + i % 3]::audit_crud,
			w || CASE WHEN o THEN '' ELSE (i % 100)::text END, w || CASE WHEN o THEN '' ELSE (i % 1000)::text END,
			o, false,
			'{"before.name": "\"one\"", "after.name": "\"two\""}', repeat('x', 100), now(), now(),
			w || CASE WHEN o THEN '' ELSE (i / 3)::text END,
			decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex'), uuid_send(g), uuid_send(g), uuid_send(g),
			uuid_send(g)
		FROM (
			SELECT i, i <= $5::int AS o, CASE WHEN i <= $4::int THEN $1::uuid ELSE $2::uuid END AS g,
				CASE WHEN i <= $5::int THEN 'old' ELSE 'new' END AS w
			FROM generate_series(1, $3::int) AS i) AS x`, l.old, l.much, rows, rows/10, rows/5)
	run(`VACUUM ANALYZE audit_log`)
	store, err := postgres.Open(b.Context(), postgres.Config{DSN: dsn, MaxConns: 1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(store.Close)
	l.store = store
	return l
}

// page reads one page, and returns how long that took.
func (l log) page(b *testing.B, q registry.AuditQuery, group string) time.Duration {
	switch group {
	case "old":
		q.GroupID = &l.old
	case "much":
		q.GroupID = &l.much
	}
	begun := time.Now()
	rows, err := l.store.ListAuditEvents(b.Context(), q)
	took := time.Since(begun)
	if err != nil {
		b.Fatal(err)
	}
	if full := len(rows.Items) == q.Limit; full == rows.Truncated || full && q.CRUD != "" {
		b.Fatalf("%d events for %+v", len(rows.Items), q)
	}
	return took
}

// BenchmarkPages compares a page of a log of a million events with one of ten thousand, where what is asked for is the
// oldest of all or is nowhere. The pages are read in turn; the ratio is of their medians. It is not to pass 1.5. A page
// of a filter that no index serves is short.
func BenchmarkPages(b *testing.B) {
	const bound = 1000 // what the small log has of everything, so that both examine the same number
	small, large := newLog(b, 10_000), newLog(b, 1_000_000)
	for _, c := range []struct {
		name, group string
		query       registry.AuditQuery
	}{
		{"tenant", "old", registry.AuditQuery{}},
		{"actor", "", registry.AuditQuery{ActorID: "old", MaxExamined: bound}},
		{"action", "", registry.AuditQuery{Action: "old.do", MaxExamined: bound}},
		{"area", "", registry.AuditQuery{Area: "old", MaxExamined: bound}},
		{"action of the other tenant", "much", registry.AuditQuery{Action: "new.do"}},
		{"area of the other tenant", "much", registry.AuditQuery{Area: "new"}},
		{"target", "", registry.AuditQuery{TargetID: "old"}},
		{"correlation", "", registry.AuditQuery{CorrelationID: "old"}},
		{"failures", "", registry.AuditQuery{IsFailure: new(true), MaxExamined: bound}},
		{"actor of the tenant", "old", registry.AuditQuery{ActorID: "old"}},
		{"actor of the other tenant", "much", registry.AuditQuery{ActorID: "old"}},
		{"failures of the other tenant", "much", registry.AuditQuery{IsFailure: new(true)}},
		{"crud that nothing has", "", registry.AuditQuery{CRUD: audit.Delete}},
		{
			"crud that nothing of the tenant has", "old",
			registry.AuditQuery{CRUD: audit.Delete, MaxExamined: bound},
		},
		{
			"crud that nothing of the other tenant has", "much",
			registry.AuditQuery{CRUD: audit.Delete, MaxExamined: bound},
		},
		{
			"crud that nothing of the actor has", "",
			registry.AuditQuery{ActorID: "old", CRUD: audit.Delete, MaxExamined: bound},
		},
		{
			"crud that nothing of an action has", "",
			registry.AuditQuery{Action: "old.do", CRUD: audit.Delete, MaxExamined: bound},
		},
		{
			"crud that nothing of the other tenant's action has", "much",
			registry.AuditQuery{Action: "new.do", CRUD: audit.Delete, MaxExamined: bound},
		},
	} {
		for _, ascending := range []bool{false, true} {
			name := c.name + map[bool]string{false: ", newest first", true: ", oldest first"}[ascending]
			b.Run(name, func(b *testing.B) {
				q := c.query
				q.Ascending, q.Limit = ascending, 50
				var took [2][]time.Duration
				for range max(b.N, 60) {
					for i, l := range []log{small, large} {
						took[i] = append(took[i], l.page(b, q, c.group))
					}
				}
				for i := range took {
					slices.Sort(took[i])
				}
				a, z := took[0][len(took[0])/2], took[1][len(took[1])/2]
				b.ReportMetric(float64(a.Microseconds()), "small-µs")
				b.ReportMetric(float64(z.Microseconds()), "large-µs")
				b.ReportMetric(float64(z)/float64(a), "ratio")
			})
		}
	}
}
