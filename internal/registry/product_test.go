package registry_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

func TestCreateProduct_storesAndRecords(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	from := time.Date(2026, 7, 1, 1, 0, 0, 1999, time.FixedZone("", 3600))
	p := f.product("scanner", func(p *registry.Product) {
		p.AvailableFrom, p.AvailableUntil = &from, at(365*24*time.Hour)
		p.DefaultLimits, p.DefaultConfig =
			registry.Limits{"a": new(int64(1)), "b": nil}, registry.Config{"n": 1, "o": map[string]any{"x": []int{1}}}
	})
	if *p.AvailableFrom != time.Date(2026, 7, 1, 0, 0, 0, 1000, time.UTC) || p.CreatedAt != noon {
		t.Errorf("times %v, %v", p.AvailableFrom, p.CreatedAt)
	}
	want := registry.Config{"n": 1.0, "o": map[string]any{"x": []any{1.0}}}
	if !reflect.DeepEqual(p.DefaultConfig, want) {
		t.Errorf("config %#v, want %#v", p.DefaultConfig, want)
	}
	stored, err := f.store.GetProduct(f.ctx, "scanner")
	f.must(err)
	if !reflect.DeepEqual(stored, p) {
		t.Errorf("stored %+v\nwant   %+v", stored, p)
	}
	if e := f.last(); e.Action != "product.create" || e.GroupID != uuid.Nil || e.Target.ID != "scanner" {
		t.Errorf("event %+v", e)
	}
	f.fields(f.last(), map[string]string{
		"after.key": `"scanner"`, "after.name": `"The scanner"`, "after.audience": `"public"`,
		"after.requestable": "true", "after.trial_days": "14",
		"after.available_from":  `"2026-07-01T00:00:00.000001Z"`,
		"after.available_until": `"2027-05-04T12:00:00.000000Z"`,
		"after.default_limits":  `{"a":1,"b":null}`, "after.default_config": `{"n":1,"o":{"x":[1]}}`,
	})
	least := f.product("least")
	if least.DefaultLimits == nil || least.DefaultConfig == nil {
		t.Errorf("limits %v and config %v of nothing", least.DefaultLimits, least.DefaultConfig)
	}
	_, err = f.s.CreateProduct(f.ctx, f.by, registry.Product{Key: "scanner", Name: "Again", Audience: registry.Public})
	f.blames(f.refusal(err, registry.Conflict, registry.CodeProductExists), "/key")
}

func TestCreateProduct_namesTheMember(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for where, change := range map[string]func(*registry.Product){
		"/key":         func(p *registry.Product) { p.Key = "requests" },
		"/name":        func(p *registry.Product) { p.Name = strings.Repeat("x", 201) },
		"/description": func(p *registry.Product) { p.Description = strings.Repeat("x", 2001) },
		"/audience":    func(p *registry.Product) { p.Audience = "" },
		"/trial_days":  func(p *registry.Product) { p.TrialDays = 3651 },
		"/default_limits": func(p *registry.Product) {
			p.DefaultLimits = registry.Limits{strings.Repeat("x", 2048): nil}
		},
		"/default_config":  func(p *registry.Product) { p.DefaultConfig = registry.Config{"f": func() {}} },
		"/available_until": func(p *registry.Product) { p.AvailableFrom, p.AvailableUntil = at(0), at(0) },
	} {
		p := registry.Product{Key: "good", Name: "Good", Audience: registry.Public}
		change(&p)
		_, err := f.s.CreateProduct(f.ctx, f.by, p)
		f.blames(f.refusal(err, registry.Invalid, registry.CodeInvalid), where)
	}
	_, err := f.s.CreateProduct(f.ctx, f.by, registry.Product{
		Key: "less", Name: "Less", Audience: registry.Public, TrialDays: -1,
	})
	f.blames(f.refusal(err, registry.Invalid, registry.CodeInvalid), "/trial_days")
	f.product("longest-trial", func(p *registry.Product) { p.TrialDays = 3650 })
	acme := f.tenant("acme", registry.StatusActive)
	e, err := testkit.Value(f.s.StartTrial(f.ctx, f.by, registry.CatalogRequestInput{
		TenantID: acme.ID, Product: "longest-trial",
	}))
	f.must(err)
	if want := noon.Add(3650 * 24 * time.Hour); *e.EndsAt != want {
		t.Errorf("the longest trial ends at %v, want %v", e.EndsAt, want)
	}
}
