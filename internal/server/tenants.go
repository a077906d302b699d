package server

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// tenantRequest is the body of POST /v1/tenants.
type tenantRequest struct {
	Slug          string              `json:"slug"`
	Name          string              `json:"name"`
	Region        string              `json:"region"`
	ExternalID    string              `json:"external_id"`
	KeycloakOrgID string              `json:"keycloak_org_id"`
	Metadata      map[string]wireText `json:"metadata"`
}

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

func (s *Server) createTenant(c *call) (answer, error) {
	var in tenantRequest
	if err := c.decode(&in); err != nil {
		return answer{}, err
	}
	t, err := s.registry.CreateTenant(c.ctx, c.by, registry.NewTenant{
		Slug: in.Slug, Name: in.Name, Region: in.Region, ExternalID: in.ExternalID, KeycloakOrgID: in.KeycloakOrgID,
		Metadata: textMap(in.Metadata),
	})
	a := tenantAnswer(t)
	a.status, a.location, a.cache = http.StatusCreated, "/v1/tenants/"+t.ID.String(), ""
	return a, err
}

func (s *Server) tenant(c *call) (answer, error) {
	id, err := c.pathID()
	if err != nil {
		return answer{}, err
	}
	t, err := s.registry.Tenant(c.ctx, c.by, id)
	return tenantAnswer(t), err
}

func (s *Server) tenantBySlug(c *call) (answer, error) {
	t, err := s.registry.TenantBySlug(c.ctx, c.by, c.r.PathValue("slug"))
	return tenantAnswer(t), err
}

func (s *Server) activateTenant(c *call) (answer, error) {
	return s.moveTenant(c, s.registry.ActivateTenant)
}

func (s *Server) cancelTenant(c *call) (answer, error) {
	return s.moveTenant(c, s.registry.CancelTenant)
}

// tenantMove is a use case that brings a tenant to another state.
type tenantMove func(context.Context, registry.Caller, uuid.UUID) (registry.Tenant, error)

func (s *Server) moveTenant(c *call, move tenantMove) (answer, error) {
	id, err := c.pathID()
	if err == nil {
		err = c.noBody()
	}
	if err != nil {
		return answer{}, err
	}
	t, err := move(c.ctx, c.by, id)
	a := tenantAnswer(t)
	a.cache = ""
	return a, err
}

// Cacheable is how a portal may keep what it reads at every page: fresh for five seconds, then for half a minute while it asks again,
// and for five minutes if there is nobody to ask.
const cacheable = "private, max-age=5, stale-while-revalidate=30, stale-if-error=300"

// tenantAnswer shows a tenant. Its entity tag holds the id, because a slug may pass to another tenant of equal version.
func tenantAnswer(t registry.Tenant) answer {
	return answer{status: http.StatusOK, cache: cacheable, etag: entityTag(t.ID, t.Version), body: (*shownTenant)(&t)}
}

func entityTag(id uuid.UUID, version int64) string {
	b := appendID(append(make([]byte, 0, 64), '"'), id)
	b = strconv.AppendInt(append(b, '-'), version, 10)
	return string(append(b, '"'))
}

func tenantOf(t registry.Tenant) tenantBody {
	return tenantBody{
		ID: t.ID, Slug: t.Slug, Name: t.Name, Status: t.Status, Region: optional(t.Region), ExternalID: optional(t.ExternalID),
		KeycloakOrgID: optional(t.KeycloakOrgID), Metadata: t.Metadata, Version: t.Version,
		CreatedAt: registry.FormatTime(t.CreatedAt), UpdatedAt: registry.FormatTime(t.UpdatedAt),
		ActivatedAt: optionalTime(t.ActivatedAt), FrozenAt: optionalTime(t.FrozenAt),
	}
}

// optional is nil for a text that is unset.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// optionalTime is nil for a time that is unset.
func optionalTime(t *time.Time) *string {
	if t == nil {
		return nil
	}
	return optional(registry.FormatTime(*t))
}
