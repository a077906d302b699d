package server

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"net/http"

	"github.com/go-json-experiment/json"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
)

// recordLine is a line of a tenant's export that is none of its chain's.
type recordLine struct {
	Record string `json:"record"` // the kind of value
	Value  any    `json:"value"`
}

// tenantTrailer is the last line.
type tenantTrailer struct {
	Count  int64  `json:"count"`  // lines before this one
	SHA256 string `json:"sha256"` // of them, with their line feeds
}

func (s *Server) exportTenant(c *call) (web.Response, error) {
	id, err := c.PathID()
	if err != nil {
		return web.Response{}, err
	}
	x, err := s.registry.ExportTenant(c.Ctx, c.by, id, c.Method == http.MethodHead)
	if err != nil {
		return web.Response{}, err
	}
	return web.Response{
		Status: http.StatusOK, ContentType: ndjson, Filename: "tenant-" + id.String() + ".ndjson", Done: x.Close,
		Stream: func(out io.Writer) error { return writeTenant(c, x, out) },
	}, nil
}

// writeTenant writes records, then the export of the chain as GET /v1/audit/export does, then the trailer.
func writeTenant(c *call, x *registry.TenantExport, out io.Writer) error {
	w := &lineWriter{out: out, sum: sha256.New()}
	if err := w.record("tenant", tenantOf(x.Tenant)); err != nil {
		return err
	}
	entitlements, err := x.Entitlements(c.Ctx)
	if err != nil {
		return err
	}
	for _, e := range entitlements {
		if err := w.record("entitlement", sourceOf(e, x.At)); err != nil {
			return err
		}
	}
	if err := x.CatalogRequests(c.Ctx, func(r registry.CatalogRequest) error {
		return w.record("catalog_request", requestOf(r))
	}); err != nil {
		return err
	}
	if err := x.APIKeys(c.Ctx, func(k registry.APIKey) error { return w.record("api_key", keyOf(k)) }); err != nil {
		return err
	}
	cursor := func(place string) string { return web.SealCursor(exportList(&x.Tenant.ID), place) }
	if err := x.Chain.NDJSON(c.Ctx, w, cursor); err != nil {
		return err
	}
	text, err := json.Marshal(tenantTrailer{w.lines, hex.EncodeToString(w.sum.Sum(nil))})
	if err != nil {
		return err
	}
	_, err = out.Write(append(text, '\n'))
	return err
}

// lineWriter counts and hashes lines.
type lineWriter struct {
	out   io.Writer
	sum   hash.Hash
	lines int64
}

// Write implements io.Writer.
func (w *lineWriter) Write(text []byte) (int, error) {
	for _, b := range text {
		if b == '\n' {
			w.lines++
		}
	}
	w.sum.Write(text)
	return w.out.Write(text)
}

func (w *lineWriter) record(kind string, value any) error {
	text, err := json.Marshal(recordLine{kind, value}, json.Deterministic(true))
	if err != nil {
		return err
	}
	_, err = w.Write(append(text, '\n'))
	return err
}
