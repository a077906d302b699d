package registry_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

func TestCatalog_pagesAndAudience(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.tenant("acme", registry.StatusActive)
	for _, key := range []string{"b0", "a-", "ab", "a0", "zz"} {
		w.product(key)
	}
	w.product("p-private", func(p *registry.Product) { p.Audience = registry.Private })
	w.product("p-old", func(p *registry.Product) { p.AvailableUntil = at(0) })
	public, all := []string{"a-", "a0", "ab", "b0", "zz"}, []string{"a-", "a0", "ab", "b0", "p-old", "p-private", "zz"}
	customer := registry.Caller{Scope: registry.Scope{Tenant: acme.ID}}
	portal := registry.Caller{Scope: registry.Scope{Tenants: true}}
	for name, c := range map[string]struct {
		by     registry.Caller
		tenant *uuid.UUID
		want   []string
	}{
		"operator": {w.by, nil, all}, "operator for acme": {w.by, &acme.ID, public}, "portal": {portal, nil, public},
		"portal for acme": {portal, &acme.ID, public}, "customer": {customer, nil, public}, "customer for itself": {customer, &acme.ID, public},
	} {
		for limit := 1; limit <= 8; limit++ {
			if got := w.catalogue(c.by, c.tenant, limit); !slices.Equal(got, c.want) {
				t.Errorf("%s by pages of %d: %v, want %v", name, limit, got, c.want)
			}
		}
	}
	_, _, err := w.s.Catalog(w.ctx, w.by, new(uuid.New()), registry.Start{Limit: 10})
	w.blames(w.refusal(err, registry.NotFound, registry.CodeTenantNotFound), "tenant_id")
	items, more, err := w.s.Catalog(w.ctx, w.by, nil, registry.Start{After: "zz", Limit: 10})
	if err != nil || more || items == nil || len(items) > 0 {
		t.Errorf("behind the end: %v, %t, %v", items, more, err)
	}
}

// catalogue reads the keys of the catalogue page by page.
func (w *world) catalogue(by registry.Caller, tenant *uuid.UUID, limit int) []string {
	w.t.Helper()
	var keys []string
	after := ""
	for range 10 {
		items, more, err := w.s.Catalog(w.ctx, by, tenant, registry.Start{After: after, Limit: limit})
		w.must(err)
		if len(items) > limit || len(items) == 0 {
			w.t.Fatalf("a page of %d items, the limit being %d", len(items), limit)
		}
		for _, item := range items {
			keys, after = append(keys, item.Key), item.Key
			if (item.ForTenant != nil) != (tenant != nil) {
				w.t.Errorf("%s has the offer %v", item.Key, item.ForTenant)
			}
		}
		if !more {
			break
		}
	}
	return keys
}

func TestCreateProduct(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	from := time.Date(2026, 7, 1, 1, 0, 0, 1999, time.FixedZone("", 3600))
	p := w.product("scanner", func(p *registry.Product) {
		p.AvailableFrom, p.AvailableUntil = &from, at(365*24*time.Hour)
		p.DefaultLimits, p.DefaultConfig = registry.Limits{"a": new(int64(1)), "b": nil}, registry.Config{"n": 1, "o": map[string]any{"x": []int{1}}}
	})
	if *p.AvailableFrom != time.Date(2026, 7, 1, 0, 0, 0, 1000, time.UTC) || p.CreatedAt != noon {
		t.Errorf("times %v, %v", p.AvailableFrom, p.CreatedAt)
	}
	if want := (registry.Config{"n": 1.0, "o": map[string]any{"x": []any{1.0}}}); !reflect.DeepEqual(p.DefaultConfig, want) {
		t.Errorf("config %#v, want %#v", p.DefaultConfig, want)
	}
	stored, err := w.store.Product(w.ctx, "scanner")
	w.must(err)
	if !reflect.DeepEqual(stored, p) {
		t.Errorf("stored %+v\nwant   %+v", stored, p)
	}
	if e := w.last(); e.Action != "product.create" || e.GroupID != uuid.Nil || e.Target.ID != "scanner" {
		t.Errorf("event %+v", e)
	}
	w.fields(w.last(), map[string]string{
		"after.key": `"scanner"`, "after.name": `"The scanner"`, "after.audience": `"public"`, "after.requestable": "true", "after.trial_days": "14",
		"after.available_from": `"2026-07-01T00:00:00.000001Z"`, "after.available_until": `"2027-05-04T12:00:00.000000Z"`,
		"after.default_limits": `{"a":1,"b":null}`, "after.default_config": `{"n":1,"o":{"x":[1]}}`,
	})
	least := w.product("least")
	if least.DefaultLimits == nil || least.DefaultConfig == nil {
		t.Errorf("limits %v and config %v of nothing", least.DefaultLimits, least.DefaultConfig)
	}
	_, err = w.s.CreateProduct(w.ctx, w.by, registry.Product{Key: "scanner", Name: "Again", Audience: registry.Public})
	w.blames(w.refusal(err, registry.Conflict, registry.CodeProductExists), "/key")
}

