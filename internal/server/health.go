package server

import (
	"errors"
	"net/http"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
)

// healthz reports that the process answers, and reads nothing.
func (s *Server) healthz(*call) (web.Response, error) {
	return web.Response{Status: http.StatusOK, Body: map[string]string{"status": "ok"}}, nil
}

// readyz reports whether traffic should come here: the store can be read and written, its schema is clean and new
// enough, and the process is not draining.
func (s *Server) readyz(c *call) (web.Response, error) {
	if s.draining.Load() {
		return web.Response{}, web.NewProblem(codeNotReady, "The process is draining.")
	}
	status, err := s.registry.Ping(c.Ctx)
	if err != nil {
		s.log.WarnContext(c.Ctx, "not ready", "error", err)
		reason := "The store cannot be reached."
		var unready *registry.UnreadyError
		if errors.As(err, &unready) {
			reason = unready.Reason
		}
		return web.Response{}, web.NewProblem(codeNotReady, reason)
	}
	return web.Response{Status: http.StatusOK, Body: struct {
		Status        string `json:"status"`
		Store         string `json:"store"`
		SchemaVersion uint   `json:"schema_version"`
	}{"ready", status.Store, status.SchemaVersion}}, nil
}
