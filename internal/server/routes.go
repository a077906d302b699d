package server

import (
	"net/http"
	"strings"
)

// route is one line of the API.
type route struct {
	method, path string
	allow        string // who may call: "anyone", or roles; what a role may touch there is the Scope that registry keeps to
	params       string // the query parameters it takes, separated by spaces
	event        string // the action of the audit event that a success leaves; "*" if the caller names it; empty: it changes nothing
	unlimited    bool   // not counted by the rate limit: products and portals call it on every request of theirs
	handle       func(*Server, *call) (answer, error)
}

// routes is the whole API and who may call it. openapi.yaml describes each of them, and a test holds the two together. A
// tenant-admin reaches its own tenant only, keys:verify its own product only, and every other role all tenants.
var routes = []route{
	{"GET", "/{$}", "anyone", "", "", false, (*Server).root},
	{"GET", "/healthz", "anyone", "", "", false, (*Server).healthz},
	{"GET", "/readyz", "anyone", "", "", false, (*Server).readyz},
	{"GET", "/openapi.yaml", "anyone", "", "", false, (*Server).openapiYAML},
	{"GET", "/openapi.json", "anyone", "", "", false, (*Server).openapiJSON},
	{"GET", "/problems/{code}", "anyone", "", "", false, (*Server).problemPage},

	{"POST", "/v1/tenants", "operator portal", "", "tenant.create", false, (*Server).createTenant},
	{"GET", "/v1/tenants/{id}", "operator portal tenant-admin", "", "", false, (*Server).tenant},
	{"GET", "/v1/tenants/by-slug/{slug}", "operator portal tenant-admin", "", "", true, (*Server).tenantBySlug},
	{"POST", "/v1/tenants/{id}/activate", "operator", "", "tenant.activate", false, (*Server).activateTenant},
	{"POST", "/v1/tenants/{id}/cancel", "operator tenant-admin", "", "tenant.cancel", false, (*Server).cancelTenant},

	{"GET", "/v1/entitlements", "operator portal tenant-admin keys:verify", "tenant_id limit cursor", "", true, (*Server).entitlements},

	{"GET", "/v1/catalog", "operator portal tenant-admin", "tenant_id limit cursor", "", false, (*Server).catalog},
	{"POST", "/v1/catalog/request", "operator portal tenant-admin", "", "catalog.request.create", false, (*Server).requestProduct},
	{"POST", "/v1/catalog/trial-request", "operator portal tenant-admin", "", "entitlement.create", false, (*Server).startTrial},

	{"GET", "/v1/api-keys", "operator portal tenant-admin", "tenant_id limit cursor", "", false, (*Server).apiKeys},
	{"POST", "/v1/api-keys", "operator portal tenant-admin", "", "api_key.create", false, (*Server).createAPIKey},
	{"DELETE", "/v1/api-keys/{id}", "operator portal tenant-admin", "reason", "api_key.revoke", false, (*Server).revokeAPIKey},
	{"POST", "/v1/internal/api-keys/verify", "operator keys:verify", "", "", true, (*Server).verify},

	{"POST", "/v1/audit", "operator portal keys:verify audit:write", "", "*", true, (*Server).recordEvent},
	{"GET", "/v1/audit", "operator tenant-admin", "tenant_id order limit cursor action actor_id target_id correlation_id is_failure", "", false, (*Server).audit},
	{"GET", "/v1/audit/{id}", "operator tenant-admin", "", "", false, (*Server).auditEvent},
}

// Routes lists the routes in the order of the table, each as "METHOD /path" with its parameters in braces, as OpenAPI writes them.
func Routes() []string {
	list := make([]string, len(routes))
	for i, rt := range routes {
		list[i] = rt.method + " " + strings.TrimSuffix(rt.path, "{$}")
	}
	return list
}

// Policies says for each of Routes who may call it: the roles, or "anyone".
func Policies() map[string][]string {
	all := map[string][]string{}
	for i, name := range Routes() {
		all[name] = strings.Fields(routes[i].allow)
	}
	return all
}

// mux routes by the table. Whatever fits no line is answered by unrouted, never by the mux's own text.
func (s *Server) mux(table []route) *http.ServeMux {
	mux := http.NewServeMux()
	for _, rt := range table {
		mux.Handle(rt.method+" "+rt.path, s.endpoint(rt))
	}
	mux.Handle("/", s.unrouted(mux))
	return mux
}
