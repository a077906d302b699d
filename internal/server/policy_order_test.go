package server

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
	"github.com/breakpilot/tenant-registry/internal/store/storetest/faultstore"
)

// TestPolicy_comesBeforeInput asserts the order of checks: authentication, then authorization, then the input. Without
// a credential a caller does not even learn which paths and methods there are.
func TestPolicy_comesBeforeInput(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		server, who := guarded(api, Config{})
		nothing, op := who.add(auth.Principal{ID: "no-role"}), who.add(user("operator", auth.RoleOperator, ""))
		big := jsonRequest("/v1/tenants", nil)
		big.body, big.header = strings.Repeat(" ", maxBody+1), http.Header{"Content-Type": {"application/json"}}
		for name, tc := range map[string]struct {
			request           request
			roleless, granted string // the code for a caller without roles, and for the operator
		}{
			"unknown path":     {fetch("/v1/nothing"), "not_found", "not_found"},
			"the root of it":   {fetch("/v1"), "not_found", "not_found"},
			"trailing slash":   {fetch("/v1/"), "not_found", "not_found"},
			"trailing slash 2": {fetch("/v1/catalog/"), "not_found", "not_found"},
			"encoded path":     {fetch("/v1/tenants/%61"), "not_found", "not_found"},
			"encoded slash":    {fetch("/v1%2Ftenants"), "not_found", "not_found"},
			"wrong method": {
				request{method: "PUT", target: "/v1/audit"}, "method_not_allowed", "method_not_allowed",
			},
			"invented method": {
				request{method: "BREW", target: "/v1/audit"}, "method_not_allowed", "method_not_allowed",
			},
			"OPTIONS": {
				request{method: "OPTIONS", target: "/v1/tenants"}, "method_not_allowed", "method_not_allowed",
			},
			"malformed id":      {fetch("/v1/tenants/x"), "forbidden", "invalid_request"},
			"bad query":         {fetch("/v1/catalog?limit=x"), "forbidden", "invalid_request"},
			"unencoded query":   {fetch("/v1/catalog?%zz"), "forbidden", "invalid_request"},
			"unknown parameter": {fetch("/v1/audit?access_token=x"), "forbidden", "invalid_request"},
			"no body":           {jsonRequest("/v1/tenants", nil), "forbidden", "unsupported_media_type"},
			"bad body":          {jsonRequest("/v1/tenants", object{"slug": 1}), "forbidden", "invalid_request"},
			"big body":          {big, "forbidden", "body_too_large"},
			"unknown tenant":    {fetch(join("/v1/tenants", unknownID)), "forbidden", "tenant_not_found"},
		} {
			t.Run(name, func(t *testing.T) {
				server := server.in(t)
				server.send(tc.request).wantHeader(
					"WWW-Authenticate", `Bearer realm="tenant-registry"`,
				).wantProblem("unauthenticated")
				server.send(tc.request.bearer("bad")).wantHeader(
					"WWW-Authenticate", `Bearer realm="tenant-registry", error="invalid_token"`,
				).wantProblem("unauthenticated")
				server.send(tc.request.by(nothing)).wantProblem(tc.roleless)
				server.send(tc.request.by(op)).wantProblem(tc.granted)
			})
		}
	})
}

// TestPolicy_asksNothingOutsideOfTheAPI asserts that paths outside of /v1 need no credential, and ignore a bad one.
func TestPolicy_asksNothingOutsideOfTheAPI(t *testing.T) {
	t.Parallel()
	server, _ := guarded(newClient(t, memory.New(), registry.Options{}), Config{})
	for _, bad := range []http.Header{nil, {"Authorization": {"Bearer bad"}}, {"Authorization": {"a", "b"}}} {
		ask := func(method, target string) *reply {
			return server.send(request{method: method, target: target, header: bad.Clone()})
		}
		for _, target := range []string{
			"/", "/healthz", "/readyz", "/openapi.yaml", "/openapi.json", "/problems/forbidden",
		} {
			ask(http.MethodGet, target).want(http.StatusOK)
			ask(http.MethodHead, target).want(http.StatusOK)
		}
		ask(http.MethodGet, "/nothing").wantProblem("not_found")
		ask(http.MethodGet, "/v2/tenants").wantProblem("not_found")
		ask(http.MethodGet, "//v1/tenants").wantProblem("not_found")
		ask(http.MethodPost, "/healthz").wantHeader("Allow", "GET, HEAD").wantProblem("method_not_allowed")
		ask(http.MethodGet, "/healthz?x=y").wantProblem("invalid_request")
	}
	if lines := server.logLines("authentication failed"); len(lines) != 0 {
		t.Errorf("credentials were looked at: %v", lines)
	}
}

