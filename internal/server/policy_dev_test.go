package server

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/auth/authtest"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

// development is a second server on a client's store that takes development identities.
func development(api *client) *client {
	api.t.Helper()
	return startServer(api.t, api.store, registry.Options{Now: api.clock.now}, Config{
		Auth: auth.NewDev(false), AuthMode: "dev",
	})
}

// TestDevIdentity_hasItsAccess asserts that each identity has the access that its name says.
func TestDevIdentity_hasItsAccess(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		server := development(api)
		api.product("widgets", nil)
		mine, other := api.tenant("globex"), api.tenant("initech")
		verify := jsonRequest("/v1/internal/api-keys/verify", object{"key": unknownKey, "product": "widgets"})
		elsewhere := jsonRequest("/v1/internal/api-keys/verify", object{"key": unknownKey, "product": "gadgets"})
		api.grant(mine.ID, "widgets")
		report := jsonRequest("/v1/audit", object{
			"action": "a.b", "crud": "c", "is_anonymous": true, "group": object{"id": mine.ID},
		})
		log, own, foreign :=
			fetch("/v1/audit"), fetch(join("/v1/tenants", mine.ID)), fetch(join("/v1/tenants", other.ID))
		for identity, want := range map[string]map[int][]request{
			"":                    {200: {log, own, verify, elsewhere}, 201: {report}},
			"dev-operator":        {200: {log, own, verify, elsewhere}, 201: {report}},
			"dev-portal":          {200: {own, foreign}, 201: {report}, 403: {log, verify}},
			"dev-product:widgets": {200: {verify}, 201: {report}, 403: {log, own, elsewhere}},
			"dev-tenant:globex":   {200: {own}, 404: {foreign}, 400: {log}, 403: {report, verify}},
			"dev-tenant:unknown":  {403: {own, foreign, log, report}},
			"dev-audit":           {201: {report}, 403: {log, own, verify}},
			"dev-product":         {401: {verify, report, fetch("/v1/nothing")}},
			"dev-root":            {401: {verify, report, fetch("/v1/nothing")}},
		} {
			for status, requests := range want {
				for _, r := range requests {
					if identity != "" {
						r = r.bearer(identity)
					}
					if got := server.send(r).wantHeader("X-Auth-Mode", "dev"); got.status != status {
						t.Errorf("%q: %s → %d %s, want %d", identity, got.what, got.status, got.body, status)
					}
				}
			}
		}
		server.send(report.bearer("dev-tenant:globex").with("X-On-Behalf-Of-Id", "a")).want(http.StatusForbidden)
		server.send(report.bearer("dev-portal").with("X-On-Behalf-Of-Id", "a")).want(http.StatusCreated)
	})
}

// TestDevIdentity_everyAnswerNamesTheMode asserts that every answer of such a server says that it checks no tokens.
func TestDevIdentity_everyAnswerNamesTheMode(t *testing.T) {
	t.Parallel()
	api := newClient(t, memory.New(), registry.Options{})
	server := development(api)
	for _, r := range []request{
		fetch("/"), fetch("/healthz"), fetch("/readyz"), fetch("/openapi.json"), fetch("/nothing"),
		fetch("/v1/nothing"), fetch("/v1/catalog"), fetch("/v1/catalog?x=y"),
		{method: http.MethodPut, target: "/v1/audit"}, {method: http.MethodHead, target: "/v1/catalog"},
		fetch("/v1/catalog").bearer("x"), fetch("/v1/%2F"),
	} {
		server.send(r).wantHeader("X-Auth-Mode", "dev")
	}
	broken := inject(func() { panic("broken") })
	broken.AuthMode = "dev"
	startServer(
		t, api.store, registry.Options{}, broken,
	).send(fetch("/healthz")).wantHeader("X-Auth-Mode", "dev").want(http.StatusInternalServerError)

	other, _ := guarded(api, Config{AuthMode: "oidc"})
	for _, r := range []request{fetch("/"), fetch("/healthz"), fetch("/v1/catalog"), fetch("/nothing")} {
		if got := other.send(r).header.Values("X-Auth-Mode"); len(got) != 0 {
			t.Errorf("%s: X-Auth-Mode is %q where tokens are asked for", r.target, got)
		}
	}
}

