package main

import (
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/auth/authtest"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
)

const unreachableDSN = "DATABASE_URL=postgres://u:" + canary + "@127.0.0.1:1/d"

// safe is an environment that prod and stage accept. Its database is not reachable, so that a program which accepts it
// fails there.
func safe(more ...string) []string {
	return append([]string{"APP_ENV=prod", unreachableDSN, "KEYCLOAK_ISSUER=https://id.invalid/realms/x"}, more...)
}

// environments are ones that are safe and ones that are not, with the variables that must be named, in any order; none
// if the environment is accepted.
var environments = map[string]struct {
	env   []string
	names string
}{
	"prod":                     {safe(), ""},
	"stage":                    {safe("APP_ENV=stage"), ""},
	"prod by its default mode": {safe("AUTH_MODE="), ""},
	"prod with tokens":         {safe("AUTH_MODE=oidc"), ""},
	"the key set elsewhere":    {safe("OIDC_JWKS_URL=https://id.invalid/keys"), ""},
	"the issuer elsewhere":     {safe("OIDC_DIAL_ADDRESS=10.0.0.1:8443"), ""},
	"some clients": {
		safe("OIDC_ALLOWED_AZP=portal, scanner", "OIDC_PRODUCT_CLIENTS=scanner=code-scanner"), "",
	},
	"no limit":                  {safe("RATE_LIMIT=0"), ""},
	"behind proxies":            {safe("TRUSTED_PROXIES=2"), ""},
	"remote identities, off":    {safe("DEV_ALLOW_REMOTE=false"), ""},
	"another audience":          {safe("OIDC_AUDIENCE=registry"), ""},
	"dev with a database":       {[]string{unreachableDSN}, ""},
	"dev with tokens":           {[]string{unreachableDSN, "AUTH_MODE=oidc"}, ""},
	"dev for other machines":    {[]string{unreachableDSN, "DEV_ALLOW_REMOTE=true"}, ""},
	"nearly prod":               {safe("APP_ENV=production"), "APP_ENV"},
	"prod in capitals":          {safe("APP_ENV=PROD"), "APP_ENV"},
	"prod with a space":         {safe("APP_ENV=prod "), "APP_ENV"},
	"dev in capitals":           {safe("APP_ENV=Dev"), "APP_ENV"},
	"test":                      {safe("APP_ENV=test", "AUTH_MODE=dev"), "APP_ENV"},
	"prod for every caller":     {safe("AUTH_MODE=dev"), "AUTH_MODE"},
	"stage for every caller":    {safe("APP_ENV=stage", "AUTH_MODE=dev"), "AUTH_MODE"},
	"no mode":                   {safe("AUTH_MODE=none"), "AUTH_MODE"},
	"a mode in capitals":        {safe("AUTH_MODE=OIDC"), "AUTH_MODE"},
	"prod in memory":            {safe("DATABASE_URL="), "DATABASE_URL"},
	"stage in memory":           {safe("APP_ENV=stage", "DATABASE_URL="), "DATABASE_URL"},
	"no DSN":                    {safe("DATABASE_URL=" + canary), "DATABASE_URL"},
	"no issuer":                 {safe("KEYCLOAK_ISSUER="), "KEYCLOAK_ISSUER"},
	"no issuer, stage":          {safe("APP_ENV=stage", "KEYCLOAK_ISSUER="), "KEYCLOAK_ISSUER"},
	"an issuer in the clear":    {safe("KEYCLOAK_ISSUER=http://id.example.org/realms/x"), "KEYCLOAK_ISSUER"},
	"the clear in capitals":     {safe("KEYCLOAK_ISSUER=HTTP://id.example.org/realms/x"), "KEYCLOAK_ISSUER"},
	"an issuer on this machine": {safe("KEYCLOAK_ISSUER=http://localhost:8080/realms/x"), "KEYCLOAK_ISSUER"},
	"an issuer without a host":  {safe("KEYCLOAK_ISSUER=https://"), "KEYCLOAK_ISSUER"},
	"an issuer of another kind": {safe("KEYCLOAK_ISSUER=ftp://id.example.org/x"), "KEYCLOAK_ISSUER"},
	"an issuer that is no URL":  {safe("KEYCLOAK_ISSUER=id.example.org"), "KEYCLOAK_ISSUER"},
	"an issuer with a password": {
		safe("KEYCLOAK_ISSUER=https://u:" + canary + "@id.invalid/realms/x"), "KEYCLOAK_ISSUER",
	},
	"keys in the clear":             {safe("OIDC_JWKS_URL=http://id.invalid/keys"), "OIDC_JWKS_URL"},
	"keys at no URL":                {safe("OIDC_JWKS_URL=keys"), "OIDC_JWKS_URL"},
	"a blank audience":              {safe("OIDC_AUDIENCE= "), "OIDC_AUDIENCE"},
	"every client's audience":       {safe("OIDC_AUDIENCE=account"), "OIDC_AUDIENCE"},
	"every client's, in capitals":   {safe("OIDC_AUDIENCE=Account"), "OIDC_AUDIENCE"},
	"every client's, in dev":        {[]string{"OIDC_AUDIENCE=account", "AUTH_MODE=oidc"}, "OIDC_AUDIENCE"},
	"identities from anywhere":      {safe("DEV_ALLOW_REMOTE=true"), "DEV_ALLOW_REMOTE"},
	"identities from anywhere, yes": {safe("DEV_ALLOW_REMOTE=yes"), "DEV_ALLOW_REMOTE"},
	"a product without a client":    {safe("OIDC_PRODUCT_CLIENTS=code-scanner"), "OIDC_PRODUCT_CLIENTS"},
	"two products of a client":      {safe("OIDC_PRODUCT_CLIENTS=a=b,a=c"), "OIDC_PRODUCT_CLIENTS"},
	"no port to dial":               {safe("OIDC_DIAL_ADDRESS=keycloak"), "OIDC_DIAL_ADDRESS"},
	"a negative limit":              {safe("RATE_LIMIT=-1"), "RATE_LIMIT"},
	"a limit in words":              {safe("RATE_LIMIT=off"), "RATE_LIMIT"},
	"too many proxies":              {safe("TRUSTED_PROXIES=11"), "TRUSTED_PROXIES"},
	"everything at once": {
		safe("AUTH_MODE=dev", "DATABASE_URL=", "KEYCLOAK_ISSUER=", "OIDC_JWKS_URL=http://x/y", "DEV_ALLOW_REMOTE=true"),
		"AUTH_MODE DATABASE_URL DEV_ALLOW_REMOTE KEYCLOAK_ISSUER OIDC_JWKS_URL",
	},
}

