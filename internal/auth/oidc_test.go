package auth_test

import (
	"errors"
	"maps"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/auth/authtest"
)

func TestForgeries(t *testing.T) {
	t.Parallel()
	i := authtest.New()
	t.Cleanup(i.Close)
	o := loaded(t, i, nil)
	forgeries := authtest.Forgeries(i)
	if len(forgeries) < 25 {
		t.Fatalf("only %d forgeries", len(forgeries))
	}
	accepted(t, o, i.Sign(i.Claims(auth.RoleOperator)))
	for _, f := range forgeries {
		t.Run(f.Name, func(t *testing.T) {
			r := request()
			f.Apply(r)
			reason := refused(t, o, r)
			for _, given := range r.Header["Authorization"] {
				if token := strings.TrimPrefix(given, "Bearer "); len(token) > 20 &&
					strings.Contains(reason, token[:20]) {
					t.Errorf("the reason holds the token: %s", reason)
				}
			}
			t.Log(reason)
		})
	}
	accepted(t, o, i.Sign(i.Claims(auth.RoleOperator)))
	if n := i.Fetches(); n != 1 {
		t.Errorf("%d fetches, want the first one only", n)
	}
	// A forgery that says it is newer than the set costs a fetch, and cannot be decided while there may be none.
	refusedAs(t, o, auth.KindUnknownKey, bearer(i.Forge(i.Claims())))
	unavailable(t, o, bearer(i.Forge(i.Claims())))
	if n := i.Fetches(); n != 2 {
		t.Errorf("%d fetches, want two", n)
	}
}

// TestForgeriesBehindWarmToken holds that a good token that is remembered does not open the door to a forged one.
func TestForgeriesBehindWarmToken(t *testing.T) {
	t.Parallel()
	i := authtest.NewInMemory()
	o := loaded(t, i, nil)
	good := i.Sign(i.Claims(auth.RoleOperator))
	for range 2 {
		accepted(t, o, good)
		refused(t, o, bearer(good[:len(good)-4]+"AAAA"))
		r := bearer(good)
		r.Header.Add("Authorization", "Bearer "+good)
		refused(t, o, r)
	}
}

type principalTest struct {
	name   string
	base   map[string]any
	change map[string]any // nil members are left out
	want   func(p *auth.Principal)
}

func userTests(userClaims map[string]any) []principalTest {
	access := func(v any) map[string]any { return map[string]any{"resource_access": v} }
	of := func(v any) map[string]any {
		return access(map[string]any{authtest.Audience: map[string]any{"roles": v}})
	}
	return []principalTest{
		{"user", userClaims, nil, nil},
		{"one audience as a text", userClaims, map[string]any{"aud": authtest.Audience}, nil},
		{
			"name is an e-mail address", userClaims, map[string]any{"preferred_username": "acme-admin@acme.example"},
			func(p *auth.Principal) { p.Name = "" },
		},
		{
			"name hides something", userClaims, map[string]any{"preferred_username": "acme-admin\u202eadmin"},
			func(p *auth.Principal) { p.Name = "" },
		},
		{"no name", userClaims, map[string]any{"preferred_username": nil}, func(p *auth.Principal) { p.Name = "" }},
		{
			"two roles, unsorted, one twice, one unknown", userClaims,
			of([]string{"tenant-admin", "operator", "x", "tenant-admin"}),
			func(p *auth.Principal) { p.Roles = []auth.Role{auth.RoleOperator, auth.RoleTenantAdmin} },
		},
		{"a role in capitals", userClaims, of([]string{"Operator"}), func(p *auth.Principal) { p.Roles = nil }},
		{"no roles", userClaims, map[string]any{"resource_access": nil}, func(p *auth.Principal) { p.Roles = nil }},
		{
			"roles of another client", userClaims,
			access(map[string]any{"account": map[string]any{"roles": []string{"operator"}}}),
			func(p *auth.Principal) { p.Roles = nil },
		},
		{
			"roles of the realm", userClaims,
			map[string]any{"resource_access": nil, "realm_access": map[string]any{"roles": []string{"operator"}}},
			func(p *auth.Principal) { p.Roles = nil },
		},
		{"roles are a text", userClaims, of("operator"), func(p *auth.Principal) { p.Roles = nil }},
		{"a role is a number", userClaims, of([]any{"operator", 1}), func(p *auth.Principal) { p.Roles = nil }},
		{
			"resource_access is a list", userClaims, access([]string{"operator"}),
			func(p *auth.Principal) { p.Roles = nil },
		},
		{"a user is bound to no product", userClaims, map[string]any{"product": "widgets"}, nil},
		{
			"a user named like its client's account", userClaims,
			map[string]any{"preferred_username": "service-account-" + authtest.Portal, "product": "widgets"},
			func(p *auth.Principal) { p.Name = "service-account-" + authtest.Portal },
		},
		{
			"a user named nearly like its client's account", userClaims,
			map[string]any{"preferred_username": "\u017fervice-account-" + authtest.Portal, "product": "widgets"},
			func(p *auth.Principal) { p.Name = "\u017fervice-account-" + authtest.Portal },
		},
		{
			"a user with another client's id", userClaims,
			map[string]any{"client_id": authtest.Product, "product": "widgets"}, nil,
		},
	}
}

