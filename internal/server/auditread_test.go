package server

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

func TestAudit_narrowing(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.tenant("globex").ID
		in := func(action, crud, created string) {
			api.report(action, object{"group": object{"id": x}, "crud": crud, "created": created})
		}
		in("a.one", "r", "2026-01-01T00:00:00Z")
		in("a.two", "u", "2026-01-01T00:00:00.000001Z")
		in("b.three", "r", "2026-01-02T00:00:00Z")
		tenant := "tenant_id=" + x.String() + "&order=asc&"
		for query, want := range map[string][]string{
			"crud=r":            {"a.one", "b.three"},
			"crud=d":            {},
			"crud=c":            {"tenant.create"},
			"crud=r&action=a.*": {"a.one"},
			"created_from=2026-01-01T00:00:00.000001Z":                                                     {"tenant.create", "a.two", "b.three"},
			"created_from=2026-01-01T00:00:00.0000001Z":                                                    {"tenant.create", "a.two", "b.three"},
			"created_before=2026-01-01T00:00:00.000001Z":                                                   {"a.one"},
			"created_before=2026-01-01T01:00:00%2B01:00":                                                   {},
			"created_before=2026-01-01T01:00:00.000002%2B01:00":                                            {"a.one", "a.two"},
			"created_from=2026-01-01T00:00:00.000001Z&created_before=2026-01-02T00:00:00Z&actor_id=user-1": {"a.two"},
			"created_from=2026-01-02T00:00:00Z&created_before=2026-01-01T00:00:00Z":                        {},
		} {
			wantEqual(t, query, api.found(tenant+query), want)
		}
		for _, bad := range []string{
			"crud=", "crud=x", "crud=C", "created_from=", "created_from=2026-01-01", "created_from=yesterday", "created_before=0001-01-01T00:00:00Z",
			"created_before=1969-12-31T23:59:59Z", "created_from=2026-01-01T00:00:00+01:00", "created_from=9999-12-31T23:59:59-01:00",
			"wait=1", "wait=0", "order=desc&wait=1", "order=asc&wait=26", "order=asc&wait=-1", "order=asc&wait=1.5", "order=asc&wait=", "order=asc&wait=01",
		} {
			name := "wait"
			if !strings.Contains(bad, "wait") {
				name, _, _ = strings.Cut(bad, "=")
			}
			api.send(request{method: http.MethodGet, target: "/v1/audit?" + bad}).wantProblem("invalid_request", "?"+name)
		}
	})
}

// asked answers a request in the background.
func (c *client) asked(target string) <-chan page[eventBody] {
	c.t.Helper()
	got := make(chan page[eventBody], 1)
	c.t.Cleanup(func() { <-got })
	go func() {
		defer close(got)
		r := c.exchange(fetch(target))
		if r.status != http.StatusOK {
			c.t.Errorf("%s → %d %s", target, r.status, r.body)
		}
		got <- as[page[eventBody]](r)
	}()
	return got
}

// answered takes the answer when it comes.
func answered(t *testing.T, what string, got <-chan page[eventBody]) page[eventBody] {
	t.Helper()
	select {
	case p := <-got:
		if p.NextCursor == nil {
			t.Errorf("%s has no next_cursor", what)
		}
		return p
	case <-time.After(patience):
		t.Fatalf("%s was not answered", what)
		return page[eventBody]{}
	}
}

// waitingFor polls until so many wait for events.
func waitingFor(t *testing.T, api *client, n int) {
	t.Helper()
	for deadline := time.Now().Add(patience); api.registry.Waiting() != n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d wait, want %d", api.registry.Waiting(), n)
		}
	}
}

// Who waits is answered by the first event that it asked for, whoever writes it; other events do not end the wait, and none is lost.
func TestAudit_wait(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x, y := api.tenant("globex").ID, api.tenant("initech").ID
		replica := newClient(t, api.store, registry.Options{Now: api.clock.now}) // whose appends wake nobody here
		tail := newQuery("/v1/audit?order=asc&wait=20&actor_id=user-2&tenant_id=" + x.String())
		for i, writer := range []*client{api, replica, api, replica} {
			action := fmt.Sprintf("wait.%d", i)
			got := api.asked(tail.String())
			waitingFor(t, api, 1)
			api.report("other.actor", object{"group": object{"id": x}})
			writer.in(t).report("other.tenant", object{"group": object{"id": y}, "actor": object{"id": "user-2"}})
			waitingFor(t, api, 1)
			writer.in(t).report(action, object{"group": object{"id": x}, "actor": object{"id": "user-2"}})
			p := answered(t, action, got)
			if len(p.Items) != 1 || p.Items[0].Action != action {
				t.Fatalf("the answer is %+v, want %s", p.Items, action)
			}
			tail = tail.set("cursor", *p.NextCursor)
		}
		waitingFor(t, api, 0)
		if p := as[page[eventBody]](api.get(tail.set("wait", 1).String()).want(http.StatusOK)); len(p.Items) != 0 || p.NextCursor == nil {
			t.Errorf("after the wait: %+v", p)
		}
		if p := as[page[eventBody]](api.get(newQuery("/v1/audit?order=asc&wait=20&limit=1").String())); len(p.Items) != 1 {
			t.Error("who finds something must not wait")
		}
	})
}

