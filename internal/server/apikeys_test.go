package server

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// keys reads the records of a tenant's keys, newest first.
func (c *client) keys(tenant uuid.UUID) []keyBody {
	c.t.Helper()
	return as[page[keyBody]](c.get("/v1/api-keys?limit=100&tenant_id=" + tenant.String()).want(http.StatusOK)).Items
}

// revoke revokes a key.
func (c *client) revoke(id uuid.UUID, reason string) {
	c.t.Helper()
	q := newQuery(join("/v1/api-keys", id))
	if reason != "" {
		q = q.set("reason", reason)
	}
	if got := c.call(request{method: http.MethodDelete, target: q.String()}).want(http.StatusNoContent); len(got.body) > 0 {
		c.t.Errorf("204 with a body: %s", got.body)
	}
}

func TestAPIKeys_create(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.activeTenant("globex").ID
		api.product("product", nil)
		reply := api.post("/v1/api-keys", object{
			"tenant_id": x, "name": "nightly", "environment": "test", "product": "product", "scopes": []string{"b:read", "a.write"},
			"expires_at": "2026-03-02T12:00:00.1234567+01:00",
		}).want(http.StatusCreated).wantHeader("Cache-Control", "no-store")
		got := as[createdKeyBody](reply)
		now := registry.FormatTime(start)
		want := keyBody{
			ID: got.ID, TenantID: x, Name: "nightly", Environment: registry.Test, Product: new("product"), Scopes: []string{"b:read", "a.write"},
			Prefix: got.Key[:12], ExpiresAt: new("2026-03-02T11:00:00.123456Z"), CreatedBy: "operator", CreatedAt: now, UpdatedAt: now, Version: 1,
		}
		wantEqual(t, "the record", got.keyBody, want)
		if _, ok := registry.ParseKey(got.Key); !ok || !strings.HasPrefix(got.Key, "bp_test_") {
			t.Errorf("the key is %q", got.Key)
		}
		wantEqual(t, "the list", api.keys(x), []keyBody{want})
	})
}

func TestAPIKeys_createUnset(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.tenant("globex").ID
		for _, more := range []object{
			nil,
			{"environment": nil, "product": nil, "scopes": nil, "expires_at": nil},
			{"environment": "", "product": "", "scopes": []string{}},
		} {
			got := api.key(x, more)
			if got.Environment != registry.Live || got.Product != nil || got.Scopes == nil || len(got.Scopes) > 0 || got.ExpiresAt != nil {
				t.Errorf("%v: %+v", more, got)
			}
		}
	})
}

func TestAPIKeys_refused(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x, frozen := api.tenant("globex").ID, api.frozenTenant("initech").ID
		api.product("private", private)
		with := func(name string, value any) object { return object{"tenant_id": x, "name": "a key", name: value} }
		many := make([]string, 33)
		for i := range many {
			many[i] = strings.Repeat("s", i+1)
		}
		refused(api, "/v1/api-keys", []refusal{
			{object{"name": "a key"}, "invalid_request", "/tenant_id"},
			{object{"tenant_id": x}, "invalid_request", "/name"},
			{with("tenant_id", nobody), "tenant_not_found", "/tenant_id"},
			{with("tenant_id", frozen), "tenant_frozen", "/tenant_id"},
			{with("product", "unknown"), "product_not_found", "/product"},
			{with("product", "private"), "product_not_found", "/product"},
			{with("product", "requests"), "invalid_request", "/product"},
			{with("environment", "prod"), "invalid_request", "/environment"},
			{with("scopes", []string{"ok", "No"}), "invalid_request", "/scopes/1"},
			{with("scopes", []string{"a", "b", "a"}), "invalid_request", "/scopes/2"},
			{with("scopes", []any{"a", nil}), "invalid_request", "/scopes/1"},
			{with("scopes", []string{strings.Repeat("s", 65)}), "invalid_request", "/scopes/0"},
			{with("scopes", many), "invalid_request", "/scopes"},
			{with("expires_at", registry.FormatTime(start)), "invalid_request", "/expires_at"},
			{with("expires_at", "2026-03-02"), "invalid_request", "/expires_at"},
			{with("expires_at", ""), "invalid_request", "/expires_at"},
			{with("expires_at", "9999-12-31T23:59:59-01:00"), "invalid_request", "/expires_at"},
		})
		if got := api.keys(x); len(got) > 0 {
			t.Errorf("refused requests made keys: %+v", got)
		}
		api.key(x, object{"scopes": many[:32], "expires_at": "2026-03-02T09:30:00.000001Z"})
	})
}

