package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// stage is what the cases of mutations act on.
type stage struct {
	trial, active, frozen uuid.UUID // tenants; active has a key, an open request for "asked" and has had its trial of "tried"
	key, revoked          uuid.UUID // keys of active
	keyText               string    // of key
}

func setStage(api *client) stage {
	api.t.Helper()
	for _, product := range []string{"asked", "tried", "free"} {
		api.product(product, func(p *registry.Product) { p.Requestable, p.TrialDays = true, 14 })
	}
	s := stage{api.tenant("on-trial").ID, api.activeTenant("is-active").ID, api.frozenTenant("is-frozen").ID, uuid.Nil, uuid.Nil, ""}
	made := api.key(s.active, nil)
	s.key, s.keyText, s.revoked = made.ID, made.Key, api.key(s.active, nil).ID
	api.revoke(s.revoked, "")
	api.post("/v1/catalog/request", wish(s.active, "asked")).want(http.StatusCreated)
	api.post("/v1/catalog/trial-request", wish(s.active, "tried")).want(http.StatusCreated)
	return s
}

// mutation is how to test a route that changes something.
type mutation struct {
	repeatable bool // by an Idempotency-Key
	succeed    request
	event      string    // the action, where the route's own is whatever its caller says
	idle       []request // that succeed and change nothing
	fail       []request
}

func patch(target string, body any) request {
	r := jsonRequest(target, body)
	r.method = http.MethodPatch
	return r
}

func remove(target string) request { return request{method: http.MethodDelete, target: target} }

// mutations has a case for every route that leaves an event.
func mutations(s stage) map[string]mutation {
	key := func(tenant uuid.UUID) object { return object{"tenant_id": tenant, "name": "a key"} }
	event := func(group uuid.UUID) object {
		return object{"action": "document.share", "crud": "u", "is_anonymous": true, "group": object{"id": group}}
	}
	return map[string]mutation{
		"POST /v1/tenants": {
			succeed: jsonRequest("/v1/tenants", object{"slug": "globex", "name": "Globex"}),
			fail:    []request{jsonRequest("/v1/tenants", object{"slug": "is-active", "name": "Other"}), jsonRequest("/v1/tenants", object{"slug": "x", "name": "X"})},
		},
		"POST /v1/tenants/{id}/activate": {
			succeed: jsonRequest(join("/v1/tenants", s.trial, "activate"), nil),
			fail:    []request{jsonRequest(join("/v1/tenants", s.active, "activate"), nil), jsonRequest(join("/v1/tenants", nobody, "activate"), nil)},
		},
		"POST /v1/tenants/{id}/cancel": {
			succeed: jsonRequest(join("/v1/tenants", s.active, "cancel"), nil),
			fail:    []request{jsonRequest(join("/v1/tenants", s.frozen, "cancel"), nil), jsonRequest(join("/v1/tenants", s.trial, "cancel"), nil)},
		},
		"POST /v1/catalog/request": {
			succeed: jsonRequest("/v1/catalog/request", wish(s.active, "free")),
			idle:    []request{jsonRequest("/v1/catalog/request", wish(s.active, "asked"))},
			fail:    []request{jsonRequest("/v1/catalog/request", wish(s.frozen, "free")), jsonRequest("/v1/catalog/request", wish(s.active, "unknown"))},
		},
		"POST /v1/catalog/trial-request": {
			succeed: jsonRequest("/v1/catalog/trial-request", wish(s.active, "free")),
			fail:    []request{jsonRequest("/v1/catalog/trial-request", wish(s.active, "tried")), jsonRequest("/v1/catalog/trial-request", wish(s.frozen, "free"))},
		},
		"POST /v1/api-keys": {
			succeed: jsonRequest("/v1/api-keys", key(s.active)),
			fail:    []request{jsonRequest("/v1/api-keys", key(s.frozen)), jsonRequest("/v1/api-keys", key(nobody)), jsonRequest("/v1/api-keys", object{"tenant_id": s.active})},
		},
		"PATCH /v1/api-keys/{id}": {
			succeed: patch(join("/v1/api-keys", s.key), object{"name": "another"}),
			idle:    []request{patch(join("/v1/api-keys", s.key), object{}), patch(join("/v1/api-keys", s.key), object{"disabled": false})},
			fail: []request{
				patch(join("/v1/api-keys", s.revoked), object{"name": "another"}), patch(join("/v1/api-keys", nobody), object{"name": "another"}),
				patch(join("/v1/api-keys", s.key), object{"name": ""}), patch(join("/v1/api-keys", s.key), object{"name": "another"}).with("If-Match", `"1"`),
			},
		},
		"POST /v1/api-keys/{id}/rotate": {
			succeed: jsonRequest(join("/v1/api-keys", s.key, "rotate"), nil),
			fail:    []request{jsonRequest(join("/v1/api-keys", s.revoked, "rotate"), nil), jsonRequest(join("/v1/api-keys", nobody, "rotate"), nil)},
		},
		"POST /v1/api-keys/self-revoke": {
			succeed: jsonRequest("/v1/api-keys/self-revoke", object{"key": s.keyText}),
			idle:    []request{jsonRequest("/v1/api-keys/self-revoke", object{"key": unknownKey}), jsonRequest("/v1/api-keys/self-revoke", object{"key": "x"})},
			fail:    []request{jsonRequest("/v1/api-keys/self-revoke", object{"key": 1})},
		},
		"DELETE /v1/api-keys/{id}": {
			succeed: remove(join("/v1/api-keys", s.key)),
			idle:    []request{remove(join("/v1/api-keys", s.revoked))},
			fail:    []request{remove(join("/v1/api-keys", nobody)), remove(join("/v1/api-keys", s.key) + "?reason=")},
		},
		"POST /v1/audit": {
			succeed: jsonRequest("/v1/audit", event(s.active)),
			event:   "document.share",
			fail:    []request{jsonRequest("/v1/audit", event(nobody)), jsonRequest("/v1/audit", object{"action": "a", "crud": "c"})},
		},
		"POST /v1/audit/bulk": {
			succeed: jsonRequest("/v1/audit/bulk", object{"events": []object{event(s.active)}}),
			event:   "document.share",
			fail: []request{
				jsonRequest("/v1/audit/bulk", object{"events": []object{event(s.active), event(nobody)}}),
				jsonRequest("/v1/audit/bulk", object{"events": []object{event(s.active), {"action": "a", "crud": "c"}}}),
				jsonRequest("/v1/audit/bulk", object{"events": []object{}}),
			},
		},
	}
}

