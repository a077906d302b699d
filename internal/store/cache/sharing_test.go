package cache_test

import (
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/audit"

	"github.com/go-json-experiment/json"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/cache"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

// TestSharedValues reads the same as many callers of the registry do, at many instants and in many ways: what is cached
// stays as the store has it. The race detector sees a writer even if it writes what is there.
func TestSharedValues(t *testing.T) {
	t.Parallel()
	inner := memory.New()
	cached := cache.New(inner, cache.Options{})
	sample, err := registry.Seed(t.Context(), cached, registry.Options{})
	must(t, err)
	hash, _ := apikey.Parse(sample.LiveKey)
	caller := registry.Caller{Actor: audit.Party{ID: "tester"}, Access: registry.FullAccess}
	products, err := inner.ListProducts(t.Context())
	must(t, err)
	var all sync.WaitGroup
	for i := range 8 {
		later := time.Duration(i) * 10 * 24 * time.Hour
		service := registry.New(cached, registry.Options{Now: func() time.Time { return time.Now().Add(later) }})
		all.Go(func() {
			for range 20 {
				for _, p := range products {
					v, err := service.Verify(t.Context(), caller, registry.VerifyQuery{
						Key: sample.LiveKey, Product: p.Key, Scopes: []string{"reports:read"},
					}, registry.ReadOptions{})
					if _, bad := json.Marshal(v.Entitlement); err != nil || bad != nil {
						t.Error(err, bad)
					}
				}
				if _, err := service.TenantBySlug(t.Context(), caller, "acme", registry.ReadOptions{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for _, p := range products {
		got, err := cached.KeyFacts(t.Context(), registry.KeyLookup{Hash: hash, Product: p.Key}, registry.ReadOptions{})
		must(t, err)
		want, err := registry.GetKeyFacts(t.Context(), inner, registry.KeyLookup{Hash: hash, Product: p.Key})
		must(t, err)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("what is cached of %s was changed:\n%+v\n%+v", p.Key, got, want)
		}
	}
	got, err := cached.TenantBySlug(t.Context(), "acme", registry.ReadOptions{})
	must(t, err)
	want, err := registry.GetTenantBySlug(t.Context(), inner, "acme")
	must(t, err)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("what is cached of acme was changed: %+v, %+v", got, want)
	}
}
