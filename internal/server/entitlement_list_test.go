package server

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
	"github.com/breakpilot/tenant-registry/internal/timestamp"
)

// entitled reads what a tenant has, by product.
func (c *client) entitled(tenant uuid.UUID) map[string]entitlementBody {
	c.t.Helper()
	found := map[string]entitlementBody{}
	list := as[web.Page[entitlementBody]](c.get("/v1/entitlements?tenant_id=" + tenant.String()).want(http.StatusOK))
	for _, e := range list.Items {
		found[e.Product] = e
	}
	return found
}

// give writes a source that no use case can make yet.
func (c *client) give(e registry.Entitlement) registry.Entitlement {
	c.t.Helper()
	e.ID, e.CreatedAt, e.UpdatedAt = uuid.Must(uuid.NewV7()), start, start
	if e.StartsAt.IsZero() {
		e.StartsAt = start
	}
	if e.Limits == nil {
		e.Limits = registry.Limits{}
	}
	if e.Config == nil {
		e.Config = registry.Config{}
	}
	c.tx(func(ctx context.Context, tx registry.Tx) error { return tx.InsertEntitlement(ctx, e) })
	return e
}

func TestEntitlementList_showsTrialsAndGrants(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.activeTenant("globex").ID
		api.product("product", withTrial)
		got := api.get("/v1/entitlements?tenant_id=" + x.String()).want(http.StatusOK)
		if string(got.body) != `{"items":[],"next_cursor":null}` {
			t.Errorf("of a tenant that has nothing: %s", got.body)
		}
		trial := as[sourceBody](api.post("/v1/catalog/trial-request", about(x, "product")).want(http.StatusCreated))
		want := entitlementBody{
			Product: "product", Entitled: true, Reason: "trialing", State: new(registry.StateTrialing),
			ValidUntil: trial.EndsAt,
			Limits:     registry.Limits{}, Config: registry.Config{}, Sources: []sourceBody{trial},
		}
		wantEqual(t, "by trial", api.entitled(x)["product"], want)

		api.clock.advance(14 * 24 * time.Hour)
		trial.State = registry.StateExpired
		want.Entitled, want.Reason, want.State, want.ValidUntil, want.Sources =
			false, "expired", new(registry.StateExpired), nil, []sourceBody{trial}
		wantEqual(t, "after the trial", api.entitled(x)["product"], want)

		g := api.grant(x, "product")
		want.Entitled, want.Reason, want.State = true, "active", new(registry.StateActive)
		want.Sources = append(want.Sources, sourceOf(g, api.clock.now()))
		wantEqual(t, "by grant", api.entitled(x)["product"], want)

		api.freeze(x)
		want.Entitled, want.Reason = false, "tenant_frozen"
		wantEqual(t, "of a frozen tenant", api.entitled(x)["product"], want)
	})
}

func TestEntitlementList_mergesSources(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.activeTenant("globex").ID
		api.product("product", nil)
		soon, later := start.Add(time.Hour), start.Add(2*time.Hour)
		for _, e := range []registry.Entitlement{
			{
				Source: registry.SourceTrial, EndsAt: &later,
				Limits: registry.Limits{"seats": new(int64(50)), "only": new(int64(1))},
				Config: registry.Config{"from": "trial", "trial": true},
			},
			{
				Source: registry.SourcePlan, EndsAt: &soon,
				Limits: registry.Limits{"seats": new(int64(10)), "free": nil}, Config: registry.Config{"from": "plan"},
			},
			{
				Source: registry.SourceGrant, Limits: registry.Limits{"seats": new(int64(20)), "free": new(int64(9))},
				Config: registry.Config{"from": "grant"},
			},
			{Source: registry.SourceGrant, RevokedAt: new(start), Limits: registry.Limits{"seats": new(int64(999))}},
			{Source: registry.SourceGrant, StartsAt: soon, Limits: registry.Limits{"seats": new(int64(100))}},
		} {
			e.TenantID, e.Product = x, "product"
			api.give(e)
		}
		got := api.entitled(x)["product"]
		wantEqual(t, "the limits", got.Limits, registry.Limits{
			"seats": new(int64(50)), "only": new(int64(1)), "free": nil,
		})
		wantEqual(t, "the config", got.Config, registry.Config{"from": "grant", "trial": true})
		states := []registry.EntitlementState{}
		for _, s := range got.Sources {
			states = append(states, s.State)
		}
		wantEqual(t, "the states", states, []string{"trialing", "active", "active", "revoked", "scheduled"})
		if !got.Entitled || got.Reason != "active" || got.ValidUntil == nil ||
			*got.ValidUntil != timestamp.Format(soon) {
			t.Errorf("together: %+v", got)
		}
		api.clock.advance(time.Hour)
		if got := api.entitled(x)["product"]; *got.Limits["seats"] != 100 || *got.Limits["free"] != 9 ||
			*got.ValidUntil != timestamp.Format(later) {
			t.Errorf("an hour later: %+v", got)
		}
	})
}