// Drain answers everybody who waits, and nobody waits after it.
func TestAudit_waitEndsWithDrain(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		all := []<-chan page[eventBody]{api.asked("/v1/audit?order=asc&wait=25"), api.asked("/v1/audit?order=asc&wait=25&actor_id=nobody")}
		waitingFor(t, api, 2)
		api.server.Drain()
		api.server.Drain()
		for _, got := range append(all, api.asked("/v1/audit?order=asc&wait=25&action=never")) {
			if p := answered(t, "a wait", got); len(p.Items) != 0 {
				t.Errorf("the answer has %+v", p.Items)
			}
		}
		waitingFor(t, api, 0)
	})
}

// A client that goes away waits no longer.
func TestAudit_waitEndsWithClient(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		impatient := api.in(t)
		impatient.http = &http.Client{Transport: &http.Transport{}, Timeout: 300 * time.Millisecond}
		t.Cleanup(impatient.http.CloseIdleConnections)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api.url+"/v1/audit?order=asc&wait=25", nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := impatient.http.Do(req); err == nil {
			_ = resp.Body.Close()
			t.Error("the wait ended before the client's patience")
		}
		waitingFor(t, api, 0)
	})
}

func TestAudit_chainHead(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.tenant("globex").ID
		head := func(query string) chainBody {
			return as[chainBody](api.get("/v1/audit/chain" + query).want(http.StatusOK))
		}
		zeros := strings.Repeat("0", 64)
		wantEqual(t, "the platform's chain", head(""), chainBody{nil, 0, zeros})
		wantEqual(t, "the platform's chain by its id", head("?tenant_id="+uuid.Nil.String()), chainBody{nil, 0, zeros})
		api.report("a.b", nil)
		e := api.report("a.b", object{"group": object{"id": x}})
		wantEqual(t, "the tenant's chain", head("?tenant_id="+x.String()), chainBody{&x, 2, e.ChainHash})
		if got := head(""); got.Size != 1 || got.Head == zeros {
			t.Errorf("the platform's chain: %+v", got)
		}
		for _, path := range []string{"/v1/audit/chain", "/v1/audit/checkpoint", "/v1/audit/export"} {
			api.get(path+"?tenant_id="+nobody.String()).wantProblem("tenant_not_found", "?tenant_id")
			api.send(fetch(path+"?tenant_id=x")).wantProblem("invalid_request", "?tenant_id")
			api.send(fetch(path+"?limit=1")).wantProblem("invalid_request", "?limit")
		}
	})
}

func TestAudit_checkpoint(t *testing.T) {
	eachStoreWith(t, registry.Options{Signer: testSigner}, func(t *testing.T, api *client) {
		x := api.tenant("globex").ID
		for target, group := range map[string]uuid.UUID{"": uuid.Nil, "?tenant_id=" + x.String(): x} {
			got := api.get("/v1/audit/checkpoint"+target).want(http.StatusOK).wantHeader("Content-Type", "text/plain; charset=utf-8")
			head := as[chainBody](api.get("/v1/audit/chain" + target))
			lines := strings.Split(string(got.body), "\n")
			if lines[0] != "tenant-registry/"+group.String() || lines[1] != fmt.Sprint(head.Size) || !strings.HasPrefix(lines[4], "— test ") {
				t.Errorf("the note is %q", got.body)
			}
		}
		without := newClient(t, api.store, registry.Options{Now: api.clock.now})
		without.get("/v1/audit/checkpoint").wantProblem("no_checkpoints")
		without.get("/v1/audit/checkpoint?tenant_id="+nobody.String()).wantProblem("tenant_not_found", "?tenant_id")
	})
}
