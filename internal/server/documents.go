package server

import (
	_ "embed"
	"net/http"

	"github.com/breakpilot/tenant-registry/internal/docs"
	"github.com/breakpilot/tenant-registry/internal/server/web"
)

// The OpenAPI document: a copy of the one at the root, and the same as JSON. `make generate` makes both, a test
// compares them.
var (
	//go:embed openapi.yaml
	specYAML []byte
	//go:embed openapi.json
	specJSON []byte
)

// document is how a document that changes with the program only is cached.
const document = "public, max-age=300"

// root tells a person who came to the address where to go.
func (s *Server) root(*call) (web.Response, error) {
	links := map[string]string{
		"openapi": "/openapi.yaml", "openapi_json": "/openapi.json", "health": "/healthz", "ready": "/readyz",
		"catalog": "/v1/catalog",
	}
	if s.docs {
		links["docs"] = docs.Root
	}
	return web.Response{Status: http.StatusOK, Body: struct {
		Service string            `json:"service"`
		Version string            `json:"version"`
		Links   map[string]string `json:"links"`
	}{"tenant-registry", s.version, links}}, nil
}

func (s *Server) openapiYAML(*call) (web.Response, error) {
	return web.Response{
		Status: http.StatusOK, Raw: specYAML, ContentType: "application/yaml", CacheControl: document,
	}, nil
}

func (s *Server) openapiJSON(*call) (web.Response, error) {
	return web.Response{
		Status: http.StatusOK, Raw: specJSON, ContentType: "application/json", CacheControl: document,
	}, nil
}

// problemPage explains the type of a problem to a person who follows it.
func (s *Server) problemPage(c *call) (web.Response, error) {
	code := c.PathValue("code")
	kind, known := problems[code]
	if !known {
		return web.Response{}, web.NewProblem(web.CodeNotFound, "There is no such problem.")
	}
	return web.Response{Status: http.StatusOK, CacheControl: document, Body: struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Remedy string `json:"remedy"`
	}{"/problems/" + code, kind.Title, kind.Status, kind.Remedy}}, nil
}

// docsIndex lists the documentation pages.
func (s *Server) docsIndex(*call) (web.Response, error) {
	if !s.docs {
		return web.Response{}, errNoDocs
	}
	return htmlPage(docs.Index()), nil
}

// docsPage shows one documentation page.
func (s *Server) docsPage(c *call) (web.Response, error) {
	html, known := docs.HTML(c.PathValue("page"))
	if !s.docs || !known {
		return web.Response{}, errNoDocs
	}
	return htmlPage(html), nil
}

var errNoDocs = web.NewProblem(web.CodeNotFound, "There is nothing at this path.")

func htmlPage(html []byte) web.Response {
	return web.Response{
		Status: http.StatusOK, Raw: html, ContentType: "text/html; charset=utf-8", CacheControl: document,
		CSP: docs.ContentSecurityPolicy(),
	}
}
