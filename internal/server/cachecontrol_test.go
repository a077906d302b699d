package server

import (
	"context"
	"net/http"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/cache"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

// TestCacheControl_freshReadsTheStore changes rows behind the cache, as SQL does: only a request that asks for a fresh
// answer is answered from the store, and it changes nothing for other requests.
func TestCacheControl_freshReadsTheStore(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		header []string
		pragma bool
		fresh  bool
	}{
		"nothing":              {nil, false, false},
		"no-cache":             {[]string{"no-cache"}, false, true},
		"max-age=0":            {[]string{"max-age=0"}, false, true},
		"among others":         {[]string{"no-transform", "max-stale, No-Cache"}, false, true},
		"another max-age":      {[]string{"max-age=01, max-age=5"}, false, false},
		"something like it":    {[]string{"x-no-cache, no-cachet"}, false, false},
		"only if cached":       {[]string{"only-if-cached"}, false, false},
		"Pragma":               {nil, true, false},
		"Pragma, max-age=5":    {[]string{"max-age=5"}, true, false},
		"Pragma, no-cache":     {[]string{"no-cache"}, true, false}, // as fetch sends both
		"Pragma, max-age=0":    {[]string{"max-age=0"}, true, true},
		"Pragma, among others": {[]string{"no-cache, max-age=0"}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inner := memory.New()
			api := newClient(t, cache.New(inner, cache.Options{}), registry.Options{})
			tenant := api.activeTenant("globex")
			key := api.key(tenant.ID, nil)
			bySlug := request{method: http.MethodGet, target: "/v1/tenants/by-slug/globex"}
			verify := jsonRequest("/v1/internal/api-keys/verify", object{"key": key.Key})
			api.wantVerdict(registry.Valid, key.Key, nil)
			api.call(bySlug).want(http.StatusOK)
			freezeBehind(t, inner, tenant)
			asked := func(r request) request {
				if c.header != nil {
					r = r.with("Cache-Control", c.header...)
				}
				if c.pragma {
					r = r.with("Pragma", "no-cache")
				}
				return r
			}
			if got := as[verdictBody](api.call(asked(verify)).want(http.StatusOK)); got.Valid == c.fresh {
				t.Errorf("verify is %s", got.Code)
			}
			got := as[tenantBody](api.call(asked(bySlug)).want(http.StatusOK))
			if (got.Status == registry.StatusFrozen) != c.fresh {
				t.Errorf("by slug is %s", got.Status)
			}
		})
	}
}

// freezeBehind freezes a tenant without invalidating the cache.
func freezeBehind(t *testing.T, store registry.Store, tenant tenantBody) {
	t.Helper()
	err := store.Tx(t.Context(), func(tx registry.Tx) error { return freezeIn(t.Context(), tx, tenant) })
	if err != nil {
		t.Fatal(err)
	}
}

func freezeIn(ctx context.Context, tx registry.Tx, tenant tenantBody) error {
	row, err := tx.LockTenant(ctx, tenant.ID)
	if err != nil {
		return err
	}
	row.Status, row.FrozenAt = registry.StatusFrozen, &row.UpdatedAt
	return tx.UpdateTenant(ctx, row)
}
