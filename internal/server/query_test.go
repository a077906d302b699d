package server

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/breakpilot/tenant-registry/internal/server/web"
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
