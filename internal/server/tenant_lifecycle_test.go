package server

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
)

func TestTenantLifecycle_hasThreeStates(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.tenant("globex")
		refused := func(action, from, to string, allowed ...string) {
			t.Helper()
			p := api.post(join("/v1/tenants", x.ID, action), nil).wantProblem("invalid_transition")
			if p.From != from || p.To != to || strings.Join(p.Allowed, " ") != strings.Join(allowed, " ") {
				t.Errorf(
					"%s of a tenant that is %s: from %q, to %q, allowed %q, want allowed %q", action, from, p.From,
					p.To, p.Allowed, allowed,
				)
			}
		}
		refused("reactivate", "trial", "active", "active", "frozen")
		api.clock.advance(time.Hour)
		x.Status, x.Version, x.UpdatedAt, x.ActivatedAt =
			registry.StatusActive, 2, "2026-03-02T10:30:00.000000Z", new("2026-03-02T10:30:00.000000Z")
		wantEqual(
			t, "the active tenant",
			as[tenantBody](api.post(join("/v1/tenants", x.ID, "activate"), nil).want(http.StatusOK)), x,
		)
		refused("activate", "active", "active", "frozen")
		api.clock.advance(time.Hour)
		x.Status, x.Version, x.UpdatedAt, x.FrozenAt =
			registry.StatusFrozen, 3, "2026-03-02T11:30:00.000000Z", new("2026-03-02T11:30:00.000000Z")
		wantEqual(
			t, "the frozen tenant",
			as[tenantBody](api.post(join("/v1/tenants", x.ID, "cancel"), nil).want(http.StatusOK)), x,
		)
		refused("cancel", "frozen", "frozen", "active")
		refused("activate", "frozen", "active", "active")
		api.clock.advance(time.Hour)
		x.Status, x.Version, x.UpdatedAt, x.FrozenAt = registry.StatusActive, 4, "2026-03-02T12:30:00.000000Z", nil
		wantEqual(
			t, "the reactivated tenant",
			as[tenantBody](api.post(join("/v1/tenants", x.ID, "reactivate"), nil).want(http.StatusOK)), x,
		)
		wantEqual(t, "the tenant as read", as[tenantBody](api.get(join("/v1/tenants", x.ID)).want(http.StatusOK)), x)
	})
}

// TestTenantLifecycle_freezeIsHeld asserts that a key of a tenant that an operator freezes is refused, that the reason
// is in the log, and that the key is good again after a reactivation.
func TestTenantLifecycle_freezeIsHeld(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.tenant("globex")
		key := as[object](api.post("/v1/api-keys", object{"tenant_id": x.ID, "name": "k"}).want(http.StatusCreated))
		code := func() any {
			verdict := api.post("/v1/internal/api-keys/verify", object{"key": key["key"]}).want(http.StatusOK)
			return as[object](verdict)["code"]
		}
		wantEqual(t, "the key of a trial", code(), any("VALID"))
		api.post(join("/v1/tenants", x.ID, "freeze"), object{"reason": "Payment overdue"}).want(http.StatusOK)
		wantEqual(t, "the key of a frozen tenant", code(), any("TENANT_FROZEN"))
		e := as[web.Page[eventBody]](api.get(join("/v1/audit?tenant_id=" + x.ID.String())).want(http.StatusOK)).Items[0]
		wantEqual(
			t, "the reason", []string{e.Action, (*e.Fields)["reason"]}, []string{"tenant.freeze", `"Payment overdue"`},
		)
		api.post(join("/v1/tenants", x.ID, "reactivate"), nil).want(http.StatusOK)
		wantEqual(t, "the key of the reactivated tenant", code(), any("VALID"))
	})
}

// A change is answered in full whatever If-None-Match says: only reads are conditional.
func TestTenantLifecycle_isUnconditional(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.tenant("globex")
		api.send(request{
			method: http.MethodPost, target: join("/v1/tenants", x.ID, "activate"),
			header: http.Header{"If-None-Match": {"*"}},
		}).
			want(http.StatusOK)
	})
}
