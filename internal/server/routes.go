package server

import (
	"net/http"
	"strings"
)

// route is one line of the API.
type route struct {
	method, path string
	params       string // the query parameters it takes, separated by spaces
	event        string // the action of the audit event that a success leaves; "*" if the caller names it; empty: it changes nothing
	handle       func(*Server, *call) (answer, error)
}

// routes is the whole API. openapi.yaml describes each of them, and a test holds the two together.
var routes = []route{
	{"GET", "/{$}", "", "", (*Server).root},
	{"GET", "/healthz", "", "", (*Server).healthz},
	{"GET", "/readyz", "", "", (*Server).readyz},
	{"GET", "/openapi.yaml", "", "", (*Server).openapiYAML},
	{"GET", "/openapi.json", "", "", (*Server).openapiJSON},
	{"GET", "/problems/{code}", "", "", (*Server).problemPage},

	{"POST", "/v1/tenants", "", "tenant.create", (*Server).createTenant},
	{"GET", "/v1/tenants/{id}", "", "", (*Server).tenant},
	{"GET", "/v1/tenants/by-slug/{slug}", "", "", (*Server).tenantBySlug},
	{"POST", "/v1/tenants/{id}/activate", "", "tenant.activate", (*Server).activateTenant},
	{"POST", "/v1/tenants/{id}/cancel", "", "tenant.cancel", (*Server).cancelTenant},

	{"GET", "/v1/entitlements", "tenant_id limit cursor", "", (*Server).entitlements},

	{"GET", "/v1/catalog", "tenant_id limit cursor", "", (*Server).catalog},
	{"POST", "/v1/catalog/request", "", "catalog.request.create", (*Server).requestProduct},
	{"POST", "/v1/catalog/trial-request", "", "entitlement.create", (*Server).startTrial},

	{"GET", "/v1/api-keys", "tenant_id limit cursor", "", (*Server).apiKeys},
	{"POST", "/v1/api-keys", "", "api_key.create", (*Server).createAPIKey},
	{"DELETE", "/v1/api-keys/{id}", "reason", "api_key.revoke", (*Server).revokeAPIKey},
	{"POST", "/v1/internal/api-keys/verify", "", "", (*Server).verify},

	{"POST", "/v1/audit", "", "*", (*Server).recordEvent},
	{"GET", "/v1/audit", "tenant_id order limit cursor action actor_id target_id correlation_id is_failure", "", (*Server).audit},
	{"GET", "/v1/audit/{id}", "", "", (*Server).auditEvent},
}

// Routes lists the routes in the order of the table, each as "METHOD /path" with its parameters in braces, as OpenAPI writes them.
func Routes() []string {
	list := make([]string, len(routes))
	for i, rt := range routes {
		list[i] = rt.method + " " + strings.TrimSuffix(rt.path, "{$}")
	}
	return list
}

// mux routes by the table. Whatever fits no line is answered by unrouted, never by the mux's own text.
func (s *Server) mux() *http.ServeMux {
	mux := http.NewServeMux()
	for _, rt := range routes {
		mux.Handle(rt.method+" "+rt.path, s.endpoint(rt))
	}
	mux.Handle("/", s.unrouted(mux))
	return mux
}
