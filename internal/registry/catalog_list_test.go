package registry_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

func TestCatalog_pagesAreWhatTheAudienceSees(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme := f.tenant("acme", registry.StatusActive)
	for _, key := range []string{"b0", "a-", "ab", "a0", "zz"} {
		f.product(key)
	}
	f.product("p-private", func(p *registry.Product) { p.Audience = registry.Private })
	f.product("p-old", func(p *registry.Product) { p.AvailableUntil = at(0) })
	public, all := []string{"a-", "a0", "ab", "b0", "zz"}, []string{"a-", "a0", "ab", "b0", "p-old", "p-private", "zz"}
	customer := registry.Caller{Access: registry.Access{Tenant: acme.ID}}
	portal := registry.Caller{Access: registry.Access{Tenants: true}}
	for name, c := range map[string]struct {
		by     registry.Caller
		tenant *uuid.UUID
		want   []string
	}{
		"operator": {f.by, nil, all}, "operator for acme": {f.by, &acme.ID, public}, "portal": {portal, nil, public},
		"portal for acme": {portal, &acme.ID, public}, "customer": {customer, nil, public},
		"customer for itself": {customer, &acme.ID, public},
	} {
		for limit := 1; limit <= 8; limit++ {
			if got := f.catalogue(c.by, c.tenant, limit); !slices.Equal(got, c.want) {
				t.Errorf("%s by pages of %d: %v, want %v", name, limit, got, c.want)
			}
		}
	}
	_, _, err := testkit.Items(f.s.Catalog(f.ctx, f.by, new(uuid.New()), registry.PageRequest{Limit: 10}))
	f.blames(f.refusal(err, registry.NotFound, registry.CodeTenantNotFound), "tenant_id")
	items, more, err := testkit.Items(f.s.Catalog(f.ctx, f.by, nil, registry.PageRequest{Cursor: "zz", Limit: 10}))
	if err != nil || more || items == nil || len(items) > 0 {
		t.Errorf("after the end: %v, %t, %v", items, more, err)
	}
}

// catalogue reads the keys of the catalogue page by page.
func (f *fixture) catalogue(by registry.Caller, tenant *uuid.UUID, limit int) []string {
	f.t.Helper()
	var keys []string
	after := ""
	for range 10 {
		items, more, err := testkit.Items(f.s.Catalog(f.ctx, by, tenant, registry.PageRequest{
			Cursor: after, Limit: limit,
		}))
		f.must(err)
		if len(items) > limit || len(items) == 0 {
			f.t.Fatalf("a page of %d items, the limit being %d", len(items), limit)
		}
		for _, item := range items {
			keys, after = append(keys, item.Key), item.Key
			if (item.ForTenant != nil) != (tenant != nil) {
				f.t.Errorf("%s has the offer %v", item.Key, item.ForTenant)
			}
		}
		if !more {
			break
		}
	}
	return keys
}

// standing is everything that decides what a tenant can do about a product.
type standing struct {
	status      registry.TenantStatus
	audience    registry.Audience
	requestable bool
	trialDays   int
	available   string // always, not yet, no more
	trial       string // none, live, expired, revoked
	grant       string // none, live, scheduled, expired, revoked
	pending     bool
}

func standings() []standing {
	var all []standing
	for _, status := range []registry.TenantStatus{registry.StatusActive, registry.StatusFrozen} {
		for _, audience := range []registry.Audience{registry.Public, registry.Private} {
			for _, requestable := range []bool{true, false} {
				for _, trialDays := range []int{0, 14} {
					for _, available := range []string{"always", "not yet", "no more"} {
						for _, trial := range []string{"none", "live", "expired", "revoked"} {
							for _, grant := range []string{"none", "live", "scheduled", "expired", "revoked"} {
								for _, pending := range []bool{false, true} {
									all = append(all, standing{
										status, audience, requestable, trialDays, available, trial, grant, pending,
									})
								}
							}
						}
					}
				}
			}
		}
	}
	return all
}

