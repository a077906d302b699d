package registry_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

// A caller that is bound to a product reports events of the tenants that have, or had, something of it; every other
// tenant is answered as one that does not exist, and the platform's chain is the operators'.
func TestRecordEvent_placesOfCallers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.product("scanner")
	f.product("other")
	entitled, ended := f.tenant("entitled", registry.StatusActive), f.tenant("ended", registry.StatusActive)
	bound, elsewhere := f.tenant("bound", registry.StatusActive), f.tenant("elsewhere", registry.StatusActive)
	for _, grant := range []struct {
		tenant  registry.Tenant
		product string
	}{{entitled, "scanner"}, {elsewhere, "other"}} {
		_, err := f.s.Grant(f.ctx, f.by, grant.tenant.ID, grant.product, registry.SourceGrant)
		f.must(err)
	}
	_, err := f.s.StartTrial(f.ctx, f.by, registry.CatalogRequestInput{TenantID: ended.ID, Product: "scanner"})
	f.must(err)
	f.sleep(1000 * time.Hour)
	_, err = f.s.Grant(f.ctx, f.by, bound.ID, "scanner", registry.SourceGrant)
	f.must(err)
	f.key(registry.APIKeyInput{TenantID: bound.ID, Product: "scanner"})

	product := registry.Caller{Actor: audit.Party{ID: "scanner"}, Access: registry.Access{Product: "scanner"}}
	writer := registry.Caller{Actor: audit.Party{ID: "writer"}, Access: registry.Access{Reports: true}}
	portal := registry.Caller{Actor: audit.Party{ID: "portal"}, Access: registry.Access{Tenants: true}}
	nothing := registry.Caller{Actor: audit.Party{ID: "nothing"}}
	for name, c := range map[string]struct {
		by    registry.Caller
		group uuid.UUID
		blame string // the member that is refused; empty: none is
	}{
		"entitled":                 {product, entitled.ID, ""},
		"was entitled":             {product, ended.ID, ""},
		"has a key":                {product, bound.ID, ""},
		"has another product":      {product, elsewhere.ID, "/group/id"},
		"does not exist":           {product, uuid.New(), "/group/id"},
		"platform, by a product":   {product, uuid.Nil, "/group"},
		"platform, by a writer":    {writer, uuid.Nil, "/group"},
		"platform, by the portal":  {portal, uuid.Nil, "/group"},
		"platform, by an operator": {f.by, uuid.Nil, ""},
		"any, by a writer":         {writer, elsewhere.ID, ""},
		"any, by the portal":       {portal, elsewhere.ID, ""},
		"any, by an operator":      {f.by, elsewhere.ID, ""},
		"any, by no one":           {nothing, elsewhere.ID, "/group/id"},
	} {
		before := len(f.log())
		for range 2 { // what is known of a tenant is remembered
			_, err := f.s.RecordEvent(f.ctx, c.by, reported(c.group))
			if c.blame == "" {
				f.must(err)
				continue
			}
			t.Log(name)
			f.blames(f.refusal(err, registry.Invalid, registry.CodeInvalid), c.blame)
		}
		if n := len(f.log()) - before; (n == 2) != (c.blame == "") {
			t.Errorf("%s: %d events are left", name, n)
		}
	}
	_, err = f.s.RecordEvents(f.ctx, product, []audit.Event{
		reported(entitled.ID), reported(elsewhere.ID), reported(ended.ID),
	})
	f.blames(f.refusal(err, registry.Invalid, registry.CodeInvalid), "/events/1/group/id")
	_, foreign := f.s.RecordEvent(f.ctx, product, reported(elsewhere.ID))
	_, unknown := f.s.RecordEvent(f.ctx, f.by, reported(uuid.New()))
	if foreign.Error() != unknown.Error() {
		t.Errorf("a foreign tenant is answered %q, an unknown one %q", foreign, unknown)
	}
}

// No one reports events in the areas of this service's own.
func TestRecordEvent_ownAreas(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, action := range []string{
		"tenant.create", "api_key.revoke", "entitlement.x", "catalog.request.create", "product.create", "token.refuse",
		"function.deny", "audit.read", "tenant", "Tenant.create", "AUDIT.read",
	} {
		e := reported(uuid.Nil)
		e.Action = action
		_, err := f.s.RecordEvent(f.ctx, f.by, e)
		f.blames(f.refusal(err, registry.Invalid, registry.CodeInvalid), "/action")
	}
	for _, action := range []string{"tenants.create", "my.tenant.create", "api_keys.read"} {
		e := reported(uuid.Nil)
		e.Action = action
		_, err := f.s.RecordEvent(f.ctx, f.by, e)
		f.must(err)
	}
}

