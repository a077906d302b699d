package cache_test

import (
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/cache"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

// TestNobodyChangesWhatIsShared reads the same as many callers of the registry do, at many instants and in many ways: what is kept
// stays as the store has it. The race detector sees a writer even if it writes what is there.
func TestNobodyChangesWhatIsShared(t *testing.T) {
	t.Parallel()
	inner := memory.New()
	kept := cache.New(inner, cache.Options{})
	sample, err := registry.Seed(t.Context(), kept, registry.Options{})
	must(t, err)
	hash, _ := registry.ParseKey(sample.LiveKey)
	everybody := registry.Caller{Actor: registry.Party{ID: "tester"}, Scope: registry.Everything}
	products, err := inner.Products(t.Context())
	must(t, err)
	var all sync.WaitGroup
	for i := range 8 {
		later := time.Duration(i) * 10 * 24 * time.Hour
		service := registry.New(kept, registry.Options{Now: func() time.Time { return time.Now().Add(later) }})
		all.Go(func() {
			for range 20 {
				for _, p := range products {
					v, err := service.Verify(t.Context(), everybody, registry.VerifyQuery{
						Key: sample.LiveKey, Product: p.Key, Scopes: []string{"reports:read"},
					})
					if _, bad := json.Marshal(v.Entitlement); err != nil || bad != nil {
						t.Error(err, bad)
					}
				}
				if _, err := service.TenantBySlug(t.Context(), everybody, "acme"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for _, p := range products {
		got, err := kept.KeyFacts(t.Context(), hash, p.Key)
		must(t, err)
		want, err := inner.KeyFacts(t.Context(), hash, p.Key)
		must(t, err)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("what is kept of %s was changed:\n%+v\n%+v", p.Key, got, want)
		}
	}
	got, err := kept.TenantBySlug(t.Context(), "acme")
	must(t, err)
	want, err := inner.TenantBySlug(t.Context(), "acme")
	must(t, err)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("what is kept of acme was changed: %+v, %+v", got, want)
	}
}
