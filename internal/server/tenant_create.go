package server

import (
	"net/http"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
)

// tenantRequest is the body of POST /v1/tenants.
type tenantRequest struct {
	Slug          string              `json:"slug"`
	Name          string              `json:"name"`
	Region        string              `json:"region"`
	ExternalID    string              `json:"external_id"`
	KeycloakOrgID string              `json:"keycloak_org_id"`
	Metadata      map[string]web.Text `json:"metadata"`
}

func (s *Server) createTenant(c *call) (web.Response, error) {
	var in tenantRequest
	if err := c.Decode(&in); err != nil {
		return web.Response{}, err
	}
	got, err := s.registry.CreateTenant(c.Ctx, c.by, registry.TenantInput{
		Slug: in.Slug, Name: in.Name, Region: in.Region, ExternalID: in.ExternalID, KeycloakOrgID: in.KeycloakOrgID,
		Metadata: web.StringMap(in.Metadata),
	})
	a := changedTenant(got)
	a.Status, a.Location = http.StatusCreated, "/v1/tenants/"+got.Value.ID.String()
	return a, err
}
