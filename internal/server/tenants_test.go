package server

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// nobody is an id that is no tenant's, no key's and no event's.
var nobody = uuid.MustParse("01900000-0000-7000-8000-0000000000ff")

const cacheHeader = "private, max-age=5, stale-while-revalidate=30, stale-if-error=300"

func TestTenants_create(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		made := api.post("/v1/tenants", object{
			"slug": "globex", "name": "Globex 🏭 AG", "region": "eu-central", "external_id": "crm-1", "keycloak_org_id": "org-1",
			"metadata": object{"team": "growth", "empty": ""},
		}).want(http.StatusCreated)
		got := as[tenantBody](made)
		now := registry.FormatTime(start)
		want := tenantBody{
			ID: got.ID, Slug: "globex", Name: "Globex 🏭 AG", Status: registry.StatusTrial, Region: new("eu-central"),
			ExternalID: new("crm-1"), KeycloakOrgID: new("org-1"), Metadata: map[string]string{"team": "growth", "empty": ""},
			Version: 1, CreatedAt: now, UpdatedAt: now,
		}
		wantEqual(t, "the tenant", got, want)
		made.wantHeader("Location", "/v1/tenants/"+got.ID.String()).wantHeader("Etag", `"`+got.ID.String()+`-1"`)
		wantEqual(t, "the tenant at Location", as[tenantBody](api.get(made.header.Get("Location")).want(http.StatusOK)), want)
		wantEqual(t, "the tenant by slug", as[tenantBody](api.get("/v1/tenants/by-slug/globex").want(http.StatusOK)), want)
	})
}

func TestTenants_createUnset(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		for slug, body := range map[string]object{
			"absent": {},
			"nulls":  {"region": nil, "external_id": nil, "keycloak_org_id": nil, "metadata": nil},
			"empty":  {"region": "", "external_id": "", "keycloak_org_id": "", "metadata": object{}},
		} {
			body["slug"], body["name"] = slug, "Unset"
			got := as[tenantBody](api.post("/v1/tenants", body).want(http.StatusCreated))
			if got.Region != nil || got.ExternalID != nil || got.KeycloakOrgID != nil || got.Metadata == nil || len(got.Metadata) > 0 {
				t.Errorf("%s: %+v", slug, got)
			}
		}
	})
}

func TestTenants_taken(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		api.post("/v1/tenants", object{"slug": "globex", "name": "Globex", "keycloak_org_id": "org-1", "external_id": "crm-1"}).want(http.StatusCreated)
		api.post("/v1/tenants", object{"slug": "globex", "name": "Other"}).wantProblem("slug_taken", "/slug")
		api.post("/v1/tenants", object{"slug": "other", "name": "Other", "keycloak_org_id": "org-1"}).wantProblem("keycloak_org_id_taken", "/keycloak_org_id")
		api.get("/v1/tenants/by-slug/other").wantProblem("tenant_not_found")
		api.post("/v1/tenants", object{"slug": "other", "name": "Other", "external_id": "crm-1"}).want(http.StatusCreated)
	})
}

func TestTenants_invalid(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		bad := func(body object, places ...string) {
			t.Helper()
			api.send(jsonRequest("/v1/tenants", body)).wantProblem("invalid_request", places...)
		}
		bad(object{}, "/slug", "/name")
		bad(object{"slug": "", "name": ""}, "/slug", "/name")
		bad(object{"slug": nil, "name": nil}, "/slug", "/name")
		for _, slug := range []string{
			"ab", "-abc", "abc-", "Abc", "a_b", "a.b", "äbc", "xn--abc", "admin", "by-slug", "www", strings.Repeat("a", 64), "abc\n",
		} {
			bad(object{"slug": slug, "name": "x"}, "/slug")
		}
		for _, name := range []string{" ", "a\nb", "a\u202eb", "a\u200bb", strings.Repeat("ä", 201)} {
			bad(object{"slug": "abc", "name": name}, "/name")
		}
		bad(object{"slug": "abc", "name": "x", "region": strings.Repeat("r", 65)}, "/region")
		bad(object{"slug": "abc", "name": "x", "external_id": " "}, "/external_id")
		bad(object{"slug": "abc", "name": "x", "metadata": object{"": "x"}}, "/metadata/")
		bad(object{"slug": "abc", "name": "x", "metadata": object{"a/b~": strings.Repeat("x", 257)}}, "/metadata/a~1b~0")
		bad(object{"slug": "abc", "name": "x", "metadata": object{"k": nil}}, "/metadata/k")
		many := object{}
		for i := range 33 {
			many[string(rune('A'+i))] = "x"
		}
		bad(object{"slug": "abc", "name": "x", "metadata": many}, "/metadata")
		api.post("/v1/tenants", object{"slug": strings.Repeat("a", 63), "name": strings.Repeat("ä", 200)}).want(http.StatusCreated)
	})
}

