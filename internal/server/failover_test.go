package server

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/migrate"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/cache"
	"github.com/breakpilot/tenant-registry/internal/store/postgres"
	"github.com/breakpilot/tenant-registry/internal/testkit"
	"github.com/breakpilot/tenant-registry/internal/testkit/cluster"
	"github.com/breakpilot/tenant-registry/migrations"
)

// failover is one way in which a primary is lost whose standby was silent, and which rule is off meanwhile.
type failover struct {
	crash bool // before it is killed, one of its processes is, and it recovers in place

	cancels       bool // the COMMIT that waits is cancelled, as pgx would at the end of a context
	trustsReplays bool // Confirm confirms nothing
	trustsVisible bool // ConfirmReads confirms nothing
	harm          bool // what was answered is not true afterwards

	pair         *cluster.Pair
	api, other   *client // two replicas
	mutated      []*mutated
	acked        int         // mutations
	seen         []uuid.UUID // events, by the follower
	cursor       string      // of the follower
	checkpoint   string      // of checkpointOf; empty: none was given
	checkpointOf uuid.UUID
}

// mutated is one entry of mutations in a failover.
type mutated struct {
	route string
	mutation
	stage
	request request
	before  int         // events of its action in the tenant's chain
	acked   atomic.Bool // the request, or a repeat of it, was answered with success
}

// trusting is a store with rules that are off.
type trusting struct {
	registry.Store
	replays, visible bool
}

// Confirm implements registry.Store.
func (s trusting) Confirm(ctx context.Context) error {
	if s.replays {
		return nil
	}
	return s.Store.Confirm(ctx)
}

// ConfirmReads implements registry.Store.
func (s trusting) ConfirmReads(ctx context.Context) error {
	if s.visible {
		return nil
	}
	return s.Store.ConfirmReads(ctx)
}

// TestFailover cuts the line of a synchronous standby, sends and repeats every entry of mutations, loses the primary
// and promotes the standby. Of what was answered with success nothing is lost, no key that was refused is valid, the
// follower saw every event exactly once, and the checkpoint verifies. The controls have one rule each switched off.
func TestFailover(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]failover{
		"killed":                              {},
		"crashed in place":                    {crash: true},
		"control: COMMIT is cancelled":        {cancels: true, harm: true},
		"control: replays are not confirmed":  {crash: true, trustsReplays: true, harm: true},
		"control: what is seen is handed out": {crash: true, trustsVisible: true, harm: true},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			f.run(t)
		})
	}
}

// start starts the pair, and two replicas on it.
func (f *failover) start(t *testing.T) {
	t.Helper()
	f.pair = cluster.New(t, "max_connections=60")
	if _, err := (migrate.Schema{DSN: f.pair.DSN(), Files: migrations.FS, Env: "dev"}).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.api, f.other = f.replica(t), f.replica(t)
}

func (f *failover) run(t *testing.T) {
	f.start(t)
	f.prepare(t)
	f.follow(t)
	f.pair.Line.Blackhole()
	f.sendAll()
	if f.cancels {
		f.cancelCommit(t)
	}
	if f.crash {
		f.crashInPlace(t)
	}
	f.sendAll()
	f.readProof(t)
	f.pair.KillPrimary()
	f.pair.Promote()
	lies := f.lies(t)
	if f.harm != (len(lies) > 0) {
		t.Errorf("%d acknowledged; harm %t, want %t", f.acked, len(lies) > 0, f.harm)
	}
	t.Logf("%d acknowledged while the standby was silent; %v", f.acked, lies)
}