func TestCreateProduct_refused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for where, change := range map[string]func(*registry.Product){
		"/key":             func(p *registry.Product) { p.Key = "requests" },
		"/name":            func(p *registry.Product) { p.Name = strings.Repeat("x", 201) },
		"/description":     func(p *registry.Product) { p.Description = strings.Repeat("x", 2001) },
		"/audience":        func(p *registry.Product) { p.Audience = "" },
		"/trial_days":      func(p *registry.Product) { p.TrialDays = 3651 },
		"/default_limits":  func(p *registry.Product) { p.DefaultLimits = registry.Limits{strings.Repeat("x", 2048): nil} },
		"/default_config":  func(p *registry.Product) { p.DefaultConfig = registry.Config{"f": func() {}} },
		"/available_until": func(p *registry.Product) { p.AvailableFrom, p.AvailableUntil = at(0), at(0) },
	} {
		p := registry.Product{Key: "good", Name: "Good", Audience: registry.Public}
		change(&p)
		_, err := w.s.CreateProduct(w.ctx, w.by, p)
		w.blames(w.refusal(err, registry.Invalid, registry.CodeInvalid), where)
	}
	_, err := w.s.CreateProduct(w.ctx, w.by, registry.Product{Key: "less", Name: "Less", Audience: registry.Public, TrialDays: -1})
	w.blames(w.refusal(err, registry.Invalid, registry.CodeInvalid), "/trial_days")
	w.product("longest-trial", func(p *registry.Product) { p.TrialDays = 3650 })
	acme := w.tenant("acme", registry.StatusActive)
	e, err := w.s.StartTrial(w.ctx, w.by, registry.ProductWish{TenantID: acme.ID, Product: "longest-trial"})
	w.must(err)
	if want := noon.Add(3650 * 24 * time.Hour); *e.EndsAt != want {
		t.Errorf("the longest trial ends at %v, want %v", e.EndsAt, want)
	}
}

func TestRequestProduct(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.tenant("acme", registry.StatusActive)
	w.product("scanner", func(p *registry.Product) { p.AvailableUntil = at(2 * time.Hour) })
	wish := registry.ProductWish{TenantID: acme.ID, Product: "scanner", Message: "soon\nplease"}
	r, created, err := w.s.RequestProduct(w.ctx, w.by, wish)
	w.must(err)
	want := registry.CatalogRequest{
		ID: r.ID, TenantID: acme.ID, Product: "scanner", Status: registry.RequestPending, Message: "soon\nplease", RequestedBy: "op-1", CreatedAt: noon, UpdatedAt: noon,
	}
	if !created || !reflect.DeepEqual(r, want) {
		t.Errorf("created %t: %+v\nwant %+v", created, r, want)
	}
	e := w.last()
	if e.Action != "catalog.request.create" || e.CRUD != registry.Create || e.GroupID != acme.ID || e.Target.ID != r.ID.String() {
		t.Errorf("event %+v", e)
	}
	w.fields(e, map[string]string{"after.product": `"scanner"`, "after.status": `"pending"`, "after.message": `"soon\nplease"`})

	events := len(w.log())
	for _, later := range []time.Duration{time.Hour, 24 * time.Hour} { // also when the product is available no more
		w.sleep(later)
		wish.Message = "another"
		again, created, err := w.s.RequestProduct(w.ctx, w.by, wish)
		if err != nil || created || !reflect.DeepEqual(again, want) {
			t.Errorf("after %s: created %t, %+v, %v", later, created, again, err)
		}
	}
	if len(w.log()) != events {
		t.Errorf("repeats left %d events", len(w.log())-events)
	}
}

