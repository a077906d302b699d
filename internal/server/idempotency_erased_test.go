package server

import (
	"net/http"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/server/web"
)

// eraseDoer erases from an event's chain who did it: its actor, or the emitter of a report without one.
func (c *client) eraseDoer(e eventBody) {
	c.t.Helper()
	chain, subject := uuid.Nil, ""
	if e.Group != nil {
		chain = e.Group.ID
	}
	switch {
	case e.Actor != nil:
		subject = e.Actor.ID
	case e.Emitter != nil:
		subject = e.Emitter.ID
	default:
		c.t.Fatalf("%s has neither actor nor emitter", e.Action)
	}
	c.call(jsonRequest(join("/v1/tenants", chain, "audit/erasures"), object{
		"subjects": []string{subject}, "reason": "Request 12", "include_fields": true,
	})).want(http.StatusCreated)
}

// eventOf is the newest event of an action.
func (c *client) eventOf(action string) eventBody {
	c.t.Helper()
	return as[web.Page[eventBody]](c.get("/v1/audit?limit=1&action=" + action).want(http.StatusOK)).Items[0]
}

// wantErased asserts that a request and another one with the same key are refused because the event of the first is
// erased, and that they change nothing.
func (c *client) wantErased(s stage, keyed request) {
	c.t.Helper()
	length, state := c.logLength(), snapshot(c, s)
	key := keyed.header.Get(idempotencyHeader)
	for _, r := range []request{keyed, keyed, createTenant(s.newSlug+"-2", nil).with(idempotencyHeader, key)} {
		c.call(r).wantProblem("erased")
	}
	if n := c.logLength() - length; n != 0 {
		c.t.Errorf("what was refused left %d events", n)
	}
	if got := snapshot(c, s); got != state {
		c.t.Errorf("what was refused made\n%s\nof\n%s", got, state)
	}
}

// TestIdempotency_repeatOfWhatWasErasedIsRefused asserts of every POST that changes something that a repeat is 409 once
// the actor of its event was erased, with the same body or with another, which cannot be told apart any more, and that
// it has no second effect. The control is the same repeat before: it is replayed.
func TestIdempotency_repeatOfWhatWasErasedIsRefused(t *testing.T) {
	eachMutation(t, func(t *testing.T, api *client, s stage, m mutation) {
		if !m.idempotent {
			return
		}
		keyed := m.request(s.fixture).with(idempotencyHeader, s.newSlug) // no other stage has it
		api.call(keyed).want(m.ok)
		api.call(keyed).want(m.ok).wantHeader("Idempotent-Replayed", "true")
		api.eraseDoer(api.eventOf(m.event))
		api.wantErased(s, keyed)
	})
}

// TestIdempotency_ofThePlatformsErasedEvents asserts the same of reports to the platform's log.
func TestIdempotency_ofThePlatformsErasedEvents(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		insertStageProducts(api)
		s := newStage(api, "active")
		for key, r := range map[string]request{
			"one": jsonRequest("/v1/audit", reportAboutPlatform()), "many": recordEvents(reportAboutPlatform()),
		} {
			keyed := r.with(idempotencyHeader, key)
			api.call(keyed).want(http.StatusCreated)
			api.eraseDoer(api.eventOf("document.share"))
			api.wantErased(s, keyed)
		}
	})
}

// TestIdempotency_ofOneErasedEventAmongMany asserts the same of a bulk of which one event was erased, whichever it is,
// and that the others are as they were.
func TestIdempotency_ofOneErasedEventAmongMany(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		insertStageProducts(api)
		for _, erased := range []int{0, 1, 2} {
			s := newStage(api, "active")
			by := func(actor string, group any) object {
				return object{"action": "a.b", "crud": "c", "actor": object{"id": actor}, "group": group}
			}
			keyed := recordEvents(
				by("user-0", object{"id": s.tenant}), by("user-1", object{"id": s.active}), by("user-2", nil),
			).with(idempotencyHeader, s.newSlug)
			made := as[[]recordedBody](api.call(keyed).want(http.StatusCreated))
			api.call(keyed).want(http.StatusCreated).wantHeader("Idempotent-Replayed", "true")
			for i, e := range made {
				if i == erased {
					api.eraseDoer(as[eventBody](api.get(join("/v1/audit", e.ID)).want(http.StatusOK)))
				}
			}
			api.wantErased(s, keyed)
			for i, e := range made {
				got := as[eventBody](api.get(join("/v1/audit", e.ID)).want(http.StatusOK))
				if (got.Actor == nil) != (i == erased) || (textOf(got.Hash) == e.Hash) != (i != erased) {
					t.Errorf("after event %d was erased, event %d is %+v", erased, i, got)
				}
			}
		}
	})
}
