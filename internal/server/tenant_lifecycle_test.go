package server

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/registry"
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
		refused("cancel", "trial", "frozen", "active")
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
		refused("cancel", "frozen", "frozen")
		refused("activate", "frozen", "active")
		wantEqual(t, "the tenant as read", as[tenantBody](api.get(join("/v1/tenants", x.ID)).want(http.StatusOK)), x)
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
