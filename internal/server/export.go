package server

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// chainBody is where a chain stands.
type chainBody struct {
	TenantID *uuid.UUID `json:"tenant_id"` // null: the platform's own
	Size     int64      `json:"size"`
	Head     string     `json:"head"`
}

func (s *Server) auditChain(c *call) (answer, error) {
	group := c.query.id("tenant_id")
	if err := c.query.err(); err != nil {
		return answer{}, err
	}
	head, err := s.registry.Chain(c.ctx, c.by, group)
	if err != nil {
		return answer{}, err
	}
	s.guard.Read(c.by, chainOf(group))
	if group != nil && *group == uuid.Nil {
		group = nil
	}
	return answer{status: http.StatusOK, body: chainBody{group, head.Seq, head.Hash}}, nil
}

// chainOf is the chain that a parameter names: the platform's if it is absent.
func chainOf(group *uuid.UUID) *uuid.UUID {
	if group == nil {
		return &uuid.Nil
	}
	return group
}

func (s *Server) auditCheckpoint(c *call) (answer, error) {
	group := c.query.id("tenant_id")
	if err := c.query.err(); err != nil {
		return answer{}, err
	}
	text, err := s.registry.Checkpoint(c.ctx, c.by, group)
	if err == nil {
		s.guard.Read(c.by, chainOf(group))
	}
	return answer{status: http.StatusOK, raw: []byte(text), contentType: "text/plain; charset=utf-8"}, err
}

func (s *Server) auditExport(c *call) (answer, error) {
	part := registry.ExportRange{GroupID: c.query.id("tenant_id"), From: c.query.seq("from_seq"), To: c.query.seq("to_seq")}
	format := c.query.oneOf("format", "ndjson", "csv")
	list := "audit-export:" + scopeName(part.GroupID)
	part.Behind = c.query.position(list, maxSeq)
	if c.query.values.Has("cursor") && c.query.values.Has("from_seq") {
		c.query.add("from_seq", "must not stand beside cursor")
	}
	if err := c.query.err(); err != nil {
		return answer{}, err
	}
	x, err := s.registry.Export(c.ctx, c.by, part)
	if err != nil {
		return answer{}, err
	}
	if c.r.Method == http.MethodHead || x.Last < x.First { // nothing is taken
		s.guard.Read(c.by, &x.GroupID)
	} else {
		s.guard.Exported(c.by, x.GroupID, map[string]string{
			"format": format, "from_seq": strconv.FormatInt(x.First, 10), "to_seq": strconv.FormatInt(x.Last, 10),
		})
	}
	a := answer{status: http.StatusOK, filename: exportName(x, format)}
	if format == "csv" {
		a.contentType, a.stream = "text/csv; charset=utf-8", func(w io.Writer) error { return writeCSV(c, x, w) }
		return a, nil
	}
	cursor := func(seq int64) string { return sealCursor(list, strconv.FormatInt(seq, 10)) }
	a.contentType, a.stream = "application/x-ndjson", func(w io.Writer) error { return x.NDJSON(c.ctx, w, cursor) }
	return a, nil
}

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
	value func(e *registry.AuditEvent) string
}{
	{"seq", func(e *registry.AuditEvent) string { return strconv.FormatInt(e.Seq, 10) }},
	{"id", func(e *registry.AuditEvent) string { return e.ID.String() }},
	{"group_id", func(e *registry.AuditEvent) string { return groupText(e.GroupID) }},
	{"group_name", func(e *registry.AuditEvent) string { return e.GroupName }},
	{"action", func(e *registry.AuditEvent) string { return e.Action }},
	{"crud", func(e *registry.AuditEvent) string { return string(e.CRUD) }},
	{"actor_id", func(e *registry.AuditEvent) string { return e.Actor.ID }},
	{"actor_name", func(e *registry.AuditEvent) string { return e.Actor.Name }},
	{"actor_href", func(e *registry.AuditEvent) string { return e.Actor.Href }},
	{"actor_type", func(e *registry.AuditEvent) string { return e.Actor.Type }},
	{"actor_fields", func(e *registry.AuditEvent) string { return mapText(e.Actor.Fields) }},
	{"target_id", func(e *registry.AuditEvent) string { return e.Target.ID }},
	{"target_name", func(e *registry.AuditEvent) string { return e.Target.Name }},
	{"target_href", func(e *registry.AuditEvent) string { return e.Target.Href }},
	{"target_type", func(e *registry.AuditEvent) string { return e.Target.Type }},
	{"target_fields", func(e *registry.AuditEvent) string { return mapText(e.Target.Fields) }},
	{"source_ip", func(e *registry.AuditEvent) string { return e.SourceIP }},
	{"description", func(e *registry.AuditEvent) string { return e.Description }},
	{"is_failure", func(e *registry.AuditEvent) string { return strconv.FormatBool(e.IsFailure) }},
	{"is_anonymous", func(e *registry.AuditEvent) string { return strconv.FormatBool(e.IsAnonymous) }},
	{"fields", func(e *registry.AuditEvent) string { return mapText(e.Fields) }},
	{"component", func(e *registry.AuditEvent) string { return e.Component }},
	{"version", func(e *registry.AuditEvent) string { return e.Version }},
	{"external_id", func(e *registry.AuditEvent) string { return e.ExternalID }},
	{"metadata", func(e *registry.AuditEvent) string { return mapText(e.Metadata) }},
	{"created", func(e *registry.AuditEvent) string { return registry.FormatTime(e.Created) }},
	{"received", func(e *registry.AuditEvent) string { return registry.FormatTime(e.Received) }},
	{"correlation_id", func(e *registry.AuditEvent) string { return e.CorrelationID }},
	{"emitter_id", func(e *registry.AuditEvent) string { return e.EmitterID }},
	{"emitter_name", func(e *registry.AuditEvent) string { return e.EmitterName }},
	{"hash", func(e *registry.AuditEvent) string { return e.Hash }},
	{"prev_chain_hash", func(e *registry.AuditEvent) string { return e.PrevChainHash }},
	{"chain_hash", func(e *registry.AuditEvent) string { return e.ChainHash }},
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
	err := x.Pages(c.ctx, func(events []registry.AuditEvent) error {
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

// harmless keeps a spreadsheet from taking a text for a formula.
func harmless(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}
