package server

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

func TestOps_readyChecksTheStore(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		got := as[object](api.get("/readyz").want(http.StatusOK))
		name, version := "memory", float64(0)
		if api.dsn != "" {
			name, version = "postgres", 1
		}
		if got["store"] != name || got["schema_version"].(float64) < version {
			t.Errorf("/readyz says %v", got)
		}
		for reason, fault := range map[string]error{
			"The store cannot be reached.": fmt.Errorf("%w: %s", registry.ErrUnavailable, secretCause),
			"The schema is too old: run make migrate-up": &registry.UnreadyError{
				Reason: "The schema is too old: run make migrate-up",
			},
		} {
			broken := failing(api, func(string) error { return fault })
			if p := broken.get("/readyz").wantHeader("Retry-After", "2").wantProblem("not_ready"); p.Detail != reason {
				t.Errorf("/readyz says %q, want %q", p.Detail, reason)
			}
			broken.get("/healthz").want(http.StatusOK)
		}
	})
}

func TestOps_drainEndsReadiness(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		api.get("/readyz").want(http.StatusOK)
		api.server.Drain()
		api.get("/readyz").wantProblem("not_ready")
		api.get("/healthz").want(http.StatusOK)
		api.tenant("globex")
	})
}

func TestOps_documentIsServed(t *testing.T) {
	t.Parallel()
	api := newClient(t, memory.New(), registry.Options{})
	text := api.get("/openapi.yaml").want(http.StatusOK).wantHeader("Content-Type", "application/yaml").wantHeader(
		"Cache-Control", "public, max-age=300",
	)
	if string(text.body) != string(specYAML) {
		t.Error("/openapi.yaml is not the document")
	}
	if got := as[object](api.get("/openapi.json").want(http.StatusOK)); got["openapi"] != "3.0.3" ||
		len(got["paths"].(object)) != theContract().doc.Paths.Len() {
		t.Error("/openapi.json is not the document")
	}
	for _, target := range as[struct{ Links map[string]string }](api.get("/").want(http.StatusOK)).Links {
		api.get(target).want(http.StatusOK)
	}
}

// Every type of a problem leads to a page about it.
func TestOps_problemsHavePages(t *testing.T) {
	t.Parallel()
	api := newClient(t, memory.New(), registry.Options{})
	for code, kind := range problems {
		got := as[object](api.get("/problems/" + code).want(http.StatusOK))
		if got["type"] != "/problems/"+code || got["title"] != kind.Title || got["status"] != float64(kind.Status) ||
			got["help"] == "" {
			t.Errorf("/problems/%s says %v", code, got)
		}
	}
	remedy := as[object](api.get("/problems/invalid_transition").want(http.StatusOK))["remedy"].(string)
	if !strings.Contains(remedy, "If it names none") {
		t.Errorf("a caller of whom no state is allowed is told %q", remedy)
	}
	api.send(request{method: http.MethodGet, target: "/problems/unknown"}).wantProblem("not_found")
}
