package server

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

// watchedBy is a second server on a client's store that takes dev identities and writes security events; the function
// stops the writing and returns the events, as "action target".
func watchedBy(api *client) (*client, func() []eventBody) {
	api.t.Helper()
	security := registry.NewSecurityLog(func(err error) { api.t.Errorf("a security event is lost: %v", err) })
	stop := sync.OnceFunc(func() {
		if n := security.Close(context.Background()); n != 0 {
			api.t.Errorf("%d security events are lost", n)
		}
	})
	api.t.Cleanup(stop)
	options := registry.Options{Now: api.clock.now, Security: security}
	server := startServer(api.t, api.store, options, Config{
		Auth: auth.NewDev(false), AuthMode: "dev", Security: security,
	})
	return server, func() []eventBody {
		stop()
		return slices.DeleteFunc(api.events(), func(e eventBody) bool {
			return !slices.Contains([]string{"token.refuse", "function.deny", "audit.read", "audit.export"}, e.Action)
		})
	}
}

// TestAuditSecurity_eventsAreOfThePlatform asserts which security events there are, and that they stand in the
// platform's chain only.
func TestAuditSecurity_eventsAreOfThePlatform(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		api.own("acme", organization)
		mine := api.tenant("globex")
		server, stop := watchedBy(api)
		as := func(identity string, r request) request { return r.bearer(identity) }
		log := fetch("/v1/audit?tenant_id=" + mine.ID.String())
		for range 3 {
			server.send(as("unknown-identity", fetch("/v1/catalog"))).want(http.StatusUnauthorized)
			server.send(as("dev-portal", fetch("/v1/audit"))).want(http.StatusForbidden)
			server.send(as("dev-tenant:globex", log)).want(http.StatusOK)
			server.send(as("dev-operator", log)).want(http.StatusOK)
			server.send(as("dev-operator", fetch("/v1/audit"))).want(http.StatusOK)
			server.send(as(
				"dev-operator", fetch("/v1/audit?tenant_id=00000000-0000-0000-0000-000000000000"),
			)).want(http.StatusOK)
		}
		for _, format := range []string{"ndjson", "csv"} {
			server.send(as(
				"dev-operator", fetch("/v1/audit/export?tenant_id="+mine.ID.String()+"&format="+format),
			)).want(http.StatusOK)
			server.send(as("dev-operator", fetch("/v1/audit/chain?tenant_id="+mine.ID.String()))).want(http.StatusOK)
		}
		server.send(as("dev-tenant:acme", log)).want(http.StatusNotFound) // which read nothing
		got := []string{}
		for _, e := range stop() {
			actor := "anonymous"
			if e.Actor != nil {
				actor = e.Actor.ID
			}
			target := ""
			if e.Target != nil {
				target = e.Target.ID
			}
			got = append(got, e.Action+" "+actor+" "+target)
			if e.Group != nil || *e.Component != "tenant-registry" || e.Emitter != nil {
				t.Errorf("%s is of group %v, component %v", e.Action, e.Group, e.Component)
			}
		}
		wantEqual(t, "the security events", got, []string{
			"token.refuse anonymous ", "function.deny dev-portal ", "audit.read dev-tenant:globex " + mine.ID.String(),
			"audit.read dev-operator " + mine.ID.String(), "audit.read dev-operator all",
			"audit.read dev-operator platform",
			"audit.export dev-operator " + mine.ID.String(), "audit.export dev-operator " + mine.ID.String(),
			"function.deny dev-portal ", "token.refuse anonymous ", // with how many more there were
		})
	})
}

