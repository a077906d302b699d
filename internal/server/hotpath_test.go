//go:build !race

// The race detector allocates, and takes its time.

package server

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/auth/authtest"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// remembered is a store that has what is asked for at hand, as a cache does.
type remembered struct {
	registry.Store
	facts  registry.KeyFacts
	tenant registry.Tenant
}

// KeyFacts implements registry.Lookup.
func (r *remembered) KeyFacts(context.Context, registry.KeyLookup, registry.ReadOptions) (registry.KeyFacts, error) {
	return r.facts, nil
}

// TenantBySlug implements registry.Lookup.
func (r *remembered) TenantBySlug(context.Context, string, registry.ReadOptions) (registry.Tenant, error) {
	return r.tenant, nil
}

// TenantByKeycloakOrg implements registry.Lookup.
func (r *remembered) TenantByKeycloakOrg(context.Context, string, registry.ReadOptions) (registry.Tenant, error) {
	return r.tenant, nil
}

// hotPath is a server with a token that it knows, and a key of a tenant that is entitled to the token's product.
type hotPath struct {
	server     *Server
	token, key string
	tenant     registry.Tenant
}

func newHotPath(t testing.TB) *hotPath {
	issuer := authtest.NewInMemory()
	who, err := auth.NewOIDC(issuer.Config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(who.Close)
	claims := issuer.ServiceClaims(auth.RoleKeysVerify, auth.RolePortal)
	store := &remembered{Store: memory.New()}
	service := registry.New(store, registry.Options{})
	sample, err := registry.Seed(t.Context(), store, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	claims["product"] = "compliance-suite"
	hash, _ := apikey.Parse(sample.LiveKey)
	lookup := registry.KeyLookup{Hash: hash, Product: "compliance-suite"}
	if store.facts, err = registry.GetKeyFacts(t.Context(), store.Store, lookup); err != nil {
		t.Fatal(err)
	}
	store.tenant = store.facts.Tenant
	p := &hotPath{
		server: New(Config{
			Registry: service, Auth: who, AuthMode: "oidc", Logger: slog.New(slog.NewJSONHandler(io.Discard, nil)),
		}),
		token: issuer.Sign(claims), key: sample.LiveKey, tenant: store.tenant,
	}
	testkit.Eventually(t, "the issuer's keys are loaded", func() bool {
		r, _ := p.verify()
		w := httptest.NewRecorder()
		p.server.ServeHTTP(w, r)
		return w.Code == http.StatusOK && strings.Contains(w.Body.String(), `"VALID"`)
	})
	return p
}

// request is one that can be sent again and again, with what begins its body anew.
func (p *hotPath) request(method, path, body string) (r *http.Request, rewind func()) {
	text := strings.NewReader(body)
	r = httptest.NewRequest(method, path, io.NopCloser(text))
	r.ContentLength = int64(len(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Authorization", "Bearer "+p.token)
	return r, func() { text.Reset(body) }
}

func (p *hotPath) verify() (r *http.Request, rewind func()) {
	return p.request(
		http.MethodPost, "/v1/internal/api-keys/verify",
		`{"key":"`+p.key+`","product":"compliance-suite","scopes":["reports:read"]}`,
	)
}

// rewritable is a ResponseWriter whose header can be used again.
type rewritable struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (s *rewritable) Header() http.Header         { return s.header }
func (s *rewritable) WriteHeader(status int)      { s.status = status }
func (s *rewritable) Write(b []byte) (int, error) { return s.body.Write(b) }

func (s *rewritable) reset() {
	maps.DeleteFunc(s.header, func(string, []string) bool { return true })
	s.body.Reset()
}

// etag is the entity tag of acme.
func (p *hotPath) etag() string {
	r, _ := p.request(http.MethodGet, "/v1/tenants/by-slug/acme", "")
	w := httptest.NewRecorder()
	p.server.ServeHTTP(w, r)
	return w.Header().Get("Etag")
}

// hotRequest is one that products or portals make all the time.
type hotRequest struct {
	r      *http.Request
	rewind func() // begins its body anew
	status int
	most   float64 // allocations
}

func (p *hotPath) hot() map[string]hotRequest {
	verify, again := p.verify()
	slug, _ := p.request(http.MethodGet, "/v1/tenants/by-slug/acme", "")
	unchanged, _ := p.request(http.MethodGet, "/v1/tenants/by-slug/acme", "")
	unchanged.Header.Set("If-None-Match", p.etag())
	return map[string]hotRequest{
		"verify":      {verify, again, http.StatusOK, 23},
		"by-slug":     {slug, func() {}, http.StatusOK, 19},
		"by-slug 304": {unchanged, func() {}, http.StatusNotModified, 17},
	}
}

// TestHotPath_allocatesLittle holds what a request costs from the handler's entry to the answer, the access log
// included.
func TestHotPath_allocatesLittle(t *testing.T) {
	p := newHotPath(t)
	for name, c := range p.hot() {
		w := &rewritable{header: http.Header{}}
		once := func() {
			w.reset()
			c.rewind()
			p.server.ServeHTTP(w, c.r)
		}
		if once(); w.status != c.status {
			t.Fatalf("%s: %d %s", name, w.status, &w.body)
		}
		if got := testing.AllocsPerRun(200, once); got > c.most {
			t.Errorf("%s: %.0f allocations, want %.0f at most", name, got, c.most)
		}
	}
}

func BenchmarkHotPath(b *testing.B) {
	p := newHotPath(b)
	for name, c := range p.hot() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			w := &rewritable{header: http.Header{}}
			for b.Loop() {
				w.reset()
				c.rewind()
				p.server.ServeHTTP(w, c.r)
			}
		})
	}
}
