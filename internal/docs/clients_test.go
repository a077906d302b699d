package docs_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/evanw/esbuild/pkg/api"

	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// TestBlocks_go runs the verifier of the page against a registry that its test imitates.
func TestBlocks_go(t *testing.T) {
	t.Parallel()
	all := blocks(t, "go")
	if len(all) != 1 {
		t.Fatalf("%d blocks of Go", len(all))
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), "module example\n\ngo 1.26\n")
	write(t, filepath.Join(dir, "verifier.go"), all[0])
	write(t, filepath.Join(dir, "verifier_test.go"), read(t, "internal/docs/testdata/verifier_test.go.txt"))
	for _, command := range [][]string{{"vet", "."}, {"test", "."}} {
		cmd := exec.Command("go", command...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("go %s: %v\n%s", command[0], err, out)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// slugRegistry imitates by-slug: acme is a tenant, iced a frozen one, everything else unknown.
type slugRegistry struct {
	mu    sync.Mutex
	fails func(w http.ResponseWriter, r *http.Request) // instead of an answer; nil: it is up
	seen  []*http.Request
}

const slugTag = `"tag"`

func (s *slugRegistry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.seen = append(s.seen, r)
	fails := s.fails
	s.mu.Unlock()
	slug := strings.TrimPrefix(r.URL.Path, "/v1/tenants/by-slug/")
	status := map[string]string{"acme": "active", "iced": "frozen"}[slug]
	switch {
	case fails != nil:
		fails(w, r)
	case r.Header.Get("Authorization") != "Bearer of-the-portal":
		w.WriteHeader(http.StatusUnauthorized)
	case status == "":
		w.WriteHeader(http.StatusNotFound)
	case r.Header.Get("If-None-Match") == slugTag:
		w.WriteHeader(http.StatusNotModified)
	default:
		w.Header().Set("ETag", slugTag)
		fmt.Fprintf(w, `{"id":"id-of-%s","slug":%q,"status":%q}`, slug, slug, status)
	}
}

// set makes the registry fail, or with nil answer again.
func (s *slugRegistry) set(fails func(http.ResponseWriter, *http.Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = fails
}

// requests returns the requests since the last call.
func (s *slugRegistry) requests() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.seen
	s.seen = nil
	return seen
}

// portal is the proxy of the page, running in Node.js.
type portal struct {
	t   *testing.T
	in  *json.Encoder
	out *json.Decoder
}

type visits struct {
	At    int      `json:"at"`
	Hosts []string `json:"hosts"`
	Hurry bool     `json:"hurry"`
	Local bool     `json:"local"`
}

type visited struct {
	Responses  []response
	Background int
	Fetched    int
}

type response struct {
	Status        int
	Tenant, Retry string
}

// startPortal compiles a proxy and runs it against a registry until the test ends.
func startPortal(t *testing.T, source, registry string) portal {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil && testing.Short() {
		t.Skip("node is not installed; the Next.js client is not run under -short")
	} else if err != nil {
		t.Fatal("node is not installed, and the Next.js client cannot be run: " +
			"install Node.js 20 or later (Debian: apt-get install nodejs)")
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "proxy.ts"), source)
	for from, to := range map[string]string{
		"token.ts": "token.ts", "driver.js": "driver.js", "next-server.js": "node_modules/next/server.js",
	} {
		write(t, filepath.Join(dir, to), read(t, "internal/docs/testdata/"+from))
	}
	result := api.Build(api.BuildOptions{
		EntryPoints: []string{"driver.js"}, AbsWorkingDir: dir, Outfile: filepath.Join(dir, "portal.mjs"),
		Bundle: true, Write: true, Platform: api.PlatformNode, Format: api.FormatESModule,
	})
	for _, message := range append(result.Errors, result.Warnings...) {
		t.Fatalf("%+v: %s", message.Location, message.Text)
	}
	cmd := exec.CommandContext(t.Context(), node, filepath.Join(dir, "portal.mjs"))
	cmd.Env = append(os.Environ(), "REGISTRY_URL="+registry, "NO_PROXY=*")
	var stderr testkit.Output
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if _, err := io.Copy(io.Discard, out); err != nil && !t.Failed() {
			t.Error(err)
		}
		_ = cmd.Wait()
		if stderr.String() != "" {
			t.Errorf("node prints %s", &stderr)
		}
	})
	return portal{t: t, in: json.NewEncoder(in), out: json.NewDecoder(out)}
}

