package server

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

// TestOrder asserts what is asked first: who it is, then whether they may, then what they sent. Who shows no credential learns not even
// which paths and methods there are.
func TestOrder(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		server, who := guarded(api, Config{})
		nothing, op := who.add(auth.Principal{ID: "no-role"}), who.add(user("operator", auth.RoleOperator, ""))
		big := jsonRequest("/v1/tenants", nil)
		big.body, big.header = strings.Repeat(" ", maxBody+1), http.Header{"Content-Type": {"application/json"}}
		for name, tc := range map[string]struct {
			request           request
			roleless, granted string // the code for whoever has no role, and for the operator
		}{
			"unknown path":      {fetch("/v1/nothing"), "not_found", "not_found"},
			"the root of it":    {fetch("/v1"), "not_found", "not_found"},
			"trailing slash":    {fetch("/v1/"), "not_found", "not_found"},
			"trailing slash 2":  {fetch("/v1/catalog/"), "not_found", "not_found"},
			"encoded path":      {fetch("/v1/tenants/%61"), "not_found", "not_found"},
			"encoded slash":     {fetch("/v1%2Ftenants"), "not_found", "not_found"},
			"wrong method":      {request{method: "PUT", target: "/v1/audit"}, "method_not_allowed", "method_not_allowed"},
			"invented method":   {request{method: "BREW", target: "/v1/audit"}, "method_not_allowed", "method_not_allowed"},
			"OPTIONS":           {request{method: "OPTIONS", target: "/v1/tenants"}, "method_not_allowed", "method_not_allowed"},
			"malformed id":      {fetch("/v1/tenants/x"), "forbidden", "invalid_request"},
			"bad query":         {fetch("/v1/catalog?limit=x"), "forbidden", "invalid_request"},
			"unencoded query":   {fetch("/v1/catalog?%zz"), "forbidden", "invalid_request"},
			"unknown parameter": {fetch("/v1/audit?access_token=x"), "forbidden", "invalid_request"},
			"no body":           {jsonRequest("/v1/tenants", nil), "forbidden", "unsupported_media_type"},
			"bad body":          {jsonRequest("/v1/tenants", object{"slug": 1}), "forbidden", "invalid_request"},
			"big body":          {big, "forbidden", "body_too_large"},
			"unknown tenant":    {fetch(join("/v1/tenants", nobody)), "forbidden", "tenant_not_found"},
		} {
			t.Run(name, func(t *testing.T) {
				server := server.in(t)
				server.send(tc.request).wantHeader("WWW-Authenticate", `Bearer realm="tenant-registry"`).wantProblem("unauthenticated")
				server.send(tc.request.by(nothing)).wantProblem(tc.roleless)
				server.send(tc.request.by(op)).wantProblem(tc.granted)
			})
		}
	})
}

// TestOrder_outside asserts that what is not under /v1 asks nobody for anything, and minds no bad credential.
func TestOrder_outside(t *testing.T) {
	t.Parallel()
	server, _ := guarded(newClient(t, memory.New(), registry.Options{}), Config{})
	for _, bad := range []http.Header{nil, {"Authorization": {"Bearer bad"}}, {"Authorization": {"a", "b"}}} {
		ask := func(method, target string) *reply {
			return server.send(request{method: method, target: target, header: bad.Clone()})
		}
		for _, target := range []string{"/", "/healthz", "/readyz", "/openapi.yaml", "/openapi.json", "/problems/forbidden"} {
			ask(http.MethodGet, target).want(http.StatusOK)
			ask(http.MethodHead, target).want(http.StatusOK)
		}
		ask(http.MethodGet, "/nothing").wantProblem("not_found")
		ask(http.MethodGet, "/v2/tenants").wantProblem("not_found")
		ask(http.MethodGet, "//v1/tenants").wantProblem("not_found")
		ask(http.MethodPost, "/healthz").wantHeader("Allow", "GET").wantProblem("method_not_allowed")
		ask(http.MethodGet, "/healthz?x=y").wantProblem("invalid_request")
	}
	if lines := server.logLines("credential refused"); len(lines) != 0 {
		t.Errorf("credentials were looked at: %v", lines)
	}
}

// TestPolicy_required asserts that a program with a route that nobody thought about does not start.
func TestPolicy_required(t *testing.T) {
	t.Parallel()
	for allow, says := range map[string]string{
		"": "it has no policy", " ": "it has no policy", "operators": `"operators" is no role`, "anyone operator": `"anyone" is no role`,
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); got != "route GET /v1/new: "+says {
					t.Errorf("with the policy %q the start says %q", allow, got)
				}
			}()
			newServer(Config{}, []route{{method: "GET", path: "/v1/new", allow: allow}})
		}()
	}
	newServer(Config{}, []route{{method: "GET", path: "/v1/new", allow: "operator"}})
}

