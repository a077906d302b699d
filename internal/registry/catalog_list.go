package registry

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// ProductState is what a product is to one tenant now, the first that fits.
type ProductState string

// The states of a product for a tenant.
const (
	ProductEntitled       ProductState = "entitled"        // by a plan, a grant or an approved request
	ProductTrialing       ProductState = "trialing"        // by its trial alone
	ProductRequested      ProductState = "requested"       // a request is open
	ProductTrialAvailable ProductState = "trial_available" // it may start its trial
	ProductTrialUsed      ProductState = "trial_used"      // it has had its trial; it may still be requestable
	ProductRequestable    ProductState = "requestable"     // it may ask for it
	ProductUnavailable    ProductState = "unavailable"     // none of these
)

// CatalogItem is a product and, if the catalogue was asked on behalf of a tenant, what that tenant can do about it.
type CatalogItem struct {
	Product
	ForTenant *TenantOffer
}

// TenantOffer is what one tenant can do about one product now.
type TenantOffer struct {
	State      ProductState
	CanTrial   bool // a trial request would be granted
	CanRequest bool // a request would be taken
}

// Catalog returns a page of the products by key. With a tenant it holds what that tenant may see (what is public and
// available, and what it is entitled to); without, everything for an operator, and what is public and available for
// others.
func (s *Service) Catalog(ctx context.Context, by Caller, tenant *uuid.UUID, r PageRequest) (Page[CatalogItem], error) {
	products, err := s.store.ListProducts(ctx)
	if err != nil {
		return Page[CatalogItem]{}, err
	}
	now := s.clock()
	offer := func(p Product) (*TenantOffer, bool) {
		return nil, by.Access.Operator || (p.Audience == Public && p.available(now))
	}
	if tenant != nil {
		if offer, err = s.offers(ctx, by, *tenant); err != nil {
			return Page[CatalogItem]{}, err
		}
	}
	visible := []CatalogItem{}
	for _, p := range products {
		if forTenant, sees := offer(p); sees {
			visible = append(visible, CatalogItem{p, forTenant})
		}
	}
	return pageOf(r, visible, func(i CatalogItem) string { return i.Key }), nil
}

// offers returns the function that reports what a tenant can do about a product, and whether it sees the product.
func (s *Service) offers(ctx context.Context, by Caller, id uuid.UUID) (func(Product) (*TenantOffer, bool), error) {
	t, err := s.Tenant(ctx, by, id)
	if err != nil {
		return nil, inParameter(err, "tenant_id")
	}
	sources, err := s.store.ListEntitlements(ctx, id)
	if err != nil {
		return nil, err
	}
	pending, err := s.store.ListPendingCatalogRequests(ctx, id)
	if err != nil {
		return nil, err
	}
	now := s.clock()
	return func(p Product) (*TenantOffer, bool) {
		has := standingOf(p.Key, sources, pending, now)
		entitled := t.Status != StatusFrozen && (has.granted || has.trialing)
		return offerOf(t, p, has, now), entitled || (p.Audience == Public && p.available(now))
	}, nil
}

// standing is what a tenant has of one product.
type standing struct {
	granted  bool            // by a live source that is no trial
	trialing bool            // by a live trial
	trial    *Entitlement    // its trial, live or not
	request  *CatalogRequest // its open request
}

func standingOf(product string, sources []Entitlement, pending []CatalogRequest, now time.Time) standing {
	var has standing
	for _, e := range sources {
		if e.Product != product {
			continue
		}
		state := e.StateAt(now)
		has.granted = has.granted || state == StateActive
		has.trialing = has.trialing || state == StateTrialing
		if e.Source == SourceTrial {
			has.trial = &e
		}
	}
	for _, r := range pending {
		if r.Product == product {
			has.request = &r
		}
	}
	return has
}

func offerOf(t Tenant, p Product, has standing, now time.Time) *TenantOffer {
	living := t.Status != StatusFrozen
	o := &TenantOffer{
		CanTrial:   living && p.trialRefusal(has, now) == nil,
		CanRequest: living && has.request == nil && p.requestRefusal(has, now) == nil,
	}
	switch {
	case t.Status == StatusFrozen:
		o.State = ProductUnavailable
	case has.granted:
		o.State = ProductEntitled
	case has.trialing:
		o.State = ProductTrialing
	case has.request != nil:
		o.State = ProductRequested
	case o.CanTrial:
		o.State = ProductTrialAvailable
	case has.trial != nil:
		o.State = ProductTrialUsed
	case o.CanRequest:
		o.State = ProductRequestable
	default:
		o.State = ProductUnavailable
	}
	return o
}