func (p portal) visit(v visits) visited {
	p.t.Helper()
	if err := p.in.Encode(v); err != nil {
		p.t.Fatal(err)
	}
	var got visited
	if err := p.out.Decode(&got); err != nil {
		p.t.Fatal(err)
	}
	return got
}

// anyNumber is a number of requests that is not asserted.
const anyNumber = -1

// expect visits hosts, and asserts the status of the first and the requests that reached the registry for them.
func (p portal) expect(r *slugRegistry, v visits, status, requests int) visited {
	p.t.Helper()
	got := p.visit(v)
	if n := len(r.requests()); got.Responses[0].Status != status || (n != requests && requests != anyNumber) {
		p.t.Errorf("%+v: %+v after %d requests; want %d after %d", v, got.Responses[0], n, status, requests)
	}
	return got
}

const acmeHost = "acme.example.com"

func proxySource(t *testing.T) string {
	t.Helper()
	all := blocks(t, "ts")
	if len(all) != 1 {
		t.Fatalf("%d blocks of TypeScript", len(all))
	}
	return all[0]
}

func newSlugRegistry(t *testing.T) (*slugRegistry, string) {
	t.Helper()
	r := &slugRegistry{}
	web := httptest.NewServer(r)
	t.Cleanup(web.Close)
	return r, web.URL
}

// TestBlocks_proxyHosts asserts which tenant a Host header resolves to, and that a visitor cannot name one.
func TestBlocks_proxyHosts(t *testing.T) {
	t.Parallel()
	r, url := newSlugRegistry(t)
	p := startPortal(t, proxySource(t), url)
	for _, host := range []string{acmeHost, "ACME.example.com:3000", "acme"} {
		if got := p.visit(visits{Hosts: []string{host}}).Responses[0]; got.Status != http.StatusOK ||
			got.Tenant != "id-of-acme" {
			t.Errorf("%s is %+v", host, got)
		}
	}
	if n := len(r.requests()); n != 1 {
		t.Errorf("one slug took %d requests", n)
	}
	p.expect(r, visits{Hosts: []string{"iced.example.com"}}, http.StatusForbidden, 1)
	p.expect(r, visits{Hosts: []string{"unknown.example.com"}}, http.StatusNotFound, 1)
	p.expect(r, visits{Hosts: []string{"unknown.example.com"}}, http.StatusNotFound, 0)
	for _, host := range []string{"", "-.example.com", "a.example.com", "ac/me.example.com", "..", "[::1]:3000"} {
		p.expect(r, visits{Hosts: []string{host}}, http.StatusNotFound, 0)
	}
}

// TestBlocks_proxyTogether asserts that simultaneous visits of a slug that is not cached make one request.
func TestBlocks_proxyTogether(t *testing.T) {
	t.Parallel()
	r, url := newSlugRegistry(t)
	p := startPortal(t, proxySource(t), url)
	hosts := slices.Repeat([]string{acmeHost}, 60)
	for _, one := range p.expect(r, visits{Hosts: hosts}, http.StatusOK, 1).Responses {
		if one.Status != http.StatusOK || one.Tenant != "id-of-acme" {
			t.Errorf("one of 60 is %+v", one)
		}
	}
	if got := p.expect(r, visits{At: 5_000, Hosts: hosts}, http.StatusOK, 1); got.Background != 60 {
		t.Errorf("%d of 60 stale visits are answered before the registry", got.Background)
	}
	r.set(drop)
	for _, one := range p.expect(r, visits{At: 400_000, Hosts: hosts}, http.StatusServiceUnavailable, 1).Responses {
		if one.Status != http.StatusServiceUnavailable {
			t.Errorf("one of 60 without a registry is %+v", one)
		}
	}
}

// drop answers by closing the connection.
func drop(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// hang answers when the caller has gone.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func unavailable(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusServiceUnavailable)
}

// TestBlocks_proxyAge asserts how long an entry is served, and what its revalidation sends.
func TestBlocks_proxyAge(t *testing.T) {
	t.Parallel()
	r, url := newSlugRegistry(t)
	p := startPortal(t, proxySource(t), url)
	at := func(ms int) visits { return visits{At: ms, Hosts: []string{acmeHost}} }
	p.expect(r, at(0), http.StatusOK, 1)
	p.expect(r, at(4_999), http.StatusOK, 0)
	if got := p.visit(at(5_000)); got.Responses[0].Status != http.StatusOK || got.Background != 1 {
		t.Errorf("a stale entry: %+v", got)
	}
	seen := r.requests()
	if len(seen) != 1 || seen[0].Header.Get("If-None-Match") != slugTag ||
		!slices.Equal(seen[0].Header.Values("Cache-Control"), []string{"max-age=5"}) {
		t.Errorf("a revalidation sends %v", seen)
	}
	p.expect(r, at(9_999), http.StatusOK, 0)
	if got := p.expect(r, at(39_999), http.StatusOK, 1); got.Background != 1 {
		t.Errorf("before 35 s: %+v", got)
	}
	if got := p.expect(r, at(74_999), http.StatusOK, 1); got.Background != 0 {
		t.Errorf("after 35 s the registry is asked first: %+v", got)
	}
}

