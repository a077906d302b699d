package server

import (
	"math"
	"net/http"
	"strconv"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
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
	Fields        map[string]wireText `json:"fields"`
	Component     string              `json:"component"`
	Version       string              `json:"version"`
	ExternalID    string              `json:"external_id"`
	Metadata      map[string]wireText `json:"metadata"`
	Created       wireTime            `json:"created"`
	CorrelationID string              `json:"correlation_id"`
}

type groupRequest struct {
	ID   wireID `json:"id"`
	Name string `json:"name"`
}

type partyRequest struct {
	ID     string              `json:"id"`
	Name   string              `json:"name"`
	Href   string              `json:"href"`
	Type   string              `json:"type"`
	Fields map[string]wireText `json:"fields"`
}

// eventBody is an event as every answer shows it.
type eventBody struct {
	ID            uuid.UUID          `json:"id"`
	Seq           int64              `json:"seq"`
	Action        string             `json:"action"`
	CRUD          registry.CRUD      `json:"crud"`
	Group         *groupBody         `json:"group"`
	Actor         *partyBody         `json:"actor"`
	Target        *partyBody         `json:"target"`
	SourceIP      *string            `json:"source_ip"`
	Description   *string            `json:"description"`
	IsFailure     bool               `json:"is_failure"`
	IsAnonymous   bool               `json:"is_anonymous"`
	Fields        *map[string]string `json:"fields"`
	Component     *string            `json:"component"`
	Version       *string            `json:"version"`
	ExternalID    *string            `json:"external_id"`
	Metadata      *map[string]string `json:"metadata"`
	Created       string             `json:"created"`
	Received      string             `json:"received"`
	CorrelationID *string            `json:"correlation_id"`
	Emitter       *emitterBody       `json:"emitter"`
	Hash          string             `json:"hash"`
	PrevChainHash string             `json:"prev_chain_hash"`
	ChainHash     string             `json:"chain_hash"`
}

type groupBody struct {
	ID   uuid.UUID `json:"id"`
	Name *string   `json:"name"`
}

// emitterBody is who reported an event, which its actor need not be.
type emitterBody struct {
	ID   string  `json:"id"`
	Name *string `json:"name"`
}

