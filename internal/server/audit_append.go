package server

import (
	"net/http"
	"strconv"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
	"github.com/breakpilot/tenant-registry/internal/violation"
)

// eventRequest is the body of POST /v1/audit.
type eventRequest struct {
	Action        string              `json:"action"`
	CRUD          string              `json:"crud"`
	Group         *groupRequest       `json:"group"`
	Actor         *partyRequest       `json:"actor"`
	Target        *partyRequest       `json:"target"`
	SourceIP      string              `json:"source_ip"`
	Description   string              `json:"description"`
	IsFailure     bool                `json:"is_failure"`
	IsAnonymous   bool                `json:"is_anonymous"`
	Fields        map[string]web.Text `json:"fields"`
	Component     string              `json:"component"`
	Version       string              `json:"version"`
	ExternalID    string              `json:"external_id"`
	Metadata      map[string]web.Text `json:"metadata"`
	Created       web.Time            `json:"created"`
	CorrelationID string              `json:"correlation_id"`
}

type groupRequest struct {
	ID   web.UUID `json:"id"`
	Name string   `json:"name"`
}

type partyRequest struct {
	ID     string              `json:"id"`
	Name   string              `json:"name"`
	Href   string              `json:"href"`
	Type   string              `json:"type"`
	Fields map[string]web.Text `json:"fields"`
}

// bulkRequest is the body of POST /v1/audit/bulk.
type bulkRequest struct {
	Events []*eventRequest `json:"events"`
}

// recordedBody is what its author is told of an event.
type recordedBody struct {
	ID   uuid.UUID `json:"id"`
	Hash string    `json:"hash"`
}

func (s *Server) recordEvent(c *call) (web.Response, error) {
	var in eventRequest
	if err := c.Decode(&in); err != nil {
		return web.Response{}, err
	}
	e, faults := in.event()
	if len(faults) > 0 {
		return web.Response{}, web.Invalid(append(faults, registry.EventViolations(e)...)...)
	}
	got, err := s.registry.RecordEvent(c.Ctx, c.by, e)
	return web.Response{
		Status: http.StatusCreated, Location: "/v1/audit/" + got.Value.ID.String(), Replayed: got.Replayed,
		Body: recordedBody{got.Value.ID, got.Value.Hash},
	}, err
}

func (s *Server) recordEvents(c *call) (web.Response, error) {
	var in bulkRequest
	if err := c.Decode(&in); err != nil {
		return web.Response{}, err
	}
	events, err := in.events()
	if err != nil {
		return web.Response{}, err
	}
	got, err := s.registry.RecordEvents(c.Ctx, c.by, events)
	bodies := make([]recordedBody, len(got.Value))
	for i, e := range got.Value {
		bodies[i] = recordedBody{e.ID, e.Hash}
	}
	return web.Response{Status: http.StatusCreated, Replayed: got.Replayed, Body: bodies}, err
}

// events translates the events. If a fault is found here, all that could be found further on are told, too. Of more
// events than are allowed the rest is looked at no further.
func (in bulkRequest) events() ([]audit.Event, error) {
	events := make([]audit.Event, len(in.Events))
	faults := make([][]violation.Violation, len(in.Events))
	found := false
	for i := range in.Events[:min(len(in.Events), registry.MaxBulk)] {
		if in.Events[i] == nil {
			faults[i] = []violation.Violation{{Message: violation.Type("an object")}}
		} else {
			events[i], faults[i] = in.Events[i].event()
		}
		found = found || len(faults[i]) > 0
	}
	if !found {
		return events, nil
	}
	var all []violation.Violation
	for i := range faults[:min(len(faults), registry.MaxBulk)] {
		if in.Events[i] != nil {
			faults[i] = append(faults[i], registry.EventViolations(events[i])...)
		}
		for _, fault := range faults[i] {
			fault.Pointer = "/events/" + strconv.Itoa(i) + fault.Pointer
			all = append(all, fault)
		}
	}
	return nil, web.Invalid(all...)
}

// event translates the body, and finds the faults that cannot be told from absence further on.
func (in eventRequest) event() (audit.Event, []violation.Violation) {
	e := audit.Event{
		Action: in.Action, CRUD: audit.CRUD(in.CRUD), Actor: in.Actor.party(), Target: in.Target.party(),
		SourceIP: in.SourceIP, Description: in.Description, IsFailure: in.IsFailure, IsAnonymous: in.IsAnonymous,
		Fields:    web.StringMap(in.Fields),
		Component: in.Component, Version: in.Version, ExternalID: in.ExternalID, Metadata: web.StringMap(in.Metadata),
		CorrelationID: in.CorrelationID,
	}
	var faults []violation.Violation
	fault := func(pointer, message string) {
		faults = append(faults, violation.Violation{Pointer: pointer, Message: message})
	}
	if in.Created.Time != nil {
		if e.Created = *in.Created.Time; e.Created.IsZero() { // further on that would be now
			fault("/created", violation.Years)
		}
	}
	if in.Group != nil {
		e.GroupID, e.SentGroupID, e.GroupName = in.Group.ID.UUID, in.Group.ID.Sent, in.Group.Name
		if e.GroupID == uuid.Nil {
			fault("/group/id", violation.TenantID)
			e.GroupName = ""
		}
	}
	return e, faults
}

func (p *partyRequest) party() audit.Party {
	if p == nil {
		return audit.Party{}
	}
	if p.Fields == nil && p.ID == "" {
		p.Fields = map[string]web.Text{} // so that one without any member is not taken for absent
	}
	return audit.Party{ID: p.ID, Name: p.Name, Href: p.Href, Type: p.Type, Fields: web.StringMap(p.Fields)}
}
