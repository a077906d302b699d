package server

import (
	"context"
	"errors"
	"net/http"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
)

// healthz reports that the process answers, and reads nothing.
func (s *Server) healthz(*call) (web.Response, error) {
	return web.Response{Status: http.StatusOK, Body: map[string]string{"status": "ok"}}, nil
}

// readyz reports whether traffic should come here: the store can be read, its schema is clean and new enough, and the
// process is not draining. Whether changes can be committed is a member of the answer: while they cannot, reads go on.
func (s *Server) readyz(c *call) (web.Response, error) {
	if s.Responder.Drain.Begun() {
		return web.Response{}, web.NewProblem(codeNotReady, "The process is draining.")
	}
	status, err := s.registry.Ping(c.Ctx)
	s.logReadiness(c.Ctx, status, err)
	if err != nil {
		return web.Response{}, web.NewProblem(codeNotReady, unreadyReason(err))
	}
	return web.Response{Status: http.StatusOK, Body: showReadiness(status)}, nil
}

func unreadyReason(err error) string {
	var unready *registry.UnreadyError
	if errors.As(err, &unready) {
		return unready.Reason
	}
	return "The store cannot be reached."
}

func showReadiness(status registry.StoreStatus) any {
	writes := "available"
	if status.WritesUnavailable != "" {
		writes = "unavailable"
	}
	return struct {
		Status        string  `json:"status"`
		Store         string  `json:"store"`
		SchemaVersion uint    `json:"schema_version"`
		Writes        string  `json:"writes"`
		WritesReason  *string `json:"writes_reason"`
	}{"ready", status.Store, status.SchemaVersion, writes, optional(status.WritesUnavailable)}
}

// logReadiness logs what /readyz answers when it differs from the answer before.
func (s *Server) logReadiness(ctx context.Context, status registry.StoreStatus, err error) {
	now := readiness{ready: err == nil, reason: status.WritesUnavailable}
	if err != nil {
		now.reason = unreadyReason(err)
	}
	if before := s.readiness.Swap(&now); before == nil && now == (readiness{ready: true}) ||
		before != nil && *before == now {
		return
	}
	switch {
	case err != nil:
		s.log.WarnContext(ctx, "not ready", "error", err)
	case now.reason != "":
		s.log.WarnContext(ctx, "ready, changes unavailable", "reason", now.reason)
	default:
		s.log.InfoContext(ctx, "ready")
	}
}

// readiness is what /readyz answered.
type readiness struct {
	ready  bool
	reason string // why not, or why changes are unavailable
}
