package server

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/cache"
	"github.com/breakpilot/tenant-registry/internal/store/postgres"
	"github.com/breakpilot/tenant-registry/internal/store/storetest/faultstore"
)

// withoutTenant is a client of a server to which a tenant is deleted: on Postgres it is, by SQL, until there is an
// endpoint; in memory the store says so.
func withoutTenant(api *client, id uuid.UUID) *client {
	api.t.Helper()
	if api.dsn == "" {
		return failing(api, faultstore.On("GetTenant", registry.ErrNotFound))
	}
	api.sql(`DELETE FROM tenants WHERE id = $1`, id)
	return api
}

// TestAuditErase_ofADeletedTenant asserts that "*" takes every part of a deleted tenant's chain but those of erasures,
// that the chain verifies with the checkpoint from before, that nothing is left for a second one, and that "*" is
// refused as long as the tenant lives, for the platform, and of an unknown tenant.
func TestAuditErase_ofADeletedTenant(t *testing.T) {
	eachStoreWith(t, registry.Options{Signer: testSigner}, func(t *testing.T, api *client) {
		x := api.activeTenant("globex").ID
		own := "?tenant_id=" + x.String()
		for range 3 {
			api.report("a.b", object{
				"group": object{"id": x}, "target": object{"id": "doc-1"}, "source_ip": zoeIP, "metadata": object{},
				"fields": object{"k": zoe}, "description": zoe,
			})
		}
		api.call(eraseEvents(x, "doc-1")).want(http.StatusCreated)
		all, length := eraseEvents(x, "*"), api.logLength()
		all = all.with(idempotencyHeader, "all")
		for _, r := range []request{all, eraseEvents(uuid.Nil, "*")} {
			api.call(r).wantProblem("tenant_not_deleted", "/subjects/0")
		}
		if n := api.logLength() - length; n != 0 {
			t.Errorf("refusals left %d events", n)
		}
		checkpoint := string(api.get("/v1/audit/checkpoint" + own).want(http.StatusOK).body)
		api = withoutTenant(api, x)
		api.call(eraseEvents(unknownID, "*")).wantProblem("tenant_not_found")
		got := as[erasureBody](api.call(all).want(http.StatusCreated))
		x1 := api.exported("/v1/audit/export" + own)
		found := x1.verify(t, audit.Proof{Key: testVerifier, Checkpoint: checkpoint})
		if got.Events != 5 || int64(found.Erased) != got.Parts+9 { // target, fields and hash went before, three times
			t.Errorf("the answer is %+v, the export %+v", got, found)
		}
		for _, line := range x1.events {
			_, disclosed := line["disclosed"]
			if _, erasure := line["event"].(object)["erase"]; disclosed != erasure {
				t.Errorf("of an event with erase (%t) there is disclosed (%t): %v", erasure, disclosed, line)
			}
		}
		for _, trace := range []string{zoe, zoeIP, "user-1", "doc-1"} {
			if strings.Contains(string(x1.text), trace) {
				t.Errorf("the export shows %s:\n%s", trace, x1.text)
			}
		}
		api.call(all).want(http.StatusCreated).wantHeader("Idempotent-Replayed", "true")
		if again := as[erasureBody](api.call(eraseEvents(x, "*")).want(http.StatusOK)); again != (erasureBody{}) {
			t.Errorf("the second time: %+v", again)
		}
	})
}

// replicas are two servers on one database, each with a store of its own.
func replicas(t *testing.T) [2]*client {
	t.Helper()
	d := databases.lend(t)
	second, err := postgres.Open(t.Context(), postgres.Config{
		DSN: d.dsn, AcquireTimeout: patience, CallTimeout: patience, PingTimeout: patience, MaxConns: 4,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(second.Close)
	var both [2]*client
	for i, store := range []*postgres.Store{d.store, second} {
		both[i] = newClient(t, cache.New(store, cache.Options{}), registry.Options{Signer: testSigner})
		both[i].dsn = d.dsn
	}
	return both
}

// atOnce sends a request to each of two servers at once.
func atOnce(both [2]*client, requests [2]request) (answers [2]*reply) {
	var calls sync.WaitGroup
	for i := range both {
		calls.Go(func() { answers[i] = both[i].call(requests[i]) })
	}
	calls.Wait()
	return answers
}

// rivalErasures are two erasures of one chain at once.
type rivalErasures struct {
	subjects [2]string // %d is the round
	key      string    // of both; empty: they have none
	parts    int64     // that both together take of each event
	statuses []int
	events   int // that they leave
}

// TestAuditErase_twoAtOnce asserts that two erasures of one chain through two servers at once run one after the other:
// what both name is taken by one of them, and the other finds nothing, or what is left; with one key both are one. Each
// time the chain verifies, on both servers.
func TestAuditErase_twoAtOnce(t *testing.T) {
	t.Parallel()
	both := replicas(t)
	x := both[0].tenant("globex").ID
	for round, rivals := range []rivalErasures{
		{[2]string{"doc-%d", "doc-%d"}, "", 2, []int{200, 201}, 1},   // target, hash
		{[2]string{"user-%d", "user-%d"}, "", 3, []int{200, 201}, 1}, // actor, text, hash
		{[2]string{"user-%d", "doc-%d"}, "", 4, []int{201, 201}, 2},
		{[2]string{"doc-%d", "doc-%d"}, "k", 2, []int{201, 201}, 1},
	} {
		rivals.run(t, both, x, round)
		for _, api := range both {
			api.exported("/v1/audit/export?tenant_id="+x.String()).verify(t, audit.Proof{Key: testVerifier})
		}
	}
}

// run reports more events than an erasure looks at in one step, and erases the round's subjects from them.
func (r rivalErasures) run(t *testing.T, both [2]*client, tenant uuid.UUID, round int) {
	t.Helper()
	const bulks, events = 3, 3 * registry.MaxBulk
	report := object{
		"action": "a.b", "crud": "c", "group": object{"id": tenant},
		"actor": object{"id": fmt.Sprintf("user-%d", round)}, "target": object{"id": fmt.Sprintf("doc-%d", round)},
	}
	for range bulks {
		both[0].call(recordEvents(slices.Repeat([]object{report}, registry.MaxBulk)...)).want(http.StatusCreated)
	}
	var requests [2]request
	for i, subject := range r.subjects {
		if requests[i] = eraseEvents(tenant, fmt.Sprintf(subject, round)); r.key != "" {
			requests[i] = requests[i].with(idempotencyHeader, r.key)
		}
	}
	length := both[0].logLength()
	answers := atOnce(both, requests)
	statuses := []int{answers[0].status, answers[1].status}
	slices.Sort(statuses)
	took := map[uuid.UUID]int64{} // parts by event, so that a replay counts once
	for _, answer := range answers {
		if got := as[erasureBody](answer); got.EventID != nil && got.Events == events {
			took[*got.EventID] = got.Parts
		} else if got != (erasureBody{}) {
			t.Errorf("round %d: an answer is %s", round, answer.body)
		}
	}
	var parts int64
	for _, n := range took {
		parts += n
	}
	if n := both[0].logLength() - length; !slices.Equal(statuses, r.statuses) || parts != r.parts*events ||
		len(took) != r.events || n != int64(r.events) {
		t.Errorf("round %d: %s and %s, with %d events", round, answers[0], answers[1], n)
	}
}