// make brings a tenant of a new name into this standing towards a product of the same name.
func (st standing) make(f *fixture, name string) uuid.UUID {
	f.t.Helper()
	tenant := f.tenant(name, st.status)
	f.product(name, func(p *registry.Product) {
		p.Audience, p.Requestable, p.TrialDays = st.audience, st.requestable, st.trialDays
		switch st.available {
		case "not yet":
			p.AvailableFrom = at(time.Microsecond)
		case "no more":
			p.AvailableUntil = at(0)
		default:
			p.AvailableFrom, p.AvailableUntil = at(0), at(time.Microsecond)
		}
	})
	f.tx(func(tx registry.Tx) error {
		for source, state := range map[registry.Source]string{
			registry.SourceTrial: st.trial, registry.SourceGrant: st.grant,
		} {
			if state == "none" {
				continue
			}
			e := registry.Entitlement{
				ID: uuid.Must(uuid.NewV7()), TenantID: tenant.ID, Product: name, Source: source,
				StartsAt: *at(-time.Hour), EndsAt: at(time.Hour),
				Limits: registry.Limits{}, Config: registry.Config{}, CreatedAt: noon, UpdatedAt: noon,
			}
			switch state {
			case "scheduled":
				e.StartsAt = *at(time.Microsecond)
			case "expired":
				e.EndsAt = at(0)
			case "revoked":
				e.RevokedAt = at(-time.Minute)
			}
			if err := tx.InsertEntitlement(f.ctx, e); err != nil {
				return err
			}
		}
		if !st.pending {
			return nil
		}
		return tx.InsertCatalogRequest(f.ctx, registry.CatalogRequest{
			ID: uuid.Must(uuid.NewV7()), TenantID: tenant.ID, Product: name, Status: registry.RequestPending,
			RequestedBy: "u", CreatedAt: noon, UpdatedAt: noon,
		})
	})
	return tenant.ID
}

// state is what the catalogue should call this standing, written down apart from the code that computes it.
func (st standing) state() registry.ProductState {
	public := st.audience == registry.Public && st.available == "always"
	switch {
	case st.status == registry.StatusFrozen:
		return registry.ProductUnavailable
	case st.grant == "live":
		return registry.ProductEntitled
	case st.trial == "live":
		return registry.ProductTrialing
	case st.pending:
		return registry.ProductRequested
	case st.trial == "none" && st.trialDays > 0 && public:
		return registry.ProductTrialAvailable
	case st.trial != "none":
		return registry.ProductTrialUsed
	case st.requestable && public:
		return registry.ProductRequestable
	}
	return registry.ProductUnavailable
}

// In every standing that is possible, the catalogue shows the product to the tenants that may see it, and what it says
// that a tenant can do is exactly what then succeeds.
func TestCatalog_offersExactlyWhatSucceeds(t *testing.T) {
	t.Parallel()
	all := standings()
	seen := make([]registry.ProductState, len(all))
	t.Run("each", func(t *testing.T) {
		const parts = 4
		for part := range parts {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				for i := part; i < len(all); i += parts {
					seen[i] = all[i].check(t)
				}
			})
		}
	})
	slices.Sort(seen)
	if states := slices.Compact(seen); len(states) != 8 { // seven, and none where the product is not in the catalogue
		t.Errorf("only these states occurred: %q", states)
	}
}

// check tries what can be done in this standing, and returns what the catalogue called it; empty if the product is not
// in it.
func (st standing) check(t *testing.T) registry.ProductState {
	t.Helper()
	f := newFixture(t)
	trial, request := st.make(f, "tried"), st.make(f, "requested")
	offer := f.offer(trial, "tried")
	live := st.status != registry.StatusFrozen && (st.grant == "live" || st.trial == "live")
	if visible := live || (st.audience == registry.Public && st.available == "always"); visible != (offer != nil) {
		t.Fatalf("%+v: is in the catalogue: %t", st, offer != nil)
	}
	_, trialErr := testkit.Value(f.s.StartTrial(f.ctx, f.by, registry.CatalogRequestInput{
		TenantID: trial, Product: "tried",
	}))
	_, created, requestErr := testkit.Created(f.s.RequestProduct(f.ctx, f.by, registry.CatalogRequestInput{
		TenantID: request, Product: "requested",
	}))
	if pending := st.pending && st.status != registry.StatusFrozen; pending != (requestErr == nil && !created) {
		t.Fatalf("%+v: created %t, %v", st, created, requestErr)
	}
	if offer == nil {
		if trialErr == nil {
			t.Fatalf("%+v: a trial of a product that is not in the catalogue", st)
		}
		return ""
	}
	if offer.State != st.state() {
		t.Fatalf("%+v: %s, want %s", st, offer.State, st.state())
	}
	if offer.CanTrial != (trialErr == nil) {
		t.Fatalf("%+v: can trial is %t, and then: %v", st, offer.CanTrial, trialErr)
	}
	if offer.CanRequest != (requestErr == nil && created) {
		t.Fatalf("%+v: can request is %t, and then: created %t, %v", st, offer.CanRequest, created, requestErr)
	}
	return offer.State
}

// offer is what the catalogue offers a tenant of one product; nil if it is not in it.
func (f *fixture) offer(tenant uuid.UUID, product string) *registry.TenantOffer {
	f.t.Helper()
	items, _, err := testkit.Items(f.s.Catalog(f.ctx, f.by, &tenant, registry.PageRequest{Limit: 1000}))
	f.must(err)
	for _, item := range items {
		if item.Key == product {
			if item.ForTenant == nil {
				f.t.Fatal("an item asked for on behalf of a tenant says nothing of it")
			}
			return item.ForTenant
		}
	}
	return nil
}