func serviceTests(serviceClaims map[string]any) []principalTest {
	return []principalTest{
		{"service", serviceClaims, nil, nil},
		{"not a service by its name alone", serviceClaims, map[string]any{"client_id": nil},
			func(p *auth.Principal) {
				p.Type, p.Name, p.Product = auth.TypeUser, "service-account-"+authtest.Product, ""
			}},
		{"service by client_id alone", serviceClaims, map[string]any{"preferred_username": nil}, nil},
		{
			"product by the client", serviceClaims, map[string]any{"product": nil},
			func(p *auth.Principal) { p.Product = "gadgets" },
		},
		{
			"product is a list", serviceClaims, map[string]any{"product": []string{"widgets"}},
			func(p *auth.Principal) { p.Product = "" },
		},
		{"product is empty", serviceClaims, map[string]any{"product": ""}, func(p *auth.Principal) { p.Product = "" }},
		{"a user named like a service account", serviceClaims,
			map[string]any{"preferred_username": "service-account-other", "client_id": nil, "product": nil},
			func(p *auth.Principal) { p.Type, p.Name, p.Product = auth.TypeUser, "service-account-other", "" }},
	}
}

func TestPrincipal(t *testing.T) {
	t.Parallel()
	i := authtest.NewInMemory()
	o := loaded(t, i, func(c *auth.OIDCConfig) {
		c.ProductClients = map[string]string{authtest.Product: "gadgets", authtest.Portal: "gadgets"}
	})
	user := auth.Principal{
		ID: "8f2c1a34-0d52-4a53-9a2e-7d1f4f3f6b10", Name: "acme-admin", Type: auth.TypeUser, AZP: authtest.Portal,
		Roles: []auth.Role{auth.RoleTenantAdmin}, Organization: "0f6d2f5e-7a3f-4c50-8a4c-2f4f1f6b7a11",
	}
	userClaims := i.Claims(auth.RoleTenantAdmin)
	service := auth.Principal{
		ID: "b1a7e0c2-2f1d-4a8e-9f57-0c9d3f1e2a44", Name: authtest.Product, Type: auth.TypeService,
		AZP: authtest.Product, Roles: []auth.Role{auth.RoleKeysVerify}, Product: "widgets",
	}
	serviceClaims := i.ServiceClaims(auth.RoleKeysVerify)
	for _, test := range append(userTests(userClaims), serviceTests(serviceClaims)...) {
		t.Run(test.name, func(t *testing.T) {
			claims := maps.Clone(test.base)
			for name, value := range test.change {
				if claims[name] = value; value == nil {
					delete(claims, name)
				}
			}
			want := user
			if test.base["client_id"] != nil {
				want = service
			}
			if test.want != nil {
				test.want(&want)
			}
			token := i.Sign(claims)
			for _, how := range []string{"cold", "warm"} {
				got := accepted(t, o, token)
				if got.OrganizationFault != "" != (got.Organization == "") {
					t.Errorf("organization %q with fault %q", got.Organization, got.OrganizationFault)
				}
				if got.ProductFault != "" != (got.Product == "") {
					t.Errorf("product %q with fault %q", got.Product, got.ProductFault)
				}
				if got.OrganizationFault, got.ProductFault = "", ""; !reflect.DeepEqual(got, want) {
					t.Errorf("%s:\n got %+v\nwant %+v", how, got, want)
				}
			}
		})
	}
}