func TestTenants_notFound(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		api.tenant("globex")
		api.get(join("/v1/tenants", nobody)).wantProblem("tenant_not_found")
		api.post(join("/v1/tenants", nobody, "activate"), nil).wantProblem("tenant_not_found")
		api.post(join("/v1/tenants", nobody, "cancel"), nil).wantProblem("tenant_not_found")
		api.get("/v1/tenants/by-slug/initech").wantProblem("tenant_not_found")
		for _, slug := range []string{"Globex", "admin", "x", "globex-", "xn--globex", "by-slug", strings.Repeat("a", 64)} {
			api.send(request{method: http.MethodGet, target: "/v1/tenants/by-slug/" + slug}).wantProblem("tenant_not_found")
		}
	})
}

func TestTenants_transitions(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.tenant("globex")
		refused := func(action, from, to string, allowed ...string) {
			t.Helper()
			p := api.post(join("/v1/tenants", x.ID, action), nil).wantProblem("invalid_transition")
			if p.From != from || p.To != to || strings.Join(p.Allowed, " ") != strings.Join(allowed, " ") {
				t.Errorf("%s of a tenant that is %s: from %q, to %q, allowed %q, want allowed %q", action, from, p.From, p.To, p.Allowed, allowed)
			}
		}
		refused("cancel", "trial", "frozen", "active")
		api.clock.advance(time.Hour)
		x.Status, x.Version, x.UpdatedAt, x.ActivatedAt = registry.StatusActive, 2, "2026-03-02T10:30:00.000000Z", new("2026-03-02T10:30:00.000000Z")
		wantEqual(t, "the active tenant", as[tenantBody](api.post(join("/v1/tenants", x.ID, "activate"), nil).want(http.StatusOK)), x)
		refused("activate", "active", "active", "frozen")
		api.clock.advance(time.Hour)
		x.Status, x.Version, x.UpdatedAt, x.FrozenAt = registry.StatusFrozen, 3, "2026-03-02T11:30:00.000000Z", new("2026-03-02T11:30:00.000000Z")
		wantEqual(t, "the frozen tenant", as[tenantBody](api.post(join("/v1/tenants", x.ID, "cancel"), nil).want(http.StatusOK)), x)
		refused("cancel", "frozen", "frozen")
		refused("activate", "frozen", "active")
		wantEqual(t, "the tenant as read", as[tenantBody](api.get(join("/v1/tenants", x.ID)).want(http.StatusOK)), x)
	})
}

func TestTenants_conditional(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.tenant("globex")
		first, other := `"`+x.ID.String()+`-1"`, `"`+nobody.String()+`-1"`
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
			for _, tags := range [][]string{{first}, {"W/" + first}, {"*"}, {other + ", " + first}, {other + ",W/" + first}, {other, first}} {
				if got := ask(http.StatusNotModified, tags...); len(got.body) > 0 || got.header.Get("Content-Type") != "" {
					t.Errorf("If-None-Match %q: a body %q of type %q", tags, got.body, got.header.Get("Content-Type"))
				}
			}
			head := api.send(request{method: http.MethodHead, target: target}).want(http.StatusOK).wantHeader("Etag", first)
			if full := api.get(target); head.header.Get("Content-Length") != full.header.Get("Content-Length") {
				t.Errorf("HEAD says %s bytes, GET %s", head.header.Get("Content-Length"), full.header.Get("Content-Length"))
			}
			api.send(request{method: http.MethodHead, target: target, header: http.Header{"If-None-Match": {first}}}).want(http.StatusNotModified)
		}
		api.post(join("/v1/tenants", x.ID, "activate"), nil).want(http.StatusOK).wantHeader("Etag", `"`+x.ID.String()+`-2"`).wantHeader("Cache-Control", "no-store")
		api.call(request{method: http.MethodGet, target: "/v1/tenants/by-slug/globex", header: http.Header{"If-None-Match": {first}}}).
			want(http.StatusOK).wantHeader("Etag", `"`+x.ID.String()+`-2"`)
	})
}

// A change that was made must be told, whatever If-None-Match says: only reads are conditional.
func TestTenants_changesAreUnconditional(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.tenant("globex")
		api.send(request{method: http.MethodPost, target: join("/v1/tenants", x.ID, "activate"), header: http.Header{"If-None-Match": {"*"}}}).
			want(http.StatusOK)
	})
}
