package server

import (
	"net/http"
	"strings"
	"testing"
)

const cacheHeader = "private, max-age=5, stale-while-revalidate=30, stale-if-error=300"

func TestTenant_unknownIsNotFound(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		api.tenant("globex")
		api.get(join("/v1/tenants", unknownID)).wantProblem("tenant_not_found")
		api.post(join("/v1/tenants", unknownID, "activate"), nil).wantProblem("tenant_not_found")
		api.post(join("/v1/tenants", unknownID, "cancel"), nil).wantProblem("tenant_not_found")
		api.get("/v1/tenants/by-slug/initech").wantProblem("tenant_not_found")
		for _, slug := range []string{
			"Globex", "admin", "x", "globex-", "xn--globex", "by-slug", strings.Repeat("a", 64),
		} {
			api.send(request{
				method: http.MethodGet, target: "/v1/tenants/by-slug/" + slug,
			}).wantProblem("tenant_not_found")
		}
	})
}

func TestTenant_readsAreConditional(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.tenant("globex")
		first, other := `"`+x.ID.String()+`-1"`, `"`+unknownID.String()+`-1"`
		for _, target := range []string{join("/v1/tenants", x.ID), "/v1/tenants/by-slug/globex"} {
			ask := func(status int, tags ...string) *reply {
				t.Helper()
				header := http.Header{}
				for _, tag := range tags {
					header.Add("If-None-Match", tag)
				}
				return api.call(request{method: http.MethodGet, target: target, header: header}).
					want(status).wantHeader("Cache-Control", cacheHeader).wantHeader("Etag", first)
			}
			ask(http.StatusOK)
			ask(http.StatusOK, other)
			ask(http.StatusOK, strings.Trim(first, `"`))
			ask(http.StatusOK, `W/`+other)
			for _, tags := range [][]string{
				{first}, {"W/" + first}, {"*"}, {other + ", " + first}, {other + ",W/" + first}, {other, first},
			} {
				if got := ask(http.StatusNotModified, tags...); len(got.body) > 0 ||
					got.header.Get("Content-Type") != "" {
					t.Errorf("If-None-Match %q: a body %q of type %q", tags, got.body, got.header.Get("Content-Type"))
				}
			}
			head := api.send(request{
				method: http.MethodHead, target: target,
			}).want(http.StatusOK).wantHeader("Etag", first)
			if full := api.get(target); head.header.Get("Content-Length") != full.header.Get("Content-Length") {
				t.Errorf(
					"HEAD says %s bytes, GET %s", head.header.Get("Content-Length"), full.header.Get("Content-Length"),
				)
			}
			api.send(request{
				method: http.MethodHead, target: target, header: http.Header{"If-None-Match": {first}},
			}).want(http.StatusNotModified)
		}
		api.post(
			join("/v1/tenants", x.ID, "activate"), nil,
		).want(http.StatusOK).wantHeader("Etag", `"`+x.ID.String()+`-2"`).wantHeader("Cache-Control", "no-store")
		api.call(request{
			method: http.MethodGet, target: "/v1/tenants/by-slug/globex", header: http.Header{"If-None-Match": {first}},
		}).
			want(http.StatusOK).wantHeader("Etag", `"`+x.ID.String()+`-2"`)
	})
}
