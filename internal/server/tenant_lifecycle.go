package server

import (
	"context"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
)

func (s *Server) activateTenant(c *call) (web.Response, error) {
	return s.moveTenant(c, s.registry.ActivateTenant)
}

func (s *Server) cancelTenant(c *call) (web.Response, error) {
	return s.moveTenant(c, s.registry.CancelTenant)
}

// freezeRequest is the body of POST /v1/tenants/{id}/freeze.
type freezeRequest struct {
	Reason string `json:"reason"`
}

func (s *Server) freezeTenant(c *call) (web.Response, error) {
	id, err := c.PathID()
	if err != nil {
		return web.Response{}, err
	}
	var in freezeRequest
	if err := c.Decode(&in); err != nil {
		return web.Response{}, err
	}
	got, err := s.registry.FreezeTenant(c.Ctx, c.by, id, registry.TenantFreeze{Reason: in.Reason})
	return changedTenant(got), err
}

func (s *Server) reactivateTenant(c *call) (web.Response, error) {
	return s.moveTenant(c, s.registry.ReactivateTenant)
}

// tenantMove is a use case that brings a tenant to another state.
type tenantMove func(context.Context, registry.Caller, uuid.UUID) (registry.Result[registry.Tenant], error)

func (s *Server) moveTenant(c *call, move tenantMove) (web.Response, error) {
	id, err := c.PathID()
	if err == nil {
		err = c.NoBody()
	}
	if err != nil {
		return web.Response{}, err
	}
	got, err := move(c.Ctx, c.by, id)
	return changedTenant(got), err
}