func TestWishes_refused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme, cold := w.tenant("acme", registry.StatusActive), w.tenant("cold", registry.StatusFrozen)
	w.product("open")
	w.product("granted")
	w.product("plain", func(p *registry.Product) { p.Requestable, p.TrialDays = false, 0 })
	w.product("secret", func(p *registry.Product) { p.Audience = registry.Private })
	w.product("later", func(p *registry.Product) { p.AvailableFrom = at(time.Hour) })
	w.product("ending", func(p *registry.Product) { p.AvailableUntil = at(time.Minute) })
	_, err := w.s.Grant(w.ctx, w.by, acme.ID, "granted", registry.SourcePlan)
	w.must(err)
	_, err = w.s.StartTrial(w.ctx, w.by, registry.ProductWish{TenantID: acme.ID, Product: "ending"})
	w.must(err)
	w.sleep(time.Minute)
	events := len(w.log())
	for _, c := range []struct {
		name           string
		tenant         uuid.UUID
		product        string
		kind           registry.Kind
		request, trial string // the codes
		where          string
	}{
		{"unknown tenant", uuid.New(), "open", registry.NotFound, registry.CodeTenantNotFound, registry.CodeTenantNotFound, "/tenant_id"},
		{"frozen tenant", cold.ID, "open", registry.Conflict, registry.CodeTenantFrozen, registry.CodeTenantFrozen, "/tenant_id"},
		{"unknown product", acme.ID, "unheard-of", registry.NotFound, registry.CodeProductNotFound, registry.CodeProductNotFound, "/product"},
		{"private product", acme.ID, "secret", registry.NotFound, registry.CodeProductNotFound, registry.CodeProductNotFound, "/product"},
		{"not available yet", acme.ID, "later", registry.NotFound, registry.CodeProductNotFound, registry.CodeProductNotFound, "/product"},
		{"granted already", acme.ID, "granted", registry.Conflict, registry.CodeAlreadyEntitled, registry.CodeAlreadyEntitled, "/product"},
		{"on trial of what is sold no more", acme.ID, "ending", registry.Conflict, registry.CodeNotRequestable, registry.CodeTrialUsed, "/product"},
		{"neither sold nor tried", acme.ID, "plain", registry.Conflict, registry.CodeNotRequestable, registry.CodeNoTrial, "/product"},
		{"no product", acme.ID, "", registry.Invalid, registry.CodeInvalid, registry.CodeInvalid, "/product"},
		{"no product's key", acme.ID, "trial-request", registry.Invalid, registry.CodeInvalid, registry.CodeInvalid, "/product"},
	} {
		wish := registry.ProductWish{TenantID: c.tenant, Product: c.product}
		r, created, err := w.s.RequestProduct(w.ctx, w.by, wish)
		t.Logf("%s: %v", c.name, err)
		w.blames(w.refusal(err, c.kind, c.request), c.where)
		if created || !reflect.DeepEqual(r, registry.CatalogRequest{}) {
			t.Errorf("%s: a refusal with %+v, created %t", c.name, r, created)
		}
		_, err = w.s.StartTrial(w.ctx, w.by, wish)
		w.blames(w.refusal(err, c.kind, c.trial), c.where)
	}
	if len(w.log()) != events {
		t.Errorf("refusals left %d events", len(w.log())-events)
	}
}

func TestStartTrial_onceForEver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme, other := w.tenant("acme", registry.StatusTrial), w.tenant("other", registry.StatusActive)
	limits, config := registry.Limits{"seats": new(int64(5))}, registry.Config{"mode": "full"}
	w.product("scanner", func(p *registry.Product) { p.TrialDays, p.DefaultLimits, p.DefaultConfig = 2, limits, config })
	w.product("second")
	wish := registry.ProductWish{TenantID: acme.ID, Product: "scanner", Message: "to see"}
	e, err := w.s.StartTrial(w.ctx, w.by, wish)
	w.must(err)
	want := registry.Entitlement{
		ID: e.ID, TenantID: acme.ID, Product: "scanner", Source: registry.SourceTrial, StartsAt: noon, EndsAt: at(48 * time.Hour),
		Limits: registry.Limits{"seats": new(int64(5))}, Config: registry.Config{"mode": "full"}, CreatedAt: noon, UpdatedAt: noon,
	}
	if !reflect.DeepEqual(e, want) {
		t.Errorf("trial %+v\nwant  %+v", e, want)
	}
	event := w.last()
	if event.Action != "entitlement.create" || event.CRUD != registry.Create || event.GroupID != acme.ID || event.Target.ID != e.ID.String() {
		t.Errorf("event %+v", event)
	}
	w.fields(event, map[string]string{
		"after.product": `"scanner"`, "after.source": `"trial"`, "after.starts_at": `"2026-05-04T12:00:00.000000Z"`, "after.ends_at": `"2026-05-06T12:00:00.000000Z"`,
		"after.limits": `{"seats":5}`, "after.config": `{"mode":"full"}`, "message": `"to see"`,
	})
	events := len(w.log())
	for _, later := range []time.Duration{0, 47 * time.Hour, 2 * time.Hour, 1000 * 24 * time.Hour} {
		w.sleep(later)
		_, err := w.s.StartTrial(w.ctx, w.by, wish)
		refusal := w.refusal(err, registry.Conflict, registry.CodeTrialUsed)
		w.blames(refusal, "/product")
		if facts := (map[string]any{"trial_started_at": "2026-05-04T12:00:00.000000Z", "trial_ends_at": "2026-05-06T12:00:00.000000Z"}); !maps.Equal(refusal.Facts, facts) {
			t.Errorf("facts %v, want %v", refusal.Facts, facts)
		}
	}
	if len(w.log()) != events {
		t.Errorf("refusals left %d events", len(w.log())-events)
	}
	for _, free := range []registry.ProductWish{{TenantID: acme.ID, Product: "second"}, {TenantID: other.ID, Product: "scanner"}} {
		_, err := w.s.StartTrial(w.ctx, w.by, free)
		w.must(err)
	}
}