type partyBody struct {
	ID     string             `json:"id"`
	Name   *string            `json:"name"`
	Href   *string            `json:"href"`
	Type   *string            `json:"type"`
	Fields *map[string]string `json:"fields"`
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

func (s *Server) recordEvent(c *call) (answer, error) {
	var in eventRequest
	if err := c.decode(&in); err != nil {
		return answer{}, err
	}
	e, faults := in.event()
	if len(faults) > 0 {
		return answer{}, invalid(append(faults, e.Violations()...)...)
	}
	e, err := s.registry.RecordEvent(c.ctx, c.by, e)
	return answer{status: http.StatusCreated, location: "/v1/audit/" + e.ID.String(), body: recordedBody{e.ID, e.Hash}}, err
}

func (s *Server) recordEvents(c *call) (answer, error) {
	var in bulkRequest
	if err := c.decode(&in); err != nil {
		return answer{}, err
	}
	events, err := in.events()
	if err != nil {
		return answer{}, err
	}
	written, err := s.registry.RecordEvents(c.ctx, c.by, events)
	bodies := make([]recordedBody, len(written))
	for i, e := range written {
		bodies[i] = recordedBody{e.ID, e.Hash}
	}
	return answer{status: http.StatusCreated, body: bodies}, err
}

// events translates the events. If a fault is found here, all that could be found further on are told, too. Of more events than are allowed the
// rest is looked at no further.
func (in bulkRequest) events() ([]registry.AuditEvent, error) {
	events := make([]registry.AuditEvent, len(in.Events))
	faults := make([][]registry.Violation, len(in.Events))
	found := false
	for i := range in.Events[:min(len(in.Events), registry.MaxBulk)] {
		if in.Events[i] == nil {
			faults[i] = []registry.Violation{{Message: "must be an object"}}
		} else {
			events[i], faults[i] = in.Events[i].event()
		}
		found = found || len(faults[i]) > 0
	}
	if !found {
		return events, nil
	}
	var all []registry.Violation
	for i := range faults[:min(len(faults), registry.MaxBulk)] {
		if in.Events[i] != nil {
			faults[i] = append(faults[i], events[i].Violations()...)
		}
		for _, fault := range faults[i] {
			fault.Pointer = "/events/" + strconv.Itoa(i) + fault.Pointer
			all = append(all, fault)
		}
	}
	return nil, invalid(all...)
}

// event translates the body, and finds the faults that cannot be told from absence further on.
func (in eventRequest) event() (registry.AuditEvent, []registry.Violation) {
	e := registry.AuditEvent{
		Action: in.Action, CRUD: registry.CRUD(in.CRUD), Actor: in.Actor.party(), Target: in.Target.party(), SourceIP: in.SourceIP,
		Description: in.Description, IsFailure: in.IsFailure, IsAnonymous: in.IsAnonymous, Fields: textMap(in.Fields),
		Component: in.Component, Version: in.Version, ExternalID: in.ExternalID, Metadata: textMap(in.Metadata),
		CorrelationID: in.CorrelationID,
	}
	var faults []registry.Violation
	fault := func(pointer, message string) {
		faults = append(faults, registry.Violation{Pointer: pointer, Message: message})
	}
	if in.Created.Time != nil {
		if e.Created = *in.Created.Time; e.Created.IsZero() { // further on that would be now
			fault("/created", "must lie in the years 1970 to 9999")
		}
	}
	if in.Group != nil {
		e.GroupID, e.GroupName = in.Group.ID.UUID, in.Group.Name
		if e.GroupID == uuid.Nil {
			fault("/group/id", "must be the id of a tenant")
			e.GroupName = ""
		}
	}
	return e, faults
}

func (p *partyRequest) party() registry.Party {
	if p == nil {
		return registry.Party{}
	}
	if p.Fields == nil && p.ID == "" {
		p.Fields = map[string]wireText{} // so that one without any member is not taken for absent
	}
	return registry.Party{ID: p.ID, Name: p.Name, Href: p.Href, Type: p.Type, Fields: textMap(p.Fields)}
}

func (s *Server) audit(c *call) (answer, error) {
	q := registry.AuditQuery{
		GroupID: c.query.id("tenant_id"), Ascending: c.query.oneOf("order", "desc", "asc") == "asc", Limit: c.query.limit(),
		ActorID: c.query.text("actor_id", registry.MaxID), TargetID: c.query.text("target_id", registry.MaxID),
		CorrelationID: c.query.text("correlation_id", registry.MaxID), IsFailure: c.query.flag("is_failure"),
		CRUD: registry.CRUD(c.query.oneOf("crud", "", "c", "r", "u", "d")), CreatedFrom: c.query.time("created_from"),
		CreatedBefore: c.query.time("created_before"),
	}
	wait := c.query.wait(q.Ascending)
	if c.query.values.Has("action") {
		if err := q.ActionFilter(c.query.values.Get("action")); err != nil {
			c.query.add("action", err.Error())
		}
	}
	list := "audit:" + strconv.FormatBool(q.Ascending) + ":" + scopeName(q.GroupID)
	q.After = c.query.position(list, math.MaxInt64)
	if err := c.query.err(); err != nil {
		return answer{}, err
	}
	found, err := s.registry.Follow(c.ctx, c.by, q, wait)
	if err != nil {
		return answer{}, err
	}
	s.guard.Read(c.by, q.GroupID)
	p := page[eventBody]{Items: make([]eventBody, len(found.Items))}
	for i, e := range found.Items {
		p.Items[i] = eventOf(e)
	}
	if found.More {
		next := sealCursor(list, strconv.FormatInt(found.Next, 10))
		p.NextCursor = &next
	}
	return answer{status: http.StatusOK, body: p}, nil
}

func (s *Server) auditEvent(c *call) (answer, error) {
	id, err := c.pathID()
	if err != nil {
		return answer{}, err
	}
	e, err := s.registry.Event(c.ctx, c.by, id)
	if err == nil {
		s.guard.Read(c.by, &e.GroupID)
	}
	return answer{status: http.StatusOK, body: eventOf(e)}, err
}

func eventOf(e registry.AuditEvent) eventBody {
	b := eventBody{
		ID: e.ID, Seq: e.Seq, Action: e.Action, CRUD: e.CRUD, Actor: partyOf(e.Actor), Target: partyOf(e.Target),
		SourceIP: optional(e.SourceIP), Description: optional(e.Description), IsFailure: e.IsFailure, IsAnonymous: e.IsAnonymous,
		Fields: optionalMap(e.Fields), Component: optional(e.Component), Version: optional(e.Version), ExternalID: optional(e.ExternalID),
		Metadata: optionalMap(e.Metadata), Created: registry.FormatTime(e.Created), Received: registry.FormatTime(e.Received),
		CorrelationID: optional(e.CorrelationID), Hash: e.Hash, PrevChainHash: e.PrevChainHash, ChainHash: e.ChainHash,
	}
	if e.GroupID != uuid.Nil {
		b.Group = &groupBody{ID: e.GroupID, Name: optional(e.GroupName)}
	}
	if e.EmitterID != "" {
		b.Emitter = &emitterBody{ID: e.EmitterID, Name: optional(e.EmitterName)}
	}
	return b
}

func partyOf(p registry.Party) *partyBody {
	if p.ID == "" {
		return nil
	}
	return &partyBody{ID: p.ID, Name: optional(p.Name), Href: optional(p.Href), Type: optional(p.Type), Fields: optionalMap(p.Fields)}
}

// optionalMap keeps a map that is unset apart from one that is empty.
func optionalMap(m map[string]string) *map[string]string {
	if m == nil {
		return nil
	}
	return &m
}
