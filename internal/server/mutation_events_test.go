package server

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestMutations_leaveOneEvent asserts that a change leaves exactly one event, of its own action, and that what changes
// nothing leaves none.
func TestMutations_leaveOneEvent(t *testing.T) {
	eachMutation(t, func(t *testing.T, api *client, s stage, m mutation) {
		before := api.logLength()
		try := func(requests []request, succeed bool) {
			t.Helper()
			for _, r := range requests {
				if got := api.send(r); (got.status < 300) != succeed {
					t.Errorf("%s %s → %d %s", got.what, r.body, got.status, got.body)
				}
				if n := api.logLength() - before; n != 0 {
					t.Fatalf("%s %s left %d events", r.method, r.target, n)
				}
			}
		}
		if m.unchanged != nil {
			try(m.unchanged(s), true)
		}
		try(m.refused(s), false)
		if got := api.call(m.request(s.fixture).with("X-Request-Id", "the-request")); got.status != m.ok {
			t.Fatalf("%s → %d %s, want %d", got.what, got.status, got.body, m.ok)
		}
		if n := api.logLength() - before; n != 1 {
			t.Fatalf("the change left %d events", n)
		}
		correlation := "the-request"
		if slices.Contains(rolesOf(m.request(s.fixture)), "anyone") { // an unknown caller's choice is not recorded
			correlation = ""
		}
		if e := api.newest(); e.Action != m.event || textOf(e.CorrelationID) != correlation {
			t.Errorf("the change left %s of request %s, want %s", e.Action, textOf(e.CorrelationID), m.event)
		}
	})
}

// textOf is a text that may be unset.
func textOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// TestReads_leaveNoEvent asserts that the other routes leave no event.
func TestReads_leaveNoEvent(t *testing.T) {
	t.Parallel()
	api := exampleServer(t)
	for _, rt := range routes {
		if rt.Event != "" {
			continue
		}
		t.Run(strings.ReplaceAll(rt.Method+rt.Path, "/", "_"), func(t *testing.T) {
			api, before := api.in(t), api.logLength()
			o, _, _ := theContract().find(rt.Method, strings.TrimSuffix(rt.Path, "{$}"))
			for _, body := range exampleBodies(o) {
				api.call(exampleRequest(o, body)).want(http.StatusOK)
			}
			if n := api.logLength() - before; n != 0 {
				t.Errorf("reading left %d events", n)
			}
		})
	}
}