// replica is a server that follows the primary, and hears what others change.
func (f *failover) replica(t *testing.T) *client {
	t.Helper()
	store, err := postgres.Open(t.Context(), postgres.Config{
		DSN: f.pair.HostsDSN(), CallTimeout: time.Second, PingTimeout: patience, MaxConns: 6,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	cached := cache.New(trusting{store, f.trustsReplays, f.trustsVisible}, cache.Options{Lease: time.Second})
	if err := store.Listen(postgres.Direct{}, cached); err != nil {
		t.Fatal(err)
	}
	o := registry.Options{Now: time.Now, Signer: testSigner}
	return startServer(t, cached, o, Config{CallTimeout: 2 * time.Second})
}

func (f *failover) prepare(t *testing.T) {
	t.Helper()
	insertStageProducts(f.api)
	for _, route := range slices.Sorted(maps.Keys(mutations)) {
		m := mutations[route]
		s := newStage(f.api, m.status())
		r := m.request(s.fixture)
		if m.idempotent {
			r = r.with(idempotencyHeader, s.newSlug)
		}
		one := &mutated{route: route, mutation: m, stage: s, request: r}
		one.before = f.count(t, one)
		f.mutated = append(f.mutated, one)
	}
}

// count is how many events of its action a mutation's tenant has.
func (f *failover) count(t *testing.T, m *mutated) int {
	t.Helper()
	group := m.tenant
	if created, err := registry.GetTenantBySlug(t.Context(), f.api.store, m.newSlug); err == nil {
		group = created.ID
	}
	found, err := f.api.store.ListAuditEvents(t.Context(), registry.AuditQuery{
		GroupID: &group, Action: m.event, PageRequest: registry.PageRequest{Limit: 100},
	})
	if err != nil {
		t.Fatal(err)
	}
	return len(found.Items)
}

// sendAll sends the first mutation, which revokes a key, and then all of them at once to both replicas.
func (f *failover) sendAll() {
	f.mutated[0].send(f.api)
	var calls sync.WaitGroup
	for _, m := range f.mutated {
		for _, api := range []*client{f.api, f.other} {
			calls.Go(func() { m.send(api) })
		}
	}
	calls.Wait()
}

func (m *mutated) send(api *client) {
	if got := api.send(m.request); got.status == m.ok {
		m.acked.Store(true)
	}
}

// follow reads what is new in the whole log, through the other replica. A replica that does not answer has shown
// nothing.
func (f *failover) follow(t *testing.T) {
	t.Helper()
	for {
		page, err := f.other.registry.Audit(t.Context(), operatorCaller, registry.AuditQuery{
			Ascending: true, PageRequest: registry.PageRequest{Limit: 100, Cursor: f.cursor},
		})
		if err != nil || len(page.Items) == 0 {
			return
		}
		f.cursor = page.Next
		for _, e := range page.Items {
			f.seen = append(f.seen, e.ID)
		}
	}
}

// cancelCommit does to the COMMIT that waits what a cancel request of its client would.
func (f *failover) cancelCommit(t *testing.T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), f.pair.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	testkit.Eventually(t, "a COMMIT waits for the standby", func() bool {
		tag, err := conn.Exec(t.Context(), `SELECT pg_cancel_backend(pid) FROM pg_stat_activity
			WHERE wait_event = 'SyncRep' AND query ILIKE 'commit%'`)
		return err == nil && tag.RowsAffected() > 0
	})
}

// crashInPlace kills one process of the primary. What waited for the standby is visible afterwards.
func (f *failover) crashInPlace(t *testing.T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), f.pair.DSN())
	if err != nil {
		t.Fatal(err)
	}
	f.pair.CrashBackend(int(conn.PgConn().PID()))
	_ = conn.Close(context.Background())
	testkit.Eventually(t, "reads after the crash", func() bool {
		_, err := f.api.store.GetNewestPosition(t.Context())
		_, other := f.other.store.GetNewestPosition(t.Context())
		return err == nil && other == nil
	})
}

// readProof follows the log, and takes a checkpoint of the first mutation's tenant if it is given one.
func (f *failover) readProof(t *testing.T) {
	t.Helper()
	f.follow(t)
	f.checkpointOf = f.mutated[0].tenant
	text, err := f.api.registry.Checkpoint(t.Context(), operatorCaller, &f.checkpointOf)
	if err == nil {
		f.checkpoint = text
	}
}

// lies lists what was answered before and is not true on the new primary.
func (f *failover) lies(t *testing.T) []string {
	t.Helper()
	for i, api := range []*client{f.api, f.other} {
		slug := fmt.Sprintf("afterwards-%d", i)
		testkit.Eventually(t, "a change on the new primary", func() bool {
			return api.send(createTenant(slug, nil)).status == http.StatusCreated
		})
	}
	var lies []string
	for _, m := range f.mutated {
		if !m.acked.Load() {
			continue
		}
		f.acked++
		if n := f.count(t, m) - m.before; n != 1 {
			lies = append(lies, fmt.Sprintf("%s: %d events", m.route, n))
		}
		if strings.Contains(m.event, "revoke") && f.valid(t, m.text) {
			lies = append(lies, m.route+": the key is valid")
		}
	}
	f.follow(t)
	if got, want := fmt.Sprint(f.seen), fmt.Sprint(f.log(t)); got != want {
		lies = append(lies, "the follower saw another log")
	}
	return append(lies, f.checkpointLies(t)...)
}

// valid reports whether a key is good on any replica.
func (f *failover) valid(t *testing.T, text string) bool {
	t.Helper()
	for _, api := range []*client{f.api, f.other} {
		asked := registry.VerifyQuery{Key: text}
		v, err := api.registry.Verify(t.Context(), operatorCaller, asked, registry.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if v.Valid() {
			return true
		}
	}
	return false
}

// log lists the ids of all events, oldest first.
func (f *failover) log(t *testing.T) []uuid.UUID {
	t.Helper()
	rows, err := f.api.store.ListAuditEvents(t.Context(), registry.AuditQuery{
		Ascending: true, PageRequest: registry.PageRequest{Limit: registry.MaxExamined},
	})
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]uuid.UUID, len(rows.Items))
	for i, e := range rows.Items {
		ids[i] = e.ID
	}
	return ids
}

// checkpointLies compares the chain with the checkpoint that was given.
func (f *failover) checkpointLies(t *testing.T) []string {
	t.Helper()
	if f.checkpoint == "" {
		return nil
	}
	got := f.api.get("/v1/audit/export?tenant_id=" + f.checkpointOf.String()).want(http.StatusOK)
	v := audit.VerifyExport(bytes.NewReader(got.body), audit.Proof{Key: testVerifier, Checkpoint: f.checkpoint})
	if v.Status != audit.OK {
		return []string{"the checkpoint: " + v.Text}
	}
	return nil
}
