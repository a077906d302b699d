package auth_test

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/auth/authtest"
)

// realm is what these tests read of testdata/realm.json, which Keycloak imports.
type realm struct {
	Realm                string
	OrganizationsEnabled bool
	Algorithm            string `json:"defaultSignatureAlgorithm"`
	Roles                struct {
		Client map[string][]struct{ Name auth.Role }
	}
	ClientScopes []struct {
		Name            string
		ProtocolMappers []mapper
	}
	Clients       []client
	Users         []user
	Organizations []struct {
		ID, Alias string
		Domains   []any
		Members   []struct{ Username string }
	}
}

type client struct {
	ClientID               string
	Secret                 string
	PublicClient           bool
	BearerOnly             bool
	ServiceAccountsEnabled bool
	FullScopeAllowed       bool
	DefaultClientScopes    []string
	ProtocolMappers        []mapper
}

type user struct {
	Username    string
	Email       string
	Enabled     bool
	Client      string `json:"serviceAccountClientId"`
	ClientRoles map[string][]auth.Role
}

type mapper struct {
	Name           string
	ProtocolMapper string
	Config         map[string]string
}

func readRealm(t *testing.T) *realm {
	t.Helper()
	text, err := os.ReadFile("testdata/realm.json")
	if err != nil {
		t.Fatal(err)
	}
	var r realm
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return &r
}

func (r *realm) client(t *testing.T, id string) client {
	t.Helper()
	at := slices.IndexFunc(r.Clients, func(c client) bool { return c.ClientID == id })
	if at < 0 {
		t.Fatalf("the export has no client %q", id)
	}
	return r.Clients[at]
}

func (r *realm) user(t *testing.T, name string) user {
	t.Helper()
	at := slices.IndexFunc(r.Users, func(u user) bool { return u.Username == name })
	if at < 0 {
		t.Fatalf("the export has no user %q", name)
	}
	return r.Users[at]
}

// mappers are those of a client and of its default scopes, every one of which must be in the export: with the first
// scope of its own an export loses all that Keycloak has built in.
func (r *realm) mappers(t *testing.T, c client) []mapper {
	t.Helper()
	all := slices.Clone(c.ProtocolMappers)
	for _, name := range c.DefaultClientScopes {
		found := false
		for _, scope := range r.ClientScopes {
			if scope.Name == name {
				all, found = append(all, scope.ProtocolMappers...), true
			}
		}
		if !found {
			t.Errorf("%s has the scope %s, which the export does not define", c.ClientID, name)
		}
	}
	return all
}

// token writes the claims that the export's mappers write for a user who came through a client, as Keycloak documents
// each mapper.
func (r *realm) token(t *testing.T, i *authtest.Issuer, clientID, username string) map[string]any {
	t.Helper()
	c, u := r.client(t, clientID), r.user(t, username)
	claims := i.Claims()
	for _, mapped := range []string{
		"sub", "aud", "resource_access", "organization", "preferred_username", "realm_access",
	} {
		delete(claims, mapped)
	}
	claims["azp"] = clientID
	for _, m := range r.mappers(t, c) {
		if m.Config["access.token.claim"] != "true" {
			t.Errorf("the mapper %q does not write into access tokens", m.Name)
			continue
		}
		name := m.Config["claim.name"]
		switch m.ProtocolMapper {
		case "oidc-sub-mapper":
			claims["sub"] = "id-of-" + username
		case "oidc-audience-mapper":
			claims["aud"] = m.Config["included.client.audience"]
		case "oidc-usermodel-client-role-mapper":
			for of, roles := range u.ClientRoles {
				set(claims, strings.Split(strings.ReplaceAll(name, "${client_id}", of), "."), roles)
			}
		case "oidc-usermodel-attribute-mapper":
			claims[name] = map[string]string{"username": username}[m.Config["user.attribute"]]
		case "oidc-usersessionmodel-note-mapper":
			if u.Client != "" && m.Config["user.session.note"] == "client_id" {
				claims[name] = u.Client
			}
		case "oidc-hardcoded-claim-mapper":
			claims[name] = m.Config["claim.value"]
		case "oidc-organization-membership-mapper":
			if value := r.membership(username, m.Config); value != nil {
				claims[name] = value
			}
		case "oidc-audience-resolve-mapper", "oidc-usermodel-realm-role-mapper", "oidc-acr-mapper",
			"oidc-allowed-origins-mapper":
			// nothing that is read here
		default:
			t.Errorf("the mapper %q is of the kind %s, which this test does not know", m.Name, m.ProtocolMapper)
		}
	}
	return claims
}

// membership is what Keycloak's mapper makes of a user's organisations.
func (r *realm) membership(username string, config map[string]string) any {
	byAlias := map[string]any{}
	for _, o := range r.Organizations {
		for _, m := range o.Members {
			if m.Username == username {
				one := map[string]string{}
				if config["addOrganizationId"] == "true" {
					one["id"] = o.ID
				}
				byAlias[o.Alias] = one
			}
		}
	}
	var aliases []string
	for alias := range byAlias {
		aliases = append(aliases, alias)
	}
	switch {
	case len(aliases) == 0:
		return nil
	case config["multivalued"] != "true":
		return aliases[0]
	case config["jsonType.label"] != "JSON" && config["addOrganizationId"] != "true":
		return aliases
	}
	return byAlias
}

