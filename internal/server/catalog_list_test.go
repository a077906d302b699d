package server

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
	"github.com/breakpilot/tenant-registry/internal/timestamp"
)

// offers maps each product that the catalogue shows a tenant to what the tenant can do about it.
func (c *client) offers(tenant uuid.UUID) map[string]offerBody {
	c.t.Helper()
	found := map[string]offerBody{}
	list := as[web.Page[productBody]](c.get("/v1/catalog?tenant_id=" + tenant.String()).want(http.StatusOK))
	for _, p := range list.Items {
		found[p.Key] = *p.ForTenant
	}
	return found
}

func withTrial(p *registry.Product)   { p.TrialDays = 14 }
func requestable(p *registry.Product) { p.Requestable = true }
func private(p *registry.Product) {
	p.Audience, p.Requestable, p.TrialDays = registry.Private, true, 14
}

func TestCatalogList_showsWholeProducts(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		from, until := start.Add(-time.Hour), start.Add(time.Hour)
		api.product("full", func(p *registry.Product) {
			p.Description, p.Requestable, p.TrialDays, p.AvailableFrom, p.AvailableUntil =
				"All of it.", true, 30, &from, &until
			p.DefaultLimits, p.DefaultConfig =
				registry.Limits{"seats": new(int64(5)), "projects": nil},
				registry.Config{"deep": object{"er": []any{1.5, nil, true}}}
		})
		api.product("plain", nil)
		got := api.get("/v1/catalog").want(http.StatusOK).wantHeader("Cache-Control", cacheHeader)
		now := timestamp.Format(start)
		wantEqual(t, "the catalogue", as[web.Page[productBody]](got), web.Page[productBody]{Items: []productBody{{
			Key: "full", Name: "The full", Description: "All of it.", Audience: registry.Public, Requestable: true,
			TrialDays:     new(30),
			DefaultLimits: registry.Limits{"seats": new(int64(5)), "projects": nil},
			DefaultConfig: registry.Config{"deep": object{"er": []any{1.5, nil, true}}},
			AvailableFrom: new("2026-03-02T08:30:00.000000Z"), AvailableUntil: new("2026-03-02T10:30:00.000000Z"),
			CreatedAt: now, UpdatedAt: now,
		}, {
			Key: "plain", Name: "The plain", Audience: registry.Public, DefaultLimits: registry.Limits{},
			DefaultConfig: registry.Config{},
			CreatedAt:     now, UpdatedAt: now,
		}}})
	})
}

func TestCatalogList_showsOffersOfTheTenant(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.activeTenant("globex").ID
		for key, change := range map[string]func(*registry.Product){
			"entitled": withTrial, "trialing": withTrial, "requested": requestable, "available": withTrial,
			"used":        withTrial,
			"requestable": requestable, "nothing": nil, "private": private, "private-entitled": private,
			"gone":  func(p *registry.Product) { p.AvailableUntil = new(start) },
			"later": func(p *registry.Product) { p.AvailableFrom = new(start.Add(15 * 24 * time.Hour)) },
		} {
			api.product(key, change)
		}
		api.post("/v1/catalog/trial-request", about(x, "used")).want(http.StatusCreated)
		api.clock.advance(14*24*time.Hour - time.Microsecond)
		if got := api.offers(x)["used"].State; got != registry.ProductTrialing {
			t.Errorf("a microsecond before the end of its trial the product is %q", got)
		}
		api.clock.advance(time.Microsecond)
		api.grant(x, "entitled")
		api.grant(x, "private-entitled")
		api.post("/v1/catalog/trial-request", about(x, "trialing")).want(http.StatusCreated)
		api.post("/v1/catalog/request", about(x, "requested")).want(http.StatusCreated)
		wantEqual(t, "the catalogue of the tenant", api.offers(x), map[string]offerBody{
			"entitled":         {State: "entitled"},
			"private-entitled": {State: "entitled"},
			"trialing":         {State: "trialing"},
			"requested":        {State: "requested"},
			"available":        {State: "trial_available", CanTrial: true},
			"used":             {State: "trial_used"},
			"requestable":      {State: "requestable", CanRequest: true},
			"nothing":          {State: "unavailable"},
		})
		if all := as[web.Page[productBody]](api.get("/v1/catalog")).Items; len(all) != 11 || all[0].ForTenant != nil {
			t.Errorf("without a tenant the catalogue has %d products, want all 11, without offers", len(all))
		}
		api.freeze(x)
		for key, offer := range api.offers(x) {
			if offer != (offerBody{State: "unavailable"}) || key == "private-entitled" {
				t.Errorf("a frozen tenant sees %s: %+v", key, offer)
			}
		}
	})
}

func TestCatalogList_refusesUnknownTenants(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		api.get("/v1/catalog?tenant_id="+unknownID.String()).wantProblem("tenant_not_found", "?tenant_id")
	})
}

func TestCatalogList_hasPages(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		keys := []string{"a-b", "a0", "aa", "b-", "zz"} // in byte order, which is not that of a locale
		for _, key := range slices.Backward(keys) {
			api.product(key, nil)
		}
		for limit := 1; limit <= 6; limit++ {
			got := pages(api, "/v1/catalog", limit, func(p productBody) string { return p.Key })
			wantEqual(t, "the catalogue, page by page", got, keys)
		}
	})
}
