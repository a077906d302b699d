// Package authtest has an issuer that signs whatever a test asks, and tokens that must not be accepted.
package authtest

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/breakpilot/tenant-registry/internal/auth"
)

// What Config asks of tokens, and Claims puts into them.
const (
	Audience = "tenant-registry" // the audience, and the client whose roles count
	Portal   = "portal"          // the azp of Claims, the only one that Config allows with Product
	Product  = "product-widgets" // the azp of ServiceClaims
)

const (
	discoveryPath = "/realms/test/.well-known/openid-configuration"
	keysPath      = "/realms/test/protocol/openid-connect/certs"
)

// Issuer imitates one realm of Keycloak: discovery, a key set that can be rotated, and access tokens. It is safe for
// concurrent use.
type Issuer struct {
	base   string
	server *httptest.Server // nil for one in memory

	mu      sync.Mutex
	key     signingKey
	answer  http.Handler
	fetches int
}

// New starts an issuer on loopback; Close ends it.
func New() *Issuer {
	i := newIssuer()
	i.server = httptest.NewServer(i)
	i.base = i.server.URL
	return i
}

// NewInMemory makes an issuer without a network: it is reached through itself as the HTTPTransport, which Config sets.
// It is what a test in a synctest bubble needs.
func NewInMemory() *Issuer {
	i := newIssuer()
	i.base = "http://issuer.test"
	return i
}

func newIssuer() *Issuer {
	i := &Issuer{}
	i.Rotate()
	return i
}

// Close ends the server. A closed issuer still signs.
func (i *Issuer) Close() {
	if i.server != nil {
		i.server.Close()
	}
}

// URL is the issuer as tokens carry it in iss.
func (i *Issuer) URL() string { return i.base + "/realms/test" }

// KeysURL is where the key set is.
func (i *Issuer) KeysURL() string { return i.base + keysPath }

// Config accepts the tokens that this issuer makes of Claims and ServiceClaims, and finds the key set by discovery.
func (i *Issuer) Config() auth.OIDCConfig {
	c := auth.OIDCConfig{Issuer: i.URL(), Audience: Audience, Client: Audience, AllowedAZP: []string{Portal, Product}}
	if i.server == nil {
		c.HTTPTransport = i
	}
	return c
}

// Rotate replaces the key: the key set holds the new one only, which is for RS256. Issuers share their keys' order, so
// the first keys of two are equal.
func (i *Issuer) Rotate() { i.RotateTo("RS256") }

// RotateTo is Rotate with a key for one of RS256, PS256, ES256, ES384 and EdDSA.
func (i *Issuer) RotateTo(alg string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.key = nextKey(i.key, alg)
}

// RotateInPlace replaces the key but not its kid, which Keycloak never does.
func (i *Issuer) RotateInPlace() {
	i.mu.Lock()
	defer i.mu.Unlock()
	kid := i.key.kid
	i.key = nextKey(i.key, i.key.alg)
	i.key.kid = kid
}

// Repurpose keeps the RSA key and its kid and makes it one for another algorithm, as an administrator of Keycloak may.
func (i *Issuer) Repurpose(alg string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.key.alg = alg
}

// Answer makes h answer for the key set instead, until it is nil. What h does counts as a fetch.
func (i *Issuer) Answer(h http.Handler) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = h
}

// SetDown makes the key set answer 503, or no longer.
func (i *Issuer) SetDown(down bool) {
	if !down {
		i.Answer(nil)
		return
	}
	i.Answer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
}

// Hang makes the key set answer nothing until the request ends; Answer(nil) ends that.
func (i *Issuer) Hang() {
	i.Answer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
}

// Publish makes the key set hold these keys instead; Answer(nil) ends that.
func (i *Issuer) Publish(keys ...map[string]any) {
	if keys == nil {
		keys = []map[string]any{} // and not null
	}
	i.Answer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": keys})
	}))
}

// JWK is the key that signs now as the key set shows it, with members replaced that are given as name and value in
// turn; those that are nil are left out.
func (i *Issuer) JWK(changes ...any) map[string]any {
	i.mu.Lock()
	defer i.mu.Unlock()
	shown := i.key.jwk()
	for n := 0; n < len(changes); n += 2 {
		name := changes[n].(string)
		if shown[name] = changes[n+1]; shown[name] == nil {
			delete(shown, name)
		}
	}
	return shown
}