// TestDevIdentity_isRefusedBehindProxies asserts that a request that came through a proxy is refused, with an identity
// and without one.
func TestDevIdentity_isRefusedBehindProxies(t *testing.T) {
	t.Parallel()
	server := development(newClient(t, memory.New(), registry.Options{}))
	for name, value := range map[string]string{
		"Forwarded": "for=127.0.0.1", "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "localhost",
		"X-Forwarded-Proto":    "http",
		"X-Forwarded-Anything": "", "Via": "1.1 proxy", "via": "1.1 proxy", "X-Real-IP": "127.0.0.1",
		"CF-Connecting-IP": "127.0.0.1", "True-Client-IP": "127.0.0.1", "X-Envoy-External-Address": "127.0.0.1",
	} {
		for _, r := range []request{
			fetch("/v1/catalog"), fetch("/v1/catalog").bearer("dev-operator"),
			jsonRequest("/v1/tenants", object{"slug": "globex", "name": "G"}),
		} {
			server.send(r.with(name, value)).wantProblem("unauthenticated")
		}
		server.send(fetch("/readyz").with(name, value)).want(http.StatusOK)
	}
	server.send(fetch("/v1/catalog")).want(http.StatusOK)
}

// TestDevIdentity_isRefusedFromOtherMachines asserts that requests from other machines are refused unless the
// configuration allows them.
func TestDevIdentity_isRefusedFromOtherMachines(t *testing.T) {
	t.Parallel()
	for peer, want := range map[string]map[bool]int{
		"127.0.0.1:9": {false: 200, true: 200}, "[::1]:9": {false: 200, true: 200},
		"192.0.2.1:9":      {false: 401, true: 200},
		"[fe80::1%eth0]:9": {false: 401, true: 200}, "@": {false: 401, true: 200},
	} {
		for allowed, status := range want {
			s := New(Config{
				Registry: registry.New(memory.New(), registry.Options{}), Auth: auth.NewDev(allowed), AuthMode: "dev",
				Logger: slog.New(slog.DiscardHandler),
			})
			r, w := httptest.NewRequest(http.MethodGet, "/v1/catalog", nil), httptest.NewRecorder()
			r.RemoteAddr, r.Host = peer, "localhost"
			if s.ServeHTTP(w, r); w.Code != status {
				t.Errorf("from %s, remote allowed: %t: %d %s, want %d", peer, allowed, w.Code, w.Body, status)
			}
		}
	}
}

// TestDevIdentity_isRefusedForOtherHosts asserts that a page under any other name, which its owner has pointed to this
// machine (DNS rebinding), has no development identity, unless the configuration allows it; what needs no identity is
// served under any name.
func TestDevIdentity_isRefusedForOtherHosts(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]map[bool]int{
		"localhost:8090": {false: 200, true: 200}, "127.0.0.1:8090": {false: 200, true: 200},
		"[::1]:8090": {false: 200, true: 200}, "acme.localhost": {false: 200, true: 200},
		"evil.example:8090": {false: 401, true: 200}, "registry": {false: 401, true: 200},
		"192.0.2.1": {false: 401, true: 200},
	} {
		for allowed, status := range want {
			s := New(Config{
				Registry: registry.New(memory.New(), registry.Options{}), Auth: auth.NewDev(allowed), AuthMode: "dev",
				Logger: slog.New(slog.DiscardHandler),
			})
			for target, status := range map[string]int{"/v1/catalog": status, "/healthz": 200} {
				r, w := httptest.NewRequest(http.MethodGet, target, nil), httptest.NewRecorder()
				r.RemoteAddr, r.Host = "127.0.0.1:9", host
				if s.ServeHTTP(w, r); w.Code != status {
					t.Errorf("%s for %s, remote allowed: %t: %d, want %d", target, host, allowed, w.Code, status)
				}
			}
		}
	}
}

// TestDevIdentity_isNoToken asserts that neither mode accepts the credentials of the other.
func TestDevIdentity_isNoToken(t *testing.T) {
	t.Parallel()
	i := authtest.New()
	defer i.Close()
	api := newClient(t, memory.New(), registry.Options{})
	server := loaded(api, i)
	for _, identity := range []string{
		"dev-operator", "dev-portal", "dev-audit", "dev-tenant:acme", "dev-product:widgets",
	} {
		server.send(fetch("/v1/catalog").bearer(identity)).wantProblem("unauthenticated")
	}
	server.send(fetch("/v1/catalog")).wantProblem("unauthenticated")
	token := i.Sign(i.Claims(auth.RoleOperator))
	server.send(fetch("/v1/catalog").bearer(token)).want(http.StatusOK)
	development(api).send(fetch("/v1/catalog").bearer(token)).wantProblem("unauthenticated")
}
