package server

import (
	"net/http"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
	"github.com/breakpilot/tenant-registry/internal/timestamp"
	"github.com/breakpilot/tenant-registry/internal/violation"
)

// catalogRequestBody is the body of a request for a product or for its trial.
type catalogRequestBody struct {
	TenantID web.UUID `json:"tenant_id"`
	Product  string   `json:"product"`
	Message  string   `json:"message"`
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

func (s *Server) requestProduct(c *call) (web.Response, error) {
	in, err := c.catalogRequest()
	if err != nil {
		return web.Response{}, err
	}
	got, err := s.registry.RequestProduct(c.Ctx, c.by, in)
	a := web.Response{Status: http.StatusCreated, Replayed: got.Replayed, Body: requestOf(got.Value)}
	if got.Unchanged {
		a.Status = http.StatusOK
	}
	return a, err
}

func requestOf(r registry.CatalogRequest) requestBody {
	return requestBody{
		ID: r.ID, TenantID: r.TenantID, Product: r.Product, Status: r.Status, Message: optional(r.Message),
		RequestedBy: r.RequestedBy,
		DecidedBy:   optional(r.DecidedBy), DecidedAt: optionalTime(r.DecidedAt),
		DecisionReason: optional(r.DecisionReason),
		CreatedAt:      timestamp.Format(r.CreatedAt), UpdatedAt: timestamp.Format(r.UpdatedAt),
	}
}

// catalogRequest reads the body of a request for a product or for its trial.
func (c *call) catalogRequest() (registry.CatalogRequestInput, error) {
	var in catalogRequestBody
	if err := c.Decode(&in); err != nil {
		return registry.CatalogRequestInput{}, err
	}
	if !in.TenantID.Present {
		return registry.CatalogRequestInput{}, web.Invalid(violation.Violation{
			Pointer: "/tenant_id", Message: violation.Required,
		})
	}
	return registry.CatalogRequestInput{TenantID: in.TenantID.UUID, Product: in.Product, Message: in.Message}, nil
}
