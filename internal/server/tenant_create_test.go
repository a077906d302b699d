package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/timestamp"
)

func TestTenantCreate_answersTheTenant(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		made := api.post("/v1/tenants", object{
			"slug": "globex", "name": "Globex 🏭 AG", "region": "eu-central", "external_id": "crm-1",
			"keycloak_org_id": "org-1",
			"metadata":        object{"team": "growth", "empty": ""},
		}).want(http.StatusCreated)
		got := as[tenantBody](made)
		now := timestamp.Format(start)
		want := tenantBody{
			ID: got.ID, Slug: "globex", Name: "Globex 🏭 AG", Status: registry.StatusTrial, Region: new("eu-central"),
			ExternalID: new("crm-1"), KeycloakOrgID: new("org-1"),
			Metadata: map[string]string{"team": "growth", "empty": ""},
			Version:  1, CreatedAt: now, UpdatedAt: now,
		}
		wantEqual(t, "the tenant", got, want)
		made.wantHeader("Location", "/v1/tenants/"+got.ID.String())
		there := api.get(made.header.Get("Location")).want(http.StatusOK)
		there.wantHeader("Etag", made.header.Get("Etag"))
		wantEqual(t, "the tenant at Location", as[tenantBody](there), want)
		wantEqual(
			t, "the tenant by slug", as[tenantBody](api.get("/v1/tenants/by-slug/globex").want(http.StatusOK)), want,
		)
	})
}

func TestTenantCreate_membersMayBeUnset(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		for slug, body := range map[string]object{
			"absent": {},
			"nulls":  {"region": nil, "external_id": nil, "keycloak_org_id": nil, "metadata": nil},
			"empty":  {"region": "", "external_id": "", "keycloak_org_id": "", "metadata": object{}},
		} {
			body["slug"], body["name"] = slug, "Unset"
			got := as[tenantBody](api.post("/v1/tenants", body).want(http.StatusCreated))
			if got.Region != nil || got.ExternalID != nil || got.KeycloakOrgID != nil || got.Metadata == nil ||
				len(got.Metadata) > 0 {
				t.Errorf("%s: %+v", slug, got)
			}
		}
	})
}

func TestTenantCreate_refusesTakenNames(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		api.post("/v1/tenants", object{
			"slug": "globex", "name": "Globex", "keycloak_org_id": "org-1", "external_id": "crm-1",
		}).want(http.StatusCreated)
		api.post("/v1/tenants", object{"slug": "globex", "name": "Other"}).wantProblem("slug_taken", "/slug")
		api.post("/v1/tenants", object{
			"slug": "other", "name": "Other", "keycloak_org_id": "org-1",
		}).wantProblem("keycloak_org_id_taken", "/keycloak_org_id")
		api.get("/v1/tenants/by-slug/other").wantProblem("tenant_not_found")
		api.post("/v1/tenants", object{
			"slug": "other", "name": "Other", "external_id": "crm-1",
		}).want(http.StatusCreated)
	})
}

func TestTenantCreate_refusesBadInput(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		bad := func(body object, places ...string) {
			t.Helper()
			api.send(jsonRequest("/v1/tenants", body)).wantProblem("invalid_request", places...)
		}
		bad(object{}, "/slug", "/name")
		bad(object{"slug": "", "name": ""}, "/slug", "/name")
		bad(object{"slug": nil, "name": nil}, "/slug", "/name")
		for _, slug := range []string{
			"ab", "-abc", "abc-", "Abc", "a_b", "a.b", "äbc", "xn--abc", "admin", "by-slug", "www",
			strings.Repeat("a", 64), "abc\n",
		} {
			bad(object{"slug": slug, "name": "x"}, "/slug")
		}
		for _, name := range []string{" ", "a\nb", "a\u202eb", "a\u200bb", strings.Repeat("ä", 201)} {
			bad(object{"slug": "abc", "name": name}, "/name")
		}
		bad(object{"slug": "abc", "name": "x", "region": strings.Repeat("r", 65)}, "/region")
		bad(object{"slug": "abc", "name": "x", "external_id": " "}, "/external_id")
		bad(object{"slug": "abc", "name": "x", "metadata": object{"": "x"}}, "/metadata/")
		bad(
			object{"slug": "abc", "name": "x", "metadata": object{"a/b~": strings.Repeat("x", 257)}},
			"/metadata/a~1b~0",
		)
		bad(object{"slug": "abc", "name": "x", "metadata": object{"k": nil}}, "/metadata/k")
		many := object{}
		for i := range 33 {
			many[string(rune('A'+i))] = "x"
		}
		bad(object{"slug": "abc", "name": "x", "metadata": many}, "/metadata")
		api.post("/v1/tenants", object{
			"slug": strings.Repeat("a", 63), "name": strings.Repeat("ä", 200),
		}).want(http.StatusCreated)
	})
}
