package registry_test

import (
	"testing"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

func TestGrant_copiesTheDefaults(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme, cold := f.tenant("acme", registry.StatusActive), f.tenant("cold", registry.StatusFrozen)
	f.product("secret", func(p *registry.Product) {
		p.Audience, p.DefaultLimits = registry.Private, registry.Limits{"a": new(int64(3))}
	})
	e, err := testkit.Value(f.s.Grant(f.ctx, f.by, acme.ID, "secret", registry.SourceGrant))
	f.must(err)
	if e.StartsAt != noon || e.EndsAt != nil || *e.Limits["a"] != 3 || e.Config == nil ||
		f.last().Action != "entitlement.create" {
		t.Errorf("%+v with the event %s", e, f.last().Action)
	}
	events := len(f.log())
	for _, source := range []registry.Source{registry.SourceTrial, registry.SourceRequest, "", "gift"} {
		_, err := f.s.Grant(f.ctx, f.by, acme.ID, "secret", source)
		f.blames(f.refusal(err, registry.Invalid, registry.CodeInvalid), "/source")
	}
	_, err = f.s.Grant(f.ctx, f.by, acme.ID, "unheard-of", registry.SourcePlan)
	f.blames(f.refusal(err, registry.NotFound, registry.CodeProductNotFound), "/product")
	_, err = f.s.Grant(f.ctx, f.by, cold.ID, "secret", registry.SourcePlan)
	f.refusal(err, registry.Conflict, registry.CodeTenantFrozen)
	if len(f.log()) != events {
		t.Errorf("refusals left %d events", len(f.log())-events)
	}
}
