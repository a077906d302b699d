package server

import (
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// entitlementBody is everything that a tenant has of one product.
type entitlementBody struct {
	Product    string                     `json:"product"`
	Entitled   bool                       `json:"entitled"`
	Reason     registry.Reason            `json:"reason"`
	State      *registry.EntitlementState `json:"state"`
	ValidUntil *string                    `json:"valid_until"`
	Limits     registry.Limits            `json:"limits"`
	Config     registry.Config            `json:"config"`
	Sources    []sourceBody               `json:"sources"`
}

// sourceBody is one source of it.
type sourceBody struct {
	ID        uuid.UUID                 `json:"id"`
	TenantID  uuid.UUID                 `json:"tenant_id"`
	Product   string                    `json:"product"`
	Source    registry.Source           `json:"source"`
	State     registry.EntitlementState `json:"state"`
	StartsAt  string                    `json:"starts_at"`
	EndsAt    *string                   `json:"ends_at"`
	RevokedAt *string                   `json:"revoked_at"`
	Limits    registry.Limits           `json:"limits"`
	Config    registry.Config           `json:"config"`
	RequestID *uuid.UUID                `json:"request_id"`
	CreatedAt string                    `json:"created_at"`
	UpdatedAt string                    `json:"updated_at"`
}

func (s *Server) entitlements(c *call) (answer, error) {
	tenant, limit := c.query.requiredID("tenant_id"), c.query.limit()
	list := "entitlements:" + tenant.String()
	from := registry.Start{After: c.query.cursor(list), Limit: limit}
	if err := c.query.err(); err != nil {
		return answer{}, err
	}
	items, more, err := s.registry.Entitlements(c.ctx, c.by, tenant, from)
	if err != nil {
		return answer{}, err
	}
	bodies := make([]entitlementBody, len(items))
	for i, e := range items {
		bodies[i] = entitlementOf(e)
	}
	return answer{status: http.StatusOK, body: pageOf(bodies, list, more, func(e entitlementBody) string { return e.Product })}, nil
}

func entitlementOf(p registry.ProductEntitlement) entitlementBody {
	b := entitlementBody{
		Product: p.Product, Entitled: p.Entitled, Reason: p.Reason, ValidUntil: optionalTime(p.ValidUntil),
		Limits: p.Limits, Config: p.Config, Sources: make([]sourceBody, len(p.Sources)),
	}
	if p.State != "" {
		b.State = &p.State
	}
	for i, e := range p.Sources {
		b.Sources[i] = sourceOf(e, p.At)
	}
	return b
}

func sourceOf(e registry.Entitlement, now time.Time) sourceBody {
	return sourceBody{
		ID: e.ID, TenantID: e.TenantID, Product: e.Product, Source: e.Source, State: e.StateAt(now),
		StartsAt: registry.FormatTime(e.StartsAt), EndsAt: optionalTime(e.EndsAt), RevokedAt: optionalTime(e.RevokedAt),
		Limits: e.Limits, Config: e.Config, RequestID: e.RequestID,
		CreatedAt: registry.FormatTime(e.CreatedAt), UpdatedAt: registry.FormatTime(e.UpdatedAt),
	}
}
