package server

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/auth/authtest"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// verified is a second server on a client's store that takes the tokens of an issuer.
func verified(api *client, i *authtest.Issuer) *client {
	api.t.Helper()
	o, err := auth.NewOIDC(i.Config())
	if err != nil {
		api.t.Fatal(err)
	}
	api.t.Cleanup(o.Close)
	return startServer(api.t, api.store, registry.Options{Now: api.clock.now}, Config{Auth: o, AuthMode: "oidc"})
}

// loaded is verified when the issuer's keys are there.
func loaded(api *client, i *authtest.Issuer) *client {
	api.t.Helper()
	server := verified(api, i)
	testkit.Eventually(api.t, "the issuer's keys are loaded", func() bool {
		return server.exchange(fetch("/v1/catalog").bearer(i.Sign(i.Claims(auth.RoleOperator)))).status == http.StatusOK
	})
	return server
}

// organization is the one that an issuer's users belong to.
const organization = "0f6d2f5e-7a3f-4c50-8a4c-2f4f1f6b7a11"

// TestTokens_haveTheAccessOfTheirRoles asserts that each role comes as far as it should with a real token, and no
// further.
func TestTokens_haveTheAccessOfTheirRoles(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		i := authtest.New()
		defer i.Close()
		server := loaded(api, i)
		api.product("widgets", nil)
		mine, other := api.own("acme", organization), api.tenant("other")
		api.grant(other.ID, "widgets")
		verify := jsonRequest("/v1/internal/api-keys/verify", object{"key": unknownKey, "product": "widgets"})
		report := jsonRequest("/v1/audit", object{
			"action": "a.b", "crud": "c", "is_anonymous": true, "group": object{"id": other.ID},
		})
		log := "/v1/audit?tenant_id="
		for name, tc := range map[string]struct {
			claims map[string]any
			want   map[int][]request
		}{
			"operator": {i.Claims(auth.RoleOperator), map[int][]request{
				200: {fetch("/v1/audit"), fetch(join("/v1/tenants", other.ID)), verify}, 201: {report},
			}},
			"portal": {i.Claims(auth.RolePortal), map[int][]request{
				200: {fetch(join("/v1/tenants", other.ID))}, 403: {fetch("/v1/audit"), verify}, 201: {report},
			}},
			"tenant-admin": {i.Claims(auth.RoleTenantAdmin), map[int][]request{
				200: {fetch(join("/v1/tenants", mine.ID)), fetch(log + mine.ID.String())},
				404: {fetch(join("/v1/tenants", other.ID)), fetch(log + other.ID.String())}, 403: {verify, report},
				400: {fetch("/v1/audit")},
			}},
			"keys:verify": {i.ServiceClaims(auth.RoleKeysVerify), map[int][]request{
				200: {verify, fetch("/v1/entitlements?tenant_id=" + other.ID.String())}, 201: {report},
				403: {fetch(join("/v1/tenants", other.ID)), fetch("/v1/audit")},
			}},
			"audit:write": {
				i.ServiceClaims(auth.RoleAuditWrite),
				map[int][]request{201: {report}, 403: {verify, fetch("/v1/catalog")}},
			},
			"none": {
				i.Claims(), map[int][]request{403: {verify, report, fetch("/v1/catalog")}, 200: {fetch("/healthz")}},
			},
		} {
			for status, requests := range tc.want {
				for _, r := range requests {
					if got := server.send(r.bearer(i.Sign(tc.claims))); got.status != status {
						t.Errorf("%s: %s → %d %s, want %d", name, got.what, got.status, got.body, status)
					}
				}
			}
		}
	})
}

// TestTokens_withoutTenantAreRefused asserts that a tenant-admin whose token names no tenant is refused, and that the
// caller and the log are told what an administrator can do.
func TestTokens_withoutTenantAreRefused(t *testing.T) {
	t.Parallel()
	i := authtest.New()
	defer i.Close()
	api := newClient(t, memory.New(), registry.Options{})
	server := loaded(api, i)
	mine := api.own("acme", organization)
	id := map[string]any{"id": organization}
	for name, tc := range map[string]struct {
		organization any
		status       int
		says         string
	}{
		"one":           {map[string]any{"whatever": id}, 200, ""},
		"none":          {map[string]any{}, 403, "no claim organization"},
		"disabled":      {nil, 403, "no organisation that is enabled"},
		"a list":        {[]string{"acme"}, 403, "Add organization id"},
		"one name":      {"acme", 403, "'Multivalued'"},
		"without an id": {map[string]any{"acme": map[string]any{}}, 403, "Add organization id"},
		"several": {
			map[string]any{"acme": id, "other": map[string]any{"id": "x"}}, 403, "holds 2 organisations",
		},
		"of no tenant": {
			map[string]any{"acme": map[string]any{"id": "unknown"}}, 403, "no tenant's keycloak_org_id",
		},
		"the slug's name": {map[string]any{"x": map[string]any{"id": "acme"}}, 403, "no tenant's keycloak_org_id"},
	} {
		claims := i.Claims(auth.RoleTenantAdmin)
		claims["organization"] = tc.organization
		got := server.send(fetch(join("/v1/tenants", mine.ID)).bearer(i.Sign(claims)).with(
			"X-Request-Id", strings.ReplaceAll(name, " ", "-"),
		))
		if got.status != tc.status {
			t.Errorf("%s: %d %s, want %d", name, got.status, got.body, tc.status)
		}
		if tc.status == http.StatusForbidden {
			if p := got.wantProblem("forbidden"); !strings.Contains(p.Detail, tc.says) ||
				strings.Contains(p.Detail, organization) || strings.Contains(p.Detail, "acme") {
				t.Errorf("%s: the caller is told %q, want %q", name, p.Detail, tc.says)
			}
		}
		for _, line := range server.logLines("authorization denied") {
			if line["request_id"] == strings.ReplaceAll(name, " ", "-") &&
				!strings.Contains(fmt.Sprint(line["reason"]), tc.says) {
				t.Errorf("%s: the log says %q, want %q", name, line["reason"], tc.says)
			}
		}
	}
	if n := len(server.logLines("authorization denied")); n != 8 {
		t.Errorf("8 callers are refused, and the log has %d", n)
	}
}

