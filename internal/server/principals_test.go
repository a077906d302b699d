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

// principals authenticates the principals that a test has added: "Bearer ID" is the one with that id.
type principals struct {
	mu    sync.RWMutex
	known map[string]auth.Principal
}

// Authenticate implements auth.Authenticator.
func (p *principals) Authenticate(r *http.Request) (auth.Principal, error) {
	name, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	p.mu.RLock()
	defer p.mu.RUnlock()
	who, found := p.known[name]
	if !found {
		return who, &auth.Refused{Kind: auth.KindMalformed, Reason: "the test has added no such principal"}
	}
	return who, nil
}

// add makes a principal known by its id.
func (p *principals) add(who auth.Principal) auth.Principal {
	p.mu.Lock()
	defer p.mu.Unlock()
	slices.Sort(who.Roles)
	p.known[who.ID] = who
	return who
}

// guarded is a second server on a client's store, which authenticates only the principals that the test adds.
func guarded(api *client, c Config) (*client, *principals) {
	api.t.Helper()
	who := &principals{known: map[string]auth.Principal{}}
	c.Auth = who
	return startServer(api.t, api.store, registry.Options{Now: api.clock.now, Signer: testSigner}, c), who
}

// by is a request with the credential of a principal.
func (r request) by(p auth.Principal) request { return r.bearer(p.ID) }

func (r request) bearer(token string) request { return r.with("Authorization", "Bearer "+token) }

// user is a principal with one role who belongs to an organisation.
func user(id string, role auth.Role, org string) auth.Principal {
	return auth.Principal{
		ID: id, Name: "name of " + id, Type: auth.TypeUser, AZP: "portal-web", Roles: []auth.Role{role},
		Organization: org,
	}
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
		if rt.Roles.anyone {
			continue
		}
		o, _, found := theContract().find(rt.Method, rt.Path)
		if !found {
			t.Fatalf("%s %s is in no document", rt.Method, rt.Path)
		}
		for _, body := range exampleBodies(o) {
			visit(rt, exampleRequest(o, body))
			break
		}
	}
}