func TestOrganization(t *testing.T) {
	t.Parallel()
	i := authtest.NewInMemory()
	o := loaded(t, i, nil)
	type object = map[string]any
	for _, test := range []struct {
		name  string
		claim any
		id    string
		fault string // a part of it
	}{
		{"one with an id", object{"acme": object{"id": "o-1"}}, "o-1", ""},
		{"one with attributes", object{"acme": object{"id": "o-1", "color": []string{"red"}}}, "o-1", ""},
		{"none", nil, "", "no organisation that is enabled, or to several"},
		{"empty", object{}, "", "no organisation that is enabled, or to several"},
		{"list", []string{"acme"}, "", "'Add organization id'"},
		{"list of two", []string{"acme", "umbrella"}, "", "holds 2 organisations"},
		{"list of two without ids", []string{"acme", "umbrella"}, "", "'Add organization id'"},
		{"list of an object", []any{object{"acme": object{"id": "o-1"}}}, "", "not an object of alias to {id}"},
		{"empty list", []string{}, "", "'Add organization id'"},
		{"text", "acme", "", "'Multivalued' and 'Add organization id'"},
		{"no id", object{"acme": object{}}, "", "'Add organization id'"},
		{
			"id hidden by an attribute", object{"acme": object{"id": []string{"o-2"}}}, "",
			"attribute of the organisation that is called id",
		},
		{"empty id", object{"acme": object{"id": ""}}, "", "not a text"},
		{"null id", object{"acme": object{"id": nil}}, "", "not a text"},
		{"id too long", object{"acme": object{"id": strings.Repeat("o", 201)}}, "", "not a text"},
		{"two", object{"acme": object{"id": "o-1"}, "umbrella": object{"id": "o-2"}}, "", "holds 2 organisations"},
		{
			"two with one id", object{"acme": object{"id": "o-1"}, "umbrella": object{"id": "o-1"}}, "",
			"holds 2 organisations",
		},
		{"alias to a text", object{"acme": "o-1"}, "", "not an object of alias to {id}"},
		{"alias that is a number", 2024, "", "'Multivalued' and 'Add organization id'"},
	} {
		t.Run(test.name, func(t *testing.T) {
			claims := i.Claims(auth.RoleTenantAdmin)
			claims["organization"] = test.claim
			p := accepted(t, o, i.Sign(claims))
			if p.Organization != test.id || (test.fault == "") != (p.OrganizationFault == "") ||
				!strings.Contains(p.OrganizationFault, test.fault) {
				t.Errorf("got %q, %q", p.Organization, p.OrganizationFault)
			}
			if strings.Contains(p.OrganizationFault, "acme") {
				t.Errorf("the fault holds a value of the token: %s", p.OrganizationFault)
			}
		})
	}
}

