package server

import (
	"net/http"
	"strings"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/server/web"
)

// route is one line of the API.
type route struct {
	Method, Path string
	Roles        policy   // who may call; what a role reaches there is the Access that registry keeps to
	Query        []string // the query parameters it takes
	// the action of the audit event that a success leaves; "*" if the caller names it; empty: it changes nothing
	Event string

	Unlimited   bool // services call it on every request of their own: the rate limit does not count theirs
	Cached      bool // answered from the cache, which has a deadline of its own for what it reads
	LongRunning bool // has deadlines of its own: a long poll, or an answer of any length
	Bulk        bool // takes a body of up to maxBulkBody
	Appends     bool // takes a share of the appends, before its body is read

	Handle func(*Server, *call) (web.Response, error)
}

// name is the method and the path as OpenAPI writes it.
func (rt route) name() string { return rt.Method + " " + strings.TrimSuffix(rt.Path, "{$}") }

// exempt reports whether the rate limit does not count a caller's requests: those of a service, on a route that it
// calls on every request of its own. A tenant-admin's are counted on every route.
func (rt route) exempt(who auth.Principal) bool {
	return rt.Unlimited && !who.Has(tenantAdmin) && (who.Has(portal) || who.Has(keysVerify) || who.Has(auditWrite))
}

// policy is who may call a route.
type policy struct {
	anyone bool
	roles  []auth.Role // of which a caller needs one
}

// roles is the policy of a route that callers with one of these roles may call.
func roles(of ...auth.Role) policy { return policy{roles: of} }

// anyone is the policy of a route that needs no credential.
var anyone = policy{anyone: true}

// The roles, as the table names them.
const (
	operator    = auth.RoleOperator
	portal      = auth.RolePortal
	tenantAdmin = auth.RoleTenantAdmin
	keysVerify  = auth.RoleKeysVerify
	auditWrite  = auth.RoleAuditWrite
)

const (
	get, post, patch, del = http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete
)

func params(list string) []string { return strings.Fields(list) }

// The policies that several routes share.
var (
	operatorOnly = roles(operator)
	anyManager   = roles(operator, portal, tenantAdmin)
	auditReaders = roles(operator, tenantAdmin)
	auditWriters = roles(operator, portal, keysVerify, auditWrite)
)