// eachMutation runs a test for every route that leaves an event, each on a stage of its own. A route without a case fails.
func eachMutation(t *testing.T, test func(t *testing.T, api *client, s stage, m mutation)) {
	t.Helper()
	t.Parallel()
	for _, rt := range routes {
		if rt.event == "" {
			continue
		}
		t.Run(strings.ReplaceAll(rt.method+rt.path, "/", "_"), func(t *testing.T) {
			eachStore(t, func(t *testing.T, api *client) {
				s := setStage(api)
				m, there := mutations(s)[rt.method+" "+rt.path]
				if !there {
					t.Fatal("this route leaves an event and has no case in mutations")
				}
				m.repeatable = rt.mayRepeat()
				if rt.event != "*" {
					m.event = rt.event
				}
				test(t, api, s, m)
			})
		})
	}
}

// TestMutations_oneEventEach asserts that a change leaves exactly one event, of its own action, and that what changes nothing leaves none.
func TestMutations_oneEventEach(t *testing.T) {
	eachMutation(t, func(t *testing.T, api *client, s stage, m mutation) {
		before := api.events()
		unchanged := func(r request, failed bool) {
			t.Helper()
			if got := api.send(r); (got.status >= 400) != failed {
				t.Errorf("%s → %d", got.what, got.status)
			}
			if after := api.events(); len(after) != len(before) {
				t.Fatalf("%s %s left %d events", r.method, r.target, len(after)-len(before))
			}
		}
		for _, r := range m.idle {
			unchanged(r, false)
		}
		for _, r := range m.fail {
			unchanged(r, true)
		}
		m.succeed = m.succeed.with("X-Request-Id", "the-request")
		if got := api.call(m.succeed); got.status >= 300 {
			t.Fatalf("%s → %d %s", got.what, got.status, got.body)
		}
		after := api.events()
		if len(after) != len(before)+1 {
			t.Fatalf("the change left %d events", len(after)-len(before))
		}
		if e := after[len(before)]; e.Action != m.event || *e.CorrelationID != "the-request" {
			t.Errorf("the change left %s of request %s, want %s", e.Action, *e.CorrelationID, m.event)
		}
	})
}

// TestReads_noEvent asserts that the other routes leave no event.
func TestReads_noEvent(t *testing.T) {
	t.Parallel()
	for _, rt := range routes {
		if rt.event != "" {
			continue
		}
		t.Run(strings.ReplaceAll(rt.method+rt.path, "/", "_"), func(t *testing.T) {
			t.Parallel()
			api := exampleServer(t)
			before := len(api.events())
			o, _, _ := theContract().find(rt.method, strings.TrimSuffix(rt.path, "{$}"))
			for _, body := range exampleBodies(o) {
				api.call(exampleRequest(o, body)).want(http.StatusOK)
			}
			if after := len(api.events()); after != before {
				t.Errorf("reading left %d events", after-before)
			}
		})
	}
}
