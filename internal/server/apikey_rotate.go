package server

import "github.com/breakpilot/tenant-registry/internal/server/web"

// rotation is the body of POST /v1/api-keys/{id}/rotate.
type rotation struct {
	OverlapSeconds web.Int `json:"overlap_seconds"`
}

func (s *Server) rotateAPIKey(c *call) (web.Response, error) {
	id, err := c.PathID()
	if err != nil {
		return web.Response{}, err
	}
	var in rotation
	if len(c.Body) > 0 {
		if err := c.Decode(&in); err != nil {
			return web.Response{}, err
		}
	}
	got, err := s.registry.RotateAPIKey(c.Ctx, c.by, id, in.OverlapSeconds.Value())
	a := keyAnswer(got.Value.APIKey)
	a.Body, a.Replayed = secretOf(got.Value), got.Replayed
	return a, err
}
