package server

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// offers maps each product that the catalogue shows a tenant to what the tenant can do about it.
func (c *client) offers(tenant uuid.UUID) map[string]offerBody {
	c.t.Helper()
	found := map[string]offerBody{}
	for _, p := range as[page[productBody]](c.get("/v1/catalog?tenant_id=" + tenant.String()).want(http.StatusOK)).Items {
		found[p.Key] = *p.ForTenant
	}
	return found
}

func withTrial(p *registry.Product)   { p.TrialDays = 14 }
func requestable(p *registry.Product) { p.Requestable = true }
func private(p *registry.Product) {
	p.Audience, p.Requestable, p.TrialDays = registry.Private, true, 14
}

func wish(tenant uuid.UUID, product string) object {
	return object{"tenant_id": tenant, "product": product}
}

func TestCatalog_product(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		from, until := start.Add(-time.Hour), start.Add(time.Hour)
		api.product("full", func(p *registry.Product) {
			p.Description, p.Requestable, p.TrialDays, p.AvailableFrom, p.AvailableUntil = "All of it.", true, 30, &from, &until
			p.DefaultLimits, p.DefaultConfig = registry.Limits{"seats": new(int64(5)), "projects": nil}, registry.Config{"deep": object{"er": []any{1.5, nil, true}}}
		})
		api.product("plain", nil)
		got := api.get("/v1/catalog").want(http.StatusOK).wantHeader("Cache-Control", cacheHeader)
		now := registry.FormatTime(start)
		wantEqual(t, "the catalogue", as[page[productBody]](got), page[productBody]{Items: []productBody{{
			Key: "full", Name: "The full", Description: "All of it.", Audience: registry.Public, Requestable: true, TrialDays: new(30),
			DefaultLimits: registry.Limits{"seats": new(int64(5)), "projects": nil},
			DefaultConfig: registry.Config{"deep": object{"er": []any{1.5, nil, true}}},
			AvailableFrom: new("2026-03-02T08:30:00.000000Z"), AvailableUntil: new("2026-03-02T10:30:00.000000Z"), CreatedAt: now, UpdatedAt: now,
		}, {
			Key: "plain", Name: "The plain", Audience: registry.Public, DefaultLimits: registry.Limits{}, DefaultConfig: registry.Config{},
			CreatedAt: now, UpdatedAt: now,
		}}})
	})
}

func TestCatalog_forTenant(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.activeTenant("globex").ID
		for key, change := range map[string]func(*registry.Product){
			"entitled": withTrial, "trialing": withTrial, "requested": requestable, "available": withTrial, "used": withTrial,
			"requestable": requestable, "nothing": nil, "private": private, "private-entitled": private,
			"gone":  func(p *registry.Product) { p.AvailableUntil = new(start) },
			"later": func(p *registry.Product) { p.AvailableFrom = new(start.Add(15 * 24 * time.Hour)) },
		} {
			api.product(key, change)
		}
		api.post("/v1/catalog/trial-request", wish(x, "used")).want(http.StatusCreated)
		api.clock.advance(14*24*time.Hour - time.Microsecond)
		if got := api.offers(x)["used"].State; got != registry.ProductTrialing {
			t.Errorf("a microsecond before the end of its trial the product is %q", got)
		}
		api.clock.advance(time.Microsecond)
		api.grant(x, "entitled")
		api.grant(x, "private-entitled")
		api.post("/v1/catalog/trial-request", wish(x, "trialing")).want(http.StatusCreated)
		api.post("/v1/catalog/request", wish(x, "requested")).want(http.StatusCreated)
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
		if all := as[page[productBody]](api.get("/v1/catalog")).Items; len(all) != 11 || all[0].ForTenant != nil {
			t.Errorf("without a tenant the catalogue has %d products, want all 11, for nobody", len(all))
		}
		api.freeze(x)
		for key, offer := range api.offers(x) {
			if offer != (offerBody{State: "unavailable"}) || key == "private-entitled" {
				t.Errorf("a frozen tenant sees %s: %+v", key, offer)
			}
		}
	})
}

func TestCatalog_unknownTenant(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		api.get("/v1/catalog?tenant_id="+nobody.String()).wantProblem("tenant_not_found", "?tenant_id")
	})
}

func TestCatalog_request(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x, y := api.activeTenant("globex").ID, api.tenant("initech").ID
		api.product("product", requestable)
		body := wish(x, "product")
		body["message"] = "For us.\nSoon."
		first := as[requestBody](api.post("/v1/catalog/request", body).want(http.StatusCreated))
		now := registry.FormatTime(start)
		wantEqual(t, "the request", first, requestBody{
			ID: first.ID, TenantID: x, Product: "product", Status: registry.RequestPending, Message: new("For us.\nSoon."),
			RequestedBy: "operator", CreatedAt: now, UpdatedAt: now,
		})
		api.clock.advance(time.Hour)
		body["message"] = "again"
		wantEqual(t, "the repeated request", as[requestBody](api.post("/v1/catalog/request", body).want(http.StatusOK)), first)
		other := as[requestBody](api.post("/v1/catalog/request", wish(y, "product")).want(http.StatusCreated))
		if other.ID == first.ID || other.Message != nil {
			t.Errorf("another tenant's request is %+v", other)
		}
	})
}

