package server

import (
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
	"github.com/breakpilot/tenant-registry/internal/timestamp"
	"github.com/breakpilot/tenant-registry/internal/violation"
)

// eventBody is an event as every answer shows it.
type eventBody struct {
	ID            uuid.UUID          `json:"id"`
	Seq           int64              `json:"seq"`
	Action        string             `json:"action"`
	CRUD          audit.CRUD         `json:"crud"`
	Group         *groupBody         `json:"group"`
	Actor         *partyBody         `json:"actor"`
	OnBehalfOf    *namedBody         `json:"on_behalf_of"`
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
	Emitter       *namedBody         `json:"emitter"`
	Hash          *string            `json:"hash"`
	Erase         *eraseBody         `json:"erase"`
	Erased        []string           `json:"erased"`
	PrevChainHash string             `json:"prev_chain_hash"`
	ChainHash     string             `json:"chain_hash"`
}

// eraseBody is what an erasure took, in its event.
type eraseBody struct {
	Events int64 `json:"events"`
	Parts  int64 `json:"parts"`
	First  int64 `json:"first"`
}

type groupBody struct {
	ID   uuid.UUID `json:"id"`
	Name *string   `json:"name"`
}

// namedBody is who reported an event, which its actor need not be, or whom the caller claimed to act for.
type namedBody struct {
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

func (s *Server) audit(c *call) (web.Response, error) {
	q := registry.AuditQuery{
		PageRequest: registry.PageRequest{Limit: c.Query.Limit()}, GroupID: c.Query.UUID("tenant_id"),
		Ascending: c.Query.OneOf("order", "desc", "asc") == "asc",
		ActorID:   c.Query.Text("actor_id", registry.MaxID), TargetID: c.Query.Text("target_id", registry.MaxID),
		CorrelationID: c.Query.Text("correlation_id", registry.MaxID), IsFailure: c.Query.Flag("is_failure"),
		CRUD: audit.CRUD(c.Query.OneOf("crud", "", "c", "r", "u", "d")), CreatedFrom: c.Query.Time("created_from"),
		CreatedBefore: c.Query.Time("created_before"), EmitterID: c.Query.Text("emitter_id", registry.MaxID),
		Own: c.Query.Flag("own"),
	}
	wait := c.longPoll(q.Ascending)
	if c.Query.Has("action") {
		if err := q.ActionFilter(c.Query.Get("action")); err != nil {
			c.Query.Add("action", err.Error())
		}
	}
	lines := web.Accepts(c.Header, ndjson)
	if lines && !q.Ascending {
		c.Query.Add("order", violation.LinesAscending)
	}
	list := "audit:" + strconv.FormatBool(q.Ascending) + ":" + scopeName(q.GroupID)
	q.Cursor = c.Query.Cursor(list)
	if err := c.Query.Err(); err != nil {
		return web.Response{}, err
	}
	page, err := s.registry.Follow(c.Ctx, c.by, q, wait)
	if err != nil {
		return web.Response{}, err
	}
	if lines {
		return linesOf(page, list), nil
	}
	return web.Response{Status: http.StatusOK, Body: pageOf(page, list, eventOf)}, nil
}

const ndjson = "application/x-ndjson"

// linesOf answers a page as lines of an export.
func linesOf(p registry.Page[audit.Event], list string) web.Response {
	lines := []byte{}
	for i := range p.Items {
		lines = audit.AppendLine(lines, &p.Items[i])
	}
	return web.Response{
		Status: http.StatusOK, Raw: lines, ContentType: ndjson, NextCursor: web.SealCursor(list, p.Next),
	}
}

// longPoll reads how long to wait for an event, in whole seconds, which only ascending order can.
func (c *call) longPoll(ascending bool) time.Duration {
	if c.Query.Has("wait") && !ascending {
		c.Query.Add("wait", violation.Requires("order=asc"))
		return 0
	}
	return time.Duration(c.Query.Int("wait", 0, int64(registry.MaxWait/time.Second))) * time.Second
}

func (s *Server) auditEvent(c *call) (web.Response, error) {
	id, err := c.PathID()
	if err != nil {
		return web.Response{}, err
	}
	e, err := s.registry.Event(c.Ctx, c.by, id)
	return web.Response{Status: http.StatusOK, Body: eventOf(e)}, err
}

func eventOf(e audit.Event) eventBody {
	b := eventBody{
		ID: e.ID, Seq: e.Seq, Action: e.Action, CRUD: e.CRUD, Actor: partyOf(e.Actor), Target: partyOf(e.Target),
		SourceIP: optional(e.SourceIP), Description: optional(e.Description), IsFailure: e.IsFailure,
		IsAnonymous: e.IsAnonymous, Fields: optionalMap(e.Fields), Component: optional(e.Component),
		Version: optional(e.Version), ExternalID: optional(e.ExternalID), Metadata: optionalMap(e.Metadata),
		Created: timestamp.Format(e.Created), Received: timestamp.Format(e.Received),
		CorrelationID: optional(e.CorrelationID), OnBehalfOf: namedOf(e.OnBehalfOf), Emitter: namedOf(e.Emitter),
		Hash: optional(e.Hash), Erased: erasedParts(&e), PrevChainHash: e.PrevChainHash, ChainHash: e.ChainHash,
	}
	if e.GroupID != uuid.Nil {
		b.Group = &groupBody{ID: e.GroupID, Name: optional(e.GroupName)}
	}
	if e.Erasure != nil {
		b.Erase = &eraseBody{e.Erasure.Events, e.Erasure.Parts, e.Erasure.First}
	}
	return b
}

// erasedParts are the names of the parts that erasures took from an event.
func erasedParts(e *audit.Event) []string {
	names := []string{}
	for _, p := range audit.AllParts {
		if _, erased := e.Erased[p]; erased {
			names = append(names, p.String())
		}
	}
	return names
}

func namedOf(n audit.Named) *namedBody {
	if n.ID == "" {
		return nil
	}
	return &namedBody{ID: n.ID, Name: optional(n.Name)}
}

func partyOf(p audit.Party) *partyBody {
	if p.ID == "" {
		return nil
	}
	return &partyBody{
		ID: p.ID, Name: optional(p.Name), Href: optional(p.Href), Type: optional(p.Type), Fields: optionalMap(p.Fields),
	}
}

// optionalMap keeps a map that is unset apart from one that is empty.
func optionalMap(m map[string]string) *map[string]string {
	if m == nil {
		return nil
	}
	return &m
}