// Fetches is how many times the key set was asked for.
func (i *Issuer) Fetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

// ServeHTTP answers discovery and the key set.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case discoveryPath:
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": i.URL(), "jwks_uri": i.KeysURL()})
	case keysPath:
		i.serveKeys(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (i *Issuer) serveKeys(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	i.fetches++
	answer, key := i.answer, i.key
	i.mu.Unlock()
	if answer != nil {
		answer.ServeHTTP(w, r)
		return
	}
	encryption := rsaJWK(&stranger().PublicKey) // Keycloak has one for encryption too
	encryption["kid"], encryption["use"], encryption["alg"] = "enc-"+key.kid, "enc", "RSA-OAEP"
	_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{encryption, key.jwk()}})
}

// RoundTrip makes an Issuer the transport of a client: the request is answered in the caller's goroutine.
func (i *Issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	i.ServeHTTP(rec, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	answer := rec.Result()
	answer.Request = r
	return answer, nil
}

// Claims are those of a user's access token that was just issued to Portal and expires in five minutes, with these
// roles.
func (i *Issuer) Claims(roles ...auth.Role) map[string]any {
	now := time.Now().Unix()
	return map[string]any{
		"exp": now + 300, "iat": now, "jti": "onrtac:5d1f6c2e", "iss": i.URL(), "aud": []string{Audience, "account"},
		"sub": "8f2c1a34-0d52-4a53-9a2e-7d1f4f3f6b10", "typ": "Bearer", "azp": Portal, "sid": "c3b1", "acr": "1",
		"realm_access": map[string]any{"roles": []string{"offline_access"}},
		"resource_access": map[string]any{
			Audience: map[string]any{"roles": roles}, "account": map[string]any{"roles": []string{"view-profile"}},
		},
		"scope":              "profile organization",
		"preferred_username": "acme-admin",
		"organization":       map[string]any{"acme": map[string]any{"id": "0f6d2f5e-7a3f-4c50-8a4c-2f4f1f6b7a11"}},
	}
}

// ServiceClaims are those of the access token of Product's service account, which is bound to the product widgets, with
// these roles.
func (i *Issuer) ServiceClaims(roles ...auth.Role) map[string]any {
	c := i.Claims(roles...)
	delete(c, "organization")
	delete(c, "sid")
	c["sub"], c["azp"], c["client_id"] = "b1a7e0c2-2f1d-4a8e-9f57-0c9d3f1e2a44", Product, Product
	c["preferred_username"] = "service-account-" + Product
	c["product"] = "widgets"
	return c
}

// Sign makes a token of claims, as Keycloak would.
func (i *Issuer) Sign(claims map[string]any) string { return i.SignWith(nil, claims) }

// SignWith is Sign with other members in the header; those that are nil are left out. It signs as the key does whatever
// alg says.
func (i *Issuer) SignWith(header, claims map[string]any) string {
	key := i.current()
	h := map[string]any{"alg": key.alg, "typ": "JWT", "kid": key.kid}
	for name, value := range header {
		if h[name] = value; value == nil {
			delete(h, name)
		}
	}
	return key.sign(text(h), text(claims))
}

// SignText signs a header and a payload as they are, which need not be JSON.
func (i *Issuer) SignText(header, payload string) string { return i.current().sign(header, payload) }

// Forge makes a token of claims that is signed with a key which no issuer has, under its kid.
func (i *Issuer) Forge(claims map[string]any) string {
	return signRS256(stranger(), text(map[string]any{"alg": "RS256", "typ": "JWT", "kid": "forged"}), text(claims))
}

// KeyID is the kid of the key that signs now.
func (i *Issuer) KeyID() string { return i.current().kid }

func (i *Issuer) current() signingKey {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.key
}

// rsaKey is the key that signs now. Forgeries are made of a realm with an RSA key.
func (i *Issuer) rsaKey() *rsa.PrivateKey { return i.current().private.(*rsa.PrivateKey) }

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // a test gave invalid JSON
	}
	return string(b)
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// unsigned is what a signature is made of.
func unsigned(header, payload string) string {
	return strings.Join([]string{encode([]byte(header)), encode([]byte(payload))}, ".")
}
