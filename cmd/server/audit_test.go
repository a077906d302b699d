package main

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// keys are a new private key and its verifier key, as the program prints them.
func keys(t *testing.T, args ...string) (private, verifier string) {
	t.Helper()
	p := start(t, nil, append([]string{"audit", "keygen"}, args...)...)
	said := regexp.MustCompile(`^AUDIT_SIGNING_KEY=(PRIVATE\+KEY\+\S+)\nverifier key: (\S+)\n$`).FindStringSubmatch(p.printed(t, 0))
	if said == nil {
		t.Fatalf("keygen prints %q", &p.stdout)
	}
	return said[1], said[2]
}

// printed waits for the end, and returns what the program printed: on standard output if it went well, else on standard error.
func (p *program) printed(t *testing.T, code int) string {
	t.Helper()
	if got := p.exit(t); got != code {
		t.Errorf("%v: exit %d, want %d: %s%s", p.cmd.Args, got, code, &p.stdout, &p.stderr)
	}
	said, silent := &p.stdout, &p.stderr
	if code != 0 {
		said, silent = silent, said
	}
	if silent.String() != "" {
		t.Errorf("%v prints %q, too", p.cmd.Args, silent)
	}
	return said.String()
}

// kept writes a file of the test's own.
func kept(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kept")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What the README says of exports and checkpoints, from the key to the verdict.
func TestAudit_verify(t *testing.T) {
	t.Parallel()
	private, verifier := keys(t)
	_, other := keys(t, "somebody.example")
	s := launch(t, "AUDIT_SIGNING_KEY="+private)
	checkpoint := kept(t, s.get(t, "/v1/audit/checkpoint?tenant_id="+acme).text)
	s.call(t, http.StatusCreated, "POST", "/v1/audit", `{"action":"a.b","crud":"c","is_anonymous":true,"group":{"id":"`+acme+`"}}`)
	text := s.get(t, "/v1/audit/export?tenant_id="+acme).text
	good, unsigned := kept(t, text), kept(t, launch(t).get(t, "/v1/audit/export").text)
	ok := regexp.MustCompile(`^ok: \d+ events of ` + acme + `, seq 1 to \d+, head [0-9a-f]{64}\n$`)
	for _, args := range [][]string{{good}, {good, "-key", verifier}, {"-key", verifier, good}, {"-key=" + verifier, good, "-checkpoint", checkpoint}} {
		if got := start(t, nil, append([]string{"audit", "verify"}, args...)...).printed(t, 0); !ok.MatchString(got) {
			t.Errorf("%q prints %q", args, got)
		}
	}
	platform := regexp.MustCompile(`^ok: \d+ events of the platform, seq 1 to \d+, head [0-9a-f]{64}\n$`)
	if got := start(t, nil, "audit", "verify", unsigned).printed(t, 0); !platform.MatchString(got) {
		t.Errorf("an export of the platform's own prints %q", got)
	}
	changed := kept(t, strings.Replace(text, `"a.b"`, `"a.c"`, 1))
	for says, args := range map[string][]string{
		`line \d+ is changed: event seq \d+ `:                    {changed},
		`truncated: there is no trailer behind line 3`:           {kept(t, strings.Join(strings.SplitAfter(text, "\n")[:3], ""))},
		`line \d+ has a checkpoint that is not signed with this`: {good, "-key", other},
		`the checkpoint is not signed with this key`:             {good, "-key", other, "-checkpoint", checkpoint},
		`the checkpoint is of another chain`:                     {kept(t, s.get(t, "/v1/audit/export").text), "-key", verifier, "-checkpoint", checkpoint},
		`the checkpoint is no signed note`:                       {good, "-key", verifier, "-checkpoint", kept(t, "")},
		`line \d+ has no checkpoint`:                             {unsigned, "-key", verifier},
		`the file is empty`:                                      {kept(t, "")},
		`no such file`:                                           {filepath.Join(t.TempDir(), "nowhere")},
		`line 1 is no JSON object`:                               {kept(t, s.get(t, "/v1/audit/export?format=csv").text)},
	} {
		got := start(t, nil, append([]string{"audit", "verify"}, args...)...).printed(t, 1)
		if !regexp.MustCompile(`^tenant-registry: [^\n]*` + says + `[^\n]*\n$`).MatchString(got) {
			t.Errorf("%q prints %q, want %s", args, got, says)
		}
	}
}

// The command needs nothing of a server's environment, and reads standard input.
func TestAudit_verifyStandardInput(t *testing.T) {
	t.Parallel()
	text := launch(t).get(t, "/v1/audit/export?tenant_id="+acme).text
	for in, code := range map[string]int{text: 0, text[:len(text)-1]: 1} {
		var stdout, stderr bytes.Buffer
		if got := auditCommand([]string{"verify", "-"}, strings.NewReader(in), &stdout, &stderr); got != code || (code == 0) != (stderr.Len() == 0) {
			t.Errorf("exit %d, want %d: %s%s", got, code, &stdout, &stderr)
		}
	}
	unsafe := []string{"APP_ENV=banana", "DATABASE_URL=" + canary}
	start(t, unsafe, "audit", "verify", kept(t, text)).printed(t, 0)
}

func TestAudit_usage(t *testing.T) {
	t.Parallel()
	_, verifier := keys(t)
	for _, args := range []string{
		"audit", "audit verify", "audit verify a b", "audit verify a -key", "audit verify -x a", "audit verify a -checkpoint b", "audit sign", "audit keygen a b",
		"audit verify -key " + verifier,
	} {
		if got := start(t, nil, strings.Fields(args)...).printed(t, 2); !strings.HasPrefix(got, "usage: ") {
			t.Errorf("%s prints %q", args, got)
		}
	}
	refused(t, 2, `-key: must be a verifier key of the form`, nil, "audit", "verify", "x", "-key", canary)
	refused(t, 2, `a name of a key has no blank and no plus sign`, nil, "audit", "keygen", "a b")
	refused(t, 2, `AUDIT_SIGNING_KEY: must be a private key of the form`, []string{"AUDIT_SIGNING_KEY=" + canary})
	refused(t, 2, `AUDIT_SIGNING_KEY: must be a private key of the form`, []string{"AUDIT_SIGNING_KEY=" + verifier})
}

// A server that is told to end answers who waits for events, and does not wait for them.
func TestAudit_drain(t *testing.T) {
	t.Parallel()
	p := launch(t, "DRAIN_DELAY=2s") // in which the request comes at the latest
	begun := time.Now()
	answer := p.background("GET", "/v1/audit?order=asc&wait=25&action=never", "")
	p.signal(t, syscall.SIGTERM)
	if a := <-answer; a.err != nil || a.status != http.StatusOK || a.member("next_cursor") == nil {
		t.Errorf("who waits gets %d %s (%v)", a.status, a.text, a.err)
	}
	if code := p.exit(t); code != 0 || time.Since(begun) > 20*time.Second {
		t.Errorf("exit %d after %v", code, time.Since(begun))
	}
}

// raw sends a GET on a connection of its own, and returns the answer as it comes.
func raw(t *testing.T, address, path string) *http.Response {
	t.Helper()
	conn := dial(t, address, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// A wait that is longer than the listener's limits is answered, and so is an export that somebody reads slowly. That those limits end
// what is not meant to take long is TestLimits.
func TestAudit_longerThanLimits(t *testing.T) {
	t.Parallel()
	const short = 300 * time.Millisecond
	address, _ := limited(t, limits{time.Minute, short, short, time.Minute})
	if resp := raw(t, address, "/v1/audit?order=asc&wait=1"); resp.StatusCode != http.StatusOK {
		t.Errorf("the wait is answered %s", resp.Status)
	}
	for range 1000 {
		body := `{"action":"a.b","crud":"c","is_anonymous":true,"fields":{"x":"` + strings.Repeat("x", 12_000) + `"}}`
		resp, err := http.Post("http://"+address+"/v1/audit", "application/json", strings.NewReader(body))
		if err != nil || resp.StatusCode != http.StatusCreated {
			t.Fatal(err, resp)
		}
		_ = resp.Body.Close()
	}
	resp := raw(t, address, "/v1/audit/export")
	var text bytes.Buffer
	_, err := io.CopyN(&text, resp.Body, 1000)
	if err == nil {
		<-time.After(3 * short) // the reader's pause, in which the buffers are full
		_, err = io.Copy(&text, resp.Body)
	}
	if err != nil {
		t.Fatalf("after %d bytes: %v", text.Len(), err)
	}
	if found, err := registry.VerifyExport(&text, registry.Proof{}); err != nil || found.Count != 1000 {
		t.Errorf("%+v, %v", found, err)
	}
}
