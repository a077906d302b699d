package server

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/server/web"
)

func TestAuditQuery_narrows(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.tenant("globex").ID
		in := func(action, crud, created string) {
			api.report(action, object{"group": object{"id": x}, "crud": crud, "created": created})
		}
		in("a.one", "r", "2026-01-01T00:00:00Z")
		in("a.two", "u", "2026-01-01T00:00:00.000001Z")
		in("b.three", "r", "2026-01-02T00:00:00Z")
		tenant := "tenant_id=" + x.String() + "&order=asc&"
		for query, want := range map[string][]string{
			"crud=r":            {"a.one", "b.three"},
			"crud=d":            {},
			"crud=c":            {"tenant.create"},
			"crud=r&action=a.*": {"a.one"},
			"created_from=2026-01-01T00:00:00.000001Z": {
				"tenant.create", "a.two", "b.three",
			},
			"created_from=2026-01-01T00:00:00.0000001Z": {
				"tenant.create", "a.two", "b.three",
			},
			"created_before=2026-01-01T00:00:00.000001Z": {"a.one"},
			"created_before=2026-01-01T01:00:00%2B01:00": {},
			"created_before=2026-01-01T01:00:00.000002%2B01:00": {
				"a.one", "a.two",
			},
			"created_from=2026-01-01T00:00:00.000001Z&created_before=2026-01-02T00:00:00Z&actor_id=user-1": {"a.two"},
			"created_from=2026-01-02T00:00:00Z&created_before=2026-01-01T00:00:00Z":                        {},
		} {
			wantEqual(t, query, api.found(tenant+query), want)
		}
		for _, bad := range []string{
			"crud=", "crud=x", "crud=C", "created_from=", "created_from=2026-01-01", "created_from=yesterday",
			"created_before=0001-01-01T00:00:00Z",
			"created_before=1969-12-31T23:59:59Z", "created_from=2026-01-01T00:00:00+01:00",
			"created_from=9999-12-31T23:59:59-01:00",
			"wait=1", "wait=0", "order=desc&wait=1", "order=asc&wait=26", "order=asc&wait=-1", "order=asc&wait=1.5",
			"order=asc&wait=", "order=asc&wait=01",
		} {
			name := "wait"
			if !strings.Contains(bad, "wait") {
				name, _, _ = strings.Cut(bad, "=")
			}
			api.send(request{
				method: http.MethodGet, target: "/v1/audit?" + bad,
			}).wantProblem("invalid_request", "?"+name)
		}
	})
}

// found lists the actions of the events that a query finds, on one page.
func (c *client) found(query string) []string {
	c.t.Helper()
	list := []string{}
	for _, e := range as[web.Page[eventBody]](c.get("/v1/audit?" + query).want(http.StatusOK)).Items {
		list = append(list, e.Action)
	}
	return list
}

func TestAuditQuery_filters(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x, y := api.tenant("globex").ID, api.tenant("initech").ID
		own := object{"group": object{"id": x}}
		in := func(more object) object {
			for name, value := range own {
				more[name] = value
			}
			return more
		}
		api.report("document.create", in(object{"target": object{"id": "doc-1"}, "correlation_id": "c-1"}))
		api.report("document.share.all", in(object{"actor": object{"id": "user 2"}, "target": object{"id": "doc-1"}}))
		api.report("documents.list", in(object{"is_failure": true, "actor": object{"id": "user 2"}}))
		api.report("session.login", object{"group": object{"id": y}, "correlation_id": "c-1"})
		api.report("platform.start", nil)
		tenant := "tenant_id=" + x.String() + "&"
		for query, want := range map[string][]string{
			"order=asc": {
				"tenant.create", "tenant.create", "document.create", "document.share.all", "documents.list",
				"session.login", "platform.start",
			},
			"order=desc&limit=2":  {"platform.start", "session.login"},
			"limit=2":             {"platform.start", "session.login"},
			tenant + "order=asc":  {"tenant.create", "document.create", "document.share.all", "documents.list"},
			tenant + "order=desc": {"documents.list", "document.share.all", "document.create", "tenant.create"},
			"tenant_id=00000000-0000-0000-0000-000000000000": {"platform.start"},
			tenant + "action=document.create":                {"document.create"},
			tenant + "action=document.*":                     {"document.share.all", "document.create"},
			tenant + "action=document.share":                 {},
			tenant + "action=doc.*":                          {},
			"action=session.*":                               {"session.login"},
			tenant + "actor_id=user+2":                       {"documents.list", "document.share.all"},
			tenant + "target_id=doc-1":                       {"document.share.all", "document.create"},
			"correlation_id=c-1":                             {"session.login", "document.create"},
			tenant + "correlation_id=c-1":                    {"document.create"},
			tenant + "is_failure=true":                       {"documents.list"},
			tenant +
				"is_failure=false": {"document.share.all", "document.create", "tenant.create"},
			tenant + "actor_id=user+2&is_failure=false": {"document.share.all"},
			"actor_id=nobody": {},
		} {
			wantEqual(t, query, api.found(query), want)
		}
		api.get("/v1/audit?tenant_id="+unknownID.String()).wantProblem("tenant_not_found", "?tenant_id")
		api.get("/v1/audit?action=a&tenant_id="+unknownID.String()).wantProblem("tenant_not_found", "?tenant_id")
		for _, bad := range []string{
			"action=*", "action=a.b.*", "action=a.*.b", "action=a*", "action=", "order=up", "is_failure=1", "actor_id=",
			"order=", "actor_id=" + strings.Repeat("x", 201), "action=" + strings.Repeat("%C3%A9", 101),
			"action=" + strings.Repeat("a", 201),
		} {
			name, _, _ := strings.Cut(bad, "=")
			api.send(request{
				method: http.MethodGet, target: "/v1/audit?" + bad,
			}).wantProblem("invalid_request", "?"+name)
		}
	})
}

func TestAuditQuery_readsOneEvent(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		api.tenant("globex")
		api.get(join("/v1/audit", unknownID)).wantProblem("audit_event_not_found")
		for _, e := range api.events() {
			wantEqual(t, "the event by its id", as[eventBody](api.get(join("/v1/audit", e.ID)).want(http.StatusOK)), e)
		}
	})
}

func TestAuditQuery_hasPages(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.tenant("globex").ID
		for range 4 {
			api.report("a.b", object{"group": object{"id": x}})
			api.report("c.d", nil)
		}
		for _, query := range []string{"", "?tenant_id=" + x.String(), "?action=c.d"} {
			all := []string{}
			for _, e := range as[web.Page[eventBody]](api.get("/v1/audit" + query).want(http.StatusOK)).Items {
				all = append(all, e.ID.String())
			}
			for limit := 1; limit <= len(all)+1; limit++ {
				got := pages(api, "/v1/audit"+query, limit, func(e eventBody) string { return e.ID.String() })
				wantEqual(t, fmt.Sprintf("%s in pages of %d", query, limit), got, all)
			}
			if len(all) == 0 || !slices.IsSortedFunc(all, func(a, b string) int { return strings.Compare(b, a) }) {
				t.Errorf("%s is not newest first: %v", query, all)
			}
		}
	})
}
