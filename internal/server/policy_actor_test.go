package server

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/auth"
)

// TestMutations_nameTheirActor asserts that the event of every change names the verified caller, and the user on whose
// behalf a portal claims to act.
func TestMutations_nameTheirActor(t *testing.T) {
	eachMutation(t, func(t *testing.T, api *client, s stage, m mutation) {
		server, who := guarded(api, Config{})
		caller := who.add(service("b1a7e0c2-2f1d-4a8e-9f57-0c9d3f1e2a44", "", auth.RoleOperator))
		var claimed *namedBody
		change := m.request(s.fixture)
		if slices.Contains(rolesOf(change), "portal") {
			caller = who.add(service("b1a7e0c2-2f1d-4a8e-9f57-0c9d3f1e2a44", "", auth.RolePortal))
			change = change.with("X-On-Behalf-Of-Id", "user-7").with("X-On-Behalf-Of-Name", "a user’s näme")
			claimed = &namedBody{"user-7", new("a user’s näme")}
		}
		server.call(change.by(caller)).want(m.ok)
		e := api.newest()
		wantEqual(t, "the claim in the event", e.OnBehalfOf, claimed)
		if slices.Contains(rolesOf(change), "anyone") {
			if e.Actor != nil || !e.IsAnonymous || e.SourceIP == nil || *e.SourceIP != "127.0.0.1" {
				t.Errorf("an anonymous event is by %+v of %v, anonymous %t", e.Actor, e.SourceIP, e.IsAnonymous)
			}
			return
		}
		if m.event == "document.share" {
			wantEqual(t, "the emitter", e.Emitter, namedBody{caller.ID, &caller.Name})
		} else {
			name, address := caller.Name, "127.0.0.1"
			if caller.Has(auth.RoleOperator) { // of whom a tenant is told the id alone
				name, address = "operator", ""
			}
			wantEqual(t, "the actor", e.Actor, partyBody{
				ID: caller.ID, Name: &name, Type: &caller.Type, Fields: &map[string]string{"azp": caller.AZP},
			})
			if e.Emitter != nil || textOf(e.SourceIP) != address {
				t.Errorf("an event of this service's own has the emitter %+v and came from %v", e.Emitter, e.SourceIP)
			}
		}
	})
}

// receipt is the answer to a reported event.
type receipt struct {
	ID   string `json:"id"`
	Hash string `json:"hash"`
}

// TestActor_ofReportsIsKeptBesideTheEmitter asserts that a reported event has the actor that it claims, and the
// verified caller as its emitter.
func TestActor_ofReportsIsKeptBesideTheEmitter(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		server, who := guarded(api, Config{})
		x := api.tenant("globex").ID
		api.product("widgets", nil)
		api.grant(x, "widgets")
		for _, p := range []auth.Principal{
			who.add(service("suite", "widgets", auth.RoleKeysVerify)),
			who.add(service("mailer", "", auth.RoleAuditWrite)),
			who.add(service("portal", "", auth.RolePortal)), who.add(user("operator", auth.RoleOperator, "")),
		} {
			actor := object{"id": "user-7", "name": "A user", "type": "user", "fields": object{"azp": "claimed"}}
			body := object{
				"action": "document.share", "crud": "u", "group": object{"id": x}, "actor": actor,
				"fields": object{"a": "b"},
			}
			made := as[receipt](server.call(jsonRequest("/v1/audit", body).by(p)).want(http.StatusCreated))
			e := api.newest()
			wantEqual(t, "the receipt", made, receipt{e.ID.String(), textOf(e.Hash)})
			name, kind := "A user", "user"
			wantEqual(t, "the claimed actor", e.Actor, partyBody{
				ID: "user-7", Name: &name, Type: &kind, Fields: &map[string]string{"azp": "claimed"},
			})
			wantEqual(t, "the emitter", e.Emitter, namedBody{p.ID, &p.Name})
			wantEqual(t, "the fields", e.Fields, object{"a": "b"})
		}
	})
}

// TestActor_isInRecords asserts that records name the caller that made them, and the user on whose behalf it did.
func TestActor_isInRecords(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		server, who := guarded(api, Config{})
		api.product("asked", requestable)
		api.product("wanted", requestable)
		x := api.activeTenant("globex").ID
		portal, admin :=
			who.add(service("portal", "", auth.RolePortal)), who.add(user("admin", auth.RoleTenantAdmin, "org"))
		mine := api.own("initech", "org").ID
		longest := strings.Repeat("ü", 200)
		for _, tc := range []struct {
			by     auth.Principal
			tenant any
			claim  string
			want   string
		}{
			{portal, x, "user-7", "portal on behalf of user-7"},
			{portal, mine, longest, "portal on behalf of " + longest}, {portal, x, "", "portal"},
			{admin, mine, "", "admin"},
		} {
			send := func(r request) *reply {
				if tc.claim != "" {
					r = r.with("X-On-Behalf-Of-Id", tc.claim)
				}
				return server.call(r.by(tc.by))
			}
			k := as[secretBody](send(jsonRequest("/v1/api-keys", object{"tenant_id": tc.tenant, "name": "a key"})).want(
				http.StatusCreated,
			))
			send(remove(join("/v1/api-keys", k.ID))).want(http.StatusNoContent)
			product := map[bool]string{true: "asked", false: "wanted"}[tc.claim != ""]
			r := as[requestBody](
				send(jsonRequest("/v1/catalog/request", object{
					"tenant_id": tc.tenant, "product": product,
				})).want(http.StatusCreated),
			)
			record := api.keys(k.TenantID)[0]
			if record.CreatedBy != tc.want || record.RevokedBy == nil || *record.RevokedBy != tc.want ||
				r.RequestedBy != tc.want {
				t.Errorf(
					"made by %q, revoked by %v, requested by %q, want %q", record.CreatedBy, record.RevokedBy,
					r.RequestedBy, tc.want,
				)
			}
		}
	})
}

