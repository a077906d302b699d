package registry

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
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

// CatalogRequest is a tenant's request for a product, which sales follows up.
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

// CatalogRequestInput is what a customer says in a request for a product or for its trial. Message is optional.
type CatalogRequestInput struct {
	TenantID uuid.UUID
	Product  string
	Message  string
}

func (in CatalogRequestInput) validate() error {
	var c checks
	c.productKey("/product", in.Product)
	c.text("/message", in.Message, MaxText)
	return c.err()
}

// RequestProduct opens a request for sales to follow up. If the tenant has an open request for the product, that is
// returned unchanged.
func (s *Service) RequestProduct(
	ctx context.Context, by Caller, in CatalogRequestInput,
) (Result[CatalogRequest], error) {
	if err := in.validate(); err != nil {
		return Result[CatalogRequest]{}, err
	}
	command := idempotent[CatalogRequest]{in.TenantID, in, func(tx Tx, id uuid.UUID) (CatalogRequest, error) {
		return readRequest(ctx, tx, by, id)
	}}
	return changeIdempotent(ctx, s, by, command, func(tx Tx, now time.Time) (*outcome[CatalogRequest], error) {
		t, p, has, err := lockForRequest(ctx, tx, by, in, now)
		if err != nil {
			return nil, err
		}
		if has.request != nil {
			return unchanged(*has.request)
		}
		if refusal := p.requestRefusal(has, now); refusal != nil {
			return nil, refusal
		}
		r := CatalogRequest{
			ID: newID(), TenantID: t.ID, Product: p.Key, Status: RequestPending, Message: in.Message,
			RequestedBy: by.createdBy(),
			CreatedAt:   now, UpdatedAt: now,
		}
		if err := tx.InsertCatalogRequest(ctx, r); err != nil {
			return nil, err
		}
		return changed(r, r.event("catalog.request.create", audit.Create, t))
	})
}

// requestRefusal is why a tenant may not request the product, or nil.
func (p Product) requestRefusal(has standing, now time.Time) *Error {
	switch {
	case has.granted:
		return conflict(CodeAlreadyEntitled, "The tenant is entitled to this product.").in("/product")
	case !p.Requestable || !p.available(now):
		return conflict(CodeNotRequestable, "This product cannot be requested.").in("/product")
	}
	return nil
}

// readRequest reads a request by its id. It is gone only if its tenant is.
func readRequest(ctx context.Context, from Reader, by Caller, id uuid.UUID) (CatalogRequest, error) {
	r, err := from.GetCatalogRequest(ctx, id)
	if err == nil && !by.Access.tenant(r.TenantID) {
		err = ErrNotFound
	}
	if err != nil {
		return CatalogRequest{}, refuse(err, map[error]*Error{
			ErrNotFound: notFound(CodeTenantNotFound, "tenant").in("/tenant_id"),
		})
	}
	return r, nil
}

// lockForRequest locks the tenant of a request or a trial and reads what the decision about it needs.
func lockForRequest(
	ctx context.Context, tx Tx, by Caller, in CatalogRequestInput, now time.Time,
) (Tenant, Product, standing, error) {
	t, err := lockUnfrozenTenant(ctx, tx, by, in.TenantID)
	if err != nil {
		return Tenant{}, Product{}, standing{}, err
	}
	p, has, err := knownProduct(ctx, tx, t, in.Product, now)
	return t, p, has, err
}

// knownProduct reads a product that a body names for a tenant, and the tenant's standing with it. A product that the
// tenant may not know of, or that is not available now, is not found.
func knownProduct(ctx context.Context, tx Tx, t Tenant, key string, now time.Time) (Product, standing, error) {
	sources, err := tx.ListEntitlements(ctx, t.ID)
	if err != nil {
		return Product{}, standing{}, err
	}
	pending, err := tx.ListPendingCatalogRequests(ctx, t.ID)
	if err != nil {
		return Product{}, standing{}, err
	}
	// Read last: a product that the tenant may not know of costs what an unknown one costs.
	unknown := notFound(CodeProductNotFound, "product").in("/product")
	p, err := tx.GetProduct(ctx, key)
	if err != nil {
		return Product{}, standing{}, refuse(err, map[error]*Error{ErrNotFound: unknown})
	}
	has := standingOf(p.Key, sources, pending, now)
	known := has.granted || has.trial != nil || has.request != nil || (p.Audience == Public && p.available(now))
	if !known {
		return Product{}, standing{}, unknown
	}
	return p, has, nil
}

func (r CatalogRequest) event(action string, crud audit.CRUD, t Tenant) audit.Event {
	return audit.Event{
		GroupID: t.ID, GroupName: t.Name, Action: action, CRUD: crud,
		Target: audit.Party{ID: r.ID.String(), Type: "catalog_request"},
		Fields: diff(nil, map[string]any{"product": r.Product, "status": r.Status, "message": r.Message}),
	}
}