func TestCatalog_requestRefused(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x, frozen := api.activeTenant("globex").ID, api.frozenTenant("initech").ID
		api.product("requestable", requestable)
		api.product("entitled", requestable)
		api.product("plain", nil)
		api.product("private", private)
		api.product("gone", func(p *registry.Product) { p.Requestable, p.AvailableUntil = true, new(start) })
		api.grant(x, "entitled")
		refused(api, "/v1/catalog/request", []refusal{
			{wish(nobody, "requestable"), "tenant_not_found", "/tenant_id"},
			{wish(x, "unknown"), "product_not_found", "/product"},
			{wish(x, "private"), "product_not_found", "/product"},
			{wish(x, "gone"), "product_not_found", "/product"},
			{wish(frozen, "requestable"), "tenant_frozen", "/tenant_id"},
			{wish(x, "entitled"), "already_entitled", "/product"},
			{wish(x, "plain"), "not_requestable", "/product"},
			{object{"product": "plain"}, "invalid_request", "/tenant_id"},
			{object{"tenant_id": x}, "invalid_request", "/product"},
			{wish(x, "requests"), "invalid_request", "/product"},
			{wish(x, "No Key"), "invalid_request", "/product"},
		})
	})
}

// refusal is a body, and how it is refused.
type refusal struct {
	body        object
	code, place string
}

// refused posts bodies that are refused, and asserts that they leave nothing behind.
func refused(api *client, target string, list []refusal) {
	api.t.Helper()
	before := len(api.events())
	for _, r := range list {
		api.send(jsonRequest(target, r.body)).wantProblem(r.code, r.place)
	}
	if after := len(api.events()); after != before {
		api.t.Errorf("%d refused requests left %d events", len(list), after-before)
	}
}

func TestCatalog_trial(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.tenant("globex").ID
		api.product("product", func(p *registry.Product) { p.TrialDays, p.DefaultLimits = 30, registry.Limits{"seats": new(int64(3))} })
		body := wish(x, "product")
		body["message"] = "to try it"
		got := as[sourceBody](api.post("/v1/catalog/trial-request", body).want(http.StatusCreated))
		now := registry.FormatTime(start)
		wantEqual(t, "the trial", got, sourceBody{
			ID: got.ID, TenantID: x, Product: "product", Source: registry.SourceTrial, State: registry.StateTrialing, StartsAt: now,
			EndsAt: new("2026-04-01T09:30:00.000000Z"), Limits: registry.Limits{"seats": new(int64(3))}, Config: registry.Config{},
			CreatedAt: now, UpdatedAt: now,
		})
		for _, wait := range []time.Duration{0, 31 * 24 * time.Hour, 365 * 24 * time.Hour} {
			api.clock.advance(wait)
			p := api.post("/v1/catalog/trial-request", body).wantProblem("trial_used", "/product")
			if p.TrialStartedAt != now || p.TrialEndsAt != *got.EndsAt {
				t.Errorf("trial_used says %s to %s, want %s to %s", p.TrialStartedAt, p.TrialEndsAt, now, *got.EndsAt)
			}
		}
		api.post("/v1/catalog/trial-request", wish(api.tenant("initech").ID, "product")).want(http.StatusCreated)
	})
}

func TestCatalog_trialRefused(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x, frozen := api.activeTenant("globex").ID, api.frozenTenant("initech").ID
		api.product("trial", withTrial)
		api.product("entitled", withTrial)
		api.product("plain", requestable)
		api.product("private", private)
		api.product("private-requested", private)
		api.grant(x, "entitled")
		api.tx(insertRequest(x, "private-requested"))
		refused(api, "/v1/catalog/trial-request", []refusal{
			{wish(nobody, "trial"), "tenant_not_found", "/tenant_id"},
			{wish(x, "unknown"), "product_not_found", "/product"},
			{wish(x, "private"), "product_not_found", "/product"},
			{wish(x, "private-requested"), "no_trial", "/product"},
			{wish(frozen, "trial"), "tenant_frozen", "/tenant_id"},
			{wish(x, "entitled"), "already_entitled", "/product"},
			{wish(x, "plain"), "no_trial", "/product"},
			{object{}, "invalid_request", "/tenant_id"},
		})
	})
}

func TestCatalog_pages(t *testing.T) {
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

// pages reads a whole list page by page and returns what name says of each item.
func pages[T any](api *client, target string, limit int, name func(T) string) []string {
	api.t.Helper()
	found := []string{}
	for q := newQuery(target).set("limit", limit); ; {
		p := as[page[T]](api.get(q.String()).want(http.StatusOK))
		for _, item := range p.Items {
			found = append(found, name(item))
		}
		if p.NextCursor == nil {
			return found
		}
		if len(p.Items) != limit {
			api.t.Fatalf("%s has %d items and a next page", q, len(p.Items))
		}
		q = q.set("cursor", *p.NextCursor)
	}
}
