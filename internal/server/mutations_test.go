package server

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// mutation is what the tests know of a route that changes something. TestIsolation_holdsAtEveryRoute, the tests on
// events, faults, idempotency and actors, and FuzzDecode try every entry of mutations, each in all the ways that it
// has, so a new endpoint is entered here and in no other test.
type mutation struct {
	policy     string                // its row of policyTable
	event      string                // the action of the event that a success leaves
	idempotent bool                  // a repeat with the same Idempotency-Key is replayed
	body       any                   // what its body is decoded into; nil: it takes none
	before     registry.TenantStatus // the state of the tenant that it acts on; active if empty
	ok         int                   // the status of a success
	foreign    int                   // the status for an object that the caller cannot see; 404 if 0

	request   func(f fixture) request            // changes the fixture, if the caller sees it
	unchanged func(s stage) []request            // succeed, and change nothing
	refused   func(s stage) []request            // fail
	also      func(fx *fixtures) []isolationCase // of TestIsolation, beside request for each fixture, by ok and foreign
	cases     func(fx *fixtures) []isolationCase // of TestIsolation, instead of all that
}

// mutations has an entry for every route that leaves an event.
var mutations = map[string]mutation{
	"POST /v1/tenants": {
		policy: "create tenant", event: "tenant.create", idempotent: true, body: &tenantRequest{},
		ok:      http.StatusCreated,
		request: func(f fixture) request { return createTenant(f.newSlug, nil) },
		refused: func(s stage) []request { return []request{createTenant(s.slug, nil), createTenant("x", nil)} },
		cases: func(fx *fixtures) []isolationCase {
			return []isolationCase{
				{none, createTenant(fx.unknown.newSlug, nil), http.StatusCreated, 0},
				{none, createTenant(fx.foreign.slug, nil), http.StatusConflict, 0},
				{none, createTenant(fx.invalid.newSlug, object{"keycloak_org_id": fx.org}), http.StatusConflict, 0},
			}
		},
	},
	"POST /v1/tenants/{id}/activate": {
		policy: "activate, freeze, grant, approve", event: "tenant.activate", idempotent: true,
		before: registry.StatusTrial, ok: http.StatusOK,
		request: func(f fixture) request { return activateTenant(f.tenant) },
		refused: func(s stage) []request {
			return []request{
				activateTenant(s.active), activateTenant(s.frozen), activateTenant(unknownID),
				activateTenant(s.trial).with("If-Match", `"1"`),
			}
		},
	},
	"POST /v1/tenants/{id}/cancel": {
		policy: "cancel", event: "tenant.cancel", idempotent: true, ok: http.StatusOK,
		request: func(f fixture) request { return cancelTenant(f.tenant) },
		refused: func(s stage) []request {
			return []request{
				cancelTenant(s.frozen), cancelTenant(unknownID), cancelTenant(s.active).with("If-Match", `"1"`),
			}
		},
	},
	"POST /v1/tenants/{id}/freeze": {
		policy: "activate, freeze, grant, approve", event: "tenant.freeze", idempotent: true, body: &freezeRequest{},
		ok:      http.StatusOK,
		request: func(f fixture) request { return freezeTenant(f.tenant, "overdue") },
		refused: func(s stage) []request {
			return []request{
				freezeTenant(s.frozen, "overdue"), freezeTenant(unknownID, "overdue"), freezeTenant(s.active, ""),
				freezeTenant(s.active, "overdue").with("If-Match", `"1"`),
			}
		},
	},
	"POST /v1/tenants/{id}/reactivate": {
		policy: "activate, freeze, grant, approve", event: "tenant.reactivate", idempotent: true,
		before: registry.StatusFrozen, ok: http.StatusOK,
		request: func(f fixture) request { return reactivateTenant(f.tenant) },
		refused: func(s stage) []request {
			return []request{
				reactivateTenant(s.active), reactivateTenant(s.trial), reactivateTenant(unknownID),
				reactivateTenant(s.frozen).with("If-Match", `"1"`),
			}
		},
	},
	"POST /v1/tenants/{id}/audit/erasures": {
		policy: "erase audit", event: "audit.erase", idempotent: true, body: &erasureRequest{}, ok: http.StatusCreated,
		request:   func(f fixture) request { return eraseEvents(f.tenant, "plain", "staged", tenantCanary) },
		unchanged: func(s stage) []request { return []request{eraseEvents(s.tenant, "no-one")} },
		refused: func(s stage) []request {
			return []request{
				eraseEvents(unknownID, "staged"), eraseEvents(s.tenant), eraseEvents(s.tenant, "*"),
				eraseEvents(s.tenant, "asked for"),
			}
		},
		cases: func(fx *fixtures) []isolationCase {
			all := each(fx, http.StatusCreated, http.StatusNotFound, func(f fixture) request {
				return eraseEvents(f.tenant, "plain", tenantCanary)
			})
			return all[:3] // the nil UUID is the platform's chain: see TestAuditErase_ofThePlatform
		},
	},
	"POST /v1/catalog/request": {
		policy: "request, trial-request", event: "catalog.request.create", idempotent: true,
		body: &catalogRequestBody{}, ok: http.StatusCreated,
		request:   func(f fixture) request { return requestProduct(f.tenant, trialProduct) },
		unchanged: func(s stage) []request { return []request{requestProduct(s.tenant, pendingProduct)} },
		refused: func(s stage) []request {
			return []request{requestProduct(s.frozen, trialProduct), requestProduct(s.tenant, unknownProduct)}
		},
	},
	"POST /v1/catalog/trial-request": {
		policy: "request, trial-request", event: "entitlement.create", idempotent: true, body: &catalogRequestBody{},
		ok:      http.StatusCreated,
		request: func(f fixture) request { return startTrial(f.tenant, trialProduct) },
		refused: func(s stage) []request {
			return []request{startTrial(s.tenant, trialedProduct), startTrial(s.frozen, trialProduct)}
		},
	},
	"POST /v1/api-keys": {
		policy: "API keys", event: "api_key.create", idempotent: true, body: &keyRequest{}, ok: http.StatusCreated,
		request: func(f fixture) request { return createAPIKey(f.tenant, "a key") },
		refused: func(s stage) []request {
			return []request{
				createAPIKey(s.frozen, "a key"), createAPIKey(unknownID, "a key"), createAPIKey(s.tenant, ""),
			}
		},
	},
	"PATCH /v1/api-keys/{id}": {
		policy: "API keys", event: "api_key.update", body: &keyPatch{}, ok: http.StatusOK,
		request: func(f fixture) request { return updateAPIKey(f.key, object{"name": "another"}) },
		unchanged: func(s stage) []request {
			return []request{updateAPIKey(s.key, object{}), updateAPIKey(s.key, object{"disabled": false})}
		},
		refused: func(s stage) []request {
			another := object{"name": "another"}
			return []request{
				updateAPIKey(s.revoked, another), updateAPIKey(unknownID, another),
				updateAPIKey(s.key, object{"name": ""}),
				updateAPIKey(s.key, another).with("If-Match", `"1"`),
			}
		},
	},
	"POST /v1/api-keys/{id}/rotate": {
		policy: "API keys", event: "api_key.rotate", idempotent: true, body: &rotation{}, ok: http.StatusOK,
		request: func(f fixture) request { return rotateAPIKey(f.key) },
		refused: func(s stage) []request {
			return []request{
				rotateAPIKey(s.revoked), rotateAPIKey(unknownID), rotateAPIKey(s.key).with("If-Match", `"1"`),
			}
		},
	},
	"DELETE /v1/api-keys/{id}": {
		policy: "API keys", event: "api_key.revoke", ok: http.StatusNoContent,
		request:   func(f fixture) request { return revokeAPIKey(f.key) },
		unchanged: func(s stage) []request { return []request{revokeAPIKey(s.revoked)} },
		refused: func(s stage) []request {
			empty := revokeAPIKey(s.key)
			empty.target += "?reason="
			return []request{revokeAPIKey(unknownID), empty, revokeAPIKey(s.key).with("If-Match", `"1"`)}
		},
	},
	"POST /v1/api-keys/self-revoke": {
		policy: "self-revoke", event: "api_key.revoke", body: &selfRevocation{}, ok: http.StatusNoContent,
		request:   func(f fixture) request { return selfRevoke(f.text) },
		unchanged: func(stage) []request { return []request{selfRevoke(unknownKey), selfRevoke("x")} },
		refused:   func(stage) []request { return []request{selfRevoke(1)} },
		cases: func(fx *fixtures) []isolationCase {
			var cases []isolationCase
			for _, c := range []struct {
				object string
				text   string
			}{
				{own, fx.own.text}, {foreign, fx.foreign.text}, {unknown, fx.foreign.text}, // which is revoked now
				{unknown, unknownKey}, {unknown, "no key"},
			} {
				cases = append(cases, isolationCase{
					c.object, selfRevoke(c.text), http.StatusNoContent, http.StatusNoContent,
				})
			}
			return cases
		},
	},
	"POST /v1/audit": {
		policy: "append audit", event: "document.share", idempotent: true, body: &eventRequest{},
		ok:      http.StatusCreated,
		foreign: http.StatusBadRequest, // a report about a tenant that does not exist is wrong
		request: func(f fixture) request { return jsonRequest("/v1/audit", reportAbout(f.tenant)) },
		refused: func(s stage) []request {
			return []request{
				jsonRequest("/v1/audit", reportAbout(unknownID)),
				jsonRequest("/v1/audit", object{"action": "a", "crud": "c"}),
			}
		},
		also: func(*fixtures) []isolationCase {
			return []isolationCase{{
				reported, jsonRequest("/v1/audit", reportAboutPlatform()), http.StatusCreated, http.StatusBadRequest,
			}}
		},
	},
	"POST /v1/audit/bulk": {
		policy: "append audit", event: "document.share", idempotent: true, body: &bulkRequest{}, ok: http.StatusCreated,
		foreign: http.StatusBadRequest,
		request: func(f fixture) request { return recordEvents(reportAbout(f.tenant)) },
		refused: func(s stage) []request {
			good := reportAbout(s.tenant)
			return []request{
				recordEvents(good, reportAbout(unknownID)), recordEvents(good, object{"action": "a", "crud": "c"}),
				recordEvents(),
			}
		},
		also: func(*fixtures) []isolationCase {
			return []isolationCase{{
				reported, recordEvents(reportAboutPlatform()), http.StatusCreated, http.StatusBadRequest,
			}}
		},
	},
}