const claimID, claimName = "X-On-Behalf-Of-Id", "X-On-Behalf-Of-Name"

// badClaims are refused also from a portal; each with the headers that are at fault.
var badClaims = map[string]struct {
	header http.Header
	places []string
}{
	"doubled":      {http.Header{claimID: {"a", "b"}}, []string{"?" + claimID}},
	"doubled name": {http.Header{claimID: {"a"}, claimName: {"a", "a"}}, []string{"?" + claimName}},
	"empty":        {http.Header{claimID: {""}}, []string{"?" + claimID}},
	"empty name":   {http.Header{claimID: {"a"}, claimName: {""}}, []string{"?" + claimName}},
	"too long":     {http.Header{claimID: {strings.Repeat("a", 201)}}, []string{"?" + claimID}},
	"too long a name": {
		http.Header{claimID: {"a"}, claimName: {strings.Repeat("ü", 201)}}, []string{"?" + claimName},
	},
	"a tab":                {http.Header{claimID: {"a\tb"}}, []string{"?" + claimID}},
	"a C1 control":         {http.Header{claimID: {"a\u0085b"}}, []string{"?" + claimID}},
	"a zero-width space":   {http.Header{claimID: {"a\u200bb"}}, []string{"?" + claimID}},
	"a change of writing":  {http.Header{claimID: {"a"}, claimName: {"a\u202eb"}}, []string{"?" + claimName}},
	"Latin-1":              {http.Header{claimID: {"a\xfcb"}}, []string{"?" + claimID}},
	"a name without an id": {http.Header{claimName: {"a"}}, []string{"?" + claimID}},
	"both wrong":           {http.Header{claimID: {""}, claimName: {""}}, []string{"?" + claimID, "?" + claimName}},
}

// TestOnBehalfOf_refusesBadClaims asserts which claims are refused, and that such a request changes nothing.
func TestOnBehalfOf_refusesBadClaims(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		server, who := guarded(api, Config{})
		x := api.own("globex", "org").ID
		portal := who.add(service("portal", "", auth.RolePortal))
		const id, name = claimID, claimName
		key := jsonRequest("/v1/api-keys", object{"tenant_id": x, "name": "a key"})
		before := len(api.events())
		for what, tc := range badClaims {
			r := key.by(portal)
			for header, values := range tc.header {
				r = r.with(header, values...)
			}
			t.Log(what)
			server.send(r).wantProblem("invalid_request", tc.places...)
		}
		for _, p := range []auth.Principal{
			who.add(user("operator", auth.RoleOperator, "")), who.add(user("admin", auth.RoleTenantAdmin, "org")),
		} {
			server.send(key.by(p).with(id, "a").with(name, "b")).wantProblem("invalid_request", "?"+id, "?"+name)
			server.send(fetch(join("/v1/tenants", x)).by(p).with(name, "b")).wantProblem("invalid_request", "?"+name)
		}
		for _, p := range []auth.Principal{
			who.add(service("suite", "widgets", auth.RoleKeysVerify)),
			who.add(service("mailer", "", auth.RoleAuditWrite)),
		} {
			r := jsonRequest("/v1/audit", object{"action": "a.b", "crud": "c", "is_anonymous": true}).by(p)
			server.send(r.with(id, "a")).wantProblem("invalid_request", "?"+id)
			server.send(key.by(p).with(id, "a")).wantProblem("forbidden") // which comes first
		}
		if after := len(api.events()); after != before {
			t.Errorf("refused claims left %d events", after-before)
		}
		server.send(key.by(portal).with(id, "a").with(name, strings.Repeat("ü", 200))).want(http.StatusCreated)
	})
}

// TestActor_onBehalfOfHoldsNoCredential asserts that a credential is not taken for whom the portal acts for, nor for a
// request's id. The control is a name of the same length.
func TestActor_onBehalfOfHoldsNoCredential(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		server, who := guarded(api, Config{})
		portal := who.add(service("portal", "", auth.RolePortal))
		tenant := api.tenant("globex")
		key := api.key(tenant.ID, nil).Key
		token := "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1LTEifQ.AAAA"
		create := jsonRequest("/v1/api-keys", object{"tenant_id": tenant.ID, "name": "a key"}).by(portal)
		for _, secret := range []string{key, token} {
			server.send(create.with("X-On-Behalf-Of-Id", secret)).
				wantProblem("invalid_request", "?X-On-Behalf-Of-Id")
			server.send(create.with("X-On-Behalf-Of-Id", "user-7").with("X-On-Behalf-Of-Name", "my "+secret)).
				wantProblem("invalid_request", "?X-On-Behalf-Of-Name")
			got := server.send(create.with("X-Request-Id", secret)).want(http.StatusCreated)
			if got.header.Get("X-Request-Id") == secret {
				t.Error("a credential became a request's id")
			}
		}
		server.send(create.with("X-On-Behalf-Of-Id", strings.Repeat("x", len(key)))).want(http.StatusCreated)
	})
}