// TestBlocks_proxyRevalidation is the control of the explicit Cache-Control: without it fetch sends no-cache.
func TestBlocks_proxyRevalidation(t *testing.T) {
	t.Parallel()
	source := regexp.MustCompile(`(?m)^.*"Cache-Control": .*$`).ReplaceAllString(proxySource(t), "")
	r, url := newSlugRegistry(t)
	p := startPortal(t, source, url)
	p.visit(visits{Hosts: []string{acmeHost}})
	p.visit(visits{At: 100_000, Hosts: []string{acmeHost}})
	if seen := r.requests(); len(seen) != 2 || seen[1].Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("without the header, fetch sends %v", seen)
	}
}

// TestBlocks_proxyDown asserts what visitors get while the registry fails, in each way that it can.
func TestBlocks_proxyDown(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]func(http.ResponseWriter, *http.Request){
		"drop": drop, "hang": hang, "unavailable": unavailable,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, url := newSlugRegistry(t)
			p := startPortal(t, proxySource(t), url)
			hurry, one := name == "hang", 1
			if hurry {
				one = anyNumber // a request may be given up before it arrives
			}
			visit := func(ms int, host string, status int) visited {
				return p.expect(r, visits{At: ms, Hosts: []string{host}, Hurry: hurry}, status, one)
			}
			p.expect(r, visits{Hosts: []string{acmeHost}}, http.StatusOK, 1)
			r.set(fails)
			visit(34_999, acmeHost, http.StatusOK)
			visit(299_999, acmeHost, http.StatusOK)
			visit(300_000, acmeHost, http.StatusServiceUnavailable)
			if got := visit(300_000, "iced.example.com", http.StatusServiceUnavailable); got.Responses[0].Retry == "" {
				t.Errorf("503 comes without Retry-After: %+v", got)
			}
			r.set(nil)
			p.expect(r, visits{At: 300_000, Hosts: []string{acmeHost}}, http.StatusOK, one)
		})
	}
}

// TestBlocks_proxyBounded asserts that the oldest entry makes room when there are as many as the page says.
func TestBlocks_proxyBounded(t *testing.T) {
	t.Parallel()
	p := startPortal(t, proxySource(t), "http://registry.invalid")
	hosts := make([]string, 10_001)
	for i := range hosts {
		hosts[i] = fmt.Sprintf("slug-%d.example.com", i)
	}
	for _, step := range []struct {
		hosts   []string
		fetched int
	}{
		{hosts[:10_000], 10_000}, {hosts[:10_000], 0}, {hosts[10_000:], 1}, {hosts[1:], 0}, {hosts[:1], 1},
	} {
		if got := p.visit(visits{Hosts: step.hosts, Local: true}); got.Fetched != step.fetched {
			t.Errorf("%d hosts from %s: %d are fetched, want %d",
				len(step.hosts), step.hosts[0], got.Fetched, step.fetched)
		}
	}
}

// TestBlocks_proxyTimes compares the times of the proxy with the Cache-Control of by-slug.
func TestBlocks_proxyTimes(t *testing.T) {
	t.Parallel()
	header := regexp.MustCompile(`private, max-age=(\d+), stale-while-revalidate=(\d+), stale-if-error=(\d+)`)
	sent := header.FindStringSubmatch(read(t, "openapi.yaml"))
	if sent == nil {
		t.Fatal("openapi.yaml has no Cache-Control of by-slug")
	}
	var fresh, revalidate, ifError int
	if _, err := fmt.Sscan(strings.Join(sent[1:], " "), &fresh, &revalidate, &ifError); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("= [%d_000, %d_000, %d_000, 10_000];", fresh, fresh+revalidate, ifError)
	if !strings.Contains(proxySource(t), want) {
		t.Errorf("the registry sends %s; the proxy should have %s", sent[0], want)
	}
}
