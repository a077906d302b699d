package server

import (
	"net/http"

	"github.com/breakpilot/tenant-registry/internal/server/web"
)

func (s *Server) startTrial(c *call) (web.Response, error) {
	in, err := c.catalogRequest()
	if err != nil {
		return web.Response{}, err
	}
	got, err := s.registry.StartTrial(c.Ctx, c.by, in)
	return web.Response{
		Status: http.StatusCreated, Replayed: got.Replayed, Body: sourceOf(got.Value, got.Value.StartsAt),
	}, err
}
