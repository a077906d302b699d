package server

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
	"github.com/breakpilot/tenant-registry/internal/timestamp"
	"github.com/breakpilot/tenant-registry/internal/violation"
)

// chainBody is where a chain stands.
type chainBody struct {
	TenantID *uuid.UUID `json:"tenant_id"` // null: the platform's own
	Size     int64      `json:"size"`
	Head     string     `json:"head"`
}

func (s *Server) auditChain(c *call) (web.Response, error) {
	group := c.Query.UUID("tenant_id")
	if err := c.Query.Err(); err != nil {
		return web.Response{}, err
	}
	head, err := s.registry.Chain(c.Ctx, c.by, group)
	if err != nil {
		return web.Response{}, err
	}
	if group != nil && *group == uuid.Nil {
		group = nil
	}
	return web.Response{Status: http.StatusOK, Body: chainBody{group, head.Seq, head.Hash}}, nil
}

func (s *Server) auditCheckpoint(c *call) (web.Response, error) {
	group := c.Query.UUID("tenant_id")
	if err := c.Query.Err(); err != nil {
		return web.Response{}, err
	}
	text, err := s.registry.Checkpoint(c.Ctx, c.by, group)
	return web.Response{Status: http.StatusOK, Raw: []byte(text), ContentType: "text/plain; charset=utf-8"}, err
}

func (s *Server) auditExport(c *call) (web.Response, error) {
	r := registry.ExportRequest{
		GroupID: c.Query.UUID("tenant_id"), From: c.Query.Int("from_seq", 1, web.MaxSafeInteger),
		To:     c.Query.Int("to_seq", 1, web.MaxSafeInteger),
		Format: c.Query.OneOf("format", "ndjson", "csv"), Head: c.Method == http.MethodHead,
	}
	list := exportList(r.GroupID)
	r.Cursor = c.Query.Cursor(list)
	if c.Query.Has("cursor") && c.Query.Has("from_seq") {
		c.Query.Add("from_seq", violation.NotCombinable("cursor"))
	}
	if err := c.Query.Err(); err != nil {
		return web.Response{}, err
	}
	x, err := s.registry.Export(c.Ctx, c.by, r)
	if err != nil {
		return web.Response{}, err
	}
	a := web.Response{Status: http.StatusOK, Filename: exportName(x, r.Format), Done: x.Close}
	if r.Format == "csv" {
		a.ContentType, a.Stream = "text/csv; charset=utf-8", func(w io.Writer) error { return writeCSV(c, x, w) }
		return a, nil
	}
	cursor := func(place string) string { return web.SealCursor(list, place) }
	a.ContentType, a.Stream = ndjson, func(w io.Writer) error {
		err := x.NDJSON(c.Ctx, w, cursor)
		if errors.Is(err, registry.ErrDraining) { // the trailer says where another export continues
			return nil
		}
		return err
	}
	return a, nil
}

// exportList is the list to which the cursors of a chain's exports belong.
func exportList(group *uuid.UUID) string { return "audit-export:" + scopeName(group) }

func exportName(x *registry.Export, format string) string {
	group := "platform"
	if x.GroupID != uuid.Nil {
		group = x.GroupID.String()
	}
	return fmt.Sprintf("audit-%s-%d-%d.%s", group, x.First, x.Last, format)
}

