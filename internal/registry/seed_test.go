package registry_test

import (
	"slices"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

func seeded(t *testing.T) (*fixture, registry.Sample) {
	t.Helper()
	f := newFixture(t)
	sample, err := registry.Seed(f.ctx, f.store, registry.Options{Now: func() time.Time { return noon }, Version: "v0"})
	f.must(err)
	return f, sample
}

func TestSeed_tenantHasAValidKey(t *testing.T) {
	t.Parallel()
	f, sample := seeded(t)
	acme, err := f.s.TenantBySlug(f.ctx, f.by, "acme", registry.ReadOptions{})
	f.must(err)
	if acme.ID.String() != "00000000-0000-0000-0000-000000000001" || sample.Tenant != acme.ID ||
		acme.Status != registry.StatusActive {
		t.Errorf("acme is %+v", acme)
	}
	v, err := f.s.Verify(f.ctx, f.by, registry.VerifyQuery{Key: sample.LiveKey}, registry.ReadOptions{})
	f.must(err)
	if v.Code != registry.Valid || v.Environment != apikey.Live || v.TenantID != acme.ID || v.ValidUntil != nil {
		t.Errorf("the live key is %+v", v)
	}
	q := registry.VerifyQuery{Key: sample.LiveKey, Product: "compliance-suite"}
	if v, err := f.s.Verify(f.ctx, f.by, q, registry.ReadOptions{}); err != nil || v.Code != registry.Valid {
		t.Errorf("the live key for a product of a plan is %+v, %v", v, err)
	}
	keys, err := f.keys(acme.ID)
	f.must(err)
	if len(keys) != 2 || keys[0].RevokedAt == nil || keys[1].RevokedAt != nil {
		t.Errorf("keys %+v", keys)
	}
	if _, other := seeded(t); other.LiveKey == sample.LiveKey {
		t.Error("the key is not made afresh")
	}
}

func TestSeed_catalogHasEveryState(t *testing.T) {
	t.Parallel()
	f, sample := seeded(t)
	all, _, err := testkit.Items(f.s.Catalog(f.ctx, f.by, nil, registry.PageRequest{Limit: 100}))
	f.must(err)
	seen, _, err := testkit.Items(f.s.Catalog(f.ctx, f.by, &sample.Tenant, registry.PageRequest{Limit: 100}))
	f.must(err)
	var states []registry.ProductState
	for _, item := range seen {
		states = append(states, item.ForTenant.State)
	}
	for _, want := range []registry.ProductState{
		registry.ProductEntitled, registry.ProductTrialing, registry.ProductRequested, registry.ProductTrialAvailable,
		registry.ProductTrialUsed, registry.ProductRequestable,
	} {
		if !slices.Contains(states, want) {
			t.Errorf("no product is %s", want)
		}
	}
	if len(all) < 4 || len(all) != len(seen)+1 ||
		!slices.ContainsFunc(all, func(i registry.CatalogItem) bool { return i.Audience == registry.Private }) {
		t.Errorf("%d products, of which acme sees %d", len(all), len(seen))
	}
}

func TestSeed_logIsOfThreeWeeks(t *testing.T) {
	t.Parallel()
	f, _ := seeded(t)
	events := f.log()
	dense(t, events)
	if len(events) < 22 || len(events) > 30 {
		t.Errorf("%d events are not about 25", len(events))
	}
	kinds, before := map[string]bool{}, time.Time{}
	for _, e := range events {
		kinds[e.Area()] = true
		if !e.Received.After(before) || e.Received.After(noon) || e.Created != e.Received {
			t.Errorf("%s was received at %v, after %v", e.Action, e.Received, before)
		}
		before = e.Received
	}
	if first, last := events[0].Received, before; noon.Sub(first) < 20*24*time.Hour || noon.Sub(last) > 48*time.Hour {
		t.Errorf("the log runs from %v to %v", first, last)
	}
	for _, area := range []string{"tenant", "product", "entitlement", "catalog", "api_key", "session", "document"} {
		if !kinds[area] {
			t.Errorf("no event of the area %s", area)
		}
	}
}

func TestSeed_secondRunChangesNothing(t *testing.T) {
	t.Parallel()
	f, sample := seeded(t)
	before := f.dump(sample.Tenant)
	again, err := registry.Seed(f.ctx, f.store, registry.Options{})
	if err == nil || again.LiveKey != "" {
		t.Errorf("the second time: %+v, %v", again, err)
	}
	if after := f.dump(sample.Tenant); after != before {
		t.Error("the second time changed something")
	}
}