// TestTokens_withoutRolesAreToldWhy asserts that a caller who may not call a route hears what its token lacks.
func TestTokens_withoutRolesAreToldWhy(t *testing.T) {
	t.Parallel()
	i := authtest.New()
	defer i.Close()
	server := loaded(newClient(t, memory.New(), registry.Options{}), i)
	verify := jsonRequest("/v1/internal/api-keys/verify", object{"key": unknownKey, "product": "widgets"})
	unbound := i.ServiceClaims(auth.RoleKeysVerify)
	delete(unbound, "product")
	renamed := i.Claims(auth.RoleKeysVerify) // a user, under the name of the client's account and with its product
	renamed["preferred_username"], renamed["product"] = "service-account-"+authtest.Portal, "widgets"
	for says, claims := range map[string]map[string]any{
		"no role of this service's client":                                   i.Claims(),
		"none of the roles that the route is for: operator, keys:verify":     i.Claims(auth.RolePortal),
		"bound to no product: set the claim product or OIDC_PRODUCT_CLIENTS": unbound,
		"only service accounts are bound to a product":                       renamed,
	} {
		detail := server.send(verify.bearer(i.Sign(claims))).wantProblem("forbidden").Detail
		if !strings.HasPrefix(detail, "The caller may not do this: ") || !strings.Contains(detail, says) {
			t.Errorf("the caller is told %q, want %q", detail, says)
		}
	}
}

// TestTokens_forgedAreRefusedAlike sends every forgery to a route that reads and one that changes: each is refused with
// the same bytes but for what the caller can see for itself, and the reason is in the log alone.
func TestTokens_forgedAreRefusedAlike(t *testing.T) {
	t.Parallel()
	i := authtest.New()
	defer i.Close()
	api := newClient(t, memory.New(), registry.Options{})
	server := loaded(api, i)
	good := i.Sign(i.Claims(auth.RoleOperator))
	server.send(jsonRequest("/v1/tenants", object{"slug": "control", "name": "Control"}).bearer(
		good,
	)).want(http.StatusCreated)
	forgeries := authtest.Forgeries(i)
	if len(forgeries) < 20 {
		t.Fatalf("there are %d forgeries", len(forgeries))
	}
	logged, tokens := len(server.log.String()), map[string]string{}
	first := map[string]string{} // by the detail
	for n, forgery := range forgeries {
		for _, r := range []request{
			fetch("/v1/tenants/by-slug/control"),
			jsonRequest("/v1/tenants", object{"slug": "forged", "name": "Forged"}),
		} {
			id := fmt.Sprintf("forgery-%03d", n)
			got, token := forged(server, forgery, r.with("X-Request-Id", id))
			if err := theContract().checkReply(r, got); err != nil {
				t.Errorf("%s: %v", forgery.Name, err)
			}
			challenge := `Bearer realm="tenant-registry"`
			if len(token) > len("Bearer ") && strings.EqualFold(token[:len("Bearer ")], "Bearer ") {
				challenge += `, error="invalid_token"`
			}
			got.wantHeader("WWW-Authenticate", challenge)
			got.header.Del("WWW-Authenticate")
			text := withoutID(got, id)
			detail := got.wantProblem("unauthenticated").Detail
			if first[detail] == "" {
				first[detail] = text
			}
			if text != first[detail] {
				t.Errorf("%s at %s answers\n%s\nand others\n%s", forgery.Name, r.target, text, first[detail])
			}
			added := server.log.String()[logged:]
			logged += len(added)
			lines := logLines(t, added, "authentication failed")
			if len(lines) != 1 {
				t.Fatalf("%s: %d lines of the log", forgery.Name, len(lines))
			}
			if reason := fmt.Sprint(lines[0]["reason"]); len(reason) < 10 ||
				strings.Contains(string(got.body), reason) {
				t.Errorf("%s: the log says %q", forgery.Name, reason)
			}
			tokens[token] = forgery.Name
		}
	}
	wantEqual(t, "what callers are told", slices.Sorted(maps.Keys(first)), []string{
		"The Authorization header must be Bearer and one access token.", "The access token has expired.",
		"The access token has more than 32 KiB.", "The request has no Authorization header.",
		"The request needs a valid bearer token.",
	})
	testkit.Eventually(t, "all requests are logged", func() bool {
		return len(server.logLines("request")) >= 2*len(forgeries)
	})
	for token, name := range tokens {
		checkUnsaid(t, server.log.String(), name, token)
	}
	api.get("/v1/tenants/by-slug/forged").wantProblem("tenant_not_found")
}