// TestEnvironments runs the program in all environments. Those that are not safe end it with 2 and a sentence for each
// variable; with the others it gets as far as the database.
func TestEnvironments(t *testing.T) {
	t.Parallel()
	for name, tc := range environments {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkEnvironment(t, tc.env, strings.Fields(tc.names))
		})
	}
}

var named = regexp.MustCompile(`(?m)^(?:tenant-registry: )?([A-Z_]+): must [^\n]{10,}$`)

func checkEnvironment(t *testing.T, env, names []string) {
	t.Helper()
	code, stdout, said := runHere(t, env)
	if strings.Contains(stdout+said, canary) {
		t.Errorf("a password is printed: %s", said)
	}
	if len(names) == 0 {
		if code != 1 || !strings.Contains(said, "127.0.0.1:1 cannot be reached") {
			t.Errorf("exit %d, want 1 and that the database cannot be reached: %s", code, said)
		}
		return
	}
	lines := named.FindAllStringSubmatch(said, -1)
	if code != 2 || len(lines) != len(names) || strings.Count(said, "\n") != len(names) {
		t.Errorf("exit %d, want 2 and %d sentences: %s", code, len(names), said)
	}
	for _, name := range names {
		if !regexp.MustCompile(`(?m)^(?:tenant-registry: )?` + name + `: must `).MatchString(said) {
			t.Errorf("%s is not named: %s", name, said)
		}
	}
}

var listening = regexp.MustCompile(`"msg":"listening","api":"(http://[^"]+)"`)

// launchProd starts the server in prod and returns when its log says that it listens.
func launchProd(t *testing.T, env ...string) *program {
	t.Helper()
	p := start(t, append([]string{"APP_ENV=prod"}, env...))
	eventually(t, patience, func() error {
		found := listening.FindStringSubmatch(p.stderr.String())
		switch {
		case !p.running():
			t.Fatalf("the server ended: %s", &p.stderr)
		case found == nil:
			return errors.New("the server does not say that it listens")
		}
		p.URL = found[1]
		return nil
	})
	if p.stdout.String() != "" {
		t.Errorf("in prod the server greets: %s", &p.stdout)
	}
	return p
}

// with sets the Authorization header; "" leaves it out.
func with(token string) func(*http.Request) {
	return func(r *http.Request) {
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
	}
}

// ask is try with a credential, and asserts the status.
func (p *program) ask(t *testing.T, status int, path, token string) reply {
	t.Helper()
	r, err := p.try(http.MethodGet, path, "", with(token))
	if err != nil {
		t.Fatal(err)
	}
	if r.status != status || len(r.header.Values("X-Auth-Mode")) != 0 {
		t.Errorf("%s answers %d %v %s, want %d", path, r.status, r.header, r.text, status)
	}
	return r
}

