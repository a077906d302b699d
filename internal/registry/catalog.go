package registry

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Audience says who sees a product in the catalogue.
type Audience string

// The audiences.
const (
	Public  Audience = "public"
	Private Audience = "private" // only tenants that are entitled to it, and operators
)

// Product is one thing of the catalogue that a tenant can be entitled to.
type Product struct {
	Key            string // what everybody calls it; never changes
	Name           string
	Description    string
	Audience       Audience
	Requestable    bool // customers may ask sales for it
	TrialDays      int  // 0 means no trial; a trial runs TrialDays × 24 hours
	DefaultLimits  Limits
	DefaultConfig  Config
	AvailableFrom  *time.Time // from this instant on, if set
	AvailableUntil *time.Time // before this instant, if set
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// DefaultTrialDays is how long a trial runs unless the product says otherwise.
const DefaultTrialDays = 14

var (
	productKeyPattern   = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,62}$`)
	reservedProductKeys = []string{"request", "requests", "trial-request"}
)

func validProductKey(key string) bool {
	return productKeyPattern.MatchString(key) && !slices.Contains(reservedProductKeys, key)
}

func (p Product) available(now time.Time) bool {
	return (p.AvailableFrom == nil || !now.Before(*p.AvailableFrom)) && (p.AvailableUntil == nil || now.Before(*p.AvailableUntil))
}

// CreateProduct adds a product to the catalogue; CreatedAt and UpdatedAt are set here.
func (s *Service) CreateProduct(ctx context.Context, by Caller, p Product) (Product, error) {
	var c checks
	c.productKey("/key", p.Key)
	c.line("/name", p.Name, MaxName)
	c.text("/description", p.Description, MaxText)
	if p.Audience != Public && p.Audience != Private {
		c.add("/audience", "must be one of public, private")
	}
	if p.TrialDays < 0 || p.TrialDays > 3650 {
		c.add("/trial_days", "must be from 1 to 3650, or null for no trial")
	}
	p.DefaultLimits = normalObject(&c, "/default_limits", p.DefaultLimits)
	p.DefaultConfig = normalObject(&c, "/default_config", p.DefaultConfig)
	p.AvailableFrom, p.AvailableUntil = microseconds(p.AvailableFrom), microseconds(p.AvailableUntil)
	if p.AvailableFrom != nil && p.AvailableUntil != nil && !p.AvailableUntil.After(*p.AvailableFrom) {
		c.add("/available_until", "must be after available_from")
	}
	if err := c.err(); err != nil {
		return Product{}, err
	}
	return change(ctx, s, by, func(tx Tx, now time.Time) (Product, AuditEvent, error) {
		p.CreatedAt, p.UpdatedAt = now, now
		err := refuse(tx.InsertProduct(ctx, p), map[error]*Error{
			ErrDuplicate: conflict(CodeProductExists, "The catalogue has a product with this key.").in("/key"),
		})
		return p, p.event("product.create", Create), err
	})
}

func (p Product) event(action string, crud CRUD) AuditEvent {
	return AuditEvent{
		Action: action, CRUD: crud, Target: Party{ID: p.Key, Name: p.Name, Type: "product"},
		Fields: diff(nil, map[string]any{
			"key": p.Key, "name": p.Name, "description": p.Description, "audience": p.Audience, "requestable": p.Requestable,
			"trial_days": p.TrialDays, "default_limits": p.DefaultLimits, "default_config": p.DefaultConfig,
			"available_from": p.AvailableFrom, "available_until": p.AvailableUntil,
		}),
	}
}

// RequestStatus is where a request for a product stands.
type RequestStatus string

// The states of a request. Only a pending one can change.
const (
	RequestPending   RequestStatus = "pending"
	RequestApproved  RequestStatus = "approved"
	RequestRejected  RequestStatus = "rejected"
	RequestCancelled RequestStatus = "cancelled"
)

// CatalogRequest is a tenant's wish for a product, which sales follows up.
type CatalogRequest struct {
	ID             uuid.UUID
	TenantID       uuid.UUID
	Product        string
	Status         RequestStatus
	Message        string
	RequestedBy    string // the actor's id
	DecidedBy      string
	DecidedAt      *time.Time
	DecisionReason string
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

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

// Catalog returns a page of the products in the order of their keys, and whether there are more.
// With a tenant it holds what that tenant may see (what is public and available, and what it is entitled to); without, everything
// for an operator, and what is public and available for others.
func (s *Service) Catalog(ctx context.Context, by Caller, tenant *uuid.UUID, from Start) ([]CatalogItem, bool, error) {
	products, err := s.store.Products(ctx)
	if err != nil {
		return nil, false, err
	}
	now := s.clock()
	offer := func(p Product) (*TenantOffer, bool) {
		return nil, by.Scope.Operator || (p.Audience == Public && p.available(now))
	}
	if tenant != nil {
		if offer, err = s.offers(ctx, by, *tenant); err != nil {
			return nil, false, err
		}
	}
	items := []CatalogItem{}
	for _, p := range products {
		if p.Key <= from.After {
			continue
		}
		forTenant, visible := offer(p)
		if !visible {
			continue
		}
		if len(items) == from.Limit {
			return items, true, nil
		}
		items = append(items, CatalogItem{p, forTenant})
	}
	return items, false, nil
}

// offers returns the function that says what a tenant can do about a product, and whether it sees it at all.
func (s *Service) offers(ctx context.Context, by Caller, id uuid.UUID) (func(Product) (*TenantOffer, bool), error) {
	t, err := s.Tenant(ctx, by, id)
	if err != nil {
		return nil, inParameter(err, "tenant_id")
	}
	sources, err := s.store.Entitlements(ctx, id)
	if err != nil {
		return nil, err
	}
	pending, err := s.store.PendingRequests(ctx, id)
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

// standing is what a tenant has of a product.
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

// requestRefusal says why a tenant with this standing may not ask for the product, or nil.
func (p Product) requestRefusal(has standing, now time.Time) *Error {
	switch {
	case has.granted:
		return conflict(CodeAlreadyEntitled, "The tenant is entitled to this product.").in("/product")
	case !p.Requestable || !p.available(now):
		return conflict(CodeNotRequestable, "This product cannot be requested.").in("/product")
	}
	return nil
}

// trialRefusal says why a tenant with this standing may not start a trial, or nil.
func (p Product) trialRefusal(has standing, now time.Time) *Error {
	switch {
	case has.trial != nil:
		e := conflict(CodeTrialUsed, "The tenant has had its trial of this product.").in("/product")
		e.Facts = map[string]any{"trial_started_at": FormatTime(has.trial.StartsAt), "trial_ends_at": FormatTime(*has.trial.EndsAt)}
		return e
	case has.granted:
		return conflict(CodeAlreadyEntitled, "The tenant is entitled to this product.").in("/product")
	case p.TrialDays == 0 || p.Audience == Private || !p.available(now):
		return conflict(CodeNoTrial, "This product has no self-serve trial.").in("/product")
	}
	return nil
}

// ProductWish is what a customer says in a request for a product or for its trial. Message is optional.
type ProductWish struct {
	TenantID uuid.UUID
	Product  string
	Message  string
}

func (w ProductWish) validate() error {
	var c checks
	c.productKey("/product", w.Product)
	c.text("/message", w.Message, MaxText)
	return c.err()
}

// RequestProduct opens a request for sales to follow up. If the tenant has one open for the product it is returned as it is,
// and created is false.
func (s *Service) RequestProduct(ctx context.Context, by Caller, w ProductWish) (r CatalogRequest, created bool, err error) {
	if err := w.validate(); err != nil {
		return r, false, err
	}
	r, err = change(ctx, s, by, func(tx Tx, now time.Time) (CatalogRequest, AuditEvent, error) {
		created = false
		t, p, has, err := wished(ctx, tx, by, w, now)
		if err != nil {
			return CatalogRequest{}, AuditEvent{}, err
		}
		if has.request != nil {
			return *has.request, AuditEvent{}, errUnchanged
		}
		if refusal := p.requestRefusal(has, now); refusal != nil {
			return CatalogRequest{}, AuditEvent{}, refusal
		}
		created = true
		r := CatalogRequest{
			ID: newID(), TenantID: t.ID, Product: p.Key, Status: RequestPending, Message: w.Message, RequestedBy: by.author(),
			CreatedAt: now, UpdatedAt: now,
		}
		return r, r.event("catalog.request.create", Create, t), tx.InsertRequest(ctx, r)
	})
	return r, created && err == nil, err
}

// StartTrial grants a tenant its one trial of a product, from now on and for the product's trial days.
func (s *Service) StartTrial(ctx context.Context, by Caller, w ProductWish) (Entitlement, error) {
	if err := w.validate(); err != nil {
		return Entitlement{}, err
	}
	return change(ctx, s, by, func(tx Tx, now time.Time) (Entitlement, AuditEvent, error) {
		t, p, has, err := wished(ctx, tx, by, w, now)
		if err != nil {
			return Entitlement{}, AuditEvent{}, err
		}
		if refusal := p.trialRefusal(has, now); refusal != nil {
			return Entitlement{}, AuditEvent{}, refusal
		}
		ends := now.Add(time.Duration(p.TrialDays) * 24 * time.Hour)
		e := p.grant(t.ID, SourceTrial, now)
		e.EndsAt = &ends
		event := e.event("entitlement.create", Create, t)
		if w.Message != "" {
			setField(event.Fields, "message", w.Message)
		}
		return e, event, tx.InsertEntitlement(ctx, e)
	})
}

// wished locks the tenant of a wish and reads what the decision about it needs.
func wished(ctx context.Context, tx Tx, by Caller, w ProductWish, now time.Time) (Tenant, Product, standing, error) {
	t, err := lockLivingTenant(ctx, tx, by, w.TenantID)
	if err != nil {
		return Tenant{}, Product{}, standing{}, err
	}
	p, has, err := knownProduct(ctx, tx, t, w.Product, now)
	return t, p, has, err
}

// knownProduct reads a product that a body names for a tenant, and what the tenant has of it. One that the tenant may not know of, or
// that is not available now, is one that is not there.
func knownProduct(ctx context.Context, tx Tx, t Tenant, key string, now time.Time) (Product, standing, error) {
	unknown := notFound(CodeProductNotFound, "product").in("/product")
	p, err := tx.Product(ctx, key)
	if err != nil {
		return Product{}, standing{}, refuse(err, map[error]*Error{ErrNotFound: unknown})
	}
	sources, err := tx.Entitlements(ctx, t.ID)
	if err != nil {
		return Product{}, standing{}, err
	}
	pending, err := tx.PendingRequests(ctx, t.ID)
	if err != nil {
		return Product{}, standing{}, err
	}
	has := standingOf(p.Key, sources, pending, now)
	known := has.granted || has.trial != nil || has.request != nil || (p.Audience == Public && p.available(now))
	if !known {
		return Product{}, standing{}, unknown
	}
	return p, has, nil
}

func (r CatalogRequest) event(action string, crud CRUD, t Tenant) AuditEvent {
	return AuditEvent{
		GroupID: t.ID, GroupName: t.Name, Action: action, CRUD: crud, Target: Party{ID: r.ID.String(), Type: "catalog_request"},
		Fields: diff(nil, map[string]any{"product": r.Product, "status": r.Status, "message": r.Message}),
	}
}

// inParameter names the query parameter through which a missing object was asked for.
func inParameter(err error, name string) error {
	var refusal *Error
	if !errors.As(err, &refusal) || refusal.Kind != NotFound {
		return err
	}
	named := *refusal
	named.Violations = []Violation{{Parameter: name, Message: refusal.Detail}}
	return &named
}