func set(claims map[string]any, path []string, value any) {
	for len(path) > 1 {
		next, ok := claims[path[0]].(map[string]any)
		if !ok {
			next = map[string]any{}
			claims[path[0]] = next
		}
		claims, path = next, path[1:]
	}
	claims[path[0]] = value
}

// TestRealmTokens holds that tokens of the imported realm are what this package reads.
func TestRealmTokens(t *testing.T) {
	t.Parallel()
	r, i := readRealm(t), authtest.NewInMemory()
	o := loaded(t, i, func(c *auth.OIDCConfig) { c.AllowedAZP = nil })
	for _, test := range []struct {
		client, user string
		want         auth.Principal
	}{
		{
			"portal", "acme-admin",
			auth.Principal{
				Name: "acme-admin", Type: auth.TypeUser, Roles: []auth.Role{auth.RoleTenantAdmin},
				Organization: r.Organizations[0].ID,
			},
		},
		{
			"portal", "platform-operator",
			auth.Principal{Name: "platform-operator", Type: auth.TypeUser, Roles: []auth.Role{auth.RoleOperator}},
		},
		{
			"portal", "service-account-portal",
			auth.Principal{Name: "portal", Type: auth.TypeService, Roles: []auth.Role{auth.RolePortal}},
		},
		{
			"compliance-suite", "service-account-compliance-suite",
			auth.Principal{
				Name: "compliance-suite", Type: auth.TypeService,
				Roles: []auth.Role{auth.RoleAuditWrite, auth.RoleKeysVerify}, Product: "compliance-suite",
			},
		},
	} {
		claims := r.token(t, i, test.client, test.user)
		got := accepted(t, o, i.Sign(claims))
		test.want.ID, test.want.AZP = "id-of-"+test.user, test.client
		test.want.OrganizationFault, test.want.ProductFault = got.OrganizationFault, got.ProductFault
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s through %s:\n got %+v\nwant %+v", test.user, test.client, got, test.want)
		}
	}
}

// TestRealmFaults asserts that each fault names the option that fixes it: with that option off in the export, this is
// the message.
func TestRealmFaults(t *testing.T) {
	t.Parallel()
	i := authtest.NewInMemory()
	o := loaded(t, i, nil)
	for name, test := range map[string]struct {
		config map[string]string
		says   []string
	}{
		"unchanged": {nil, nil},
		"no ids":    {map[string]string{"addOrganizationId": "false"}, []string{"'Add organization id'"}},
		"as a list": {
			map[string]string{"addOrganizationId": "false", "jsonType.label": "String"},
			[]string{"'Add organization id'"},
		},
		"one name": {
			map[string]string{"addOrganizationId": "false", "multivalued": "false"},
			[]string{"'Multivalued'", "'Add organization id'"},
		},
	} {
		r := readRealm(t)
		for _, scope := range r.ClientScopes {
			for _, m := range scope.ProtocolMappers {
				for option, value := range test.config {
					if m.ProtocolMapper == "oidc-organization-membership-mapper" {
						m.Config[option] = value
					}
				}
			}
		}
		p := accepted(t, o, i.Sign(r.token(t, i, "portal", "acme-admin")))
		for _, option := range test.says {
			if !strings.Contains(p.OrganizationFault, option) {
				t.Errorf("%s: %q does not name %s", name, p.OrganizationFault, option)
			}
		}
		if (p.Organization == "") != (test.says != nil) {
			t.Errorf("%s: organization %q, %q", name, p.Organization, p.OrganizationFault)
		}
	}
}

func TestRealmShape(t *testing.T) {
	t.Parallel()
	r := readRealm(t)
	if r.Realm != "breakpilot-dev" || !r.OrganizationsEnabled || r.Algorithm != "RS256" {
		t.Errorf("realm %q, organisations %v, signed with %q", r.Realm, r.OrganizationsEnabled, r.Algorithm)
	}
	var names []auth.Role
	for _, role := range r.Roles.Client[authtest.Audience] {
		names = append(names, role.Name)
	}
	slices.Sort(names)
	if !slices.Equal(names, auth.Roles()) {
		t.Errorf("the client's roles are %v, want %v", names, auth.Roles())
	}
	if c := r.client(t, authtest.Audience); !c.BearerOnly || c.PublicClient || c.ServiceAccountsEnabled {
		t.Error("the service's own client must only hold roles: no one logs in with it")
	}
	for _, id := range []string{"portal", "compliance-suite"} {
		c := r.client(t, id)
		if c.PublicClient || !c.ServiceAccountsEnabled || !strings.Contains(c.Secret, "development-only") ||
			!c.FullScopeAllowed {
			t.Errorf("%s must be confidential, with a service account and a secret that says what it is", id)
		}
		if r.user(t, "service-account-"+id).Client != id {
			t.Errorf("%s has no service account with roles", id)
		}
	}
	for _, u := range r.Users {
		if u.Email != "" || !u.Enabled {
			t.Errorf("%s has an e-mail address or is disabled", u.Username)
		}
		for of, roles := range u.ClientRoles {
			for _, role := range roles {
				if of != authtest.Audience || !slices.Contains(auth.Roles(), role) {
					t.Errorf("%s has the role %s of %s, which does not exist", u.Username, role, of)
				}
			}
		}
	}
	for _, o := range r.Organizations {
		if o.ID == "" || o.Alias == "" || len(o.Domains) == 0 {
			t.Errorf("the organisation %q lacks an id, an alias or a domain, which Keycloak asks for", o.Alias)
		}
		for _, m := range o.Members {
			r.user(t, m.Username)
		}
	}
}
