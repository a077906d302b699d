package server

import (
	"net/http"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// productBody is a product, and for_tenant what the tenant that was asked about can do with it.
type productBody struct {
	Key            string            `json:"key"`
	Name           string            `json:"name"`
	Description    string            `json:"description"`
	Audience       registry.Audience `json:"audience"`
	Requestable    bool              `json:"requestable"`
	TrialDays      *int              `json:"trial_days"`
	DefaultLimits  registry.Limits   `json:"default_limits"`
	DefaultConfig  registry.Config   `json:"default_config"`
	AvailableFrom  *string           `json:"available_from"`
	AvailableUntil *string           `json:"available_until"`
	CreatedAt      string            `json:"created_at"`
	UpdatedAt      string            `json:"updated_at"`
	ForTenant      *offerBody        `json:"for_tenant"`
}

type offerBody struct {
	State      registry.ProductState `json:"state"`
	CanTrial   bool                  `json:"can_trial"`
	CanRequest bool                  `json:"can_request"`
}

// wishRequest is the body of a request for a product or for its trial.
type wishRequest struct {
	TenantID wireID `json:"tenant_id"`
	Product  string `json:"product"`
	Message  string `json:"message"`
}

// requestBody is a request for a product.
type requestBody struct {
	ID             uuid.UUID              `json:"id"`
	TenantID       uuid.UUID              `json:"tenant_id"`
	Product        string                 `json:"product"`
	Status         registry.RequestStatus `json:"status"`
	Message        *string                `json:"message"`
	RequestedBy    string                 `json:"requested_by"`
	DecidedBy      *string                `json:"decided_by"`
	DecidedAt      *string                `json:"decided_at"`
	DecisionReason *string                `json:"decision_reason"`
	CreatedAt      string                 `json:"created_at"`
	UpdatedAt      string                 `json:"updated_at"`
}

func (s *Server) catalog(c *call) (answer, error) {
	tenant, limit := c.query.id("tenant_id"), c.query.limit()
	list := "catalog:" + scopeName(tenant)
	from := registry.Start{After: c.query.cursor(list), Limit: limit}
	if err := c.query.err(); err != nil {
		return answer{}, err
	}
	items, more, err := s.registry.Catalog(c.ctx, c.by, tenant, from)
	if err != nil {
		return answer{}, err
	}
	bodies := make([]productBody, len(items))
	for i, item := range items {
		bodies[i] = productOf(item)
	}
	return answer{status: http.StatusOK, cache: cacheable, body: pageOf(bodies, list, more, func(p productBody) string { return p.Key })}, nil
}

// scopeName names whose list it is in a cursor.
func scopeName(tenant *uuid.UUID) string {
	if tenant == nil {
		return "all"
	}
	return tenant.String()
}

func productOf(item registry.CatalogItem) productBody {
	p := item.Product
	b := productBody{
		Key: p.Key, Name: p.Name, Description: p.Description, Audience: p.Audience, Requestable: p.Requestable,
		DefaultLimits: p.DefaultLimits, DefaultConfig: p.DefaultConfig,
		AvailableFrom: optionalTime(p.AvailableFrom), AvailableUntil: optionalTime(p.AvailableUntil),
		CreatedAt: registry.FormatTime(p.CreatedAt), UpdatedAt: registry.FormatTime(p.UpdatedAt),
	}
	if p.TrialDays > 0 {
		b.TrialDays = &p.TrialDays
	}
	if o := item.ForTenant; o != nil {
		b.ForTenant = &offerBody{State: o.State, CanTrial: o.CanTrial, CanRequest: o.CanRequest}
	}
	return b
}

func (s *Server) requestProduct(c *call) (answer, error) {
	wish, err := c.wish()
	if err != nil {
		return answer{}, err
	}
	r, created, err := s.registry.RequestProduct(c.ctx, c.by, wish)
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	return answer{status: status, body: requestBody{
		ID: r.ID, TenantID: r.TenantID, Product: r.Product, Status: r.Status, Message: optional(r.Message), RequestedBy: r.RequestedBy,
		DecidedBy: optional(r.DecidedBy), DecidedAt: optionalTime(r.DecidedAt), DecisionReason: optional(r.DecisionReason),
		CreatedAt: registry.FormatTime(r.CreatedAt), UpdatedAt: registry.FormatTime(r.UpdatedAt),
	}}, err
}

func (s *Server) startTrial(c *call) (answer, error) {
	wish, err := c.wish()
	if err != nil {
		return answer{}, err
	}
	e, err := s.registry.StartTrial(c.ctx, c.by, wish)
	return answer{status: http.StatusCreated, body: sourceOf(e, e.StartsAt)}, err
}

func (c *call) wish() (registry.ProductWish, error) {
	var in wishRequest
	if err := c.decode(&in); err != nil {
		return registry.ProductWish{}, err
	}
	if !in.TenantID.given {
		return registry.ProductWish{}, invalid(registry.Violation{Pointer: "/tenant_id", Message: "is required"})
	}
	return registry.ProductWish{TenantID: in.TenantID.UUID, Product: in.Product, Message: in.Message}, nil
}