// TestAuditSecurity_recordsOtherProducts asserts that a product which asks for another one is reported as a caller
// without the role is.
func TestAuditSecurity_recordsOtherProducts(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		server, stop := watchedBy(api)
		ask := jsonRequest("/v1/internal/api-keys/verify", object{"key": unknownKey, "product": "insights"})
		server.send(ask.bearer("dev-product:scanner")).wantProblem("forbidden")
		server.send(ask.bearer("dev-product:insights")).want(http.StatusOK)
		if got := stop(); len(got) != 1 || got[0].Action != "function.deny" || got[0].Actor == nil ||
			(*got[0].Fields)["route"] != "POST /v1/internal/api-keys/verify" {
			t.Errorf("the security events are %v", got)
		}
	})
}

// TestAuditSecurity_headIsNoExport asserts that asking for an export's header only, or for a part where there is
// nothing, is a reading and no export.
func TestAuditSecurity_headIsNoExport(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		mine := api.tenant("globex").ID.String()
		server, stop := watchedBy(api)
		for range 3 {
			server.send(fetch("/v1/audit/export?from_seq=2&tenant_id=" + mine).bearer(
				"dev-operator",
			)).want(http.StatusOK)
		}
		for _, target := range []string{"/v1/audit/export", "/v1/audit/export?format=csv"} {
			server.send(request{method: http.MethodHead, target: target}.bearer("dev-operator")).want(http.StatusOK)
		}
		if got := stop(); len(got) != 2 || got[0].Action != "audit.read" || got[0].Target.ID != mine ||
			got[1].Action != "audit.read" {
			t.Errorf("the security events are %v", got)
		}
	})
}

// undecided is an issuer whose keys are not known.
type undecided struct{}

// Authenticate implements auth.Authenticator.
func (undecided) Authenticate(*http.Request) (auth.Principal, error) {
	return auth.Principal{}, &auth.KeysUnavailable{RetryAfter: 7 * time.Second}
}

// TestAuditSecurity_undecidedTokensLeaveATrace asserts that a token which cannot be judged now, as a forgery of an
// unknown key cannot, is 503 and in the log of security events.
func TestAuditSecurity_undecidedTokensLeaveATrace(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		security := registry.NewSecurityLog(func(err error) { t.Errorf("a security event is lost: %v", err) })
		server := startServer(t, api.store, registry.Options{Now: api.clock.now, Security: security}, Config{
			Auth: undecided{}, Security: security,
		})
		server.send(fetch("/v1/catalog").bearer("x")).want(http.StatusServiceUnavailable).wantHeader("Retry-After", "7")
		security.Close(t.Context())
		if e := api.newest(); e.Action != "token.refuse" || (*e.Fields)["kind"] != "undecided" {
			t.Errorf("the newest event is %s %v", e.Action, e.Fields)
		}
	})
}

// TestAuditSecurity_everyExportIsRecorded asserts that as many exports are recorded as were answered, also when many
// callers ask for many at the same time. The others were refused by the share of exports.
func TestAuditSecurity_everyExportIsRecorded(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		server, stop := watchedBy(api)
		const principals, each = 12, 15
		var targets []string
		for i := range principals {
			slug := fmt.Sprintf("tenant-%d", i)
			targets = append(targets, slug+" /v1/audit/export?tenant_id="+api.tenant(slug).ID.String())
		}
		var answered, refused atomic.Int64
		var running sync.WaitGroup
		for _, target := range targets {
			slug, path, _ := strings.Cut(target, " ")
			for range 3 {
				running.Go(func() {
					for range each {
						switch got := server.exchange(fetch(path).bearer("dev-tenant:" + slug)); got.status {
						case http.StatusOK:
							answered.Add(1)
						case http.StatusTooManyRequests, http.StatusServiceUnavailable:
							refused.Add(1)
						default:
							t.Errorf("an export is answered %d %s", got.status, got.body)
						}
					}
				})
			}
		}
		running.Wait()
		exports := 0
		for _, e := range stop() {
			if e.Action == "audit.export" {
				exports++
			}
		}
		if int64(exports) != answered.Load() || exports == 0 || refused.Load() == 0 {
			t.Errorf("%d exports are recorded, %d answered, %d refused", exports, answered.Load(), refused.Load())
		}
	})
}
