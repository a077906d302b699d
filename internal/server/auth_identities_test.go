package server

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

// identities lets in whom a test knows: "Bearer NAME" is the principal of that name.
type identities struct {
	mu    sync.RWMutex
	known map[string]auth.Principal
}

// Authenticate implements auth.Authenticator.
func (i *identities) Authenticate(r *http.Request) (auth.Principal, error) {
	name, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	i.mu.RLock()
	defer i.mu.RUnlock()
	p, found := i.known[name]
	if !found {
		return p, &auth.Refused{Reason: "the test knows nobody of this name"}
	}
	return p, nil
}

// add makes a principal known by its id.
func (i *identities) add(p auth.Principal) auth.Principal {
	i.mu.Lock()
	defer i.mu.Unlock()
	slices.Sort(p.Roles)
	i.known[p.ID] = p
	return p
}

// guarded is a second server on a client's store, which lets in only whom the test adds.
func guarded(api *client, c Config) (*client, *identities) {
	api.t.Helper()
	who := &identities{known: map[string]auth.Principal{}}
	c.Auth = who
	return startServer(api.t, api.store, registry.Options{Now: api.clock.now, Signer: testSigner}, c), who
}

// by is a request with the credential of a principal.
func (r request) by(p auth.Principal) request { return r.bearer(p.ID) }

func (r request) bearer(token string) request { return r.with("Authorization", "Bearer "+token) }

func fetch(target string) request { return request{method: http.MethodGet, target: target} }

// own makes a tenant whose organisation is org.
func (c *client) own(slug, org string) tenantBody {
	c.t.Helper()
	return as[tenantBody](c.post("/v1/tenants", object{"slug": slug, "name": "The " + slug, "keycloak_org_id": org}).want(http.StatusCreated))
}

// user is a principal with one role who belongs to an organisation.
func user(id string, role auth.Role, org string) auth.Principal {
	return auth.Principal{ID: id, Name: "name of " + id, Type: auth.TypeUser, AZP: "portal-web", Roles: []auth.Role{role}, Organization: org}
}

// service is a principal with some roles that is a client's account, bound to a product unless that is empty.
func service(id, product string, roles ...auth.Role) auth.Principal {
	return auth.Principal{
		ID: id, Name: "client-" + id, Type: auth.TypeService, AZP: "client-" + id, Roles: roles, Product: product,
		OrganizationFault: "the token has no claim organization",
	}
}

// apiRoutes calls visit for every route that is not for anyone, with a request for it that is well formed.
func apiRoutes(t *testing.T, visit func(rt route, r request)) {
	t.Helper()
	for _, rt := range routes {
		if rt.allow == "anyone" {
			continue
		}
		o, _, found := theContract().find(rt.method, rt.path)
		if !found {
			t.Fatalf("%s %s is in no document", rt.method, rt.path)
		}
		for _, body := range exampleBodies(o) {
			visit(rt, exampleRequest(o, body))
			break
		}
	}
}
