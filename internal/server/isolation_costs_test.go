package server

import (
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/storetest/faultstore"
)

// TestIsolation_foreignCostsWhatUnknownCosts asserts that the store is asked for the same about what a caller may not
// know of and about what does not exist, so that no answer takes longer. The control is what the caller may know.
func TestIsolation_foreignCostsWhatUnknownCosts(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		mine := api.own("mine", organization)
		api.tenant("foreign")
		api.product("private", func(p *registry.Product) { p.Audience = registry.Private })
		api.product("public", func(p *registry.Product) { p.TrialDays = 14 })
		var mu sync.Mutex
		var calls []string
		recording := faultstore.New(api.store, func(call string) error {
			mu.Lock()
			defer mu.Unlock()
			calls = append(calls, call)
			return nil
		})
		who := &principals{known: map[string]auth.Principal{}}
		server := startServer(t, recording, registry.Options{Now: api.clock.now}, Config{Auth: who})
		admin := who.add(user("admin", auth.RoleTenantAdmin, organization))
		cost := func(r request, status int) []string {
			mu.Lock()
			calls = nil
			mu.Unlock()
			server.send(r.by(admin)).want(status)
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(calls)
		}
		slug := func(slug string) request { return fetch("/v1/tenants/by-slug/" + slug) }
		trial := func(product string) request {
			return jsonRequest("/v1/catalog/trial-request", object{"tenant_id": mine.ID, "product": product})
		}
		foreign, unknown := cost(slug("foreign"), http.StatusNotFound), cost(slug("unknown"), http.StatusNotFound)
		wantEqual(t, "the calls for a foreign slug", foreign, unknown)
		if own := cost(slug("mine"), http.StatusOK); len(own) <= len(foreign) {
			t.Errorf("the control costs %v, a foreign slug %v", own, foreign)
		}
		private, none := cost(trial("private"), http.StatusNotFound), cost(trial("unknown"), http.StatusNotFound)
		wantEqual(t, "the calls for a private product", private, none)
		if known := cost(trial("public"), http.StatusCreated); len(known) <= len(private) {
			t.Errorf("the control costs %v, a private product %v", known, private)
		}
	})
}

// TestSecrets_inNamesAreNotRepeated asserts that the name of a member or parameter that is a credential is in no
// answer.
func TestSecrets_inNamesAreNotRepeated(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		tenant := api.tenant("globex")
		_, key := tenant, api.key(tenant.ID, nil).Key
		for _, r := range []request{
			jsonRequest("/v1/tenants", object{"slug": "acme", "name": "Acme", key: "x"}),
			jsonRequest("/v1/tenants", object{"slug": "acme", "name": "Acme", "metadata": object{key: "x"}}),
			jsonRequest("/v1/audit", object{
				"action": "a.b", "crud": "c", "is_anonymous": true, "fields": object{key: "\x1b"},
			}),
			fetch("/v1/catalog?" + key + "=1"),
		} {
			api.canaries = []string{key, key[:30]}
			api.send(r).want(http.StatusBadRequest)
		}
	})
}
