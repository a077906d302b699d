package postgres_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/postgres"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
)

// TestAuditQuery_skewedLog: in a log where one tenant has the oldest events, most values are common and some are rare,
// a search for a rare one reads few rows, also after many for a common one, and so does one for a value that is common
// among the oldest only. Postgres would come to plan without regard to the values.
func TestAuditQuery_skewedLog(t *testing.T) {
	t.Parallel()
	const rows, usual, then, limit = 30_000, 6, 18, 20
	dsn := postgrestest.New(t)
	admin := connect(t, dsn)
	old, others := skew(admin, rows)
	yes := true
	const failures = 100 // one event in so many, and another filter drives
	for _, c := range []struct {
		usual, then registry.AuditQuery
		examined    int // rows for one that is found; 0: 1
	}{
		{registry.AuditQuery{}, registry.AuditQuery{}, 0},
		{registry.AuditQuery{Position: 2000}, registry.AuditQuery{Position: 1500}, 0},
		{registry.AuditQuery{Area: "common"}, registry.AuditQuery{Area: "rare"}, 0},
		{registry.AuditQuery{Action: "common.do"}, registry.AuditQuery{Action: "rare.do"}, 0},
		{registry.AuditQuery{ActorID: "user"}, registry.AuditQuery{ActorID: "unknown"}, 0},
		{registry.AuditQuery{ActorID: "user"}, registry.AuditQuery{ActorID: "early"}, 0},
		{registry.AuditQuery{TargetID: "target"}, registry.AuditQuery{TargetID: "nothing"}, 0},
		{registry.AuditQuery{CorrelationID: "req-8"}, registry.AuditQuery{CorrelationID: "req-7"}, 0},
		{
			registry.AuditQuery{Area: "common", TargetID: "target"},
			registry.AuditQuery{Area: "common", TargetID: "nothing"}, 0,
		},
		{
			registry.AuditQuery{IsFailure: &yes, Action: "common.do"},
			registry.AuditQuery{IsFailure: &yes, Action: "rare.do"}, failures,
		},
		{
			registry.AuditQuery{IsFailure: &yes, TargetID: "target"},
			registry.AuditQuery{IsFailure: &yes, TargetID: "nothing"}, failures,
		},
	} {
		before := rowsRead(admin, "audit_log")
		store, err := postgres.Open(t.Context(), postgres.Config{DSN: dsn, MaxConns: 1})
		must(t, err)
		pages := 0
		for _, group := range []*uuid.UUID{nil, &old, &others} {
			for _, ascending := range []bool{false, true} {
				for i := range usual + then {
					q := c.usual
					if i >= usual {
						q = c.then
					}
					q.GroupID, q.Ascending, q.Limit = group, ascending, limit
					if driving, narrowing := q.Filters(); driving == nil && narrowing != nil {
						q.MaxExamined = limit // such a filter examines the whole log, page by page
					}
					_, err := store.ListAuditEvents(t.Context(), q)
					must(t, err)
					pages++
				}
			}
		}
		_, err = store.Pool().Exec(t.Context(), `SELECT id FROM audit_log WHERE pos = 1`)
		must(t, err)
		closeAndReport(t, admin, store)
		until(t, "the statistics arrive", 10*time.Second, func() bool { return rowsRead(admin, "audit_log") > before })
		read := rowsRead(admin, "audit_log") - before
		if read > int64(pages*3*limit*max(c.examined, 1)) {
			t.Errorf("%d rows were read for %d pages of %+v", read, pages, c.then)
		}
	}
}

