package server

import (
	"context"
	"net/http"
	"time"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
	"github.com/breakpilot/tenant-registry/internal/violation"
)

func (s *Server) revokeAPIKey(c *call) (web.Response, error) {
	id, err := c.PathID()
	if err == nil {
		err = c.NoBody()
	}
	reason := c.Query.Text("reason", registry.MaxText)
	if err == nil {
		err = c.Query.Err()
	}
	if err != nil {
		return web.Response{}, err
	}
	_, err = s.registry.RevokeAPIKey(c.Ctx, c.by, id, reason)
	return web.Response{Status: http.StatusNoContent}, err
}

// selfRevocation is the body of POST /v1/api-keys/self-revoke.
type selfRevocation struct {
	Key *string `json:"key"`
}

// selfRevoke answers the same whatever the key was, and only at whole multiples of the pace, so that the time of the
// answer reveals nothing either. Only a store that cannot answer is reported, and only for a text with a key's
// checksum, which anyone can compute.
//
// A request counts against the limit of its network from before the look-up until it has ended a secret: so the limit
// is about guesses, it holds for guesses that are sent at the same time, and it is the same for a text that is a key
// and for one that is none.
func (s *Server) selfRevoke(c *call) (web.Response, error) {
	began, network := time.Now(), web.Network(c.by.SourceIP)
	if wait := s.limits.selfRevokes.Take(network); wait > 0 {
		return web.Response{}, web.TooManyRequests(wait)
	}
	var in selfRevocation
	if err := c.Decode(&in); err != nil {
		return web.Response{}, err
	}
	if in.Key == nil {
		return web.Response{}, web.Invalid(violation.Violation{Pointer: "/key", Message: violation.Required})
	}
	ended, err := s.registry.SelfRevoke(c.Ctx, c.by, *in.Key)
	s.awaitPace(c.Ctx, began)
	if ended {
		s.limits.selfRevokes.Refund(network)
	}
	return web.Response{Status: http.StatusNoContent}, err
}

// awaitPace waits for the next multiple of the pace since a request began.
func (s *Server) awaitPace(ctx context.Context, began time.Time) {
	timer := time.NewTimer(s.selfRevokePace - time.Since(began)%s.selfRevokePace)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