// TestLog_callers asserts that the log says who called, and why somebody may not.
func TestLog_callers(t *testing.T) {
	t.Parallel()
	server, who := guarded(newClient(t, memory.New(), registry.Options{}), Config{})
	who.add(user("operator", auth.RoleOperator, ""))
	who.add(service("suite", "", auth.RoleKeysVerify))
	who.add(user("lost", auth.RoleTenantAdmin, "org-of-nobody"))
	for _, id := range []string{"operator", "suite", "lost", "stranger"} {
		server.send(fetch("/v1/entitlements?tenant_id="+nobody.String()).bearer(id).with("X-Request-Id", id))
	}
	server.send(fetch("/v1/nothing").bearer("operator"))
	got := map[string]string{}
	for _, line := range append(server.logLines("caller refused"), server.logLines("credential refused")...) {
		got[fmt.Sprint(line["request_id"])] = fmt.Sprint(line["principal"], ": ", line["reason"], ", ", line["route"])
	}
	const route = "GET /v1/entitlements"
	want := map[string]string{
		"suite":    "suite: the service account is bound to no product: set the claim product or OIDC_PRODUCT_CLIENTS, " + route,
		"lost":     "lost: the user's organisation is no tenant's keycloak_org_id, " + route,
		"stranger": "<nil>: the test knows nobody of this name, " + route,
	}
	wantEqual(t, "the refusals in the log", got, want)
	var principals []string
	for _, line := range server.logLines("request") {
		principals = append(principals, fmt.Sprint(line["principal"]))
	}
	wantEqual(t, "who called", principals, []string{"operator", "suite", "lost", "", "operator"})
}

// TestOwnTenant_fails asserts that while it is not known which tenant somebody belongs to, they are told neither yes nor no.
func TestOwnTenant_fails(t *testing.T) {
	t.Parallel()
	api := newClient(t, memory.New(), registry.Options{})
	mine := api.own("globex", "org")
	for name, tc := range map[string]struct {
		fault error
		code  string
	}{"unavailable": {registry.ErrUnavailable, "unavailable"}, "broken": {fmt.Errorf("broken"), "internal"}} {
		store := faulty{api.store, func(method string) error {
			if method == "TenantByOrg" {
				return tc.fault
			}
			return nil
		}}
		server, who := guarded(&client{t: t, store: store, clock: api.clock}, Config{})
		admin, op := who.add(user("admin", auth.RoleTenantAdmin, "org")), who.add(user("operator", auth.RoleOperator, ""))
		server.send(fetch(join("/v1/tenants", mine.ID)).by(admin)).wantProblem(tc.code)
		server.send(fetch(join("/v1/tenants", mine.ID)).by(op)).want(http.StatusOK)
		t.Log(name)
	}
}

// orgStuck answers nothing about organisations until its context ends.
type orgStuck struct{ registry.Store }

func (orgStuck) TenantByOrg(ctx context.Context, _ string) (registry.Tenant, error) {
	<-ctx.Done()
	return registry.Tenant{}, ctx.Err()
}

// The question which tenant somebody belongs to has the deadline of the call.
func TestOwnTenant_deadline(t *testing.T) {
	t.Parallel()
	server, who := guarded(&client{t: t, store: orgStuck{memory.New()}, clock: &clock{at: start}}, Config{CallTimeout: 20 * time.Millisecond})
	admin := who.add(user("admin", auth.RoleTenantAdmin, "org"))
	server.send(fetch(join("/v1/tenants", nobody)).by(admin)).wantProblem("unavailable")
	server.send(jsonRequest("/v1/api-keys", object{"tenant_id": nobody, "name": "k"}).by(admin)).wantProblem("unavailable")
}

// What may be kept is kept for one caller: the next one's answer is another.
func TestVary(t *testing.T) {
	t.Parallel()
	api := newClient(t, memory.New(), registry.Options{})
	x := api.tenant("globex")
	for _, target := range []string{join("/v1/tenants", x.ID), "/v1/tenants/by-slug/globex", "/v1/catalog"} {
		got := api.get(target).wantHeader("Vary", "Authorization").wantHeader("Cache-Control", cacheHeader)
		if tag := got.header.Get("Etag"); tag != "" {
			api.send(fetch(target).with("If-None-Match", tag)).wantHeader("Vary", "Authorization").want(http.StatusNotModified)
		}
	}
}
