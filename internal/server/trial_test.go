package server

import (
	"net/http"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/timestamp"
)

func TestTrial_startsAtOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.tenant("globex").ID
		api.product("product", func(p *registry.Product) {
			p.TrialDays, p.DefaultLimits = 30, registry.Limits{"seats": new(int64(3))}
		})
		body := about(x, "product")
		body["message"] = "to try it"
		got := as[sourceBody](api.post("/v1/catalog/trial-request", body).want(http.StatusCreated))
		now := timestamp.Format(start)
		wantEqual(t, "the trial", got, sourceBody{
			ID: got.ID, TenantID: x, Product: "product", Source: registry.SourceTrial, State: registry.StateTrialing,
			StartsAt: now,
			EndsAt:   new("2026-04-01T09:30:00.000000Z"), Limits: registry.Limits{"seats": new(int64(3))},
			Config:    registry.Config{},
			CreatedAt: now, UpdatedAt: now,
		})
		for _, wait := range []time.Duration{0, 31 * 24 * time.Hour, 365 * 24 * time.Hour} {
			api.clock.advance(wait)
			p := api.post("/v1/catalog/trial-request", body).wantProblem("trial_used", "/product")
			if p.TrialStartedAt != now || p.TrialEndsAt != *got.EndsAt {
				t.Errorf("trial_used says %s to %s, want %s to %s", p.TrialStartedAt, p.TrialEndsAt, now, *got.EndsAt)
			}
		}
		api.post("/v1/catalog/trial-request", about(api.tenant("initech").ID, "product")).want(http.StatusCreated)
	})
}

func TestTrial_refusesBadInput(t *testing.T) {
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
			{about(unknownID, "trial"), "tenant_not_found", "/tenant_id"},
			{about(x, "unknown"), "product_not_found", "/product"},
			{about(x, "private"), "product_not_found", "/product"},
			{about(x, "private-requested"), "no_trial", "/product"},
			{about(frozen, "trial"), "tenant_frozen", "/tenant_id"},
			{about(x, "entitled"), "already_entitled", "/product"},
			{about(x, "plain"), "no_trial", "/product"},
			{object{}, "invalid_request", "/tenant_id"},
		})
	})
}
