package server

import (
	"net/http"
	"slices"
	"strings"
)

// route is one line of the API.
type route struct {
	method, path string
	allow        string // who may call: "anyone", or roles; what a role may touch there is the Scope that registry keeps to
	params       string // the query parameters it takes, separated by spaces
	event        string // the action of the audit event that a success leaves; "*" if the caller names it; empty: it changes nothing
	traits       string // what else is special about it, separated by spaces: see below
	handle       func(*Server, *call) (answer, error)
}

// The traits of a route.
const (
	unlimited = "unlimited" // not counted by the rate limit: products and portals call it on every request of theirs
	slow      = "slow"      // has no deadline but its own: it waits for events, or writes an answer of any length
	bulky     = "bulky"     // takes a body of up to maxBulkBody
)

func (rt route) has(trait string) bool { return slices.Contains(strings.Fields(rt.traits), trait) }

// routes is the whole API and who may call it. openapi.yaml describes each of them, and a test holds the two together. A
// tenant-admin reaches its own tenant only, keys:verify its own product only, and every other role all tenants.
var routes = []route{
	{"GET", "/{$}", "anyone", "", "", "", (*Server).root},
	{"GET", "/healthz", "anyone", "", "", "", (*Server).healthz},
	{"GET", "/readyz", "anyone", "", "", "", (*Server).readyz},
	{"GET", "/openapi.yaml", "anyone", "", "", "", (*Server).openapiYAML},
	{"GET", "/openapi.json", "anyone", "", "", "", (*Server).openapiJSON},
	{"GET", "/problems/{code}", "anyone", "", "", "", (*Server).problemPage},

	{"POST", "/v1/tenants", "operator portal", "", "tenant.create", "", (*Server).createTenant},
	{"GET", "/v1/tenants/{id}", "operator portal tenant-admin", "", "", "", (*Server).tenant},
	{"GET", "/v1/tenants/by-slug/{slug}", "operator portal tenant-admin", "", "", "unlimited", (*Server).tenantBySlug},
	{"POST", "/v1/tenants/{id}/activate", "operator", "", "tenant.activate", "", (*Server).activateTenant},
	{"POST", "/v1/tenants/{id}/cancel", "operator tenant-admin", "", "tenant.cancel", "", (*Server).cancelTenant},

	{"GET", "/v1/entitlements", "operator portal tenant-admin keys:verify", "tenant_id limit cursor", "", "unlimited", (*Server).entitlements},

	{"GET", "/v1/catalog", "operator portal tenant-admin", "tenant_id limit cursor", "", "", (*Server).catalog},
	{"POST", "/v1/catalog/request", "operator portal tenant-admin", "", "catalog.request.create", "", (*Server).requestProduct},
	{"POST", "/v1/catalog/trial-request", "operator portal tenant-admin", "", "entitlement.create", "", (*Server).startTrial},

	{"GET", "/v1/api-keys", "operator portal tenant-admin", "tenant_id limit cursor product environment state unused_since expires_before", "", "", (*Server).apiKeys},
	{"POST", "/v1/api-keys", "operator portal tenant-admin", "", "api_key.create", "", (*Server).createAPIKey},
	{"GET", "/v1/api-keys/{id}", "operator portal tenant-admin", "", "", "", (*Server).apiKey},
	{"PATCH", "/v1/api-keys/{id}", "operator portal tenant-admin", "", "api_key.update", "", (*Server).updateAPIKey},
	{"POST", "/v1/api-keys/{id}/rotate", "operator portal tenant-admin", "", "api_key.rotate", "", (*Server).rotateAPIKey},
	{"DELETE", "/v1/api-keys/{id}", "operator portal tenant-admin", "reason", "api_key.revoke", "", (*Server).revokeAPIKey},
	{"POST", "/v1/api-keys/self-revoke", "anyone", "", "api_key.revoke", "", (*Server).selfRevoke},
	{"POST", "/v1/internal/api-keys/verify", "operator keys:verify", "", "", "unlimited", (*Server).verify},

	{"POST", "/v1/audit", "operator portal keys:verify audit:write", "", "*", "unlimited", (*Server).recordEvent},
	{"POST", "/v1/audit/bulk", "operator portal keys:verify audit:write", "", "*", "unlimited bulky", (*Server).recordEvents},
	{"GET", "/v1/audit", "operator tenant-admin", auditParams, "", "slow", (*Server).audit},
	{"GET", "/v1/audit/{id}", "operator tenant-admin", "", "", "", (*Server).auditEvent},
	{"GET", "/v1/audit/chain", "operator tenant-admin", "tenant_id", "", "", (*Server).auditChain},
	{"GET", "/v1/audit/checkpoint", "operator tenant-admin", "tenant_id", "", "", (*Server).auditCheckpoint},
	{"GET", "/v1/audit/export", "operator tenant-admin", "tenant_id format from_seq to_seq cursor", "", "slow", (*Server).auditExport},
}

const auditParams = "tenant_id order limit cursor wait action actor_id target_id correlation_id is_failure crud created_from created_before"

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