// routes is the whole API and who may call it. openapi.yaml describes each of them, and a test holds the two together.
// A tenant-admin reaches its own tenant only, keys:verify its own product only, and every other role all tenants.
var routes = []route{
	{Method: get, Path: "/{$}", Roles: anyone, Handle: (*Server).root},
	{Method: get, Path: "/healthz", Roles: anyone, Handle: (*Server).healthz},
	{Method: get, Path: "/readyz", Roles: anyone, Handle: (*Server).readyz},
	{Method: get, Path: "/openapi.yaml", Roles: anyone, Handle: (*Server).openapiYAML},
	{Method: get, Path: "/openapi.json", Roles: anyone, Handle: (*Server).openapiJSON},
	{Method: get, Path: "/problems/{code}", Roles: anyone, Handle: (*Server).problemPage},
	{Method: get, Path: "/docs", Roles: anyone, Handle: (*Server).docsIndex},
	{Method: get, Path: "/docs/{page}", Roles: anyone, Handle: (*Server).docsPage},

	{Method: post, Path: "/v1/tenants", Roles: roles(operator, portal), Event: "tenant.create",
		Handle: (*Server).createTenant},
	{Method: get, Path: "/v1/tenants/{id}", Roles: anyManager, Handle: (*Server).tenant},
	{Method: get, Path: "/v1/tenants/by-slug/{slug}", Roles: anyManager, Unlimited: true, Cached: true,
		Handle: (*Server).tenantBySlug},
	{Method: post, Path: "/v1/tenants/{id}/activate", Roles: operatorOnly, Event: "tenant.activate",
		Handle: (*Server).activateTenant},
	{Method: post, Path: "/v1/tenants/{id}/cancel", Roles: roles(operator, tenantAdmin), Event: "tenant.cancel",
		Handle: (*Server).cancelTenant},
	{Method: post, Path: "/v1/tenants/{id}/freeze", Roles: operatorOnly, Event: "tenant.freeze",
		Handle: (*Server).freezeTenant},
	{Method: post, Path: "/v1/tenants/{id}/reactivate", Roles: operatorOnly, Event: "tenant.reactivate",
		Handle: (*Server).reactivateTenant},
	{Method: get, Path: "/v1/tenants/{id}/export", Roles: auditReaders, LongRunning: true,
		Handle: (*Server).exportTenant},
	{Method: post, Path: "/v1/tenants/{id}/audit/erasures", Roles: operatorOnly, Event: "audit.erase",
		LongRunning: true, Handle: (*Server).eraseEvents},

	{Method: get, Path: "/v1/entitlements", Roles: roles(operator, portal, tenantAdmin, keysVerify),
		Query: params("tenant_id limit cursor"), Unlimited: true, Handle: (*Server).entitlements},

	{Method: get, Path: "/v1/catalog", Roles: anyManager, Query: params("tenant_id limit cursor"),
		Handle: (*Server).catalog},
	{Method: post, Path: "/v1/catalog/request", Roles: anyManager, Event: "catalog.request.create",
		Handle: (*Server).requestProduct},
	{Method: post, Path: "/v1/catalog/trial-request", Roles: anyManager, Event: "entitlement.create",
		Handle: (*Server).startTrial},

	{Method: get, Path: "/v1/api-keys", Roles: anyManager,
		Query:  params("tenant_id limit cursor product environment state unused_since expires_before"),
		Handle: (*Server).apiKeys},
	{Method: post, Path: "/v1/api-keys", Roles: anyManager, Event: "api_key.create", Handle: (*Server).createAPIKey},
	{Method: get, Path: "/v1/api-keys/{id}", Roles: anyManager, Handle: (*Server).apiKey},
	{Method: patch, Path: "/v1/api-keys/{id}", Roles: anyManager, Event: "api_key.update",
		Handle: (*Server).updateAPIKey},
	{Method: post, Path: "/v1/api-keys/{id}/rotate", Roles: anyManager, Event: "api_key.rotate",
		Handle: (*Server).rotateAPIKey},
	{Method: del, Path: "/v1/api-keys/{id}", Roles: anyManager, Query: params("reason"), Event: "api_key.revoke",
		Handle: (*Server).revokeAPIKey},
	{Method: post, Path: "/v1/api-keys/self-revoke", Roles: anyone, Event: "api_key.revoke",
		Handle: (*Server).selfRevoke},
	{Method: post, Path: "/v1/internal/api-keys/verify", Roles: roles(operator, keysVerify), Unlimited: true,
		Cached: true, Handle: (*Server).verify},

	{Method: post, Path: "/v1/audit", Roles: auditWriters, Event: "*", Unlimited: true, Appends: true,
		Handle: (*Server).recordEvent},
	{Method: post, Path: "/v1/audit/bulk", Roles: auditWriters, Event: "*", Unlimited: true, Bulk: true,
		Appends: true, Handle: (*Server).recordEvents},
	{Method: get, Path: "/v1/audit", Roles: auditReaders, LongRunning: true,
		Query: params("tenant_id order limit cursor wait action actor_id target_id correlation_id is_failure crud " +
			"emitter_id own created_from created_before"),
		Handle: (*Server).audit},
	{Method: get, Path: "/v1/audit/{id}", Roles: auditReaders, Handle: (*Server).auditEvent},
	{Method: get, Path: "/v1/audit/chain", Roles: auditReaders, Query: params("tenant_id"),
		Handle: (*Server).auditChain},
	{Method: get, Path: "/v1/audit/checkpoint", Roles: auditReaders, Query: params("tenant_id"),
		Handle: (*Server).auditCheckpoint},
	{Method: get, Path: "/v1/audit/export", Roles: auditReaders,
		Query: params("tenant_id format from_seq to_seq cursor"), LongRunning: true, Handle: (*Server).auditExport},
}

// Routes lists the routes in the order of the table, each as "METHOD /path" with its parameters in braces, as OpenAPI
// writes them.
func Routes() []string {
	list := make([]string, len(routes))
	for i, rt := range routes {
		list[i] = rt.name()
	}
	return list
}

// Policies says for each of Routes who may call it: the roles, or "anyone".
func Policies() map[string][]string {
	all := map[string][]string{}
	for _, rt := range routes {
		if rt.Roles.anyone {
			all[rt.name()] = []string{"anyone"}
			continue
		}
		for _, role := range rt.Roles.roles {
			all[rt.name()] = append(all[rt.name()], string(role))
		}
	}
	return all
}
