package registry_test

import (
	"maps"
	"reflect"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

func TestStartTrial_oneTrialPerProduct(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme, other := f.tenant("acme", registry.StatusTrial), f.tenant("other", registry.StatusActive)
	limits, config := registry.Limits{"seats": new(int64(5))}, registry.Config{"mode": "full"}
	f.product("scanner", func(p *registry.Product) {
		p.TrialDays, p.DefaultLimits, p.DefaultConfig = 2, limits, config
	})
	f.product("second")
	in := registry.CatalogRequestInput{TenantID: acme.ID, Product: "scanner", Message: "to see"}
	e, err := testkit.Value(f.s.StartTrial(f.ctx, f.by, in))
	f.must(err)
	want := registry.Entitlement{
		ID: e.ID, TenantID: acme.ID, Product: "scanner", Source: registry.SourceTrial, StartsAt: noon,
		EndsAt: at(48 * time.Hour),
		Limits: registry.Limits{"seats": new(int64(5))}, Config: registry.Config{"mode": "full"}, CreatedAt: noon,
		UpdatedAt: noon,
	}
	if !reflect.DeepEqual(e, want) {
		t.Errorf("trial %+v\nwant  %+v", e, want)
	}
	event := f.last()
	if event.Action != "entitlement.create" || event.CRUD != audit.Create || event.GroupID != acme.ID ||
		event.Target.ID != e.ID.String() {
		t.Errorf("event %+v", event)
	}
	f.fields(event, map[string]string{
		"after.product": `"scanner"`, "after.source": `"trial"`, "after.starts_at": `"2026-05-04T12:00:00.000000Z"`,
		"after.ends_at": `"2026-05-06T12:00:00.000000Z"`,
		"after.limits":  `{"seats":5}`, "after.config": `{"mode":"full"}`, "message": `"to see"`,
	})
	events := len(f.log())
	for _, later := range []time.Duration{0, 47 * time.Hour, 2 * time.Hour, 1000 * 24 * time.Hour} {
		f.sleep(later)
		_, err := f.s.StartTrial(f.ctx, f.by, in)
		refusal := f.refusal(err, registry.Conflict, registry.CodeTrialUsed)
		f.blames(refusal, "/product")
		facts := map[string]any{
			"trial_started_at": "2026-05-04T12:00:00.000000Z", "trial_ends_at": "2026-05-06T12:00:00.000000Z",
		}
		if !maps.Equal(refusal.Facts, facts) {
			t.Errorf("facts %v, want %v", refusal.Facts, facts)
		}
	}
	if len(f.log()) != events {
		t.Errorf("refusals left %d events", len(f.log())-events)
	}
	for _, free := range []registry.CatalogRequestInput{
		{TenantID: acme.ID, Product: "second"}, {TenantID: other.ID, Product: "scanner"},
	} {
		_, err := f.s.StartTrial(f.ctx, f.by, free)
		f.must(err)
	}
}