func createTenant(slug string, more object) request {
	body := object{"slug": slug, "name": "Created"}
	maps.Copy(body, more)
	return jsonRequest("/v1/tenants", body)
}

func activateTenant(id uuid.UUID) request {
	return jsonRequest(join("/v1/tenants", id, "activate"), nil)
}

func cancelTenant(id uuid.UUID) request { return jsonRequest(join("/v1/tenants", id, "cancel"), nil) }

func freezeTenant(id uuid.UUID, reason string) request {
	return jsonRequest(join("/v1/tenants", id, "freeze"), object{"reason": reason})
}

func reactivateTenant(id uuid.UUID) request {
	return jsonRequest(join("/v1/tenants", id, "reactivate"), nil)
}

// eraseEvents erases subjects from a tenant's log.
func eraseEvents(tenant uuid.UUID, subjects ...string) request {
	return jsonRequest(join("/v1/tenants", tenant, "audit/erasures"), object{
		"subjects": append([]string{}, subjects...), "reason": "asked for",
	})
}

func requestProduct(tenant uuid.UUID, product string) request {
	return jsonRequest("/v1/catalog/request", about(tenant, product))
}

func startTrial(tenant uuid.UUID, product string) request {
	return jsonRequest("/v1/catalog/trial-request", about(tenant, product))
}

