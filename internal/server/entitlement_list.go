package server

import (
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
	"github.com/breakpilot/tenant-registry/internal/timestamp"
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

func (s *Server) entitlements(c *call) (web.Response, error) {
	tenant, limit := c.Query.RequiredUUID("tenant_id"), c.Query.Limit()
	list := "entitlements:" + tenant.String()
	r := registry.PageRequest{Cursor: c.Query.Cursor(list), Limit: limit}
	if err := c.Query.Err(); err != nil {
		return web.Response{}, err
	}
	page, err := s.registry.Entitlements(c.Ctx, c.by, tenant, r)
	if err != nil {
		return web.Response{}, err
	}
	return web.Response{Status: http.StatusOK, Body: pageOf(page, list, entitlementOf)}, nil
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
		StartsAt: timestamp.Format(e.StartsAt), EndsAt: optionalTime(e.EndsAt), RevokedAt: optionalTime(e.RevokedAt),
		Limits: e.Limits, Config: e.Config, RequestID: e.RequestID,
		CreatedAt: timestamp.Format(e.CreatedAt), UpdatedAt: timestamp.Format(e.UpdatedAt),
	}
}

// appendEntitlement is entitlementBody, appended.
func appendEntitlement(j *web.JSON, p *registry.ProductEntitlement) {
	if p == nil {
		j.Raw("null")
		return
	}
	j.String(`{"product":`, p.Product)
	j.Bool(`,"entitled":`, p.Entitled)
	j.String(`,"reason":`, string(p.Reason))
	j.StringOrNull(`,"state":`, string(p.State))
	j.TimeOrNull(`,"valid_until":`, p.ValidUntil)
	web.AppendObject(j, `,"limits":`, p.Limits, (*web.JSON).OptionalInt)
	web.AppendObject(j, `,"config":`, p.Config, (*web.JSON).Any)
	j.Raw(`,"sources":[`)
	for i := range p.Sources {
		j.Raw(web.Comma(i))
		appendSource(j, &p.Sources[i], p.At)
	}
	j.Raw("]}")
}

// appendSource is sourceBody, appended.
func appendSource(j *web.JSON, e *registry.Entitlement, now time.Time) {
	j.UUID(`{"id":`, e.ID)
	j.UUID(`,"tenant_id":`, e.TenantID)
	j.String(`,"product":`, e.Product)
	j.String(`,"source":`, string(e.Source))
	j.String(`,"state":`, string(e.StateAt(now)))
	j.Time(`,"starts_at":`, e.StartsAt)
	j.TimeOrNull(`,"ends_at":`, e.EndsAt)
	j.TimeOrNull(`,"revoked_at":`, e.RevokedAt)
	web.AppendObject(j, `,"limits":`, e.Limits, (*web.JSON).OptionalInt)
	web.AppendObject(j, `,"config":`, e.Config, (*web.JSON).Any)
	if e.RequestID == nil {
		j.Raw(`,"request_id":null`)
	} else {
		j.UUID(`,"request_id":`, *e.RequestID)
	}
	j.Time(`,"created_at":`, e.CreatedAt)
	j.Time(`,"updated_at":`, e.UpdatedAt)
	j.Raw("}")
}