// csvColumns are the columns of an export as CSV, and what stands in them.
var csvColumns = []struct {
	name  string
	value func(e *audit.Event) string
}{
	{"seq", func(e *audit.Event) string { return strconv.FormatInt(e.Seq, 10) }},
	{"id", func(e *audit.Event) string { return e.ID.String() }},
	{"group_id", func(e *audit.Event) string { return groupText(e.GroupID) }},
	{"group_name", func(e *audit.Event) string { return e.GroupName }},
	{"action", func(e *audit.Event) string { return e.Action }},
	{"crud", func(e *audit.Event) string { return string(e.CRUD) }},
	{"actor_id", func(e *audit.Event) string { return e.Actor.ID }},
	{"actor_name", func(e *audit.Event) string { return e.Actor.Name }},
	{"actor_href", func(e *audit.Event) string { return e.Actor.Href }},
	{"actor_type", func(e *audit.Event) string { return e.Actor.Type }},
	{"actor_fields", func(e *audit.Event) string { return mapText(e.Actor.Fields) }},
	{"on_behalf_of_id", func(e *audit.Event) string { return e.OnBehalfOf.ID }},
	{"on_behalf_of_name", func(e *audit.Event) string { return e.OnBehalfOf.Name }},
	{"target_id", func(e *audit.Event) string { return e.Target.ID }},
	{"target_name", func(e *audit.Event) string { return e.Target.Name }},
	{"target_href", func(e *audit.Event) string { return e.Target.Href }},
	{"target_type", func(e *audit.Event) string { return e.Target.Type }},
	{"target_fields", func(e *audit.Event) string { return mapText(e.Target.Fields) }},
	{"source_ip", func(e *audit.Event) string { return e.SourceIP }},
	{"description", func(e *audit.Event) string { return e.Description }},
	{"is_failure", func(e *audit.Event) string { return strconv.FormatBool(e.IsFailure) }},
	{"is_anonymous", func(e *audit.Event) string { return strconv.FormatBool(e.IsAnonymous) }},
	{"fields", func(e *audit.Event) string { return mapText(e.Fields) }},
	{"component", func(e *audit.Event) string { return e.Component }},
	{"version", func(e *audit.Event) string { return e.Version }},
	{"external_id", func(e *audit.Event) string { return e.ExternalID }},
	{"metadata", func(e *audit.Event) string { return mapText(e.Metadata) }},
	{"created", func(e *audit.Event) string { return timestamp.Format(e.Created) }},
	{"received", func(e *audit.Event) string { return timestamp.Format(e.Received) }},
	{"correlation_id", func(e *audit.Event) string { return e.CorrelationID }},
	{"emitter_id", func(e *audit.Event) string { return e.Emitter.ID }},
	{"emitter_name", func(e *audit.Event) string { return e.Emitter.Name }},
	{"hash", func(e *audit.Event) string { return e.Hash }},
	{"erased", func(e *audit.Event) string { return strings.Join(erasedParts(e), " ") }},
	{"prev_chain_hash", func(e *audit.Event) string { return e.PrevChainHash }},
	{"chain_hash", func(e *audit.Event) string { return e.ChainHash }},
}

func groupText(group uuid.UUID) string {
	if group == uuid.Nil {
		return ""
	}
	return group.String()
}

// mapText is a map as JSON; empty if it is absent.
func mapText(m map[string]string) string {
	if m == nil {
		return ""
	}
	text, err := json.Marshal(m, json.Deterministic(true))
	if err != nil { // stores hold valid UTF-8
		panic(err)
	}
	return string(text)
}

// writeCSV writes an export as CSV, a page at a time, with the names of the columns first.
func writeCSV(c *call, x *registry.Export, w io.Writer) error {
	var text bytes.Buffer
	out := csv.NewWriter(&text) // whose CRLF would change the texts in the cells, too
	row := make([]string, len(csvColumns))
	for i, column := range csvColumns {
		row[i] = column.name
	}
	send := func() error {
		out.Flush()
		_, err := w.Write(text.Bytes())
		text.Reset()
		return err
	}
	if err := out.Write(row); err != nil {
		return err
	}
	err := x.Pages(c.Ctx, func(events []audit.Event) error {
		for i := range events {
			for j, column := range csvColumns {
				row[j] = harmless(column.value(&events[i]))
			}
			if err := out.Write(row); err != nil {
				return err
			}
		}
		return send()
	})
	if err == nil && x.Last < x.First { // nothing was sent
		err = send()
	}
	return err
}