// about is the body of a request for a product or for its trial.
func about(tenant uuid.UUID, product string) object {
	return object{"tenant_id": tenant, "product": product}
}

func createAPIKey(tenant uuid.UUID, name string) request {
	return jsonRequest("/v1/api-keys", object{"tenant_id": tenant, "name": name})
}

func updateAPIKey(id uuid.UUID, members object) request {
	return patchRequest(join("/v1/api-keys", id), members)
}

func rotateAPIKey(id uuid.UUID) request { return jsonRequest(join("/v1/api-keys", id, "rotate"), nil) }

func revokeAPIKey(id uuid.UUID) request {
	return remove(join("/v1/api-keys", id))
}

func selfRevoke(key any) request { return jsonRequest("/v1/api-keys/self-revoke", object{"key": key}) }

func recordEvents(events ...object) request {
	return jsonRequest("/v1/audit/bulk", object{"events": append([]object{}, events...)})
}

// reportAbout is an event in a tenant's log.
func reportAbout(tenant uuid.UUID) object {
	return object{"action": "document.share", "crud": "u", "is_anonymous": true, "group": object{"id": tenant}}
}

// reportAboutPlatform is an event in the platform's log.
func reportAboutPlatform() object {
	return object{"action": "document.share", "crud": "u", "is_anonymous": true, "group": nil}
}

