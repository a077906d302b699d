package server

import (
	"fmt"
	"net/http"
	"net/netip"
	"testing"

	"golang.org/x/time/rate"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

// exhaust repeats a request until it is one too many, which must be said well.
func exhaust(server *client, r request) {
	server.t.Helper()
	until(server.t, func() error {
		got := server.exchange(r)
		if err := theContract().checkReply(r, got); err != nil {
			server.t.Fatalf("%s → %d %s: %v", got.what, got.status, got.body, err)
		}
		if got.status != http.StatusTooManyRequests {
			return fmt.Errorf("%s is answered %d", got.what, got.status)
		}
		got.wantHeader("Retry-After", "2").wantProblem("too_many_requests")
		return nil
	})
}

// TestLimits_principal asserts that a caller who asks too often is told so, at every route that counts, and that this harms neither others
// nor the routes that do not count.
func TestLimits_principal(t *testing.T) {
	t.Parallel()
	server, who := guarded(newClient(t, memory.New(), registry.Options{}), Config{RateLimit: 1})
	greedy, modest := who.add(user("greedy", auth.RoleOperator, "")), who.add(user("modest", auth.RoleOperator, ""))
	exhaust(server, fetch("/v1/catalog").by(greedy))
	server.send(fetch("/v1/catalog").by(modest)).want(http.StatusOK)
	apiRoutes(t, func(rt route, r request) {
		o, _, _ := theContract().find(rt.method, rt.path)
		ref := map[bool]string{true: "#/components/responses/TooManyFailures", false: "#/components/responses/TooManyRequests"}[rt.has(unlimited)]
		if got := o.op.Responses.Status(http.StatusTooManyRequests).Ref; got != ref {
			t.Errorf("%s %s has the answer %s, want %s", rt.method, rt.path, got, ref)
		}
		if !rt.has(unlimited) {
			exhaust(server, r.by(greedy))
			return
		}
		for range 5 { // more than the bucket holds
			if got := server.send(r.by(greedy)); got.status == http.StatusTooManyRequests {
				t.Errorf("%s counts", got.what)
			}
		}
	})
	exhaust(server, fetch("/v1/nothing").by(greedy))
	exhaust(server, request{method: http.MethodPut, target: "/v1/audit"}.by(greedy))
	for range 10 {
		server.send(fetch("/readyz").by(greedy)).want(http.StatusOK)
	}
}

// TestLimits_failures asserts that an address that fails to show who it is too often is told so everywhere, and that a good credential is
// let in from there all the same.
func TestLimits_failures(t *testing.T) {
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
	// What is too much is not told in the log, either.
	if lines := len(server.logLines("credential refused")); lines < failureBurst || lines >= len(server.logLines("request"))-10 {
		t.Errorf("%d refusals are in the log, of %d requests", lines, len(server.logLines("request")))
	}
}

func TestLimits_off(t *testing.T) {
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

func TestLimits_sizes(t *testing.T) {
	t.Parallel()
	l := newLimits(100)
	if b := l.principals.of("x"); b.Limit() != 100 || b.Burst() != 200 {
		t.Errorf("a principal may ask %v times a second, and %d at once", b.Limit(), b.Burst())
	}
	if b := l.addresses.of("x"); b.Limit() != failureRate || b.Burst() != failureBurst {
		t.Errorf("an address may fail %v times a second, and %d at once", b.Limit(), b.Burst())
	}
	for range failureBurst {
		l.failure("192.0.2.1")
		l.failure("2001:db8:1:2::1")
	}
	for address, allowed := range map[string]bool{
		"192.0.2.1": false, "192.0.2.2": true, // each IPv4 address for itself
		"2001:db8:1:2::1": false, "2001:db8:1:2:ffff::9": false, "2001:db8:1:3::1": true, // IPv6 by the customer
		"": true,
	} {
		if l.failure(address) != allowed {
			t.Errorf("%q may fail once more: %t, want %t", address, !allowed, allowed)
		}
	}
}

// TestBuckets_bounded asserts that however many callers come, so many are remembered and no more: those who came last.
func TestBuckets_bounded(t *testing.T) {
	t.Parallel()
	b := newBuckets(rate.Limit(1), 1)
	b.of("first").Allow()
	for i := range tableSize - 1 {
		b.of(fmt.Sprint(i))
	}
	if b.of("first").Allow() {
		t.Error("who came first was forgotten while there was room")
	}
	b.of("one more") // the table is full, and 0 was not asked about for longest
	if len(b.byName) != tableSize || b.recent.Len() != tableSize {
		t.Fatalf("%d are remembered, in %d places", len(b.byName), b.recent.Len())
	}
	if _, there := b.byName["0"]; there {
		t.Error("the oldest is remembered")
	}
	if b.of("first").Allow() {
		t.Error("who was asked about lately is forgotten")
	}
	for i := range 3 * tableSize {
		b.of("flood " + fmt.Sprint(i))
	}
	if len(b.byName) != tableSize || b.recent.Len() != tableSize {
		t.Errorf("after a flood %d are remembered, in %d places", len(b.byName), b.recent.Len())
	}
}

// TestClientAddress is what counts as the address of a client that tries to be another.
func TestClientAddress(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		proxies   int
		peer      string
		forwarded []string
		want      string
	}{
		"no proxy":                     {0, "192.0.2.1:999", nil, "192.0.2.1"},
		"no proxy, spoofed":            {0, "192.0.2.1:999", []string{"198.51.100.7"}, "192.0.2.1"},
		"one proxy":                    {1, "10.0.0.1:999", []string{"198.51.100.7"}, "198.51.100.7"},
		"one proxy, spoofed":           {1, "10.0.0.1:999", []string{"203.0.113.9, 198.51.100.7"}, "198.51.100.7"},
		"one proxy, spoofed line":      {1, "10.0.0.1:999", []string{"203.0.113.9", "198.51.100.7"}, "198.51.100.7"},
		"one proxy, spoofed nonsense":  {1, "10.0.0.1:999", []string{",,;\x00, 198.51.100.7"}, "198.51.100.7"},
		"one proxy, many lines":        {1, "10.0.0.1:999", []string{"1.1.1.1, 2.2.2.2", "3.3.3.3,198.51.100.7"}, "198.51.100.7"},
		"two proxies":                  {2, "10.0.0.1:999", []string{"198.51.100.7, 10.0.0.2"}, "198.51.100.7"},
		"two proxies, spoofed":         {2, "10.0.0.1:999", []string{"203.0.113.9", "198.51.100.7, 10.0.0.2"}, "198.51.100.7"},
		"two proxies, one passed by":   {2, "10.0.0.1:999", []string{"198.51.100.7"}, "10.0.0.1"},
		"one proxy that wrote nothing": {1, "10.0.0.1:999", nil, "10.0.0.1"},
		"one proxy, unknown client":    {1, "10.0.0.1:999", []string{"unknown"}, "10.0.0.1"},
		"one proxy, obfuscated client": {1, "10.0.0.1:999", []string{"198.51.100.7, _hidden"}, "10.0.0.1"},
		"IPv6":                         {1, "[::1]:999", []string{"2001:DB8::7"}, "2001:db8::7"},
		"mapped IPv4":                  {0, "[::ffff:192.0.2.1]:999", nil, "192.0.2.1"},
		"mapped IPv4 behind a proxy":   {1, "10.0.0.1:999", []string{"::ffff:198.51.100.7"}, "198.51.100.7"},
		"a zone":                       {0, "[fe80::1%eth0]:999", nil, "fe80::1"},
		"a zone behind a proxy":        {1, "10.0.0.1:999", []string{"fe80::1%evil"}, "fe80::1"},
		"no address":                   {0, "@", nil, ""},
	} {
		s := &Server{trustedProxies: tc.proxies}
		r := &http.Request{RemoteAddr: tc.peer, Header: http.Header{"X-Forwarded-For": tc.forwarded}}
		got := s.clientAddress(r)
		if got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
		if addr, err := netip.ParseAddr(got); got != "" && (err != nil || addr.String() != got) {
			t.Errorf("%s: %q is not the canonical text of an address", name, got)
		}
	}
}

// TestClientAddress_inEvents asserts that events name the client's address, and no proxy's.
func TestClientAddress_inEvents(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		for proxies, want := range map[int]string{0: "127.0.0.1", 1: "198.51.100.7", 2: "203.0.113.9", 3: "127.0.0.1"} {
			server, who := guarded(api, Config{TrustedProxies: proxies})
			p := who.add(user("operator", auth.RoleOperator, ""))
			r := jsonRequest("/v1/tenants", object{"slug": fmt.Sprintf("tenant-%d", proxies), "name": "T"})
			server.send(r.by(p).with("X-Forwarded-For", "203.0.113.9, 198.51.100.7")).want(http.StatusCreated)
			if e := api.newest(); *e.SourceIP != want {
				t.Errorf("behind %d proxies the event came from %s, want %s", proxies, *e.SourceIP, want)
			}
		}
	})
}

// TestLimits_failuresBehindProxies asserts that failures count for the client behind a trusted proxy, not for the proxy.
func TestLimits_failuresBehindProxies(t *testing.T) {
	t.Parallel()
	server, _ := guarded(newClient(t, memory.New(), registry.Options{}), Config{RateLimit: 1000, TrustedProxies: 1})
	exhaust(server, fetch("/v1/catalog").with("X-Forwarded-For", "203.0.113.9, 198.51.100.7"))
	exhaust(server, fetch("/v1/catalog").with("X-Forwarded-For", "192.0.2.66, 198.51.100.7")) // spoofed: the same client
	server.send(fetch("/v1/catalog").with("X-Forwarded-For", "198.51.100.7, 198.51.100.8")).wantProblem("unauthenticated")
}
