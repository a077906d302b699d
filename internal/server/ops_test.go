package server

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

func TestReady(t *testing.T) {
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
			"The store cannot be reached.":               fmt.Errorf("%w: %s", registry.ErrUnavailable, secretCause),
			"The schema is too old: run make migrate-up": &registry.UnreadyError{Reason: "The schema is too old: run make migrate-up"},
		} {
			broken := failing(api, func(string) error { return fault })
			if p := broken.get("/readyz").wantHeader("Retry-After", "2").wantProblem("not_ready"); p.Detail != reason {
				t.Errorf("/readyz says %q, want %q", p.Detail, reason)
			}
			broken.get("/healthz").want(http.StatusOK)
		}
	})
}

func TestDrain(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		api.get("/readyz").want(http.StatusOK)
		api.server.Drain()
		api.get("/readyz").wantProblem("not_ready")
		api.get("/healthz").want(http.StatusOK)
		api.tenant("globex")
	})
}

func TestSpecIsServed(t *testing.T) {
	t.Parallel()
	api := newClient(t, memory.New(), registry.Options{})
	text := api.get("/openapi.yaml").want(http.StatusOK).wantHeader("Content-Type", "application/yaml").wantHeader("Cache-Control", "public, max-age=300")
	if string(text.body) != string(specYAML) {
		t.Error("/openapi.yaml is not the document")
	}
	if got := as[object](api.get("/openapi.json").want(http.StatusOK)); got["openapi"] != "3.0.3" || len(got["paths"].(object)) != theContract().doc.Paths.Len() {
		t.Error("/openapi.json is not the document")
	}
	for _, target := range as[struct{ Links map[string]string }](api.get("/").want(http.StatusOK)).Links {
		api.get(target).want(http.StatusOK)
	}
}

// Every type of a problem leads to a page about it.
func TestProblemPages(t *testing.T) {
	t.Parallel()
	api := newClient(t, memory.New(), registry.Options{})
	for code, kind := range problems {
		got := as[object](api.get("/problems/" + code).want(http.StatusOK))
		if got["type"] != "/problems/"+code || got["title"] != kind.Title || got["status"] != float64(kind.Status) || got["help"] == "" {
			t.Errorf("/problems/%s says %v", code, got)
		}
	}
	api.send(request{method: http.MethodGet, target: "/problems/unknown"}).wantProblem("not_found")
}

// logLines are the lines of a server's log with this message.
func (c *client) logLines(message string) []object {
	c.t.Helper()
	var found []object
	for line := range strings.Lines(c.log.String()) {
		var entry object
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			c.t.Fatalf("the log line %q: %v", line, err)
		}
		if entry["msg"] == message {
			found = append(found, entry)
		}
	}
	return found
}

// TestLog asserts that each request is one line, with its id and the route's pattern, and without what was sent.
func TestLog(t *testing.T) {
	t.Parallel()
	api := newClient(t, memory.New(), registry.Options{})
	want := []object{
		{"method": "GET", "route": "GET /v1/tenants/by-slug/{slug}", "status": 404.0, "level": "INFO"},
		{"method": "GET", "route": "GET /v1/audit", "status": 400.0, "level": "INFO"},
		{"method": "GET", "route": "GET /healthz", "status": 200.0, "level": "DEBUG"},
		{"method": "GET", "route": "", "status": 404.0, "level": "INFO"},
		{"method": "OTHER", "route": "", "status": 405.0, "level": "INFO"},
		{"method": "POST", "route": "POST /v1/tenants", "status": 201.0, "level": "INFO"},
	}
	var ids []string
	for _, r := range []request{
		{method: http.MethodGet, target: "/v1/tenants/by-slug/canary-1"},
		{method: http.MethodGet, target: "/v1/audit?actor_id=canary-2&x=canary-3"},
		{method: http.MethodGet, target: "/healthz"},
		{method: http.MethodGet, target: "/canary-4"},
		{method: "CANARY-5", target: "/v1/audit"},
		jsonRequest("/v1/tenants", object{"slug": "canary-6", "name": "canary-7"}),
	} {
		ids = append(ids, api.send(r).header.Get("X-Request-Id"))
	}
	lines := api.logLines("request")
	if len(lines) != len(want) {
		t.Fatalf("%d requests are %d lines: %s", len(want), len(lines), api.log)
	}
	for i, line := range lines {
		for name, value := range want[i] {
			if line[name] != value {
				t.Errorf("line %d: %s is %v, want %v", i, name, line[name], value)
			}
		}
		if line["request_id"] != ids[i] || line["bytes"] == nil || line["ms"] == nil {
			t.Errorf("line %d: %v", i, line)
		}
	}
	if log := strings.ToLower(api.log.String()); strings.Contains(log, "canary") {
		t.Errorf("the log has what was sent: %s", log)
	}
}

// A request that ends in a panic is one line of the log too.
func TestLog_panic(t *testing.T) {
	t.Parallel()
	api := startServer(t, memory.New(), registry.Options{}, inject(func() { panic("broken") }))
	api.get("/healthz").wantProblem("internal")
	if lines := api.logLines("request"); len(lines) != 1 || lines[0]["status"] != 500.0 {
		t.Errorf("a panic is logged as %v", lines)
	}
}

func TestRequestID(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		longest := strings.Repeat("a", 128)
		for _, given := range [][]string{{"x"}, {"A-Z.a_z-0.9"}, {longest}} {
			p := api.send(request{method: http.MethodGet, target: "/v1/nothing", header: http.Header{"X-Request-Id": given}}).
				wantHeader("X-Request-Id", given[0]).wantProblem("not_found")
			if p.RequestID != given[0] {
				t.Errorf("request_id is %q, want %q", p.RequestID, given[0])
			}
		}
		for _, given := range [][]string{nil, {""}, {longest + "a"}, {"a b"}, {"a/b"}, {"ä"}, {"a,b"}, {"one", "two"}, {"same", "same"}, {`"x"`}, {unknownKey}, {"a-bp_live_b"}} {
			got := api.send(request{method: http.MethodGet, target: "/v1/nothing", header: http.Header{"X-Request-Id": given}})
			if id := got.header.Get("X-Request-Id"); slices.Contains(given, id) || len(id) != 36 {
				t.Errorf("%q becomes %q", given, id)
			}
		}
		made := api.tenant("globex")
		activated := api.post(join("/v1/tenants", made.ID, "activate"), nil)
		if found := api.found("correlation_id=" + activated.header.Get("X-Request-Id")); !slices.Equal(found, []string{"tenant.activate"}) {
			t.Errorf("the audit event of the request is %q", found)
		}
	})
}
