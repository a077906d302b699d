package server

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// What only the foreign tenant's data holds, and what only the foreign product's.
const (
	tenantCanary  = "c4n4ry"
	productCanary = "g4dg3t"
	privateOne    = "c4n4ry-private" // a private product that the foreign tenant has
)

// side is one tenant and what belongs to it.
type side struct {
	tenant     uuid.UUID
	slug       string
	key, event uuid.UUID
	text       string // of the key
	bound      string // the text of another key, which is bound to the foreign product
}

// ground is what the requests of one principal are about.
type ground struct {
	own, foreign, unknown, nobody side
	platform                      uuid.UUID // an event of the platform's
	org                           string    // the organisation of own
	n                             int64     // of this ground, to make what is unique
}

var grounds atomic.Int64

// catalogue adds the products that grounds use.
func catalogue(api *client) {
	api.t.Helper()
	api.product(ownProduct, nil)
	api.product(foreignProduct, func(p *registry.Product) { p.DefaultConfig = registry.Config{"note": productCanary} })
	api.product("gizmos", func(p *registry.Product) { p.Requestable, p.TrialDays = true, 14 })
	api.product(privateOne, func(p *registry.Product) { p.Audience, p.Requestable = registry.Private, true })
}

// newGround makes two tenants with everything a tenant can have. They are on trial if trial is set, else active.
func newGround(api *client, trial bool) *ground {
	api.t.Helper()
	n := grounds.Add(1)
	g := &ground{n: n, org: fmt.Sprintf("org-own-%d", n)}
	g.own = newSide(api, trial, registry.NewTenant{Slug: fmt.Sprintf("own-%d", n), Name: "Own", KeycloakOrgID: g.org}, "plain")
	g.foreign = newSide(api, trial, registry.NewTenant{
		Slug: fmt.Sprintf("%s-%d", tenantCanary, n), Name: tenantCanary, Region: tenantCanary, ExternalID: tenantCanary,
		KeycloakOrgID: fmt.Sprintf("%s-org-%d", tenantCanary, n), Metadata: map[string]string{tenantCanary: tenantCanary},
	}, tenantCanary)
	api.grant(g.foreign.tenant, privateOne)
	g.unknown = side{uuid.Must(uuid.NewV7()), fmt.Sprintf("nobody-%d", n), uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7()), unknownKey, unknownKey}
	g.nobody = side{slug: "by-slug", text: unknownKey, bound: unknownKey} // of the nil UUID, and a slug that nobody can have
	g.platform = recordFor(api, uuid.Nil, tenantCanary)
	return g
}

func newSide(api *client, trial bool, n registry.NewTenant, text string) side {
	api.t.Helper()
	ctx := api.t.Context()
	t, err := api.registry.CreateTenant(ctx, operator, n)
	if err == nil && !trial {
		t, err = api.registry.ActivateTenant(ctx, operator, t.ID)
	}
	if err != nil {
		api.t.Fatal(err)
	}
	s := side{tenant: t.ID, slug: t.Slug}
	api.grant(t.ID, ownProduct)
	api.grant(t.ID, foreignProduct)
	_, s.bound = newKey(api, t.ID, text, foreignProduct)
	s.key, s.text = newKey(api, t.ID, text, "")
	s.event = recordFor(api, t.ID, text)
	return s
}

func newKey(api *client, tenant uuid.UUID, name, product string) (uuid.UUID, string) {
	api.t.Helper()
	k, text, err := api.registry.CreateAPIKey(api.t.Context(), operator, registry.NewAPIKey{TenantID: tenant, Name: name, Product: product})
	if err != nil {
		api.t.Fatal(err)
	}
	return k.ID, text
}

func recordFor(api *client, group uuid.UUID, text string) uuid.UUID {
	api.t.Helper()
	e, err := api.registry.RecordEvent(api.t.Context(), operator, registry.AuditEvent{
		Action: "document.share", CRUD: registry.Update, GroupID: group, Actor: registry.Party{ID: text, Name: text},
		Target: registry.Party{ID: text}, Fields: map[string]string{text: text}, CorrelationID: text,
	})
	if err != nil {
		api.t.Fatal(err)
	}
	return e.ID
}

// state is all that can be read of both tenants.
func (g *ground) state(api *client) string {
	api.t.Helper()
	var all string
	for _, s := range []side{g.own, g.foreign} {
		for _, get := range []func(context.Context, uuid.UUID) (any, error){
			func(ctx context.Context, id uuid.UUID) (any, error) { return api.store.Tenant(ctx, id) },
			func(ctx context.Context, id uuid.UUID) (any, error) { return api.store.Entitlements(ctx, id) },
			func(ctx context.Context, id uuid.UUID) (any, error) { return api.store.PendingRequests(ctx, id) },
			func(ctx context.Context, id uuid.UUID) (any, error) {
				return api.store.APIKeys(ctx, registry.KeyQuery{TenantID: id, Limit: 100})
			},
			func(ctx context.Context, id uuid.UUID) (any, error) {
				return api.store.Events(ctx, registry.AuditQuery{GroupID: &id, Limit: 100})
			},
		} {
			got, err := get(api.t.Context(), s.tenant)
			if err != nil {
				api.t.Fatal(err)
			}
			all += string(mustJSON(got)) + "\n"
		}
	}
	return all
}