// answersReady waits until /readyz answers 200: on a busy machine one answer of the database may be late.
func (p *program) answersReady(t *testing.T, token string) {
	t.Helper()
	eventually(t, patience, func() error {
		r, err := p.try(http.MethodGet, "/readyz", "", with(token))
		if err == nil && r.status != http.StatusOK {
			err = fmt.Errorf("/readyz answers %d %s", r.status, r.text)
		}
		return err
	})
}

// TestProd_withoutIssuer asserts that an issuer which is not there delays nothing and takes nothing away but the
// verification of tokens.
func TestProd_withoutIssuer(t *testing.T) {
	t.Parallel()
	p := launchProd(t, "DATABASE_URL="+postgrestest.New(t), "KEYCLOAK_ISSUER=https://127.0.0.1:1/realms/x")
	p.ask(t, http.StatusOK, "/healthz", "")
	p.answersReady(t, "")
	i := authtest.NewInMemory()
	token := i.Sign(i.Claims(auth.RoleOperator))
	if r := p.ask(t, http.StatusServiceUnavailable, "/v1/catalog", token); r.header.Get("Retry-After") == "" ||
		r.member("code") != "unavailable" {
		t.Errorf("a token is answered %v %s", r.header, r.text)
	}
	for _, bad := range []string{"", "dev-operator", "dev-portal", strings.Repeat("a", 40_000)} {
		if r := p.ask(t, http.StatusUnauthorized, "/v1/catalog", bad); r.header.Get("WWW-Authenticate") == "" {
			t.Errorf("a bad credential is answered %v %s", r.header, r.text)
		}
	}
	p.answersReady(t, token)
	eventually(t, patience, func() error {
		if said := p.stderr.String(); !strings.Contains(said, "key set could not be loaded") {
			return fmt.Errorf("the log does not say that the issuer is not there: %s", said)
		}
		return nil
	})
}

// secureIssuer serves an issuer as https://example.com/realms/test, and returns where, and the environment that finds
// it.
func secureIssuer(t *testing.T, i *authtest.Issuer) (web *httptest.Server, issuer string, env []string) {
	t.Helper()
	issuer = "https://example.com/realms/test"
	mux := http.NewServeMux()
	mux.HandleFunc("GET /realms/test/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, issuer, issuer+"/protocol/openid-connect/certs")
	})
	mux.Handle("/", i)
	web = httptest.NewTLSServer(mux) // whose certificate is for example.com
	t.Cleanup(web.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return web, issuer, []string{
		"SSL_CERT_FILE=" + file, "KEYCLOAK_ISSUER=" + issuer, "OIDC_DIAL_ADDRESS=" + web.Listener.Addr().String(),
		"OIDC_PRODUCT_CLIENTS=other=insights",
	}
}

// TestProd_withIssuer asserts that the built server, as it is deployed, takes the tokens of an issuer that has another
// address from inside, and goes on when the issuer is gone.
func TestProd_withIssuer(t *testing.T) {
	t.Parallel()
	i := authtest.NewInMemory()
	web, issuer, env := secureIssuer(t, i)
	sign := func(claims map[string]any) string {
		claims["iss"] = issuer
		return i.Sign(claims)
	}
	p := launchProd(t, append(env, "DATABASE_URL="+postgrestest.New(t))...)
	operator := sign(i.Claims(auth.RoleOperator))
	eventually(t, patience, func() error {
		if r, err := p.try(http.MethodGet, "/v1/catalog", "", with(operator)); err != nil || r.status != http.StatusOK {
			return fmt.Errorf("%v: %d %s", err, r.status, r.text)
		}
		return nil
	})
	p.ask(t, http.StatusOK, "/v1/audit", operator)
	p.ask(t, http.StatusForbidden, "/v1/audit", sign(i.Claims(auth.RolePortal)))
	// of an organisation that is no tenant's
	p.ask(t, http.StatusForbidden, "/v1/catalog", sign(i.Claims(auth.RoleTenantAdmin)))
	// of the issuer by another name
	p.ask(t, http.StatusUnauthorized, "/v1/catalog", i.Sign(i.Claims(auth.RoleOperator)))
	p.ask(t, http.StatusUnauthorized, "/v1/catalog", "dev-operator")
	product := i.ServiceClaims(auth.RoleKeysVerify)
	delete(product, "product")
	p.ask(t, http.StatusForbidden, "/v1/entitlements?tenant_id="+acme, sign(product))
	product["azp"], product["client_id"] = "other", "other"
	p.ask(t, http.StatusNotFound, "/v1/entitlements?tenant_id="+acme, sign(product))
	web.Close()
	claims := i.Claims(auth.RoleOperator)
	claims["jti"] = "never seen before"
	p.ask(t, http.StatusOK, "/v1/catalog", sign(claims))
	p.answersReady(t, "")
	if said := p.stderr.String(); strings.Contains(said, operator) ||
		strings.Contains(said, strings.Split(operator, ".")[1]) {
		t.Errorf("the log has a token: %s", said)
	}
}
