package server

import (
	"net/http"
	"testing"
)

// isolationCase is a request about an object. It is answered ok for callers who see the object and missing for those
// who do not, if the route is for them at all.
type isolationCase struct {
	object      string
	request     request
	ok, missing int
}

// each tries a request on the same kind of object of everyone.
func each(fx *fixtures, ok, missing int, build func(f fixture) request) []isolationCase {
	return []isolationCase{
		{own, build(fx.own), ok, missing},
		{foreign, build(fx.foreign), ok, missing},
		{unknown, build(fx.unknown), ok, missing},
		{unknown, build(fx.invalid), ok, missing},
	}
}

// readCase is how TestIsolation_holdsAtEveryRoute tries a route that changes nothing.
type readCase struct {
	policy string // its row of policyTable
	cases  func(fx *fixtures) []isolationCase
}

// readCases has an entry for every route that leaves no event.
var readCases = map[string]readCase{
	"GET /":                {"health, root, spec, problems", reads("/")},
	"GET /healthz":         {"health, root, spec, problems", reads("/healthz")},
	"GET /readyz":          {"health, root, spec, problems", reads("/readyz")},
	"GET /openapi.yaml":    {"health, root, spec, problems", reads("/openapi.yaml")},
	"GET /openapi.json":    {"health, root, spec, problems", reads("/openapi.json")},
	"GET /problems/{code}": {"health, root, spec, problems", reads("/problems/slug_taken")},
	"GET /docs":            {"health, root, spec, problems", reads("/docs")},
	"GET /docs/{page}":     {"health, root, spec, problems", reads("/docs/concepts")},

	"GET /v1/tenants/{id}": {
		"read tenant, by slug", ofEach(func(f fixture) string { return join("/v1/tenants", f.tenant) }),
	},
	"GET /v1/tenants/by-slug/{slug}": {
		"read tenant, by slug", ofEach(func(f fixture) string { return "/v1/tenants/by-slug/" + f.slug }),
	},
	"GET /v1/tenants/{id}/export": {
		"query audit", ofEach(func(f fixture) string { return join("/v1/tenants", f.tenant, "export") }),
	},
	"GET /v1/entitlements": {"entitlements", ofEach(tenantQuery("/v1/entitlements"))},
	"GET /v1/catalog": {"catalog", func(fx *fixtures) []isolationCase {
		return append(ofEach(tenantQuery("/v1/catalog"))(fx), isolationCase{
			none, fetch("/v1/catalog"), http.StatusOK, 0,
		})
	}},
	"GET /v1/api-keys": {"API keys", ofEach(tenantQuery("/v1/api-keys"))},
	"GET /v1/api-keys/{id}": {
		"API keys", ofEach(func(f fixture) string { return join("/v1/api-keys", f.key) }),
	},
	"POST /v1/internal/api-keys/verify": {"verify", verifyCases},

	"GET /v1/audit": {"query audit", func(fx *fixtures) []isolationCase {
		cases := chainCases("/v1/audit")(fx)
		return append(cases[:4], isolationCase{whole, fetch("/v1/audit"), http.StatusOK, http.StatusBadRequest})
	}},
	"GET /v1/audit/{id}": {"query audit", func(fx *fixtures) []isolationCase {
		cases := ofEach(func(f fixture) string { return join("/v1/audit", f.event) })(fx)
		return append(cases, isolationCase{
			platform, fetch(join("/v1/audit", fx.platform)), http.StatusOK, http.StatusNotFound,
		})
	}},
	"GET /v1/audit/chain":      {"query audit", chainCases("/v1/audit/chain")},
	"GET /v1/audit/checkpoint": {"query audit", chainCases("/v1/audit/checkpoint")},
	"GET /v1/audit/export":     {"query audit", chainCases("/v1/audit/export")},
}

// reads asks for one target, which is about no tenant.
func reads(target string) func(*fixtures) []isolationCase {
	return func(*fixtures) []isolationCase { return []isolationCase{{none, fetch(target), http.StatusOK, 0}} }
}

// ofEach reads a target of each fixture.
func ofEach(target func(fixture) string) func(*fixtures) []isolationCase {
	return func(fx *fixtures) []isolationCase {
		return each(fx, http.StatusOK, http.StatusNotFound, func(f fixture) request { return fetch(target(f)) })
	}
}

// tenantQuery is a path with the parameter tenant_id.
func tenantQuery(path string) func(fixture) string {
	return func(f fixture) string { return path + "?tenant_id=" + f.tenant.String() }
}

// chainCases name no chain at last, which means the platform's; so does the nil UUID.
func chainCases(path string) func(fx *fixtures) []isolationCase {
	return func(fx *fixtures) []isolationCase {
		cases := ofEach(tenantQuery(path))(fx)
		cases[3].object = platform
		return append(cases, isolationCase{platform, fetch(path), http.StatusOK, http.StatusBadRequest})
	}
}

// verifyCases ask about keys, of which a product may know everyone's, and about products, of which it may not.
func verifyCases(fx *fixtures) []isolationCase {
	ask := func(key, product string) request {
		return jsonRequest("/v1/internal/api-keys/verify", object{"key": key, "product": product})
	}
	return []isolationCase{
		{own, ask(fx.own.text, ""), http.StatusOK, 0},
		{foreign, ask(fx.foreign.text, ""), http.StatusOK, 0},
		{foreign, ask(fx.foreign.bound, ""), http.StatusOK, 0},
		{own, ask(fx.own.text, ownProduct), http.StatusOK, 0},
		{none, ask(fx.unknown.text, ""), http.StatusOK, 0},
		{others, ask(fx.own.text, foreignProduct), http.StatusOK, http.StatusForbidden},
		{others, ask(fx.own.text, canaryProduct), http.StatusOK, http.StatusForbidden},
		{others, ask(fx.unknown.text, unknownProduct), http.StatusOK, http.StatusForbidden},
	}
}

// TestIsolation_hasAllRoutes asserts that TestIsolation_holdsAtEveryRoute tries every route: by mutations if it leaves
// an event, else by readCases.
func TestIsolation_hasAllRoutes(t *testing.T) {
	t.Parallel()
	rows := policyRows(t)
	reading := map[string]bool{}
	for i, name := range Routes() {
		reading[name] = routes[i].Event == ""
		if c, there := readCases[name]; there != reading[name] {
			t.Errorf("%s leaves no event (%t), and has an entry in readCases (%t)", name, reading[name], there)
		} else if there && rows[c.policy] == nil {
			t.Errorf("%s stands in the row %q of policyTable, which has none", name, c.policy)
		}
	}
	for name := range readCases {
		if _, there := reading[name]; !there {
			t.Errorf("%s has an entry in readCases and is no route", name)
		}
	}
}