// TestAbsentOrganization asserts that a token without the claim is told apart by its scopes, as far as Keycloak lets
// it.
func TestAbsentOrganization(t *testing.T) {
	t.Parallel()
	i := authtest.NewInMemory()
	o := loaded(t, i, nil)
	for _, test := range []struct {
		scope any
		fault string
	}{
		{nil, "no scope organization"},
		{"", "no scope organization"},
		{"openid profile organizations", "no scope organization"},
		{[]string{"organization"}, "no scope organization"},
		{"openid organization profile", "or to several of which the login chose none"},
		{"openid organization:*", "belongs to no organisation that is enabled"},
		{"organization:acme", "is disabled, or the user is no longer a member"},
	} {
		claims := i.Claims(auth.RoleTenantAdmin)
		delete(claims, "organization")
		claims["scope"] = test.scope
		fault := accepted(t, o, i.Sign(claims)).OrganizationFault
		if !strings.Contains(fault, test.fault) || strings.Contains(fault, "acme") {
			t.Errorf("with the scope %v the fault is %q", test.scope, fault)
		}
	}
}

// TestProductFault asserts that a caller without a product hears why.
func TestProductFault(t *testing.T) {
	t.Parallel()
	i := authtest.NewInMemory()
	o := loaded(t, i, nil)
	for fault, change := range map[string]map[string]any{
		"no service account":          {"client_id": nil},
		"OIDC_PRODUCT_CLIENTS":        {"product": nil},
		"not the key of one product:": {"product": []string{"widgets"}},
	} {
		claims := i.ServiceClaims(auth.RoleKeysVerify)
		for name, value := range change {
			if claims[name] = value; value == nil {
				delete(claims, name)
			}
		}
		if p := accepted(t, o, i.Sign(claims)); p.Product != "" || !strings.Contains(p.ProductFault, fault) {
			t.Errorf("product %q, %q, want %q", p.Product, p.ProductFault, fault)
		}
	}
}

// TestKinds asserts which kind of refusal each fault is, and what the caller hears: nothing but what it knows anyhow.
func TestKinds(t *testing.T) {
	t.Parallel()
	i := authtest.NewInMemory()
	o := loaded(t, i, nil)
	with := func(name string, value any) string {
		claims := i.Claims(auth.RoleOperator)
		claims[name] = value
		return "Bearer " + i.Sign(claims)
	}
	const (
		none      = "The request has no Authorization header."
		notBearer = "The Authorization header must be Bearer and one access token."
		tooLong   = "The access token has more than 32 KiB."
		expired   = "The access token has expired."
	)
	good := i.Sign(i.Claims())
	old := i.Claims()
	old["iat"] = time.Now().Add(-time.Minute).Unix()
	for name, test := range map[string]struct {
		header string
		kind   auth.RefusalKind
		detail string
	}{
		"none":          {"", auth.KindNoCredential, none},
		"Basic":         {"Basic eA==", auth.KindMalformed, notBearer},
		"too long":      {"Bearer " + strings.Repeat("x", 32<<10+1), auth.KindMalformed, tooLong},
		"no token":      {"Bearer x.y.z", auth.KindMalformed, ""},
		"alg":           {"Bearer " + i.SignWith(map[string]any{"alg": "HS256"}, i.Claims()), auth.KindMalformed, ""},
		"kid no text":   {"Bearer " + i.SignWith(map[string]any{"kid": 1}, i.Claims()), auth.KindMalformed, ""},
		"issuer":        {with("iss", "http://evil.test"), auth.KindClaims, ""},
		"audience":      {with("aud", "billing"), auth.KindClaims, ""},
		"not yet valid": {with("nbf", time.Now().Add(time.Hour).Unix()), auth.KindClaims, ""},
		"expired":       {with("exp", time.Now().Add(-time.Hour).Unix()), auth.KindExpired, expired},
		"unknown key":   {"Bearer " + i.Forge(old), auth.KindUnknownKey, ""},
		"bad signature": {"Bearer " + good[:len(good)-8] + "AAAAAAAA", auth.KindBadSignature, ""},
	} {
		r := request()
		if test.header != "" {
			r.Header.Set("Authorization", test.header)
		}
		_, err := o.Authenticate(r)
		if no, is := errors.AsType[*auth.Refused](err); !is || no.Kind != test.kind || no.Detail != test.detail {
			t.Errorf("%s: %+v", name, err)
		}
	}
}

