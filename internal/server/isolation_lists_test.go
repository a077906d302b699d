package server

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
)

// pagedLists are the lists of one tenant, each with the name that its cursors carry.
func pagedLists(tenant uuid.UUID) map[string][]string {
	id := tenant.String()
	return map[string][]string{
		"GET /v1/entitlements": {"/v1/entitlements?tenant_id=" + id, "entitlements:" + id},
		"GET /v1/catalog":      {"/v1/catalog?tenant_id=" + id, "catalog:" + id},
		"GET /v1/api-keys":     {"/v1/api-keys?tenant_id=" + id, "api-keys:" + id},
		"GET /v1/audit":        {"/v1/audit?order=asc&tenant_id=" + id, "audit:true:" + id},
		"GET /v1/audit/export": {"/v1/audit/export?to_seq=1&tenant_id=" + id, "audit-export:" + id},
	}
}

func TestIsolation_triesEveryList(t *testing.T) {
	t.Parallel()
	for _, rt := range routes {
		name := rt.Method + " " + rt.Path
		if _, there := pagedLists(unknownID)[name]; there != slices.Contains(rt.Query, "cursor") {
			t.Errorf("%s has cursors and is not tried with other people's, or the other way round", name)
		}
	}
}

// TestIsolation_cursorsGrantNothing asserts that a cursor grants nothing: with the cursor of a foreign list a caller
// reads neither its own list nor the foreign one, and cannot see whether the foreign tenant exists.
func TestIsolation_cursorsGrantNothing(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		insertProducts(api)
		server, who := guarded(api, Config{})
		fx := newFixtures(api, registry.StatusActive)
		admin := who.add(user("admin", auth.RoleTenantAdmin, fx.org))
		roleless := who.add(auth.Principal{ID: "roleless", Organization: fx.org})
		server.canaries = []string{tenantCanary}
		ask := func(p auth.Principal, target, cursor string) *reply {
			return server.send(
				fetch(newQuery(target).set("cursor", cursor).String()).with("X-Request-Id", "the-request").by(p),
			)
		}
		for name, of := range pagedLists(fx.own.tenant) {
			theirs, unknowns := pagedLists(fx.foreign.tenant)[name], pagedLists(fx.unknown.tenant)[name]
			cursor := cursorOf(api, theirs[0])
			position, _ := web.OpenCursor(cursor, theirs[1])

			ask(admin, of[0], cursor).wantProblem("invalid_request", "?cursor")
			foreign, unknown :=
				ask(admin, theirs[0], cursor), ask(admin, unknowns[0], web.SealCursor(unknowns[1], position))
			foreign.wantProblem("tenant_not_found", "?tenant_id")
			if got, want := withoutID(foreign, "the-request"), withoutID(unknown, "the-request"); got != want {
				t.Errorf("%s: with a cursor, a foreign tenant answers\n%s\nand an unknown one\n%s", name, got, want)
			}
			// a place in its own list, by whichever caller it was made
			if here := ask(admin, of[0], web.SealCursor(of[1], position)); strings.HasPrefix(name, "GET /v1/audit") {
				here.wantProblem("cursor_gone", "?cursor") // where its own chain has another event
			} else {
				here.want(http.StatusOK)
			}
			ask(admin, of[0], cursorOf(api, of[0])).want(http.StatusOK) // the operator's of the same list
			ask(roleless, of[0], cursorOf(api, of[0])).wantProblem("forbidden")
		}
	})
}

// The whole log and the whole catalogue are for operators, and their cursors give no other caller access.
func TestIsolation_cursorsOfAllGrantNothing(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		insertProducts(api)
		server, who := guarded(api, Config{})
		fx := newFixtures(api, registry.StatusActive)
		admin, portal :=
			who.add(user("admin", auth.RoleTenantAdmin, fx.org)), who.add(service("portal", "", auth.RolePortal))
		server.canaries = []string{tenantCanary}
		server.send(fetch("/v1/audit?cursor="+cursorOf(api, "/v1/audit")).by(
			admin,
		)).wantProblem("invalid_request", "?tenant_id")
		all := web.SealCursor("catalog:all", "") // before the first of all, also the private ones
		for _, p := range []auth.Principal{admin, portal} {
			got := as[web.Page[productBody]](server.send(fetch("/v1/catalog?cursor=" + all).by(p)).want(http.StatusOK))
			if len(got.Items) != 3 {
				t.Errorf("%s sees %d products, want the 3 that are public", p.ID, len(got.Items))
			}
		}
		if got := as[web.Page[productBody]](api.get("/v1/catalog?cursor=" + all)); len(got.Items) != 4 {
			t.Errorf("the operator sees %d products, want all 4", len(got.Items))
		}
	})
}

// Filters show nothing of foreign tenants: they are applied to the caller's own events only.
func TestIsolation_filtersShowNothing(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		insertProducts(api)
		server, who := guarded(api, Config{})
		fx := newFixtures(api, registry.StatusActive)
		admin := who.add(user("admin", auth.RoleTenantAdmin, fx.org))
		for filter, found := range map[string]int{
			"actor_id=" + tenantCanary: 0, "target_id=" + tenantCanary: 0, "correlation_id=" + tenantCanary: 0,
			"target_id=" + fx.foreign.tenant.String(): 0, "actor_id=plain": 1, "correlation_id=plain": 1,
		} {
			target := "/v1/audit?tenant_id=" + fx.own.tenant.String() + "&" + filter
			got := as[web.Page[eventBody]](server.send(fetch(target).by(admin)).want(http.StatusOK))
			if len(got.Items) != found {
				t.Errorf("%s finds %d events, want %d", filter, len(got.Items), found)
			}
		}
	})
}

// For callers that act for a tenant, a private product of other tenants does not exist.
func TestIsolation_privateProductsDoNotExist(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		insertProducts(api)
		server, who := guarded(api, Config{})
		fx := newFixtures(api, registry.StatusActive)
		server.canaries = []string{tenantCanary}
		for _, p := range []auth.Principal{
			who.add(user("admin", auth.RoleTenantAdmin, fx.org)), who.add(service("portal", "", auth.RolePortal)),
			who.add(user("operator", auth.RoleOperator, "")),
		} {
			for _, target := range []string{"/v1/catalog/request", "/v1/catalog/trial-request", "/v1/api-keys"} {
				ask := func(product string) string {
					body := about(fx.own.tenant, product)
					if target == "/v1/api-keys" {
						body["name"] = "a key"
					}
					got := server.send(jsonRequest(target, body).with("X-Request-Id", "the-request").by(p))
					got.wantProblem("product_not_found", "/product")
					return withoutID(got, "the-request")
				}
				if got, want := ask(canaryProduct), ask(unknownProduct); got != want {
					t.Errorf("%s at %s: a private product answers\n%s\nand an unknown one\n%s", p.ID, target, got, want)
				}
			}
		}
		bound := who.add(service("suite", ownProduct, auth.RoleKeysVerify))
		verify := func(key string) string {
			r := jsonRequest("/v1/internal/api-keys/verify", object{
				"key": key,
			}).with("X-Request-Id", "the-request").by(bound)
			return withoutID(server.send(r).want(http.StatusOK), "the-request")
		}
		if got, want := verify(fx.own.bound), verify(unknownKey); got != want {
			t.Errorf("a key of another product answers\n%s\nand an unknown key\n%s", got, want)
		}
	})
}
