package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// asked answers a request in the background.
func (c *client) asked(target string) <-chan web.Page[eventBody] {
	c.t.Helper()
	got := make(chan web.Page[eventBody], 1)
	c.t.Cleanup(func() { <-got })
	go func() {
		defer close(got)
		r := c.exchange(fetch(target))
		if r.status != http.StatusOK {
			c.t.Errorf("%s → %d %s", target, r.status, r.body)
		}
		got <- as[web.Page[eventBody]](r)
	}()
	return got
}

// answered takes the answer when it comes.
func answered(t *testing.T, what string, got <-chan web.Page[eventBody]) web.Page[eventBody] {
	t.Helper()
	select {
	case p := <-got:
		if p.NextCursor == nil {
			t.Errorf("%s has no next_cursor", what)
		}
		return p
	case <-time.After(patience):
		t.Fatalf("%s was not answered", what)
		return web.Page[eventBody]{}
	}
}

// waitForLongPolls returns when so many callers wait for events.
func waitForLongPolls(t *testing.T, api *client, n int) {
	t.Helper()
	testkit.Eventually(t, fmt.Sprintf("%d callers wait for events", n), func() bool {
		return api.registry.LongPolls() == n
	})
}

// A reader that continues at its last cursor sees every event exactly one time and in order, also events that are
// appended later.
func TestAuditFollow_seesEveryEventOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x, y := api.tenant("globex").ID, api.tenant("initech").ID
		for scope, target := range map[string]target{
			"all":    newQuery("/v1/audit?order=asc&limit=2"),
			"tenant": newQuery("/v1/audit?order=asc&limit=2&tenant_id=" + x.String()),
			"silent": newQuery("/v1/audit?order=asc&limit=2&action=never.*"),
		} {
			seen := []string{}
			read := func() {
				t.Helper()
				for {
					p := as[web.Page[eventBody]](api.get(target.String()).want(http.StatusOK))
					if p.NextCursor == nil {
						t.Fatalf("%s: an ascending page has no next_cursor", scope)
					}
					target = target.set("cursor", *p.NextCursor)
					for _, e := range p.Items {
						seen = append(seen, e.ID.String())
					}
					if len(p.Items) < 2 {
						return
					}
				}
			}
			read()
			read()
			for i := range 5 {
				api.report("a.b", object{"group": object{"id": []uuid.UUID{x, y}[i%2]}})
				if i%2 == 1 {
					read()
				}
			}
			read()
			want := []string{}
			for _, e := range api.events() {
				if scope == "all" || (scope == "tenant" && e.Group != nil && e.Group.ID == x) {
					want = append(want, e.ID.String())
				}
			}
			wantEqual(t, "the tail of "+scope, seen, want)
		}
	})
}

// A long poll is answered by the first event that matches, on whichever replica it is appended. Other events do not end
// it, and none is lost.
func TestAuditFollow_longPollEndsWithFirstMatch(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x, y := api.tenant("globex").ID, api.tenant("initech").ID
		// whose appends do not wake long polls here
		replica := newClient(t, api.store, registry.Options{Now: api.clock.now})
		tail := newQuery("/v1/audit?order=asc&wait=20&actor_id=user-2&tenant_id=" + x.String())
		for i, writer := range []*client{api, replica, api, replica} {
			action := fmt.Sprintf("wait.%d", i)
			got := api.asked(tail.String())
			waitForLongPolls(t, api, 1)
			api.report("other.actor", object{"group": object{"id": x}})
			writer.in(t).report("other.tenant", object{"group": object{"id": y}, "actor": object{"id": "user-2"}})
			waitForLongPolls(t, api, 1)
			writer.in(t).report(action, object{"group": object{"id": x}, "actor": object{"id": "user-2"}})
			p := answered(t, action, got)
			if len(p.Items) != 1 || p.Items[0].Action != action {
				t.Fatalf("the answer is %+v, want %s", p.Items, action)
			}
			tail = tail.set("cursor", *p.NextCursor)
		}
		waitForLongPolls(t, api, 0)
		if p := as[web.Page[eventBody]](api.get(tail.set("wait", 1).String()).want(http.StatusOK)); len(p.Items) != 0 ||
			p.NextCursor == nil {
			t.Errorf("after the wait: %+v", p)
		}
		if p := as[web.Page[eventBody]](api.get("/v1/audit?order=asc&wait=20&limit=1")); len(p.Items) != 1 {
			t.Error("who finds something must not wait")
		}
	})
}

