package server

import (
	"net/http"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// exhaust repeats a request until it is refused as one too many, in the form that is documented.
func exhaust(server *client, r request) {
	server.t.Helper()
	testkit.Eventually(server.t, r.method+" "+r.target+" is one request too many", func() bool {
		got := server.exchange(r)
		if err := theContract().checkReply(r, got); err != nil {
			server.t.Fatalf("%s → %d %s: %v", got.what, got.status, got.body, err)
		}
		if got.status != http.StatusTooManyRequests {
			return false
		}
		got.wantHeader("Retry-After", "1").wantProblem("too_many_requests")
		return true
	})
}

// TestLimits_holdEachPrincipal asserts that a principal is limited at every route that counts, and that this affects
// neither other principals nor the routes that do not count.
func TestLimits_holdEachPrincipal(t *testing.T) {
	t.Parallel()
	server, who := guarded(newClient(t, memory.New(), registry.Options{}), Config{RateLimit: 1})
	greedy, modest := who.add(user("greedy", auth.RoleOperator, "")), who.add(user("modest", auth.RoleOperator, ""))
	exhaust(server, fetch("/v1/catalog").by(greedy))
	server.send(fetch("/v1/catalog").by(modest)).want(http.StatusOK)
	apiRoutes(t, func(rt route, r request) {
		o, _, _ := theContract().find(rt.Method, rt.Path)
		ref := "#/components/responses/TooManyRequests"
		if got := o.op.Responses.Status(http.StatusTooManyRequests).Ref; got != ref {
			t.Errorf("%s %s has the answer %s, want %s", rt.Method, rt.Path, got, ref)
		}
		exhaust(server, r.by(greedy))
		for _, service := range []struct {
			role   auth.Role
			exempt bool
		}{
			{auth.RolePortal, rt.Unlimited}, {auth.RoleKeysVerify, rt.Unlimited}, {auth.RoleAuditWrite, rt.Unlimited},
			{auth.RoleTenantAdmin, false},
		} {
			p := who.add(user(string(service.role)+" at "+rt.name(), service.role, organization))
			if !service.exempt {
				exhaust(server, r.by(p))
				continue
			}
			for range 5 { // more than the bucket holds
				if got := server.send(r.by(p)); got.status == http.StatusTooManyRequests {
					t.Errorf("%s counts for %s", got.what, service.role)
				}
			}
		}
	})
	exhaust(server, fetch("/v1/nothing").by(greedy))
	exhaust(server, request{method: http.MethodPut, target: "/v1/audit"}.by(greedy))
	for range 10 {
		server.send(fetch("/readyz").by(greedy)).want(http.StatusOK)
	}
}

// TestLimits_holdFailuresOfAnAddress asserts that an address with too many failed authentications is limited at every
// route, and that a good credential is accepted from it all the same.
func TestLimits_holdFailuresOfAnAddress(t *testing.T) {
	t.Parallel()
	server, who := guarded(newClient(t, memory.New(), registry.Options{}), Config{RateLimit: 1000})
	good := who.add(user("good", auth.RoleOperator, ""))
	exhaust(server, fetch("/v1/catalog").bearer("bad"))
	server.send(fetch("/v1/catalog").by(good)).want(http.StatusOK)
	apiRoutes(t, func(_ route, r request) {
		exhaust(server, r.bearer("bad"))
		exhaust(server, r)
	})
	exhaust(server, fetch("/v1/nothing"))
	server.send(fetch("/v1/catalog").by(good)).want(http.StatusOK)
	for range 10 {
		server.send(fetch("/healthz").bearer("bad")).want(http.StatusOK)
	}
	// Refusals beyond the limit are not logged.
	if lines := len(server.logLines("authentication failed")); lines < failureBurst ||
		lines >= len(server.logLines("request"))-10 {
		t.Errorf("%d refusals are in the log, of %d requests", lines, len(server.logLines("request")))
	}
}

func TestLimits_canBeOff(t *testing.T) {
	t.Parallel()
	server, who := guarded(newClient(t, memory.New(), registry.Options{}), Config{})
	p := who.add(user("greedy", auth.RoleOperator, ""))
	for range failureBurst + 50 {
		if got := server.exchange(fetch("/v1/catalog").bearer("bad")); got.status != http.StatusUnauthorized {
			t.Fatalf("%d %s", got.status, got.body)
		}
		if got := server.exchange(fetch("/v1/catalog").by(p)); got.status != http.StatusOK {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
}

func TestLimits_haveTheirSizes(t *testing.T) {
	t.Parallel()
	l := newRateLimits(100)
	for range 200 {
		if l.principals.Take("x") > 0 {
			t.Fatal("a principal may make fewer than 200 requests at once")
		}
	}
	for range failureBurst {
		l.failures.Take(web.Network("192.0.2.1"))
		l.failures.Take(web.Network("2001:db8:1:2::1"))
	}
	for address, allowed := range map[string]bool{
		"192.0.2.1": false, "192.0.2.2": true, // each IPv4 address for itself
		"2001:db8:1:2::1": false, "2001:db8:1:2:ffff::9": false, "2001:db8:1:3::1": true, // IPv6 by the customer
		"": true,
	} {
		if (l.failures.Take(web.Network(address)) == 0) != allowed {
			t.Errorf("%q may fail one more time: %t, want %t", address, !allowed, allowed)
		}
	}
	if newRateLimits(0).principals.Take("x") > 0 {
		t.Error("without a limit a request is refused")
	}
}

// TestLimits_holdClientsBehindProxies asserts that failures count for the client behind a trusted proxy, not for the
// proxy.
func TestLimits_holdClientsBehindProxies(t *testing.T) {
	t.Parallel()
	server, _ := guarded(newClient(t, memory.New(), registry.Options{}), Config{RateLimit: 1000, TrustedProxies: 1})
	exhaust(server, fetch("/v1/catalog").with("X-Forwarded-For", "203.0.113.9, 198.51.100.7"))
	// spoofed: the same client
	exhaust(server, fetch("/v1/catalog").with("X-Forwarded-For", "192.0.2.66, 198.51.100.7"))
	server.send(fetch("/v1/catalog").with(
		"X-Forwarded-For", "198.51.100.7, 198.51.100.8",
	)).wantProblem("unauthenticated")
}

// TestLimits_unknownProxyIsLogged asserts that a proxy of which no setting says anything is logged one time, and none
// where the setting says of it, or where there is none.
func TestLimits_unknownProxyIsLogged(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		proxies, lines int
		header         string
	}{
		"unknown": {0, 1, "203.0.113.9"}, "known": {1, 0, "203.0.113.9"}, "none": {0, 0, ""},
	} {
		server, _ := guarded(newClient(t, memory.New(), registry.Options{}), Config{TrustedProxies: tc.proxies})
		for _, target := range []string{"/healthz", "/v1/catalog", "/v1/nothing", "/nothing", "/healthz"} {
			r := fetch(target)
			if tc.header != "" {
				r = r.with("X-Forwarded-For", tc.header)
			}
			server.send(r)
		}
		lines := server.logLines("X-Forwarded-For ignored")
		if len(lines) != tc.lines || (tc.lines > 0 && lines[0]["level"] != "WARN") {
			t.Errorf("%s: the log has %v", name, lines)
		}
	}
}

// TestLimits_holdClientsBehindProxiesWithPorts asserts that clients are told apart behind a proxy that writes ports and
// brackets.
func TestLimits_holdClientsBehindProxiesWithPorts(t *testing.T) {
	t.Parallel()
	server, _ := guarded(newClient(t, memory.New(), registry.Options{}), Config{RateLimit: 1000, TrustedProxies: 1})
	exhaust(server, fetch("/v1/catalog").with("X-Forwarded-For", "198.51.100.7:1234"))
	server.send(fetch("/v1/catalog").with("X-Forwarded-For", "198.51.100.7")).wantProblem("too_many_requests")
	server.send(fetch("/v1/catalog").with("X-Forwarded-For", "198.51.100.8:1234")).wantProblem("unauthenticated")
	exhaust(server, fetch("/v1/catalog").with("X-Forwarded-For", "[2001:db8::1]:443"))
	server.send(fetch("/v1/catalog").with("X-Forwarded-For", "[2001:db8:0:1::1]")).wantProblem("unauthenticated")
}