// TestExpiredTellsNothingElse asserts that a caller who hears of an expired token does not learn whether its issuer,
// audience or client would be accepted.
func TestExpiredTellsNothingElse(t *testing.T) {
	t.Parallel()
	i := authtest.NewInMemory()
	o := loaded(t, i, nil)
	for claim, value := range map[string]any{"iss": "x", "aud": "x", "azp": "x", "typ": "ID", "sub": ""} {
		claims := i.Claims()
		claims["exp"], claims[claim] = time.Now().Add(-time.Hour).Unix(), value
		refusedAs(t, o, auth.KindExpired, bearer(i.Forge(claims)))
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	i := authtest.NewInMemory()
	now := time.Now().Truncate(time.Second)
	o := loaded(t, i, func(c *auth.OIDCConfig) { c.Now = func() time.Time { return now } })
	for _, test := range []struct {
		claim   string
		offset  time.Duration
		outcome bool
	}{
		{"exp", time.Second, true},
		{"exp", 0, true},
		{"exp", -29 * time.Second, true},
		{"exp", -29500 * time.Millisecond, true},
		{"exp", -30 * time.Second, false},
		{"exp", -31 * time.Second, false},
		{"nbf", 0, true},
		{"nbf", 30 * time.Second, true},
		{"nbf", 31 * time.Second, false},
		{"iat", 30 * time.Second, true},
		{"iat", 31 * time.Second, false},
		{"iat", -24 * time.Hour, true},
	} {
		claims := i.Claims()
		claims["iat"] = now.Unix()
		claims[test.claim] = float64(now.Add(test.offset).UnixMilli()) / 1000
		_, err := o.Authenticate(bearer(i.Sign(claims)))
		if (err == nil) != test.outcome {
			t.Errorf("%s %s from now: %v", test.claim, test.offset, err)
		}
	}
	for _, claim := range []string{"nbf", "iat"} {
		claims := i.Claims()
		delete(claims, claim)
		accepted(t, o, i.Sign(claims))
	}
}

func TestHeader(t *testing.T) {
	t.Parallel()
	i := authtest.NewInMemory()
	o := loaded(t, i, nil)
	token := i.Sign(i.Claims())
	for _, value := range []string{"Bearer " + token, "bearer " + token, "BEARER " + token, "Bearer   " + token} {
		r := request()
		r.Header.Set("Authorization", value)
		if _, err := o.Authenticate(r); err != nil {
			t.Errorf("%.12q: %v", value, err)
		}
	}
	refused(t, o, bearer(token[:20]+"\n"+token[20:])) // which base64 skips
	for name, header := range map[string]map[string]any{
		"at+jwt":                 {"typ": "at+jwt"},
		"application/at+jwt":     {"typ": "application/at+JWT"},
		"no typ":                 {"typ": nil},
		"no kid":                 {"kid": nil},
		"a certificate's digest": {"x5t": "AAAA"},
		"an unknown member":      {"x-new": 1},
	} {
		if _, err := o.Authenticate(bearer(i.SignWith(header, i.Claims()))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	long := i.Claims()
	long["padding"] = strings.Repeat("x", 22_500)
	accepted(t, o, i.Sign(long))
	long["padding"] = strings.Repeat("x", 25_000)
	refused(t, o, bearer(i.Sign(long)))
}

func TestAllowedAZP(t *testing.T) {
	t.Parallel()
	i := authtest.NewInMemory()
	claims := i.Claims()
	claims["azp"] = "anything"
	token := i.Sign(claims)
	refused(t, loaded(t, i, nil), bearer(token))
	accepted(t, loaded(t, i, func(c *auth.OIDCConfig) { c.AllowedAZP = nil }), token)
}

func TestCache(t *testing.T) {
	t.Parallel()
	i := authtest.NewInMemory()
	now := time.Now()
	o := loaded(t, i, func(c *auth.OIDCConfig) { c.Now = func() time.Time { return now } })
	lasting := func(d time.Duration) string {
		claims := i.Claims(auth.RoleOperator)
		claims["exp"] = now.Add(d).Unix()
		return i.Sign(claims)
	}
	warm := func(token string) bool { // a remembered principal is the same one
		first := accepted(t, o, token)
		return &first.Roles[0] == &accepted(t, o, token).Roles[0]
	}
	hour, minute := lasting(time.Hour), lasting(time.Minute)
	if !warm(minute) || !warm(hour) {
		t.Error("a verified token is not remembered")
	}
	now = now.Add(time.Minute)
	if warm(minute) {
		t.Error("an expired token is remembered, although leeway alone accepts it")
	}
	now = now.Add(leeway)
	refused(t, o, bearer(minute))
	before := &accepted(t, o, hour).Roles[0]
	now = now.Add(5*time.Minute - time.Minute - leeway - time.Second)
	if before != &accepted(t, o, hour).Roles[0] {
		t.Error("a token is forgotten before five minutes")
	}
	now = now.Add(time.Second)
	if before == &accepted(t, o, hour).Roles[0] {
		t.Error("a token is remembered after five minutes")
	}
}

const leeway = 30 * time.Second

// TestWarmAllocates holds that a remembered token is neither parsed nor copied.
func TestWarmAllocates(t *testing.T) {
	i := authtest.NewInMemory()
	o := loaded(t, i, nil)
	r := bearer(i.Sign(i.Claims(auth.RoleOperator)))
	if n := testing.AllocsPerRun(100, func() {
		if _, err := o.Authenticate(r); err != nil {
			t.Error(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations for a warm token", n)
	}
}

func TestNoKeys(t *testing.T) {
	t.Parallel()
	i := authtest.NewInMemory()
	i.SetDown(true)
	o := start(t, i, nil)
	unavailable(t, o, bearer(i.Sign(i.Claims())))
	refused(t, o, request())
	refused(t, o, bearer("x.y.z"))
	r := request()
	r.Header.Set("Authorization", "Basic eA==")
	refused(t, o, r)
}

func TestConfig(t *testing.T) {
	t.Parallel()
	good := auth.OIDCConfig{Issuer: "https://sso.test/realms/x", Audience: "tenant-registry", Client: "tenant-registry",
		HTTPTransport: roundTrip(func(*http.Request) (*http.Response, error) { return nil, errors.New("down") })}
	for name, change := range map[string]func(*auth.OIDCConfig){
		"no issuer":         func(c *auth.OIDCConfig) { c.Issuer = "" },
		"issuer is a path":  func(c *auth.OIDCConfig) { c.Issuer = "/realms/x" },
		"issuer is a file":  func(c *auth.OIDCConfig) { c.Issuer = "file://host/x" },
		"key set is a word": func(c *auth.OIDCConfig) { c.JWKSURL = "certs" },
		"no audience":       func(c *auth.OIDCConfig) { c.Audience = "" },
		"audience account":  func(c *auth.OIDCConfig) { c.Audience = "account" },
		"no client":         func(c *auth.OIDCConfig) { c.Client = "" },
		"dial without port": func(c *auth.OIDCConfig) { c.DialAddress = "sso.test" },
	} {
		c := good
		change(&c)
		if o, err := auth.NewOIDC(c); err == nil {
			o.Close()
			t.Errorf("%s is accepted", name)
		}
	}
	o, err := auth.NewOIDC(good)
	if err != nil {
		t.Fatal(err)
	}
	o.Close()
	o.Close()
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