// closeAndReport closes a store and waits for the end of its sessions, which then report to the server what they read.
func closeAndReport(t *testing.T, admin database, store *postgres.Store) {
	t.Helper()
	store.Close()
	until(t, "the sessions end", 10*time.Second, func() bool {
		return value[int64](
			admin,
			`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
		) == 0
	})
}

// rowsRead is how many rows of a table were read, by sessions that have ended.
func rowsRead(admin database, table string) int64 {
	const sql = `SELECT coalesce(idx_tup_fetch, 0) + seq_tup_read FROM pg_stat_user_tables WHERE relname = $1`
	return value[int64](admin, sql, table)
}

// skew fills a log.
func skew(admin database, rows int) (old, others uuid.UUID) {
	old = uuid.MustParse("00000000-0000-7000-8000-000000000001")
	others = uuid.MustParse("00000000-0000-7000-8000-000000000002")
	admin.run(`
		INSERT INTO tenants (id, slug, name, status, metadata, version, created_at, updated_at)
		SELECT id, 'tenant-' || n, 'n', 'trial', '{}', 1, now(), now()
		FROM unnest($1::uuid[]) WITH ORDINALITY AS t (id, n)`, []uuid.UUID{old, others})
	admin.run(`
		INSERT INTO audit_log (pos, id, group_id, seq, tenant_id, action, area, crud, actor_id, target_id, is_failure,
			is_anonymous, created, received, correlation_id, prev_chain_hash, chain_hash, actor_salt, target_salt,
			text_salt)
		SELECT i, gen_random_uuid(), g, CASE WHEN i <= 3000 THEN i ELSE i - 3000 END, g, area || '.do', area, 'c',
			CASE WHEN i <= 6000 THEN 'early' ELSE 'user' END, 'target', i % 100 = 0, false, now(), now(), 'req-' || i,
			decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex'), uuid_send(g), uuid_send(g), uuid_send(g)
		FROM (
			SELECT i, CASE WHEN i <= 3000 THEN $1::uuid ELSE $2::uuid END AS g,
				CASE WHEN i = 7 THEN 'rare' ELSE 'common' END AS area
			FROM generate_series(1, $3::int) AS i) AS x`, old, others, rows)
	admin.run(`VACUUM ANALYZE audit_log`)
	return old, others
}

// TestAPIKeyList_manyKeys: a page of a tenant with very many keys reads what it examines and one more, be it that
// hardly any match, and a page without filters reads what it shows.
func TestAPIKeyList_manyKeys(t *testing.T) {
	t.Parallel()
	const rows, examine, limit = 20_000, 500, 20
	dsn := postgrestest.New(t)
	admin := connect(t, dsn)
	tenant := uuid.MustParse("00000000-0000-7000-8000-000000000001")
	admin.run(`INSERT INTO tenants (id, slug, name, status, metadata, version, created_at, updated_at)
		VALUES ($1, 'tenant', 'n', 'trial', '{}', 1, now(), now())`, tenant)
	admin.run(`
		INSERT INTO api_keys (id, tenant_id, name, environment, scopes, prefix, hash, previous_ended, disabled,
			version, created_by, created_at, updated_at, revoked_at, revoked_by)
		SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, $1, 'n', 'live', '{}', 'bp_live_xxxx',
			sha256(i::text::bytea), false, false, 1, 'c', now(), now(),
			CASE WHEN i > 5 THEN now() END, CASE WHEN i > 5 THEN 'r' END
		FROM generate_series(1, $2::int) AS i`, tenant, rows)
	admin.run(`VACUUM ANALYZE api_keys`)
	keysRead := func() int64 {
		return rowsRead(admin, "api_keys")
	}
	for _, c := range []struct {
		q    registry.APIKeyQuery
		most int64
	}{
		{registry.APIKeyQuery{}, limit + 1},
		{registry.APIKeyQuery{State: registry.APIKeyActive, MaxExamined: examine}, examine},
		{registry.APIKeyQuery{State: registry.APIKeyRevoked, MaxExamined: examine}, limit + 1},
	} {
		before := keysRead()
		store, err := postgres.Open(t.Context(), postgres.Config{DSN: dsn, MaxConns: 1})
		must(t, err)
		const pages = 20 // after some of which Postgres may reuse a plan
		c.q.TenantID, c.q.Limit = tenant, limit
		for range pages {
			page, err := store.ListAPIKeys(t.Context(), c.q)
			must(t, err)
			if page.Next == "" {
				t.Fatalf("%+v has no next page", c.q)
			}
			c.q.Position = uuid.MustParse(page.Next)
		}
		closeAndReport(t, admin, store)
		until(t, "the statistics arrive", 10*time.Second, func() bool { return keysRead() > before })
		if read := keysRead() - before; read > pages*c.most+pages {
			t.Errorf("%d rows were read for %d pages of %+v, want at most %d for each", read, pages, c.q, c.most)
		}
	}
}
