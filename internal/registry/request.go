package registry

import (
	"context"
	"time"

	"github.com/google/uuid"
)

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
	again := func(tx Tx, id uuid.UUID) (CatalogRequest, error) {
		created = true // the status of the first answer
		return readRequest(ctx, tx, by, id)
	}
	r, err = changeOnce(ctx, s, by, once[CatalogRequest]{w, again}, func(tx Tx, now time.Time) (CatalogRequest, AuditEvent, error) {
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
	again := func(tx Tx, id uuid.UUID) (Entitlement, error) { return readEntitlement(ctx, tx, by, w.TenantID, id) }
	return changeOnce(ctx, s, by, once[Entitlement]{w, again}, func(tx Tx, now time.Time) (Entitlement, AuditEvent, error) {
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

// readRequest reads a request by its id. It is gone only if its tenant is.
func readRequest(ctx context.Context, from Reader, by Caller, id uuid.UUID) (CatalogRequest, error) {
	r, err := from.Request(ctx, id)
	if err == nil && !by.Scope.tenant(r.TenantID) {
		err = ErrNotFound
	}
	if err != nil {
		return CatalogRequest{}, refuse(err, map[error]*Error{ErrNotFound: notFound(CodeTenantNotFound, "tenant").in("/tenant_id")})
	}
	return r, nil
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