// Drain answers all long polls, and there are none afterwards.
func TestAuditFollow_longPollEndsWithDrain(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		all := []<-chan web.Page[eventBody]{
			api.asked("/v1/audit?order=asc&wait=25"), api.asked("/v1/audit?order=asc&wait=25&actor_id=nobody"),
		}
		waitForLongPolls(t, api, 2)
		api.server.Drain()
		api.server.Drain()
		for _, got := range append(all, api.asked("/v1/audit?order=asc&wait=25&action=never")) {
			if p := answered(t, "a wait", got); len(p.Items) != 0 {
				t.Errorf("the answer has %+v", p.Items)
			}
		}
		waitForLongPolls(t, api, 0)
	})
}

// A long poll ends when its client disconnects.
func TestAuditFollow_longPollEndsWithClient(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		ctx, leave := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, api.url+"/v1/audit?order=asc&wait=25", nil)
		if err != nil {
			t.Fatal(err)
		}
		left := make(chan error, 1)
		go func() {
			resp, err := api.http.Do(req)
			if err == nil {
				_ = resp.Body.Close()
			}
			left <- err
		}()
		waitForLongPolls(t, api, 1)
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("the long poll ended before its client: %v", err)
		}
		waitForLongPolls(t, api, 0)
	})
}

// followed is a page of the log as lines, and the cursor behind it.
func (c *client) followed(q target) (lines []byte, next string) {
	c.t.Helper()
	got := c.call(fetch(q.String()).with("Accept", "application/x-ndjson")).want(http.StatusOK).
		wantHeader("Content-Type", "application/x-ndjson")
	return got.body, got.header.Get("Next-Cursor")
}

// TestAuditFollow_asLinesIsTheExport asserts that who follows a chain as NDJSON gets the export's own lines, page by
// page, also of what is erased, that no page is without a cursor, and that the cursor is that of JSON.
func TestAuditFollow_asLinesIsTheExport(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.tenant("globex").ID
		for range 3 {
			api.report("a.b", object{"group": object{"id": x}, "target": object{"id": "doc-1"}, "metadata": object{}})
		}
		api.call(eraseEvents(x, "doc-1")).want(http.StatusCreated)
		q := newQuery("/v1/audit?order=asc&limit=2&tenant_id=" + x.String())
		var all []byte
		for _, count := range []int{2, 2, 1, 0} {
			json := as[web.Page[eventBody]](api.get(q.String()).want(http.StatusOK))
			lines, next := api.followed(q)
			if bytes.Count(lines, []byte("\n")) != count || len(json.Items) != count || next == "" ||
				next != *json.NextCursor {
				t.Fatalf("after %d bytes there are, before %q:\n%s", len(all), next, lines)
			}
			all, q = append(all, lines...), q.set("cursor", next)
		}
		export := api.exported("/v1/audit/export?tenant_id=" + x.String())
		if whole := bytes.SplitAfter(export.text, []byte("\n")); !bytes.Equal(all, bytes.Join(whole[1:6], nil)) {
			t.Errorf("who follows has\n%s\nand the export is\n%s", all, export.text)
		}
		export.verify(t, audit.Proof{})
		if lines, next := api.followed(q.set("wait", 1)); len(lines) != 0 || next != q.values.Get("cursor") {
			t.Errorf("after a wait there are %q before %q", lines, next)
		}
	})
}

// TestAuditFollow_acceptsLinesByName asserts which Accept headers ask for lines: those that name them, and that the
// newest first are never lines.
func TestAuditFollow_acceptsLinesByName(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		api.report("a.b", nil)
		for accept, media := range map[string]string{
			"application/x-ndjson": ndjson, "application/json, application/X-NDJSON;q=0.5": ndjson,
			"": "application/json", "*/*": "application/json", "application/x-ndjson;q=0": "application/json",
			"application/*": "application/json", "x, ;": "application/json",
		} {
			got := api.send(fetch("/v1/audit?order=asc").with("Accept", accept)).want(http.StatusOK)
			kind, next := got.header.Get("Content-Type"), got.header.Get("Next-Cursor")
			if kind != media || (next != "") != (media == ndjson) {
				t.Errorf("%q is answered as %s with the cursor %q", accept, kind, next)
			}
		}
		lines := fetch("/v1/audit").with("Accept", "application/x-ndjson")
		api.call(lines).wantProblem("invalid_request", "?order")
		lines.target += "?order=desc"
		api.call(lines).wantProblem("invalid_request", "?order")
	})
}
