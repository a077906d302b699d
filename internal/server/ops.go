package server

import (
	_ "embed"
	"errors"
	"net/http"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// The OpenAPI document: a copy of the one at the root, and the same as JSON. `make generate` makes both, a test compares them.
var (
	//go:embed openapi.yaml
	specYAML []byte
	//go:embed openapi.json
	specJSON []byte
)

// root tells a person who came to the address where to go.
func (s *Server) root(c *call) (answer, error) {
	return answer{status: http.StatusOK, body: struct {
		Service string            `json:"service"`
		Version string            `json:"version"`
		Links   map[string]string `json:"links"`
	}{"tenant-registry", s.version, map[string]string{
		"openapi": "/openapi.yaml", "openapi_json": "/openapi.json", "health": "/healthz", "ready": "/readyz", "catalog": "/v1/catalog",
	}}}, nil
}

// healthz says that the process answers, and touches nothing.
func (s *Server) healthz(*call) (answer, error) {
	return answer{status: http.StatusOK, body: map[string]string{"status": "ok"}}, nil
}

// readyz says whether traffic should come here: the store can be read and written, its schema is clean and new enough, and the
// process is not about to end.
func (s *Server) readyz(c *call) (answer, error) {
	if s.draining.Load() {
		return answer{}, edgeProblem("not_ready", "The process is draining.")
	}
	status, err := s.registry.Ping(c.ctx)
	if err != nil {
		s.log.WarnContext(c.ctx, "not ready", "error", err)
		reason := "The store cannot be reached."
		var unready *registry.UnreadyError
		if errors.As(err, &unready) {
			reason = unready.Reason
		}
		return answer{}, edgeProblem("not_ready", reason)
	}
	return answer{status: http.StatusOK, body: struct {
		Status        string `json:"status"`
		Store         string `json:"store"`
		SchemaVersion uint   `json:"schema_version"`
	}{"ready", status.Store, status.SchemaVersion}}, nil
}

func (s *Server) openapiYAML(*call) (answer, error) {
	return answer{status: http.StatusOK, raw: specYAML, contentType: "application/yaml", cache: "public, max-age=300"}, nil
}

func (s *Server) openapiJSON(*call) (answer, error) {
	return answer{status: http.StatusOK, raw: specJSON, contentType: "application/json", cache: "public, max-age=300"}, nil
}

// problemPage explains the type of a problem to the person who follows it.
func (s *Server) problemPage(c *call) (answer, error) {
	code := c.r.PathValue("code")
	kind, known := problems[code]
	if !known {
		return answer{}, edgeProblem("not_found", "There is no such problem.")
	}
	return answer{status: http.StatusOK, cache: "public, max-age=300", body: struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Help   string `json:"help"`
	}{"/problems/" + code, kind.Title, kind.Status, kind.Help}}, nil
}
