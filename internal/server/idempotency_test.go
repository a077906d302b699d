package server

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/storetest/faultstore"
)

// TestIdempotency_holdsForEveryPost asserts of every POST that changes something that a repeat with the same key has no
// second effect and the same answer, that another command with it is refused, and that a bad key is.
func TestIdempotency_holdsForEveryPost(t *testing.T) {
	eachMutation(t, func(t *testing.T, api *client, s stage, m mutation) {
		if !m.idempotent {
			return
		}
		key := s.newSlug // no other stage has it
		keyed := m.request(s.fixture).with(idempotencyHeader, key)
		first := api.call(keyed).want(m.ok)
		if first.header.Get("Idempotent-Replayed") != "" {
			t.Fatalf("the first answers %d %s", first.status, first.body)
		}
		length := api.logLength()
		second := api.call(keyed).want(first.status).wantHeader("Idempotent-Replayed", "true")
		if strings.Contains(string(first.body), `"key":"bp_`) {
			api.sameRecord(first, second)
		} else if string(second.body) != string(first.body) ||
			second.header.Get("Location") != first.header.Get("Location") {
			t.Errorf("the repeat answers\n%s\nand the first\n%s", second.body, first.body)
		}
		api.call(createTenant("another", nil).with(
			idempotencyHeader, key,
		)).wantProblem("idempotency_mismatch", "?Idempotency-Key")
		for _, bad := range []string{"", "a b", "ä", strings.Repeat("x", 201)} {
			api.send(m.request(s.fixture).with(
				idempotencyHeader, bad,
			)).wantProblem("invalid_request", "?Idempotency-Key")
		}
		if n := api.logLength() - length; n != 0 {
			t.Errorf("what was replayed or refused left %d events", n)
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

// TestIdempotency_mismatchIsRefusedByEveryPost asserts that every POST refuses a key that was used for another command.
func TestIdempotency_mismatchIsRefusedByEveryPost(t *testing.T) {
	eachMutation(t, func(t *testing.T, api *client, s stage, m mutation) {
		if !m.idempotent {
			return
		}
		key := s.newSlug // no other stage has it
		report := object{"action": "a", "crud": "c", "is_anonymous": true}
		api.call(jsonRequest("/v1/audit", report).with(idempotencyHeader, key)).want(http.StatusCreated)
		api.call(m.request(s.fixture).with(
			idempotencyHeader, key,
		)).wantProblem("idempotency_mismatch", "?Idempotency-Key")
	})
}

// TestIdempotency_pairsHaveOneEffect sends the same create twice at once, 200 times: each pair has one effect. The
// control has no key: one of each pair is refused.
func TestIdempotency_pairsHaveOneEffect(t *testing.T) {
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
			if a.ID != b.ID ||
				(got[0].header.Get("Idempotent-Replayed") == "") == (got[1].header.Get("Idempotent-Replayed") == "") {
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
func TestIdempotency_replayOfADeletedObjectIsNotFound(t *testing.T) {
	t.Parallel()
	api := exampleServer(t)
	r := jsonRequest("/v1/tenants", object{"slug": "to-be-deleted", "name": "X"}).with(idempotencyHeader, "k")
	api.call(r).want(http.StatusCreated)
	gone := failing(api, faultstore.On("Tx.GetTenant", registry.ErrNotFound))
	gone.call(r).wantProblem("tenant_not_found")
}