// aim is a request about an object. It answers ok to whoever sees the object, and to others, if the role is for the route at all, missing.
type aim struct {
	object      string
	request     request
	ok, missing int
}

// routeCase says how to try one route: in which row of whoMayCall it stands, and what its requests are about.
type routeCase struct {
	row   string
	trial bool // tenants are on trial
	aims  func(g *ground) []aim
}

// each aims at the same kind of object of everybody, and answers 404 to those who do not see it.
func each(g *ground, ok int, build func(s side) request) []aim {
	return []aim{
		{own, build(g.own), ok, http.StatusNotFound},
		{foreign, build(g.foreign), ok, http.StatusNotFound},
		{unknown, build(g.unknown), ok, http.StatusNotFound},
		{unknown, build(g.nobody), ok, http.StatusNotFound},
	}
}

// inQuery aims at tenants by the parameter tenant_id.
func inQuery(path string) func(g *ground) []aim {
	return func(g *ground) []aim {
		return each(g, http.StatusOK, func(s side) request { return fetch(path + "?tenant_id=" + s.tenant.String()) })
	}
}

func one(target string) func(*ground) []aim {
	return func(*ground) []aim { return []aim{{none, fetch(target), http.StatusOK, 0}} }
}

// routeCases has a case for every route.
var routeCases = map[string]routeCase{
	"GET /":                {"health, root, spec, problem pages", false, one("/")},
	"GET /healthz":         {"health, root, spec, problem pages", false, one("/healthz")},
	"GET /readyz":          {"health, root, spec, problem pages", false, one("/readyz")},
	"GET /openapi.yaml":    {"health, root, spec, problem pages", false, one("/openapi.yaml")},
	"GET /openapi.json":    {"health, root, spec, problem pages", false, one("/openapi.json")},
	"GET /problems/{code}": {"health, root, spec, problem pages", false, one("/problems/slug_taken")},

	"POST /v1/tenants":               {"create tenant", false, aimsOfCreate},
	"GET /v1/tenants/{id}":           {"read tenant, by slug", false, aimsByID("", http.MethodGet)},
	"POST /v1/tenants/{id}/activate": {"activate, freeze, grant, approve", true, aimsByID("/activate", http.MethodPost)},
	"POST /v1/tenants/{id}/cancel":   {"cancel", false, aimsByID("/cancel", http.MethodPost)},
	"GET /v1/tenants/by-slug/{slug}": {"read tenant, by slug", false, func(g *ground) []aim {
		return each(g, http.StatusOK, func(s side) request { return fetch("/v1/tenants/by-slug/" + s.slug) })
	}},

	"GET /v1/entitlements": {"entitlements", false, inQuery("/v1/entitlements")},
	"GET /v1/catalog": {"catalog", false, func(g *ground) []aim {
		return append(inQuery("/v1/catalog")(g), aim{none, fetch("/v1/catalog"), http.StatusOK, 0})
	}},
	"POST /v1/catalog/request":       {"request, trial-request", false, aimsOfWish("/v1/catalog/request")},
	"POST /v1/catalog/trial-request": {"request, trial-request", false, aimsOfWish("/v1/catalog/trial-request")},

	"GET /v1/api-keys": {"API keys", false, inQuery("/v1/api-keys")},
	"POST /v1/api-keys": {"API keys", false, func(g *ground) []aim {
		return each(g, http.StatusCreated, func(s side) request {
			return jsonRequest("/v1/api-keys", object{"tenant_id": s.tenant, "name": "a key"})
		})
	}},
	"GET /v1/api-keys/{id}": {"API keys", false, func(g *ground) []aim {
		return each(g, http.StatusOK, func(s side) request { return fetch(join("/v1/api-keys", s.key)) })
	}},
	"PATCH /v1/api-keys/{id}": {"API keys", false, func(g *ground) []aim {
		return each(g, http.StatusOK, func(s side) request { return patch(join("/v1/api-keys", s.key), object{"disabled": true}) })
	}},
	"POST /v1/api-keys/{id}/rotate": {"API keys", false, func(g *ground) []aim {
		return each(g, http.StatusOK, func(s side) request { return jsonRequest(join("/v1/api-keys", s.key, "rotate"), nil) })
	}},
	"POST /v1/api-keys/self-revoke": {"self-revoke", false, func(g *ground) []aim {
		return []aim{
			{own, jsonRequest("/v1/api-keys/self-revoke", object{"key": g.own.text}), http.StatusNoContent, http.StatusNoContent},
			{foreign, jsonRequest("/v1/api-keys/self-revoke", object{"key": g.foreign.text}), http.StatusNoContent, http.StatusNoContent},
			{unknown, jsonRequest("/v1/api-keys/self-revoke", object{"key": g.foreign.text}), http.StatusNoContent, http.StatusNoContent}, // once more
			{unknown, jsonRequest("/v1/api-keys/self-revoke", object{"key": g.unknown.text}), http.StatusNoContent, http.StatusNoContent},
			{unknown, jsonRequest("/v1/api-keys/self-revoke", object{"key": "no key"}), http.StatusNoContent, http.StatusNoContent},
		}
	}},
	"DELETE /v1/api-keys/{id}": {"API keys", false, func(g *ground) []aim {
		return each(g, http.StatusNoContent, func(s side) request { return remove(join("/v1/api-keys", s.key)) })
	}},
	"POST /v1/internal/api-keys/verify": {"verify", false, aimsOfVerify},

	"POST /v1/audit":      {"append audit", false, aimsOfRecord("/v1/audit", func(event object) object { return event })},
	"POST /v1/audit/bulk": {"append audit", false, aimsOfRecord("/v1/audit/bulk", func(event object) object { return object{"events": []object{event}} })},
	"GET /v1/audit":       {"query audit", false, aimsOfAudit},
	"GET /v1/audit/{id}": {"query audit", false, func(g *ground) []aim {
		aims := each(g, http.StatusOK, func(s side) request { return fetch(join("/v1/audit", s.event)) })
		return append(aims, aim{platform, fetch(join("/v1/audit", g.platform)), http.StatusOK, http.StatusNotFound})
	}},
	"GET /v1/audit/chain":      {"query audit", false, aimsOfChain("/v1/audit/chain")},
	"GET /v1/audit/checkpoint": {"query audit", false, aimsOfChain("/v1/audit/checkpoint")},
	"GET /v1/audit/export":     {"query audit", false, aimsOfChain("/v1/audit/export")},
}

