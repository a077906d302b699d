package auth_test

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/auth"
)

// local is a request from this machine; an empty value sends no Authorization header.
func local(authorization string) *http.Request {
	r := request()
	r.RemoteAddr, r.Host = "127.0.0.1:40000", "localhost:8090"
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return r
}

func TestDevIdentities(t *testing.T) {
	t.Parallel()
	dev := auth.NewDev(false)
	for authorization, want := range map[string]auth.Principal{
		"":                    {ID: "dev-operator", Type: auth.TypeUser, Roles: []auth.Role{auth.RoleOperator}},
		"Bearer dev-operator": {ID: "dev-operator", Type: auth.TypeUser, Roles: []auth.Role{auth.RoleOperator}},
		"bearer dev-portal":   {ID: "dev-portal", Type: auth.TypeService, Roles: []auth.Role{auth.RolePortal}},
		"Bearer dev-audit": {
			ID: "dev-audit", Type: auth.TypeService, Roles: []auth.Role{auth.RoleAuditWrite},
		},
		"Bearer dev-product:widgets": {
			ID: "dev-product:widgets", Type: auth.TypeService, Roles: []auth.Role{auth.RoleKeysVerify},
			Product: "widgets",
		},
		"Bearer dev-tenant:acme": {
			ID: "dev-tenant:acme", Type: auth.TypeUser, Roles: []auth.Role{auth.RoleTenantAdmin}, TenantSlug: "acme",
		},
	} {
		got, err := dev.Authenticate(local(authorization))
		want.Name, want.AZP, want.OrganizationFault = want.ID, "dev", got.OrganizationFault
		if want.Product == "" {
			want.ProductFault = "only the development identity dev-product:KEY is bound to a product"
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v", authorization, got, err)
		}
	}
}

func TestDevRefuses(t *testing.T) {
	t.Parallel()
	dev := auth.NewDev(false)
	for _, authorization := range []string{
		" ", "Bearer", "Bearer ", "Basic eA==", "dev-operator", "Bearer dev-unknown", "Bearer DEV-OPERATOR",
		"Bearer dev-operator:x",
		"Bearer dev-portal:", "Bearer dev-product", "Bearer dev-product:", "Bearer dev-product:A",
		"Bearer dev-product:a/b",
		"Bearer dev-tenant", "Bearer dev-tenant:", "Bearer dev-tenant:-acme", "Bearer dev-tenant:acme:x",
		"Bearer dev-tenant:acme x",
		"Bearer x.y.z",
	} {
		refused(t, dev, local(authorization))
	}
	two := local("Bearer dev-operator")
	two.Header.Add("Authorization", "Bearer dev-operator")
	refused(t, dev, two)
}

func TestDevPeers(t *testing.T) {
	t.Parallel()
	for peer, near := range map[string]bool{
		"127.0.0.1:1": true, "127.8.8.8:1": true, "[::1]:1": true, "[::ffff:127.0.0.1]:1": true,
		"10.0.0.1:1": false, "[::ffff:10.0.0.1]:1": false, "0.0.0.0:1": false, "[fe80::1%lo]:1": false,
		"localhost:1": false, "@": false, "": false,
	} {
		r := local("Bearer dev-portal")
		r.RemoteAddr = peer
		if _, err := auth.NewDev(false).Authenticate(r); (err == nil) != near {
			t.Errorf("peer %q: %v", peer, err)
		}
		if _, err := auth.NewDev(true).Authenticate(r); err != nil {
			t.Errorf("peer %q with remote ones allowed: %v", peer, err)
		}
	}
}

func TestDevBehindAProxy(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"Forwarded", "Via", "X-Forwarded-For", "x-forwarded-host", "X-Forwarded-Anything", "X-Real-Ip", "X-Real-IP",
		"CF-Connecting-IP", "cf-connecting-ip", "True-Client-IP", "X-Envoy-External-Address",
	} {
		for _, remote := range []bool{false, true} {
			r := local("")
			r.Header[name] = []string{""}
			refusedAs(t, auth.NewDev(remote), auth.KindDev, r)
		}
	}
}

// TestDevHosts asserts that only names of this machine lead to a development identity: a page of any other name, which
// its owner has pointed here, is of this origin to a browser.
func TestDevHosts(t *testing.T) {
	t.Parallel()
	for host, is := range map[string]bool{
		"localhost": true, "localhost:8090": true, "LOCALHOST:1": true, "acme.localhost:3000": true,
		"a.b.localhost": true,
		"127.0.0.1":     true, "127.0.0.1:8090": true, "127.9.9.9:1": true, "[::1]": true, "[::1]:8090": true,

		"": false, "evil.example": false, "evil.example:8090": false, "localhost.evil.example": false,
		"evillocalhost": false, "localho\u017ft": false, "localhost:x": false, "x@localhost": false,
		"localhost/": false,
		"10.0.0.1":   false, "0.0.0.0:8090": false, "127.0.0.1.evil.example": false, "127.999.0.1": false,
		"127.1": false,
		"::1":   false, "[::2]:1": false, "[::1]evil": false, "[::ffff:10.0.0.1]": false, "[::1": false,
		"[fe80::1]": false,
	} {
		r := local("Bearer dev-portal")
		r.Host = host
		_, err := auth.NewDev(false).Authenticate(r)
		if (err == nil) != is {
			t.Errorf("host %q: %v", host, err)
		}
		if _, err := auth.NewDev(true).Authenticate(r); err != nil {
			t.Errorf("host %q with remote ones allowed: %v", host, err)
		}
	}
}

// A page of another origin needs no secret to have a browser on this machine send something.
func TestDev_pagesOfOtherOrigins(t *testing.T) {
	t.Parallel()
	d := auth.NewDev(false)
	for name, c := range map[string]struct {
		method, header, value string
		refused               bool
	}{
		"no browser":            {http.MethodPost, "User-Agent", "curl/8", false},
		"same origin":           {http.MethodPost, "Sec-Fetch-Site", "same-origin", false},
		"another site":          {http.MethodPost, "Sec-Fetch-Site", "cross-site", true},
		"another origin":        {http.MethodDelete, "Origin", "https://evil.example", true},
		"a link from elsewhere": {http.MethodGet, "Sec-Fetch-Site", "cross-site", false},
	} {
		r := httptest.NewRequest(c.method, "http://localhost:8090/v1/tenants", nil)
		r.RemoteAddr = "127.0.0.1:50000"
		r.Header.Set(c.header, c.value)
		if _, err := d.Authenticate(r); (err != nil) != c.refused {
			t.Errorf("%s: %v", name, err)
		}
	}
}
