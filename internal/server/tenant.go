package server

import (
	"net/http"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
	"github.com/breakpilot/tenant-registry/internal/timestamp"
)

// tenantBody is a tenant as every answer shows it.
type tenantBody struct {
	ID            uuid.UUID             `json:"id"`
	Slug          string                `json:"slug"`
	Name          string                `json:"name"`
	Status        registry.TenantStatus `json:"status"`
	Region        *string               `json:"region"`
	ExternalID    *string               `json:"external_id"`
	KeycloakOrgID *string               `json:"keycloak_org_id"`
	Metadata      map[string]string     `json:"metadata"`
	Version       int64                 `json:"version"`
	CreatedAt     string                `json:"created_at"`
	UpdatedAt     string                `json:"updated_at"`
	ActivatedAt   *string               `json:"activated_at"`
	FrozenAt      *string               `json:"frozen_at"`
}

func (s *Server) tenant(c *call) (web.Response, error) {
	id, err := c.PathID()
	if err != nil {
		return web.Response{}, err
	}
	t, err := s.registry.Tenant(c.Ctx, c.by, id)
	return tenantAnswer(t), err
}

func (s *Server) tenantBySlug(c *call) (web.Response, error) {
	t, err := s.registry.TenantBySlug(c.Ctx, c.by, c.PathValue("slug"), c.read)
	return tenantAnswer(t), err
}

// tenantAnswer shows a tenant.
func tenantAnswer(t registry.Tenant) web.Response {
	return web.Response{
		Status: http.StatusOK, CacheControl: web.Cacheable, Entity: &web.Entity{ID: t.ID, Version: t.Version},
		Body: (*shownTenant)(&t),
	}
}

// changedTenant shows a tenant that a command made or changed, which no cache stores.
func changedTenant(got registry.Result[registry.Tenant]) web.Response {
	a := tenantAnswer(got.Value)
	a.CacheControl, a.Replayed = "", got.Replayed
	return a
}

func tenantOf(t registry.Tenant) tenantBody {
	return tenantBody{
		ID: t.ID, Slug: t.Slug, Name: t.Name, Status: t.Status, Region: optional(t.Region),
		ExternalID:    optional(t.ExternalID),
		KeycloakOrgID: optional(t.KeycloakOrgID), Metadata: t.Metadata, Version: t.Version,
		CreatedAt: timestamp.Format(t.CreatedAt), UpdatedAt: timestamp.Format(t.UpdatedAt),
		ActivatedAt: optionalTime(t.ActivatedAt), FrozenAt: optionalTime(t.FrozenAt),
	}
}

// shownTenant is tenantBody, appended.
type shownTenant registry.Tenant

func (t *shownTenant) General() any { return tenantOf(registry.Tenant(*t)) }

func (t *shownTenant) AppendJSON(j *web.JSON) {
	j.UUID(`{"id":`, t.ID)
	j.String(`,"slug":`, t.Slug)
	j.String(`,"name":`, t.Name)
	j.String(`,"status":`, string(t.Status))
	j.StringOrNull(`,"region":`, t.Region)
	j.StringOrNull(`,"external_id":`, t.ExternalID)
	j.StringOrNull(`,"keycloak_org_id":`, t.KeycloakOrgID)
	web.AppendObject(j, `,"metadata":`, t.Metadata, (*web.JSON).PlainString)
	j.Int(`,"version":`, t.Version)
	j.Time(`,"created_at":`, t.CreatedAt)
	j.Time(`,"updated_at":`, t.UpdatedAt)
	j.TimeOrNull(`,"activated_at":`, t.ActivatedAt)
	j.TimeOrNull(`,"frozen_at":`, t.FrozenAt)
	j.Raw("}")
}
