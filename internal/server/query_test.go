package server

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
	"github.com/breakpilot/tenant-registry/internal/violation"
)

func TestQuery_badParametersAreNamed(t *testing.T) {
	long := strings.Repeat("n", 300)
	eachOperation(t, isAny, func(t *testing.T, api *client, o operation) {
		var good any
		if hasBody(o) {
			good = goodBody(o)
		}
		r := exampleRequest(o, good)
		bad := func(target string, places ...string) {
			t.Helper()
			same := r
			same.target = target
			api.send(same).wantProblem("invalid_request", places...)
		}
		bad(at(r.target, "x="+canary), "?x")
		bad(at(r.target, "x"), "?x")
		bad(at(r.target, "="+canary), "?(empty)")
		bad(at(r.target, long+"="+canary), "?"+long[:64]+"…")
		bad(at(r.target, "x%00y="+canary), "?x\x00y")
		bad(at(r.target, "x%ff="+canary), "?x\uFFFD")
		bad(at(r.target, "x=1&y=2&x=3"), "?x", "?y")
		for garbled, name := range map[string]string{
			"%zz": "(unreadable)", "x=%": "x", "%": "(unreadable)", "x=%4": "x", "a;b": "(unreadable)",
			"%gg=" + canary: "(unreadable)",
		} {
			bad(at(r.target, garbled), "?"+name)
		}
		for _, ref := range o.op.Parameters {
			if p := ref.Value; p.In == openapi3.ParameterInQuery {
				badParameter(r.target, p, bad)
			}
		}
	})
}

// badParameter tries values that a parameter does not take.
func badParameter(base string, p *openapi3.Parameter, bad func(target string, places ...string)) {
	q := newQuery(base)
	delete(q.values, p.Name)
	if p.Required {
		bad(q.String(), "?"+p.Name)
	}
	bad(at(at(q.String(), p.Name+"=1"), p.Name+"=1"), "?"+p.Name)
	bad(at(at(q.String(), p.Name+"="+canary), strings.ToUpper(p.Name)+"="+canary), "?"+strings.ToUpper(p.Name))
	for _, raw := range []string{"%ff", "%00", "", canary + "%00"} {
		bad(at(q.String(), p.Name+"="+raw), "?"+p.Name)
	}
	m := member{schema: p.Schema.Value}
	for _, value := range brokenRules(m) {
		bad(q.set(p.Name, value).String(), "?"+p.Name)
	}
	if !m.schema.Type.Is(openapi3.TypeString) {
		bad(q.set(p.Name, canary).String(), "?"+p.Name)
	}
}

func TestQuery_limitIsFrom1To100(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		for _, list := range lists(api) {
			for _, limit := range []string{
				"0", "101", "-1", "abc", "01", "1.0", "", "+1", "1e1", " 1", "99999999999999999999",
			} {
				api.send(request{
					method: http.MethodGet, target: newQuery(list).set("limit", limit).String(),
				}).wantProblem("invalid_request", "?limit")
			}
			api.get(newQuery(list).set("limit", 100).String()).want(http.StatusOK)
		}
	})
}

// Without a limit a page has 50 items.
func TestQuery_limitIs50UnlessGiven(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		for range 51 {
			api.report("a.b", nil)
		}
		p := as[web.Page[eventBody]](api.get("/v1/audit").want(http.StatusOK))
		if len(p.Items) != 50 || p.NextCursor == nil ||
			slices.ContainsFunc(p.Items, func(e eventBody) bool { return e.Seq == 1 }) {
			t.Errorf("a page has %d items, next %v", len(p.Items), p.NextCursor)
		}
	})
}

// TestQuery_isBounded asserts that a query of one byte too many is refused before it is looked at, and that what is
// answered to one does not grow with it.
func TestQuery_isBounded(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		many := strings.TrimSuffix(strings.Repeat("x%d=1&", 700), "&") // unknown parameters
		for i := range 700 {
			many = strings.Replace(many, "%d", strconv.Itoa(i), 1)
		}
		p := api.send(fetch("/v1/catalog?" + many[:maxQuery])).want(http.StatusBadRequest)
		listed := p.wantProblem("invalid_request")
		if len(listed.Errors) != 20 || len(p.body) > 2*maxQuery ||
			!regexp.MustCompile(` The first 20 of \d{3} are listed\.$`).MatchString(listed.Detail) {
			t.Errorf("%d violations in %d bytes: %s", len(listed.Errors), len(p.body), listed.Detail)
		}
		long := func(name string, limit int) string { return name + strings.Repeat("x", limit-len(name)) }
		key := join("/v1/api-keys", api.key(api.tenant("globex").ID, nil).ID)
		for _, c := range []struct {
			method, target string
			limit          int
			places         []string
		}{
			{http.MethodGet, "/v1/audit?", maxQuery + 4*12*registry.MaxID, []string{"?actor_id"}},
			{http.MethodGet, "/v1/catalog?", maxQuery, []string{"?actor_id"}},
			{http.MethodPost, "/v1/tenants?", maxQuery, []string{"?actor_id"}},
			{http.MethodGet, "/healthz?", maxQuery, []string{"?actor_id"}},
			{http.MethodDelete, key + "?", maxQuery + 12*registry.MaxText, []string{"?actor_id"}},
		} {
			fits := request{method: c.method, target: c.target + long("actor_id=", c.limit)}
			api.send(fits).wantProblem("invalid_request", c.places...)
			tooLong := request{method: c.method, target: c.target + long("actor_id=", c.limit+1)}
			p := api.send(tooLong).wantProblem("invalid_request")
			want := fmt.Sprintf("The query has more than %d bytes.", c.limit)
			if p.Detail != want || len(p.Errors) > 0 {
				t.Errorf("%.30s: %+v, want %s", c.target, p, want)
			}
		}
		reason := strings.Repeat("%F0%9F%94%91", registry.MaxText) // the longest there is
		api.send(request{method: http.MethodDelete, target: key + "?reason=" + reason}).want(http.StatusNoContent)
	})
}

// TestQuery_timesAreRFC3339 asserts that times are read in every form of RFC 3339, wherever there are some, and that a
// plus sign which a query has made a space of is told as such.
func TestQuery_timesAreRFC3339(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		keys := join("/v1/api-keys?tenant_id=" + api.tenant("globex").ID.String() + "&")
		for _, target := range []string{
			"/v1/audit?created_from=", "/v1/audit?created_before=", keys + "unused_since=", keys + "expires_before=",
		} {
			for _, at := range []string{
				"2026-01-01T00:00:00Z", "2026-01-01t00:00:00z", "2026-01-01T00:00:00.5z", "2026-01-01T00:00:00%2B01:00",
				"2026-01-01t00:00:00-01:00",
			} {
				api.send(fetch(target + at)).want(http.StatusOK)
			}
			p := api.send(fetch(target + "2026-01-01T00:00:00+01:00")).wantProblem("invalid_request")
			if want := violation.TimestampPlus; !strings.Contains(want, "%2B") || p.Errors[0].Message != want {
				t.Errorf("%s: a plus sign is %q", target, p.Errors[0].Message)
			}
			p = api.send(fetch(target + "2026-01-01+00:00:00Z")).wantProblem("invalid_request")
			if p.Errors[0].Message != violation.Timestamp {
				t.Errorf("%s: another plus sign is %q", target, p.Errors[0].Message)
			}
		}
	})
}