func aimsByID(step, method string) func(g *ground) []aim {
	return func(g *ground) []aim {
		return each(g, http.StatusOK, func(s side) request {
			return request{method: method, target: join("/v1/tenants", s.tenant) + step}
		})
	}
}

func aimsOfCreate(g *ground) []aim {
	slug := fmt.Sprintf("made-%d", g.n)
	return []aim{
		{none, jsonRequest("/v1/tenants", object{"slug": slug, "name": "Made"}), http.StatusCreated, 0},
		{none, jsonRequest("/v1/tenants", object{"slug": g.foreign.slug, "name": "Made"}), http.StatusConflict, 0},
		{none, jsonRequest("/v1/tenants", object{"slug": slug + "-org", "name": "Made", "keycloak_org_id": g.org}), http.StatusConflict, 0},
	}
}

func aimsOfWish(path string) func(g *ground) []aim {
	return func(g *ground) []aim {
		return each(g, http.StatusCreated, func(s side) request { return jsonRequest(path, wish(s.tenant, "gizmos")) })
	}
}

// aimsOfVerify ask about keys, of which a product may know everybody's, and about products, of which it may not.
func aimsOfVerify(g *ground) []aim {
	ask := func(key, product string) request {
		return jsonRequest("/v1/internal/api-keys/verify", object{"key": key, "product": product})
	}
	return []aim{
		{own, ask(g.own.text, ""), http.StatusOK, 0},
		{foreign, ask(g.foreign.text, ""), http.StatusOK, 0},
		{foreign, ask(g.foreign.bound, ""), http.StatusOK, 0},
		{own, ask(g.own.text, ownProduct), http.StatusOK, 0},
		{none, ask(g.unknown.text, ""), http.StatusOK, 0},
		{others, ask(g.own.text, foreignProduct), http.StatusOK, http.StatusForbidden},
		{others, ask(g.own.text, privateOne), http.StatusOK, http.StatusForbidden},
		{others, ask(g.unknown.text, "nobodys"), http.StatusOK, http.StatusForbidden},
	}
}

func aimsOfRecord(path string, body func(event object) object) func(g *ground) []aim {
	return func(g *ground) []aim {
		report := func(group any) request {
			return jsonRequest(path, body(object{"action": "document.share", "crud": "u", "is_anonymous": true, "group": group}))
		}
		aims := each(g, http.StatusCreated, func(s side) request { return report(object{"id": s.tenant}) })
		for i := range aims {
			aims[i].missing = http.StatusBadRequest // a report about nobody is a wrong one
		}
		return append(aims, aim{platform, report(nil), http.StatusCreated, 0})
	}
}

func aimsOfAudit(g *ground) []aim {
	aims := inQuery("/v1/audit")(g)
	aims[3].object = platform // the nil UUID
	return append(aims, aim{whole, fetch("/v1/audit"), http.StatusOK, http.StatusBadRequest})
}

// aimsOfChain name no chain at last, which means the platform's.
func aimsOfChain(path string) func(g *ground) []aim {
	return func(g *ground) []aim {
		aims := inQuery(path)(g)
		aims[3].object = platform // the nil UUID
		return append(aims, aim{platform, fetch(path), http.StatusOK, http.StatusBadRequest})
	}
}

// A case without a route is a mistake, too.
func TestIsolation_casesAreRoutes(t *testing.T) {
	t.Parallel()
	rows := cells(t)
	for name, c := range routeCases {
		if _, there := Policies()[name]; !there || rows[c.row] == nil {
			t.Errorf("%s is no route, or stands in the row %q, which is none", name, c.row)
		}
	}
}
