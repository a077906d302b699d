package registry_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

func TestEntitlements_pagesAreTheWholeList(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme := f.tenant("acme", registry.StatusActive)
	for _, key := range []string{"ab", "b0", "a-", "a0", "zz"} {
		f.product(key)
	}
	for _, key := range []string{"b0", "a0", "ab", "a-", "a0"} {
		_, err := f.s.Grant(f.ctx, f.by, acme.ID, key, registry.SourcePlan)
		f.must(err)
	}
	want := []string{"a-: 1", "a0: 2", "ab: 1", "b0: 1"}
	for limit := 1; limit <= 5; limit++ {
		var got []string
		after := ""
		for range 10 {
			items, more, err := testkit.Items(f.s.Entitlements(f.ctx, f.by, acme.ID, registry.PageRequest{
				Cursor: after, Limit: limit,
			}))
			f.must(err)
			for _, item := range items {
				got, after = append(got, fmt.Sprintf("%s: %d", item.Product, len(item.Sources))), item.Product
			}
			if !more {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("by pages of %d: %v, want %v", limit, got, want)
		}
	}
	empty := f.tenant("empty", registry.StatusTrial)
	items, more, err := testkit.Items(f.s.Entitlements(f.ctx, f.by, empty.ID, registry.PageRequest{Limit: 10}))
	if err != nil || more || items == nil || len(items) > 0 {
		t.Errorf("a tenant that has nothing: %v, %t, %v", items, more, err)
	}
	_, _, err = testkit.Items(f.s.Entitlements(f.ctx, f.by, uuid.New(), registry.PageRequest{Limit: 10}))
	f.blames(f.refusal(err, registry.NotFound, registry.CodeTenantNotFound), "tenant_id")
}

func TestEntitlements_followTheClock(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme := f.tenant("acme", registry.StatusActive)
	f.product("scanner", func(p *registry.Product) { p.DefaultLimits = registry.Limits{"seats": new(int64(5))} })
	_, err := f.s.StartTrial(f.ctx, f.by, registry.CatalogRequestInput{TenantID: acme.ID, Product: "scanner"})
	f.must(err)
	look := func(entitled bool, reason registry.Reason, limits int) {
		t.Helper()
		items, _, err := testkit.Items(f.s.Entitlements(f.ctx, f.by, acme.ID, registry.PageRequest{Limit: 10}))
		f.must(err)
		if len(items) != 1 || items[0].Entitled != entitled || items[0].Reason != reason ||
			len(items[0].Limits) != limits {
			t.Errorf("%+v, want %t, %s and %d limits", items, entitled, reason, limits)
		}
	}
	f.sleep(14*24*time.Hour - time.Microsecond)
	look(true, registry.ReasonTrialing, 1)
	f.sleep(time.Microsecond)
	look(false, registry.ReasonExpired, 0)
	_, err = f.s.Grant(f.ctx, f.by, acme.ID, "scanner", registry.SourcePlan)
	f.must(err)
	look(true, registry.ReasonActive, 1)
	_, err = f.s.CancelTenant(f.ctx, f.by, acme.ID)
	f.must(err)
	look(false, registry.ReasonTenantFrozen, 0)
}
