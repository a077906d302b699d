package server

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/registry"
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
		first := api.get(join("/v1/tenants", x.ID)).header.Get("Etag")
		if !strings.HasPrefix(first, `"`+x.ID.String()+`-1-`) {
			t.Errorf("the entity tag is %s", first)
		}
		other := strings.Replace(first, x.ID.String(), unknownID.String(), 1)
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
		active := api.post(join("/v1/tenants", x.ID, "activate"), nil).want(http.StatusOK)
		second := active.wantHeader("Cache-Control", "no-store").header.Get("Etag")
		if !strings.HasPrefix(second, `"`+x.ID.String()+`-2-`) {
			t.Errorf("after a change the entity tag is %s", second)
		}
		api.call(fetch("/v1/tenants/by-slug/globex").with("If-None-Match", first)).
			want(http.StatusOK).wantHeader("Etag", second)
	})
}

// TestTenant_tagChangesWithWhatIsShown asserts that a change by SQL, which leaves the version, is seen by a reader with
// the entity tag of before, and that a change expects the version only.
func TestTenant_tagChangesWithWhatIsShown(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		id := api.activeTenant("globex").ID
		target := "/v1/tenants/by-slug/globex"
		tag := api.get(target).header.Get("Etag")
		tagged := fetch(target).with("If-None-Match", tag).with("Cache-Control", "no-cache")
		api.call(tagged).want(http.StatusNotModified)
		api.tx(func(ctx context.Context, tx registry.Tx) error {
			x, err := tx.LockTenant(ctx, id)
			if err != nil {
				return err
			}
			x.Status, x.FrozenAt = registry.StatusFrozen, &start
			return tx.UpdateTenant(ctx, x)
		})
		got := api.call(tagged).want(http.StatusOK)
		if as[tenantBody](got).Status != registry.StatusFrozen || got.header.Get("Etag") == tag {
			t.Errorf("a tenant that was frozen by SQL is %s with tag %s", got.body, got.header.Get("Etag"))
		}
		key := api.key(api.activeTenant("acme").ID, nil)
		path := join("/v1/api-keys", key.ID)
		before := api.get(path).header.Get("Etag")
		api.tx(func(ctx context.Context, tx registry.Tx) error {
			k, err := tx.LockAPIKey(ctx, key.ID)
			if err != nil {
				return err
			}
			k.Disabled = true
			return tx.UpdateAPIKey(ctx, k)
		})
		api.call(fetch(path).with("If-None-Match", before)).want(http.StatusOK)
		api.call(patchRequest(path, object{"disabled": false}).with("If-Match", before)).want(http.StatusOK)
		api.call(patchRequest(path, object{"name": "x"}).with("If-Match", before)).want(http.StatusPreconditionFailed)
	})
}