// Every event in the log of this service's own is in one of its areas, so that the areas tell them apart.
func TestChanges_areInOwnAreas(t *testing.T) {
	t.Parallel()
	for _, c := range changes {
		e := audit.Event{Action: c.action, CRUD: audit.Read, IsAnonymous: true}
		own := len(registry.EventViolations(e)) == 1
		if reportedByCallers := c.action == "document.share"; own == reportedByCallers {
			t.Errorf("%s: reserved %t", c.action, own)
		}
	}
}

// What people could take for this service's name is refused as the component of a reported event.
func TestRecordEvent_componentsThatLookOwn(t *testing.T) {
	t.Parallel()
	for _, component := range []string{
		"tenant-registry", "Tenant Registry", "TENANT_REGISTRY", " tenant-registry", "tenant–registry",
		"tenantregistry",
		"tenant-reg\u0456stry", "t\u0435nant-registry", "tenant-registr\u0443", "tenant-reg1stry", "tenant-reglstry",
		"\uff54enant-registry", "tenant-registr\u00fd", "tenant-regi\u017ftry", "\U0001d42d\U0001d41enant-registry",
		"tena\u0578t-re\u0261istry", "tenant-registry\u3164",
		"tenant\u115f-registry", "tenant-registry\u02bc", "tenant-reg!stry",
	} {
		e := audit.Event{Action: "a.b", CRUD: audit.Read, IsAnonymous: true, Component: component}
		found := registry.EventViolations(e)
		if len(found) != 1 || found[0].Pointer != "/component" {
			t.Errorf("%q: %v", component, found)
		}
	}
	for _, component := range []string{
		"portal", "tenant-registry-2", "my-tenant-registry", "tenant-service", "registry", "уведомленияпоч",
		"payments",
	} {
		e := audit.Event{Action: "a.b", CRUD: audit.Read, IsAnonymous: true, Component: component}
		if found := registry.EventViolations(e); found != nil {
			t.Errorf("%q: %v", component, found)
		}
	}
}

// A tenant is told that a change of it was an operator's, and by which id to ask about it; not by name, nor from where.
// The platform's own chain says all of it.
func TestChanges_ofAnOperatorNameNoOne(t *testing.T) {
	t.Parallel()
	f, l, recorded := securityFixture(t)
	tenant := f.tenant("acme", registry.StatusActive)
	if e := f.last(); e.Actor.ID != "op-1" || e.Actor.Name != "operator" || e.SourceIP != "" {
		t.Errorf("the tenant is told %+v from %q", e.Actor, e.SourceIP)
	}
	owner := admin("u-1", tenant)
	owner.Actor.Name, owner.SourceIP = "Acme admin", "192.0.2.9"
	_, err := f.s.CreateAPIKey(f.ctx, owner, registry.APIKeyInput{TenantID: tenant.ID, Name: "a key"})
	f.must(err)
	if e := f.last(); e.Actor.Name != "Acme admin" || e.SourceIP != "192.0.2.9" {
		t.Errorf("of its own admin it is told %+v from %q", e.Actor, e.SourceIP)
	}
	l.LogRead(f.by, &tenant.ID)
	if e := recorded()[0]; e.Actor.Name != "Platform operator" || e.SourceIP != "192.0.2.7" {
		t.Errorf("the platform's chain says %+v from %q", e.Actor, e.SourceIP)
	}
}

// Users of a portal choose idempotency keys of their own: the same key of two users is two commands. The control is one
// user.
func TestIdempotency_isScopedByOnBehalfOf(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tenant := f.tenant("acme", registry.StatusActive)
	create := func(user string) registry.Result[registry.APIKeySecret] {
		by := registry.Caller{
			Actor: audit.Party{ID: "portal"}, Access: registry.Access{Tenants: true},
			OnBehalfOf: audit.Named{ID: user}, Idempotency: &registry.Idempotency{Key: "k", Operation: "POST"},
		}
		got, err := f.s.CreateAPIKey(f.ctx, by, registry.APIKeyInput{TenantID: tenant.ID, Name: "a key"})
		f.must(err)
		return got
	}
	first, second, control := create("u-1"), create("u-2"), create("u-1")
	if second.Replayed || first.Value.ID == second.Value.ID {
		t.Error("another user's command was replayed")
	}
	if !control.Replayed || control.Value.ID != first.Value.ID {
		t.Error("the same user's command was not")
	}
}