func TestEntitlementList_showsScheduledAndRevoked(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.activeTenant("globex").ID
		api.product("soon", nil)
		api.product("revoked", nil)
		soon := start.Add(time.Hour)
		api.give(registry.Entitlement{TenantID: x, Product: "soon", Source: registry.SourcePlan, StartsAt: soon})
		api.give(registry.Entitlement{
			TenantID: x, Product: "revoked", Source: registry.SourcePlan, RevokedAt: new(start),
		})
		got := api.entitled(x)
		if e := got["soon"]; e.Entitled || e.Reason != "scheduled" || *e.ValidUntil != timestamp.Format(soon) {
			t.Errorf("scheduled: %+v", e)
		}
		if e := got["revoked"]; e.Entitled || e.Reason != "revoked" || e.ValidUntil != nil {
			t.Errorf("revoked: %+v", e)
		}
		api.clock.advance(time.Hour)
		if e := api.entitled(x)["soon"]; !e.Entitled || e.Reason != "active" {
			t.Errorf("when it has begun: %+v", e)
		}
	})
}

func TestEntitlementList_hasPagesOfOneTenant(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x, y := api.activeTenant("globex").ID, api.activeTenant("initech").ID
		keys := []string{"a-b", "a0", "aa", "b-", "zz"}
		for _, key := range slices.Backward(keys) {
			api.product(key, nil)
			api.grant(x, key)
			api.grant(x, key)
		}
		for limit := 1; limit <= 6; limit++ {
			got := pages(api, "/v1/entitlements?tenant_id="+x.String(), limit, func(e entitlementBody) string {
				return e.Product
			})
			wantEqual(t, "what the tenant has, page by page", got, keys)
		}
		if got := api.entitled(y); len(got) > 0 {
			t.Errorf("another tenant has %v", got)
		}
		api.get("/v1/entitlements?tenant_id="+unknownID.String()).wantProblem("tenant_not_found", "?tenant_id")
		api.send(request{
			method: http.MethodGet, target: "/v1/entitlements",
		}).wantProblem("invalid_request", "?tenant_id")
	})
}

// TestEntitlements_configDigits asserts that a number in a configuration that SQL wrote comes out digit for digit.
func TestEntitlements_configDigits(t *testing.T) {
	t.Parallel()
	store, dsn := openPostgres(t)
	api := newClient(t, store, registry.Options{})
	id := api.activeTenant("acme").ID
	api.product("widgets", nil)
	api.grant(id, "widgets")
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), `UPDATE entitlements SET config = '{"n": 9007199254740993}'`); err != nil {
		t.Fatal(err)
	}
	got := api.get("/v1/entitlements?tenant_id=" + id.String()).want(http.StatusOK)
	if !strings.Contains(string(got.body), `{"n":9007199254740993}`) {
		t.Errorf("the configuration is %s", got.body)
	}
}
