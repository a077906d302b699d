package auth

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzClaims asserts that no payload does worse than to be refused, even if it is signed, and that a principal made of
// one has the properties that Principal documents. It leaves the signature out, which would take nearly all of the
// time.
func FuzzClaims(f *testing.F) {
	const access = `"resource_access":{"tenant-registry":{"roles":["operator","portal","portal","x"]}}`
	for _, more := range []string{
		access + `,"organization":{"acme":{"id":"o-1"}},"preferred_username":"acme-admin",` +
			`"azp":"portal","iat":1,"nbf":1.5`,
		access + `,"organization":["acme"],"preferred_username":"acme-admin@acme.example"`,
		`"resource_access":[],"organization":{"a":{"id":"1"},"b":{"id":"2"}},"product":"widgets"`,
		`"azp":"product","client_id":"product","product":"widgets"`,
		`"azp":"product","preferred_username":"service-account-product","product":["widgets"],` +
			`"organization":{"a":{"id":["1"]}}`,
	} {
		f.Add(`{"iss":"https://sso.test","aud":["tenant-registry","account"],"typ":"Bearer","sub":"s-1",` +
			`"exp":4102444800,` + more + `}`)
	}
	o := &OIDCConfig{Issuer: "https://sso.test", Audience: "tenant-registry", Client: "tenant-registry",
		ProductClients: map[string]string{"product": "gadgets"}}
	head := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"x"}`))
	f.Fuzz(func(t *testing.T, payload string) {
		c, refused := unpack(head + "." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".AAAA")
		if refused == nil {
			refused = c.check(o, time.Unix(1_800_000_000, 0))
		}
		if refused != nil {
			if refused.Reason == "" || len(refused.Reason) > 400 || !utf8.ValidString(refused.Reason) {
				t.Errorf("the reason %q is not fit for a log", refused.Reason)
			}
			return
		}
		p := c.principal(o)
		if !fit(p.ID) || strings.Contains(p.Name, "@") || p.TenantSlug != "" ||
			(p.Organization == "") == (p.OrganizationFault == "") {
			t.Errorf("%+v", p)
		}
		if p.Type != TypeService && p.Product != "" {
			t.Errorf("a user is bound to a product: %+v", p)
		}
		if !slices.IsSorted(p.Roles) || len(slices.Compact(slices.Clone(p.Roles))) != len(p.Roles) {
			t.Errorf("roles %v", p.Roles)
		}
	})
}

// TestTokenCacheIsBounded holds that tokens which are used stay while those that are not make room.
func TestTokenCacheIsBounded(t *testing.T) {
	t.Parallel()
	c := newTokenCache()
	now := time.Now()
	used := hashToken("used")
	c.put(used, &Principal{ID: "used"}, now, now.Add(time.Minute))
	for n := range 10 * maxCachedTokens {
		c.put(hashToken(strconv.Itoa(n)), &Principal{ID: "other"}, now, now.Add(time.Minute))
		if n%1000 == 0 && c.get(used, now) == nil {
			t.Fatalf("a token in use is forgotten after %d others", n)
		}
	}
	c.tokens.CleanUp()
	if size := c.tokens.EstimatedSize(); size > maxCachedTokens {
		t.Errorf("%d tokens are cached, want at most %d", size, maxCachedTokens)
	}
	if c.get(hashToken("never seen"), now) != nil {
		t.Error("a token that was never verified is there")
	}
}
