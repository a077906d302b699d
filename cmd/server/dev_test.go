package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

var (
	keyText  = regexp.MustCompile(`bp_(?:live|test)_[0-9A-Za-z]{49}`)
	curlLine = regexp.MustCompile(`(?m)^  (curl .+)$`)
)

// curl runs a line as if it were pasted into a shell, and returns what it prints and the status of the answer.
func curl(t *testing.T, line string) (body, status string) {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Fatal("the lines to paste are tried with curl, which is not here: install it")
	}
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".curlrc"), []byte(`write-out = "\n%{http_code}"`), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", line)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "CURL_HOME=" + home}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
	end := strings.LastIndexByte(string(out), '\n')
	return string(out[:max(end, 0)]), string(out[end+1:])
}

// tryLines runs the three lines of a greeting.
func tryLines(t *testing.T, greeting string) (bodies []string) {
	t.Helper()
	lines := curlLine.FindAllStringSubmatch(greeting, -1)
	if len(lines) != 3 {
		t.Fatalf("there are %d curl lines, want 3:\n%s", len(lines), greeting)
	}
	for _, line := range lines {
		body, status := curl(t, line[1])
		if !strings.HasPrefix(status, "2") || !json.Valid([]byte(body)) {
			t.Errorf("%s: %s %s", line[1], status, body)
		}
		bodies = append(bodies, body)
	}
	return bodies
}

// firstSight is a writer that asks an address as soon as it is printed.
type firstSight struct {
	testkit.Output
	answer chan error
}

func (f *firstSight) Write(p []byte) (int, error) {
	if found := greeted.FindSubmatch(p); found != nil {
		resp, err := http.Get(string(found[1]) + "/readyz")
		if err == nil {
			err = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				err = errors.New(resp.Status)
			}
		}
		f.answer <- err
	}
	return f.Output.Write(p)
}

func TestDev_listensWhenItSaysSo(t *testing.T) {
	t.Parallel()
	seen := &firstSight{answer: make(chan error, 1)}
	cmd := exec.Command(binary)
	cmd.Env, cmd.Stdout = []string{testkit.QuickExit, "ADDR=127.0.0.1:0", "DRAIN_DELAY=0s"}, seen
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, func() error {
		select {
		case err := <-seen.answer:
			if err != nil {
				t.Errorf("at the moment it is announced, the address does not answer: %v", err)
			}
			return nil
		default:
			return errors.New("nothing is announced")
		}
	})
	_ = cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		t.Errorf("interrupted, the program ends with %v", err)
	}
}

func TestDev_greeting(t *testing.T) {
	t.Parallel()
	p, other := launch(t), launch(t)
	said := p.stdout.String()
	if lines := strings.Count(said+p.stderr.String(), "\n"); lines > 20 {
		t.Errorf("it takes %d lines to say that it listens", lines)
	}
	for _, want := range []string{"memory", p.URL + "/v1", p.URL + "/openapi.yaml", "acme " + acme} {
		if !strings.Contains(said, want) {
			t.Errorf("the greeting does not say %q:\n%s", want, said)
		}
	}
	bodies := tryLines(t, said)
	if last := bodies[2]; !strings.Contains(last, `"code":"VALID"`) {
		t.Errorf("the key printed is not good: %s", last)
	}
	key := keyText.FindString(said)
	if key == "" || key == keyText.FindString(other.stdout.String()) {
		t.Errorf("two starts print the keys %q and %q", key, keyText.FindString(other.stdout.String()))
	}
	if code := other.call(t, 200, "POST", verifyPath, `{"key":"`+key+`"}`).member("code"); code != "NOT_FOUND" {
		t.Errorf("the key of one start is %v at another", code)
	}
	if strings.Contains(p.stderr.String(), key) {
		t.Errorf("the log has the key: %s", &p.stderr)
	}
}

func TestDev_sampleData(t *testing.T) {
	t.Parallel()
	checkSample(t, launch(t))
}

// checkSample looks at the sample data through the API.
func checkSample(t *testing.T, p *program) {
	t.Helper()
	if got := p.get(t, "/v1/tenants/by-slug/acme"); got.member("status") != "active" || got.member("id") != acme {
		t.Errorf("acme is %s", got.text)
	}
	states, private := map[any]int{}, 0
	for _, product := range p.get(t, "/v1/catalog?tenant_id="+acme).items() {
		states[product["for_tenant"].(map[string]any)["state"]]++
	}
	for _, product := range p.get(t, "/v1/catalog").items() {
		if product["audience"] == "private" {
			private++
		}
	}
	total := 0
	for _, n := range states {
		total += n
	}
	if total < 4 || states["entitled"] == 0 || states["trialing"] == 0 || states["requestable"] == 0 || private == 0 {
		t.Errorf("acme's products are %v, and %d are private", states, private)
	}
	live, revoked := 0, 0
	for _, key := range p.get(t, "/v1/api-keys?tenant_id="+acme).items() {
		if key["revoked_at"] == nil && key["environment"] == "live" {
			live++
		} else if key["revoked_at"] != nil {
			revoked++
		}
	}
	if live != 1 || revoked != 1 {
		t.Errorf("acme has %d live and %d revoked keys", live, revoked)
	}
	if n := len(p.get(t, "/v1/audit?limit=100").items()); n < 20 || n > 30 {
		t.Errorf("there are %d audit events, want about 25", n)
	}
}

func TestDev_onPostgres(t *testing.T) {
	t.Parallel()
	p := launch(t, "DATABASE_URL="+postgrestest.New(t))
	said := p.stdout.String()
	if !strings.Contains(said, "postgres") || strings.Contains(said, "memory") {
		t.Errorf("the greeting does not name the store:\n%s", said)
	}
	if found := keyText.FindString(said + p.stderr.String()); found != "" {
		t.Errorf("a start on Postgres prints the key %q", found)
	}
	tryLines(t, said)
	if n := len(p.get(t, "/v1/catalog").items()); n != 0 {
		t.Errorf("a start on Postgres made %d products", n)
	}
}
