package server

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

// logLines are the lines of a server's log with this message.
func (c *client) logLines(message string) []object {
	c.t.Helper()
	return logLines(c.t, c.log.String(), message)
}

// logLines are the lines of a log, or of a part of it, with this message.
func logLines(t *testing.T, log, message string) []object {
	t.Helper()
	var found []object
	for line := range strings.Lines(log) {
		var entry object
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("the log line %q: %v", line, err)
		}
		if entry["msg"] == message {
			found = append(found, entry)
		}
	}
	return found
}

// logged reports whether one line of the log has all of these texts.
func (c *client) logged(texts ...string) bool {
	for line := range strings.Lines(c.log.String()) {
		if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(line, text) }) {
			return true
		}
	}
	return false
}

// TestAccessLog_isOneLinePerRequest asserts that each request is one line, with its id and the route's pattern, and
// without what was sent.
func TestAccessLog_isOneLinePerRequest(t *testing.T) {
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
func TestAccessLog_hasPanics(t *testing.T) {
	t.Parallel()
	api := startServer(t, memory.New(), registry.Options{}, inject(func() { panic("broken") }))
	api.get("/healthz").wantProblem("internal")
	if lines := api.logLines("request"); len(lines) != 1 || lines[0]["status"] != 500.0 {
		t.Errorf("a panic is logged as %v", lines)
	}
}

// TestAccessLog_namesCallersAndReasons asserts that the log names the caller of a request, and the reason of a refusal.
func TestAccessLog_namesCallersAndReasons(t *testing.T) {
	t.Parallel()
	server, who := guarded(newClient(t, memory.New(), registry.Options{}), Config{})
	who.add(user("operator", auth.RoleOperator, ""))
	who.add(service("suite", "", auth.RoleKeysVerify))
	who.add(user("lost", auth.RoleTenantAdmin, "org-of-no-tenant"))
	for _, id := range []string{"operator", "suite", "lost", "stranger"} {
		server.send(fetch("/v1/entitlements?tenant_id="+unknownID.String()).bearer(id).with("X-Request-Id", id))
	}
	server.send(fetch("/v1/nothing").bearer("operator"))
	got := map[string]string{}
	for _, line := range append(server.logLines("authorization denied"), server.logLines("authentication failed")...) {
		got[fmt.Sprint(line["request_id"])] = fmt.Sprint(line["principal"], ": ", line["reason"], ", ", line["route"])
	}
	const route = "GET /v1/entitlements"
	want := map[string]string{
		"suite": "suite: the service account is bound to no product: set the claim product or OIDC_PRODUCT_CLIENTS, " +
			route,
		"lost":     "lost: the user's organisation is no tenant's keycloak_org_id, " + route,
		"stranger": "<nil>: the test has added no such principal, " + route,
	}
	wantEqual(t, "the refusals in the log", got, want)
	var principals []string
	for _, line := range server.logLines("request") {
		principals = append(principals, fmt.Sprint(line["principal"]))
	}
	wantEqual(t, "who called", principals, []string{"operator", "suite", "lost", "", "operator"})
}