func TestAPIKeys_tooMany(t *testing.T) {
	eachStoreWith(t, registry.Options{MaxKeys: 2}, func(t *testing.T, api *client) {
		x := api.tenant("globex").ID
		first := api.key(x, nil)
		api.key(x, nil)
		api.post("/v1/api-keys", object{"tenant_id": x, "name": "one more"}).wantProblem("too_many_keys")
		api.key(api.tenant("initech").ID, nil)
		api.revoke(first.ID, "")
		api.key(x, nil)
	})
}

func TestAPIKeys_list(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x, y := api.tenant("globex").ID, api.tenant("initech").ID
		var ids []string
		for range 5 {
			ids = append(ids, api.key(x, nil).ID.String())
		}
		slices.Reverse(ids)
		other := api.key(y, nil)
		for limit := 1; limit <= 6; limit++ {
			got := pages(api, "/v1/api-keys?tenant_id="+x.String(), limit, func(k keyBody) string { return k.ID.String() })
			wantEqual(t, "the keys, page by page", got, ids)
		}
		wantEqual(t, "the other tenant's keys", api.keys(y), []keyBody{other.keyBody})
		api.get("/v1/api-keys?tenant_id="+nobody.String()).wantProblem("tenant_not_found", "?tenant_id")
		api.send(request{method: http.MethodGet, target: "/v1/api-keys"}).wantProblem("invalid_request", "?tenant_id")
	})
}

func TestAPIKeys_revoke(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.activeTenant("globex").ID
		k, silent := api.key(x, nil).keyBody, api.key(x, nil).keyBody
		api.clock.advance(time.Minute)
		api.revoke(k.ID, "lost & found; 100 %\nsecond line")
		k.UpdatedAt, k.RevokedAt, k.RevokedBy = "2026-03-02T09:31:00.000000Z", new("2026-03-02T09:31:00.000000Z"), new("operator")
		k.RevokeReason, k.Version, silent.Version = new("lost & found; 100 %\nsecond line"), 2, 2
		api.freeze(x) // which still lets keys be revoked
		api.revoke(silent.ID, "")
		silent.UpdatedAt, silent.RevokedAt, silent.RevokedBy = k.UpdatedAt, k.RevokedAt, k.RevokedBy
		wantEqual(t, "the keys", api.keys(x), []keyBody{silent, k})

		before := len(api.events())
		api.clock.advance(time.Minute)
		api.revoke(k.ID, "again")
		wantEqual(t, "the keys after a second revocation", api.keys(x), []keyBody{silent, k})
		if after := len(api.events()); after != before {
			t.Errorf("revoking twice left %d events", 1+after-before)
		}
	})
}

func TestAPIKeys_revokeRefused(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		k := api.key(api.tenant("globex").ID, nil)
		del := func(target string) *reply {
			t.Helper()
			return api.send(request{method: http.MethodDelete, target: target})
		}
		del(join("/v1/api-keys", nobody)).wantProblem("api_key_not_found")
		del(join("/v1/api-keys", k.TenantID)).wantProblem("api_key_not_found")
		del("/v1/api-keys/"+k.Key).wantProblem("invalid_request", "?id")
		for _, reason := range []string{"", strings.Repeat("x", 2001), "a\x00b", "a\u202eb", "a\xffb"} {
			del(join("/v1/api-keys", k.ID)+"?reason="+url.QueryEscape(reason)).wantProblem("invalid_request", "?reason")
		}
		if got := api.keys(k.TenantID); got[0].RevokedAt != nil {
			t.Errorf("a refused request revoked the key")
		}
		api.revoke(k.ID, strings.Repeat("ä", 2000))
	})
}
