package server

import (
	"net/http"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
)

// erasureRequest is the body of POST /v1/tenants/{id}/audit/erasures.
type erasureRequest struct {
	Subjects      []string `json:"subjects"`
	Reason        string   `json:"reason"`
	IncludeFields bool     `json:"include_fields"`
}

// erasureBody is what an erasure took.
type erasureBody struct {
	EventID *uuid.UUID `json:"event_id"` // null: there was nothing to take
	Events  int64      `json:"events"`
	Parts   int64      `json:"parts"`
}

func (s *Server) eraseEvents(c *call) (web.Response, error) {
	id, err := c.PathID()
	if err != nil {
		return web.Response{}, err
	}
	var in erasureRequest
	if err := c.Decode(&in); err != nil {
		return web.Response{}, err
	}
	got, err := s.registry.EraseEvents(c.Ctx, c.by, registry.ErasureInput{
		GroupID: id, Subjects: in.Subjects, Reason: in.Reason, IncludeFields: in.IncludeFields,
	})
	status := http.StatusCreated
	if got.Unchanged || got.Value.EventID == nil {
		status = http.StatusOK
	}
	return web.Response{
		Status: status, Replayed: got.Replayed,
		Body: erasureBody{got.Value.EventID, got.Value.Events, got.Value.Parts},
	}, err
}
