package registry_test

import (
	"slices"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

func seeded(t *testing.T) (*world, registry.Sample) {
	t.Helper()
	w := newWorld(t)
	sample, err := registry.Seed(w.ctx, w.store, registry.Options{Now: func() time.Time { return noon }, Version: "v0"})
	w.must(err)
	return w, sample
}

func TestSeed_tenantAndKeys(t *testing.T) {
	t.Parallel()
	w, sample := seeded(t)
	acme, err := w.s.TenantBySlug(w.ctx, w.by, "acme")
	w.must(err)
	if acme.ID.String() != "00000000-0000-0000-0000-000000000001" || sample.Tenant != acme.ID || acme.Status != registry.StatusActive {
		t.Errorf("acme is %+v", acme)
	}
	v, err := w.s.Verify(w.ctx, w.by, registry.VerifyQuery{Key: sample.LiveKey})
	w.must(err)
	if v.Code != registry.Valid || v.Environment != registry.Live || v.TenantID != acme.ID || v.ValidUntil != nil {
		t.Errorf("the live key is %+v", v)
	}
	if v, err := w.s.Verify(w.ctx, w.by, registry.VerifyQuery{Key: sample.LiveKey, Product: "compliance-suite"}); err != nil || v.Code != registry.Valid {
		t.Errorf("the live key for a product of a plan is %+v, %v", v, err)
	}
	keys, err := w.keys(acme.ID)
	w.must(err)
	if len(keys) != 2 || keys[0].RevokedAt == nil || keys[1].RevokedAt != nil {
		t.Errorf("keys %+v", keys)
	}
	if _, other := seeded(t); other.LiveKey == sample.LiveKey {
		t.Error("the key is not made afresh")
	}
}

func TestSeed_catalogue(t *testing.T) {
	t.Parallel()
	w, sample := seeded(t)
	all, _, err := w.s.Catalog(w.ctx, w.by, nil, registry.Start{Limit: 100})
	w.must(err)
	seen, _, err := w.s.Catalog(w.ctx, w.by, &sample.Tenant, registry.Start{Limit: 100})
	w.must(err)
	var states []registry.ProductState
	for _, item := range seen {
		states = append(states, item.ForTenant.State)
	}
	for _, want := range []registry.ProductState{
		registry.ProductEntitled, registry.ProductTrialing, registry.ProductRequested, registry.ProductTrialAvailable, registry.ProductTrialUsed, registry.ProductRequestable,
	} {
		if !slices.Contains(states, want) {
			t.Errorf("no product is %s", want)
		}
	}
	if len(all) < 4 || len(all) != len(seen)+1 || !slices.ContainsFunc(all, func(i registry.CatalogItem) bool { return i.Audience == registry.Private }) {
		t.Errorf("%d products, of which acme sees %d", len(all), len(seen))
	}
}

func TestSeed_log(t *testing.T) {
	t.Parallel()
	w, _ := seeded(t)
	events := w.log()
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

func TestSeed_twice(t *testing.T) {
	t.Parallel()
	w, sample := seeded(t)
	before := w.dump(sample.Tenant)
	again, err := registry.Seed(w.ctx, w.store, registry.Options{})
	if err == nil || again.LiveKey != "" {
		t.Errorf("the second time: %+v, %v", again, err)
	}
	if after := w.dump(sample.Tenant); after != before {
		t.Error("the second time changed something")
	}
}
