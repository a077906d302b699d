package server

import (
	"net/http"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
)

func (s *Server) apiKeys(c *call) (web.Response, error) {
	tenant, limit := c.Query.RequiredUUID("tenant_id"), c.Query.Limit()
	list := "api-keys:" + tenant.String()
	q := registry.APIKeyQuery{
		PageRequest: registry.PageRequest{Cursor: c.Query.Cursor(list), Limit: limit}, TenantID: tenant,
		Product:     c.Query.Text("product", registry.MaxID),
		Environment: apikey.Environment(c.Query.OneOf("environment", "", string(apikey.Live), string(apikey.Test))),
		State: registry.APIKeyState(c.Query.OneOf("state", "", string(registry.APIKeyActive),
			string(registry.APIKeyDisabled), string(registry.APIKeyExpired), string(registry.APIKeyRevoked))),
		UnusedSince: c.Query.OptionalTime("unused_since"), ExpiresBefore: c.Query.OptionalTime("expires_before"),
	}
	if err := c.Query.Err(); err != nil {
		return web.Response{}, err
	}
	page, err := s.registry.APIKeys(c.Ctx, c.by, q)
	if err != nil {
		return web.Response{}, err
	}
	return web.Response{Status: http.StatusOK, Body: pageOf(page, list, keyOf)}, nil
}