// isolationCases are the cases of TestIsolation_holdsAtEveryRoute.
func (m mutation) isolationCases(fx *fixtures) []isolationCase {
	if m.cases != nil {
		return m.cases(fx)
	}
	missing := m.foreign
	if missing == 0 {
		missing = http.StatusNotFound
	}
	cases := each(fx, m.ok, missing, m.request)
	if m.also != nil {
		cases = append(cases, m.also(fx)...)
	}
	return cases
}

// status is the state of the tenant that the route acts on.
func (m mutation) status() registry.TenantStatus {
	if m.before == "" {
		return registry.StatusActive
	}
	return m.before
}

// eachMutation runs a test for every entry of mutations on each store, each with a stage of its own.
func eachMutation(t *testing.T, test func(t *testing.T, api *client, s stage, m mutation)) {
	t.Helper()
	eachStore(t, func(t *testing.T, api *client) {
		insertStageProducts(api)
		for _, route := range slices.Sorted(maps.Keys(mutations)) {
			t.Run(strings.ReplaceAll(route, "/", "_"), func(t *testing.T) {
				m, api := mutations[route], api.in(t)
				test(t, api, newStage(api, m.status()), m)
			})
		}
	})
}

// TestMutations_haveAllRoutes asserts that every route that leaves an event has an entry, which agrees with the route
// table and with openapi.yaml, and that every entry has a route.
func TestMutations_haveAllRoutes(t *testing.T) {
	t.Parallel()
	rows := policyRows(t)
	changing := map[string]bool{}
	for _, rt := range routes {
		name := rt.Method + " " + rt.Path
		m, there := mutations[name]
		if changing[name] = rt.Event != ""; changing[name] != there {
			t.Errorf(
				"%s leaves an event (%t), and has an entry in mutations (%t): add one, which all tests of changes try",
				name, changing[name], there,
			)
		}
		if !there || !changing[name] {
			continue
		}
		if m.event == "" || rt.Event != "*" && m.event != rt.Event {
			t.Errorf("%s leaves %q, and by the route table %q", name, m.event, rt.Event)
		}
		o, _, _ := theContract().find(rt.Method, rt.Path)
		documented := slices.ContainsFunc(o.op.Parameters, func(p *openapi3.ParameterRef) bool {
			return p.Value.Name == idempotencyHeader
		})
		if m.idempotent != rt.idempotent() || m.idempotent != documented {
			t.Errorf(
				"%s is idempotent: %t, takes an Idempotency-Key: %t, by openapi.yaml: %t", name, m.idempotent,
				rt.idempotent(), documented,
			)
		}
		if hasBody(o) != (m.body != nil) {
			t.Errorf("%s has a body by openapi.yaml: %t, and is decoded into %T", name, hasBody(o), m.body)
		}
		if rows[m.policy] == nil {
			t.Errorf("%s stands in the row %q of policyTable, which has none", name, m.policy)
		}
	}
	for name := range mutations {
		if _, there := changing[name]; !there {
			t.Errorf("%s has an entry in mutations and is no route", name)
		}
	}
}