// TestPolicy_isRequired asserts that a program with a route without a policy does not start.
func TestPolicy_isRequired(t *testing.T) {
	t.Parallel()
	func() {
		defer func() {
			if got := fmt.Sprint(recover()); got != "route GET /v1/new has no policy" {
				t.Errorf("without a policy the start says %q", got)
			}
		}()
		newServer(Config{}, []route{{Method: "GET", Path: "/v1/new"}})
	}()
	newServer(Config{}, []route{{Method: "GET", Path: "/v1/new", Roles: roles(operator)}})
	newServer(Config{}, []route{{Method: "GET", Path: "/v1/new", Roles: anyone}})
}

// TestPolicy_failsClosedIfTheTenantIsUnknown asserts that while the caller's tenant cannot be looked up, the answer is
// neither a success nor a refusal.
func TestPolicy_failsClosedIfTheTenantIsUnknown(t *testing.T) {
	t.Parallel()
	api := newClient(t, memory.New(), registry.Options{})
	mine := api.own("globex", "org")
	for name, tc := range map[string]struct {
		fault error
		code  string
	}{"unavailable": {registry.ErrUnavailable, "unavailable"}, "broken": {fmt.Errorf("broken"), "internal"}} {
		store := faultstore.New(api.store, faultstore.On("GetTenantByKeycloakOrg", tc.fault))
		server, who := guarded(&client{t: t, store: store, clock: api.clock}, Config{})
		admin, op :=
			who.add(user("admin", auth.RoleTenantAdmin, "org")), who.add(user("operator", auth.RoleOperator, ""))
		server.send(fetch(join("/v1/tenants", mine.ID)).by(admin)).wantProblem(tc.code)
		server.send(fetch(join("/v1/tenants", mine.ID)).by(op)).want(http.StatusOK)
		t.Log(name)
	}
}

// The look-up of the caller's tenant has the deadline of the call.
func TestPolicy_hasTheDeadlineOfTheCall(t *testing.T) {
	t.Parallel()
	stuck := faultstore.New(memory.New(), faultstore.On("GetTenantByKeycloakOrg", faultstore.ErrBlock))
	server, who := guarded(&client{t: t, store: stuck, clock: &clock{at: start}}, Config{
		CallTimeout: 20 * time.Millisecond,
	})
	admin := who.add(user("admin", auth.RoleTenantAdmin, "org"))
	server.send(fetch(join("/v1/tenants", unknownID)).by(admin)).wantProblem("unavailable")
	server.send(jsonRequest("/v1/api-keys", object{"tenant_id": unknownID, "name": "k"}).by(
		admin,
	)).wantProblem("unavailable")
}

// An answer is cached for one caller only.
func TestPolicy_cachedAnswersVaryByCaller(t *testing.T) {
	t.Parallel()
	api := newClient(t, memory.New(), registry.Options{})
	x := api.tenant("globex")
	for _, target := range []string{join("/v1/tenants", x.ID), "/v1/tenants/by-slug/globex", "/v1/catalog"} {
		got := api.get(target).wantHeader("Vary", "Authorization").wantHeader("Cache-Control", cacheHeader)
		if tag := got.header.Get("Etag"); tag != "" {
			api.send(fetch(target).with(
				"If-None-Match", tag,
			)).wantHeader("Vary", "Authorization").want(http.StatusNotModified)
		}
	}
}
