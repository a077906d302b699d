package server

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestRequestID_isTheCallersIfFit(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		longest := strings.Repeat("a", 128)
		for _, given := range [][]string{{"x"}, {"A-Z.a_z-0.9"}, {longest}} {
			p := api.send(request{
				method: http.MethodGet, target: "/v1/nothing", header: http.Header{"X-Request-Id": given},
			}).
				wantHeader("X-Request-Id", given[0]).wantProblem("not_found")
			if p.RequestID != given[0] {
				t.Errorf("request_id is %q, want %q", p.RequestID, given[0])
			}
		}
		for _, given := range [][]string{
			nil, {""}, {longest + "a"}, {"a b"}, {"a/b"}, {"ä"}, {"a,b"}, {"one", "two"}, {"same", "same"}, {`"x"`},
			{unknownKey}, {"a-bp_live_b"},
		} {
			got := api.send(request{
				method: http.MethodGet, target: "/v1/nothing", header: http.Header{"X-Request-Id": given},
			})
			if id := got.header.Get("X-Request-Id"); slices.Contains(given, id) || len(id) != 36 {
				t.Errorf("%q becomes %q", given, id)
			}
		}
		made := api.tenant("globex")
		activated := api.post(join("/v1/tenants", made.ID, "activate"), nil)
		found := api.found("correlation_id=" + activated.header.Get("X-Request-Id"))
		if !slices.Equal(found, []string{"tenant.activate"}) {
			t.Errorf("the audit event of the request is %q", found)
		}
	})
}