// checkUnsaid asserts that no part of a token that would help anyone is in a log.
func checkUnsaid(t *testing.T, log, name, token string) {
	t.Helper()
	for _, part := range strings.FieldsFunc(token, func(r rune) bool { return r == '.' || r == ' ' || r == ',' }) {
		if len(part) > 40 && strings.Contains(log, part) {
			t.Errorf("%s: the log has %q", name, part)
		}
	}
}

// forged sends a request with a forgery in it, and returns what the forgery put into the header.
func forged(c *client, forgery authtest.Forgery, r request) (got *reply, token string) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), r.method, c.url+r.target, strings.NewReader(r.body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header = r.header.Clone()
	forgery.Apply(req)
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return &reply{
		t: c.t, what: forgery.Name, status: resp.StatusCode, header: resp.Header, body: body,
	}, req.Header.Get("Authorization")
}

// TestTokens_areUnavailableWithoutKeys asserts that without any key nothing is decided about tokens, and everything
// else goes on.
func TestTokens_areUnavailableWithoutKeys(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		i := authtest.New()
		i.Close()
		server := verified(api, i)
		token := i.Sign(i.Claims(auth.RoleOperator))
		apiRoutes(t, func(rt route, r request) {
			got := server.send(r.bearer(token))
			p := got.wantProblem("unavailable")
			after, err := strconv.Atoi(got.header.Get("Retry-After"))
			if p.Detail != "The token cannot be verified yet." || err != nil || after < 1 || after > 30 {
				t.Errorf("%s: %s, retry after %q", rt.Path, p.Detail, got.header.Get("Retry-After"))
			}
			server.send(r).wantProblem("unauthenticated")
		})
		server.send(fetch("/v1/nothing").bearer(token)).wantProblem("unavailable")
		for _, target := range []string{"/healthz", "/readyz", "/", "/openapi.yaml", "/problems/unavailable"} {
			server.send(fetch(target)).want(http.StatusOK)
			server.send(fetch(target).bearer(token)).want(http.StatusOK)
		}
	})
}

// TestTokens_outliveTheIssuer asserts that known keys serve on, for tokens that were never seen before, too.
func TestTokens_outliveTheIssuer(t *testing.T) {
	t.Parallel()
	i := authtest.New()
	api := newClient(t, memory.New(), registry.Options{})
	server := loaded(api, i)
	i.Close()
	claims := i.Claims(auth.RoleOperator)
	for n := range 3 {
		claims["jti"] = n
		server.send(fetch("/v1/catalog").bearer(i.Sign(claims))).want(http.StatusOK)
	}
	i.Rotate() // to a key that cannot be fetched
	server.send(fetch("/v1/catalog").bearer(i.Sign(claims))).wantProblem("unavailable")
	server.send(fetch("/readyz")).want(http.StatusOK)
}

// TestTokens_followTheIssuersKeys asserts that a new key counts from the first token it signed.
func TestTokens_followTheIssuersKeys(t *testing.T) {
	t.Parallel()
	i := authtest.New()
	defer i.Close()
	server := loaded(newClient(t, memory.New(), registry.Options{}), i)
	old := i.Sign(i.Claims(auth.RoleOperator))
	server.send(fetch("/v1/catalog").bearer(old)).want(http.StatusOK)
	i.Rotate()
	server.send(fetch("/v1/catalog").bearer(i.Sign(i.Claims(auth.RoleOperator)))).want(http.StatusOK)
	server.send(fetch("/v1/catalog").bearer(old)).wantProblem("unauthenticated")
	// The key set was fetched twice now, so that a token of a newer key waits until it may be fetched again.
	i.Rotate()
	got := server.send(fetch("/v1/catalog").bearer(i.Sign(i.Claims(auth.RoleOperator))))
	got.wantProblem("unavailable")
	if after, err := strconv.Atoi(got.header.Get("Retry-After")); err != nil || after < 3 || after > 60 {
		t.Errorf("retry after %q, want what is left of a minute", got.header.Get("Retry-After"))
	}
}