func TestGrant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme, cold := w.tenant("acme", registry.StatusActive), w.tenant("cold", registry.StatusFrozen)
	w.product("secret", func(p *registry.Product) {
		p.Audience, p.DefaultLimits = registry.Private, registry.Limits{"a": new(int64(3))}
	})
	e, err := w.s.Grant(w.ctx, w.by, acme.ID, "secret", registry.SourceGrant)
	w.must(err)
	if e.StartsAt != noon || e.EndsAt != nil || *e.Limits["a"] != 3 || e.Config == nil || w.last().Action != "entitlement.create" {
		t.Errorf("%+v with the event %s", e, w.last().Action)
	}
	events := len(w.log())
	for _, source := range []registry.Source{registry.SourceTrial, registry.SourceRequest, "", "gift"} {
		_, err := w.s.Grant(w.ctx, w.by, acme.ID, "secret", source)
		w.blames(w.refusal(err, registry.Invalid, registry.CodeInvalid), "/source")
	}
	_, err = w.s.Grant(w.ctx, w.by, acme.ID, "unheard-of", registry.SourcePlan)
	w.blames(w.refusal(err, registry.NotFound, registry.CodeProductNotFound), "/product")
	_, err = w.s.Grant(w.ctx, w.by, cold.ID, "secret", registry.SourcePlan)
	w.refusal(err, registry.Conflict, registry.CodeTenantFrozen)
	if len(w.log()) != events {
		t.Errorf("refusals left %d events", len(w.log())-events)
	}
}

func TestEntitlements_pages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.tenant("acme", registry.StatusActive)
	for _, key := range []string{"ab", "b0", "a-", "a0", "zz"} {
		w.product(key)
	}
	for _, key := range []string{"b0", "a0", "ab", "a-", "a0"} {
		_, err := w.s.Grant(w.ctx, w.by, acme.ID, key, registry.SourcePlan)
		w.must(err)
	}
	want := []string{"a-: 1", "a0: 2", "ab: 1", "b0: 1"}
	for limit := 1; limit <= 5; limit++ {
		var got []string
		after := ""
		for range 10 {
			items, more, err := w.s.Entitlements(w.ctx, w.by, acme.ID, registry.Start{After: after, Limit: limit})
			w.must(err)
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
	nobody := w.tenant("nobody", registry.StatusTrial)
	if items, more, err := w.s.Entitlements(w.ctx, w.by, nobody.ID, registry.Start{Limit: 10}); err != nil || more || items == nil || len(items) > 0 {
		t.Errorf("a tenant that has nothing: %v, %t, %v", items, more, err)
	}
	_, _, err := w.s.Entitlements(w.ctx, w.by, uuid.New(), registry.Start{Limit: 10})
	w.blames(w.refusal(err, registry.NotFound, registry.CodeTenantNotFound), "tenant_id")
}

func TestEntitlements_byTheClock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.tenant("acme", registry.StatusActive)
	w.product("scanner", func(p *registry.Product) { p.DefaultLimits = registry.Limits{"seats": new(int64(5))} })
	_, err := w.s.StartTrial(w.ctx, w.by, registry.ProductWish{TenantID: acme.ID, Product: "scanner"})
	w.must(err)
	look := func(entitled bool, reason registry.Reason, limits int) {
		t.Helper()
		items, _, err := w.s.Entitlements(w.ctx, w.by, acme.ID, registry.Start{Limit: 10})
		w.must(err)
		if len(items) != 1 || items[0].Entitled != entitled || items[0].Reason != reason || len(items[0].Limits) != limits {
			t.Errorf("%+v, want %t, %s and %d limits", items, entitled, reason, limits)
		}
	}
	w.sleep(14*24*time.Hour - time.Microsecond)
	look(true, registry.ReasonTrialing, 1)
	w.sleep(time.Microsecond)
	look(false, registry.ReasonExpired, 0)
	_, err = w.s.Grant(w.ctx, w.by, acme.ID, "scanner", registry.SourcePlan)
	w.must(err)
	look(true, registry.ReasonActive, 1)
	_, err = w.s.CancelTenant(w.ctx, w.by, acme.ID)
	w.must(err)
	look(false, registry.ReasonTenantFrozen, 0)
}
