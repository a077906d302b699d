package registry_test

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

func TestRequestProduct_oneOpenRequestPerProduct(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme := f.tenant("acme", registry.StatusActive)
	f.product("scanner", func(p *registry.Product) { p.AvailableUntil = at(2 * time.Hour) })
	in := registry.CatalogRequestInput{TenantID: acme.ID, Product: "scanner", Message: "soon\nplease"}
	r, created, err := testkit.Created(f.s.RequestProduct(f.ctx, f.by, in))
	f.must(err)
	want := registry.CatalogRequest{
		ID: r.ID, TenantID: acme.ID, Product: "scanner", Status: registry.RequestPending, Message: "soon\nplease",
		RequestedBy: "op-1", CreatedAt: noon, UpdatedAt: noon,
	}
	if !created || !reflect.DeepEqual(r, want) {
		t.Errorf("created %t: %+v\nwant %+v", created, r, want)
	}
	e := f.last()
	if e.Action != "catalog.request.create" || e.CRUD != audit.Create || e.GroupID != acme.ID ||
		e.Target.ID != r.ID.String() {
		t.Errorf("event %+v", e)
	}
	f.fields(e, map[string]string{
		"after.product": `"scanner"`, "after.status": `"pending"`, "after.message": `"soon\nplease"`,
	})

	events := len(f.log())
	for _, later := range []time.Duration{time.Hour, 24 * time.Hour} { // also when the product is available no more
		f.sleep(later)
		in.Message = "another"
		again, created, err := testkit.Created(f.s.RequestProduct(f.ctx, f.by, in))
		if err != nil || created || !reflect.DeepEqual(again, want) {
			t.Errorf("after %s: created %t, %+v, %v", later, created, again, err)
		}
	}
	if len(f.log()) != events {
		t.Errorf("repeats left %d events", len(f.log())-events)
	}
}

// A rival commits between the two runs of a transaction: the answer is that of the second run alone.
func TestRequestProduct_rerunSeesTheRival(t *testing.T) {
	t.Parallel()
	store := &rivalled{Store: memory.New()}
	st := newStage(t, store)
	in := registry.CatalogRequestInput{TenantID: st.active.ID, Product: "scanner"}
	var first registry.CatalogRequest
	other := registry.New(store, registry.Options{}) // on another replica, where it waits for no turn
	store.rival = func() {
		r, created, err := testkit.Created(other.RequestProduct(st.ctx, st.by, in))
		if err != nil || !created {
			t.Errorf("the rival: created %t, %v", created, err)
		}
		first = r
	}
	r, created, err := testkit.Created(st.s.RequestProduct(st.ctx, st.by, in))
	if err != nil || created || r.ID != first.ID {
		t.Errorf("created %t, %+v, %v; want the rival's %+v", created, r, err, first)
	}
}

// rivalled is a store whose next transaction is rolled back, then rival runs, then the transaction again.
type rivalled struct {
	registry.Store
	rival func()
}

func (s *rivalled) Tx(ctx context.Context, fn func(registry.Tx) error) error {
	rival := s.rival
	if rival == nil {
		return s.Store.Tx(ctx, fn)
	}
	s.rival = nil
	err := s.Store.Tx(ctx, func(tx registry.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return errAgain
	})
	if !errors.Is(err, errAgain) {
		return err
	}
	rival()
	return s.Store.Tx(ctx, fn)
}

func TestCatalogRequestInput_refusalsLeaveNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme, cold := f.tenant("acme", registry.StatusActive), f.tenant("cold", registry.StatusFrozen)
	f.product("open")
	f.product("granted")
	f.product("plain", func(p *registry.Product) { p.Requestable, p.TrialDays = false, 0 })
	f.product("secret", func(p *registry.Product) { p.Audience = registry.Private })
	f.product("later", func(p *registry.Product) { p.AvailableFrom = at(time.Hour) })
	f.product("ending", func(p *registry.Product) { p.AvailableUntil = at(time.Minute) })
	_, err := f.s.Grant(f.ctx, f.by, acme.ID, "granted", registry.SourcePlan)
	f.must(err)
	_, err = f.s.StartTrial(f.ctx, f.by, registry.CatalogRequestInput{TenantID: acme.ID, Product: "ending"})
	f.must(err)
	f.sleep(time.Minute)
	events := len(f.log())
	for _, c := range []struct {
		name           string
		tenant         uuid.UUID
		product        string
		kind           registry.Kind
		request, trial string // the codes
		where          string
	}{
		{
			"unknown tenant", uuid.New(), "open", registry.NotFound, registry.CodeTenantNotFound,
			registry.CodeTenantNotFound, "/tenant_id",
		},
		{
			"frozen tenant", cold.ID, "open", registry.Conflict, registry.CodeTenantFrozen, registry.CodeTenantFrozen,
			"/tenant_id",
		},
		{
			"unknown product", acme.ID, "unheard-of", registry.NotFound, registry.CodeProductNotFound,
			registry.CodeProductNotFound, "/product",
		},
		{
			"private product", acme.ID, "secret", registry.NotFound, registry.CodeProductNotFound,
			registry.CodeProductNotFound, "/product",
		},
		{
			"not available yet", acme.ID, "later", registry.NotFound, registry.CodeProductNotFound,
			registry.CodeProductNotFound, "/product",
		},
		{
			"granted already", acme.ID, "granted", registry.Conflict, registry.CodeAlreadyEntitled,
			registry.CodeAlreadyEntitled, "/product",
		},
		{
			"on trial of what is sold no more", acme.ID, "ending", registry.Conflict, registry.CodeNotRequestable,
			registry.CodeTrialUsed, "/product",
		},
		{
			"neither sold nor tried", acme.ID, "plain", registry.Conflict, registry.CodeNotRequestable,
			registry.CodeNoTrial, "/product",
		},
		{"no product", acme.ID, "", registry.Invalid, registry.CodeInvalid, registry.CodeInvalid, "/product"},
		{
			"no product's key", acme.ID, "trial-request", registry.Invalid, registry.CodeInvalid, registry.CodeInvalid,
			"/product",
		},
	} {
		in := registry.CatalogRequestInput{TenantID: c.tenant, Product: c.product}
		r, created, err := testkit.Created(f.s.RequestProduct(f.ctx, f.by, in))
		t.Logf("%s: %v", c.name, err)
		f.blames(f.refusal(err, c.kind, c.request), c.where)
		if created || !reflect.DeepEqual(r, registry.CatalogRequest{}) {
			t.Errorf("%s: a refusal with %+v, created %t", c.name, r, created)
		}
		_, err = f.s.StartTrial(f.ctx, f.by, in)
		f.blames(f.refusal(err, c.kind, c.trial), c.where)
	}
	if len(f.log()) != events {
		t.Errorf("refusals left %d events", len(f.log())-events)
	}
}

func TestRequestProduct_messageMayHaveJoiners(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme := f.tenant("acme", registry.StatusActive)
	f.product("scanner")
	const joined = "for \U0001F469\u200d\U0001F4BB and می\u200cخواهم"
	_, _, err := testkit.Created(f.s.RequestProduct(t.Context(), f.by, registry.CatalogRequestInput{
		TenantID: acme.ID, Product: "scanner", Message: joined,
	}))
	f.must(err)
	_, err = f.s.CreateTenant(t.Context(), f.by, registry.TenantInput{Slug: "globex", Name: joined})
	f.blames(f.refusal(err, registry.Invalid, registry.CodeInvalid), "/name")
}
