package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/timestamp"
)

func TestAPIKeyCreate_answersRecordAndKey(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.activeTenant("globex").ID
		api.product("product", nil)
		reply := api.post("/v1/api-keys", object{
			"tenant_id": x, "name": "nightly", "environment": "test", "product": "product",
			"scopes":     []string{"b:read", "a.write"},
			"expires_at": "2026-03-02T12:00:00.1234567+01:00",
		}).want(http.StatusCreated).wantHeader("Cache-Control", "no-store")
		got := as[secretBody](reply)
		now := timestamp.Format(start)
		want := keyBody{
			ID: got.ID, TenantID: x, Name: "nightly", Environment: apikey.Test, Product: new("product"),
			Scopes: []string{"b:read", "a.write"},
			Prefix: got.Key[:12], ExpiresAt: new("2026-03-02T11:00:00.123456Z"), CreatedBy: "operator", CreatedAt: now,
			UpdatedAt: now, Version: 1,
		}
		wantEqual(t, "the record", got.keyBody, want)
		if _, ok := apikey.Parse(got.Key); !ok || !strings.HasPrefix(got.Key, "bp_test_") {
			t.Errorf("the key is %q", got.Key)
		}
		wantEqual(t, "the list", api.keys(x), []keyBody{want})
	})
}

func TestAPIKeyCreate_membersMayBeUnset(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.tenant("globex").ID
		for _, more := range []object{
			nil,
			{"environment": nil, "product": nil, "scopes": nil, "expires_at": nil},
			{"environment": "", "product": "", "scopes": []string{}},
		} {
			got := api.key(x, more)
			if got.Environment != apikey.Live || got.Product != nil || got.Scopes == nil || len(got.Scopes) > 0 ||
				got.ExpiresAt != nil {
				t.Errorf("%v: %+v", more, got)
			}
		}
	})
}

func TestAPIKeyCreate_refusesBadInput(t *testing.T) {
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
			{with("tenant_id", unknownID), "tenant_not_found", "/tenant_id"},
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
			{with("expires_at", timestamp.Format(start)), "invalid_request", "/expires_at"},
			{with("expires_at", "2026-03-02"), "invalid_request", "/expires_at"},
			{with("expires_at", "9999-12-31T23:59:59-01:00"), "invalid_request", "/expires_at"},
		})
		if got := api.keys(x); len(got) > 0 {
			t.Errorf("refused requests made keys: %+v", got)
		}
		api.key(x, object{"scopes": many[:32], "expires_at": "2026-03-02T09:30:00.000001Z"})
	})
}

func TestAPIKeyCreate_isBoundedPerTenant(t *testing.T) {
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
