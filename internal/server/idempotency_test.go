package server

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// TestIdempotency_everyPost asserts of every POST that changes something that a repeat with the same key has no second effect and gets the same
// status, that another command with it is refused, and that without a key a repeat is another request.
func TestIdempotency_everyPost(t *testing.T) {
	eachMutation(t, func(t *testing.T, api *client, s stage, m mutation) {
		if !m.repeatable {
			return
		}
		keyed := m.succeed.with(idempotencyHeader, "key-1")
		first := api.call(keyed)
		if first.status >= 300 || first.header.Get("Idempotent-Replayed") != "" {
			t.Fatalf("the first answers %d %s", first.status, first.body)
		}
		events := len(api.events())
		second := api.call(keyed)
		if second.status != first.status || second.header.Get("Idempotent-Replayed") != "true" || len(api.events()) != events {
			t.Errorf("the repeat answers %d %v, and leaves %d events", second.status, second.header, len(api.events())-events)
		}
		if strings.Contains(string(first.body), `"key":"bp_`) {
			api.sameRecord(first, second)
		} else if string(second.body) != string(first.body) || second.header.Get("Location") != first.header.Get("Location") {
			t.Errorf("the repeat answers\n%s\nand the first\n%s", second.body, first.body)
		}
		other := jsonRequest("/v1/tenants", object{"slug": "another", "name": "Another"}).with(idempotencyHeader, "key-1")
		api.call(other).wantProblem("idempotency_mismatch", "?Idempotency-Key")
		for _, bad := range []string{"", "a b", "ä", strings.Repeat("x", 201)} {
			api.send(m.succeed.with(idempotencyHeader, bad)).wantProblem("invalid_request", "?Idempotency-Key")
		}
		if len(api.events()) != events {
			t.Errorf("what was refused left %d events", len(api.events())-events)
		}
	})
}

// sameRecord asserts that a repeated answer shows the record and, instead of the key, what to do.
func (c *client) sameRecord(first, second *reply) {
	c.t.Helper()
	was, is := as[object](first), as[object](second)
	if was["notice"] != nil || is["key"] != nil || !strings.Contains(is["notice"].(string), "rotate") {
		c.t.Errorf("the repeat of a key says %s", second.body)
	}
	for _, name := range []string{"key", "notice"} {
		delete(was, name)
		delete(is, name)
	}
	wantEqual(c.t, "the record", is, was)
}

// TestIdempotency_mismatchEverywhere asserts that every POST refuses a key that was used for another command.
func TestIdempotency_mismatchEverywhere(t *testing.T) {
	eachMutation(t, func(t *testing.T, api *client, s stage, m mutation) {
		if !m.repeatable {
			return
		}
		api.call(jsonRequest("/v1/audit", object{"action": "a", "crud": "c", "is_anonymous": true}).with(idempotencyHeader, "used")).want(http.StatusCreated)
		api.call(m.succeed.with(idempotencyHeader, "used")).wantProblem("idempotency_mismatch", "?Idempotency-Key")
	})
}

// TestIdempotency_pairs sends the same create twice at once, 200 times: each pair has one effect. The control has no key: one of each
// pair is refused.
func TestIdempotency_pairs(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		pair := func(slug, key string) (answers [2]*reply) {
			r := jsonRequest("/v1/tenants", object{"slug": slug, "name": "Globex"})
			if key != "" {
				r = r.with(idempotencyHeader, key)
			}
			var both sync.WaitGroup
			for i := range answers {
				both.Go(func() { answers[i] = api.call(r) })
			}
			both.Wait()
			return answers
		}
		before := len(api.events())
		for range 200 {
			key := uuid.NewString()
			got := pair("globex-"+key, key)
			a, b := as[tenantBody](got[0].want(http.StatusCreated)), as[tenantBody](got[1].want(http.StatusCreated))
			if a.ID != b.ID || (got[0].header.Get("Idempotent-Replayed") == "") == (got[1].header.Get("Idempotent-Replayed") == "") {
				t.Fatalf("a pair made %s and %s", a.ID, b.ID)
			}
		}
		if n := len(api.events()) - before; n != 200 {
			t.Errorf("200 pairs left %d events", n)
		}
		for _, answer := range pair("without-a-key", "") {
			if answer.status == http.StatusConflict {
				return
			}
		}
		t.Error("without a key none of a pair is refused: the test shows nothing")
	})
}

// A tenant that was deleted since is not found.
func TestIdempotency_gone(t *testing.T) {
	t.Parallel()
	api := exampleServer(t)
	r := jsonRequest("/v1/tenants", object{"slug": "to-be-deleted", "name": "X"}).with(idempotencyHeader, "k")
	api.call(r).want(http.StatusCreated)
	gone := failing(api, func(method string) error {
		if method == "Tx.Tenant" {
			return registry.ErrNotFound
		}
		return nil
	})
	gone.call(r).wantProblem("tenant_not_found")
}

func TestAudit_bulk(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.tenant("globex").ID
		var events []object
		for i := range registry.MaxBulk {
			e := object{"action": "bulk.write", "crud": "c", "actor": object{"id": "user-1"}, "fields": object{"n": string(rune('A' + i))}}
			if i%2 == 0 {
				e["group"] = object{"id": x}
			}
			events = append(events, e)
		}
		receipts := as[[]recordedBody](api.post("/v1/audit/bulk", object{"events": events}).want(http.StatusCreated))
		if len(receipts) != registry.MaxBulk {
			t.Fatalf("%d receipts", len(receipts))
		}
		log := api.events()
		log = log[len(log)-registry.MaxBulk:]
		for i, e := range log {
			if e.ID != receipts[i].ID || e.Hash != receipts[i].Hash || (*e.Fields)["n"] != string(rune('A'+i)) {
				t.Errorf("event %d is %v, its receipt %v", i, e, receipts[i])
			}
		}
		before := len(api.events())
		refused(api, "/v1/audit/bulk", []refusal{
			{object{"events": append(events, events[0])}, "invalid_request", "/events"},
			{object{"events": []object{}}, "invalid_request", "/events"},
			{object{}, "invalid_request", "/events"},
			{object{"events": nil}, "invalid_request", "/events"},
			{object{"events": []object{events[0], {"action": "a b", "crud": "c", "actor": object{"id": "x"}}}}, "invalid_request", "/events/1/action"},
			{object{"events": []object{events[0], {"action": "a", "crud": "c", "actor": object{}}}}, "invalid_request", "/events/1/actor/id"},
			{object{"events": []object{{"action": "a", "crud": "c", "actor": object{"id": "x"}, "group": object{"id": nobody}}}}, "invalid_request", "/events/0/group/id"},
			{object{"events": []object{{"action": "a", "crud": "c", "actor": object{"id": "x"}, "fields": object{"a/b": 1}}}}, "invalid_request", "/events/0/fields/a~1b"},
			{object{"events": []object{{"action": "a", "crud": "c", "actor": object{"id": "x"}, "more": 1}}}, "invalid_request", "/events/0/more"},
		})
		all := api.send(jsonRequest("/v1/audit/bulk", object{"events": []object{{"action": "a b", "crud": "x", "group": object{}}, {"crud": "c", "target": object{}}}}))
		all.wantProblem("invalid_request", "/events/0/group/id", "/events/0/action", "/events/0/crud", "/events/0/actor",
			"/events/1/action", "/events/1/actor", "/events/1/target/id")
		if after := len(api.events()); after != before {
			t.Errorf("what was refused left %d events", after-before)
		}
	})
}
