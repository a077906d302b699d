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

	"github.com/breakpilot/tenant-registry/internal/audit"
)

// keys are a new private key and its verifier key, as the program prints them.
func keys(t *testing.T, args ...string) (private, verifier string) {
	t.Helper()
	form := regexp.MustCompile(`^AUDIT_SIGNING_KEY=(PRIVATE\+KEY\+\S+)\nverifier key: (\S+)\n$`)
	text := printed(t, 0, append([]string{"audit", "keygen"}, args...)...)
	said := form.FindStringSubmatch(text)
	if said == nil {
		t.Fatalf("keygen prints %q", text)
	}
	return said[1], said[2]
}

// printed runs a command that must end with this code, and returns what it printed: on standard output if it succeeds,
// else on standard error.
func printed(t *testing.T, code int, args ...string) string {
	t.Helper()
	got, said, other := runHere(t, nil, args...)
	if got != code {
		t.Errorf("%v: exit %d, want %d: %s%s", args, got, code, said, other)
	}
	if code != 0 {
		said, other = other, said
	}
	if other != "" {
		t.Errorf("%v prints %q, too", args, other)
	}
	return said
}

// saved writes a file of the test's own, and returns its path.
func saved(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "saved")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestAudit_verify asserts what the documents say of exports and checkpoints, from the key to the verdict.
func TestAudit_verify(t *testing.T) {
	t.Parallel()
	private, verifier := keys(t)
	_, other := keys(t, "another.example")
	s := launch(t, "AUDIT_SIGNING_KEY="+private)
	note := saved(t, s.get(t, "/v1/audit/checkpoint?tenant_id="+acme).text)
	event := `{"action":"a.b","crud":"c","is_anonymous":true,"group":{"id":"` + acme + `"}}`
	s.call(t, http.StatusCreated, "POST", "/v1/audit", event)
	text := s.get(t, "/v1/audit/export?tenant_id="+acme).text
	good, unsigned := saved(t, text), saved(t, launch(t).get(t, "/v1/audit/export").text)
	ok := regexp.MustCompile(`^ok: \d+ events of ` + acme + `, seq 1 to \d+, head [0-9a-f]{64}, as of [0-9T:.-]+Z\n$`)
	for _, args := range [][]string{
		{good}, {good, "-key", verifier}, {"-key", verifier, good},
		{"-key=" + verifier, good, "-checkpoint", note},
	} {
		if got := printed(t, 0, append([]string{"audit", "verify"}, args...)...); !ok.MatchString(got) {
			t.Errorf("%q prints %q", args, got)
		}
	}
	platform := regexp.MustCompile(
		`^ok: \d+ events of the platform, seq 1 to \d+, head [0-9a-f]{64}, as of [0-9T:.-]+Z\n$`,
	)
	if got := printed(t, 0, "audit", "verify", unsigned); !platform.MatchString(got) {
		t.Errorf("an export of the platform's own prints %q", got)
	}
	begin := saved(t, s.get(t, "/v1/audit/export?to_seq=1&tenant_id="+acme).text)
	ends := regexp.MustCompile(
		`^ok: 1 events of ` + acme + `, seq 1 to 1, ends before the head: 1 of \d+, as of \S+\n$`,
	)
	if got := printed(t, 0, "audit", "verify", begin, "-key", verifier); !ends.MatchString(got) {
		t.Errorf("a part prints %q", got)
	}
	escapes := strings.Replace(text, strings.Repeat("0", 64), `\u001b[2K\rok: 1000 events of `+acme, 1)
	truncated := saved(t, strings.Join(strings.SplitAfter(text, "\n")[:3], ""))
	platformFile := saved(t, s.get(t, "/v1/audit/export").text)
	csv := saved(t, s.get(t, "/v1/audit/export?format=csv").text)
	changed := saved(t, strings.Replace(text, `"a.b"`, `"a.c"`, 1))
	for says, args := range map[string][]string{
		`line \d+ is changed: event seq \d+ `:                    {changed},
		`truncated: there is no trailer after line 3`:            {truncated},
		`line \d+ has a checkpoint that is not signed with this`: {good, "-key", other},
		`the checkpoint is not signed with this key`:             {good, "-key", other, "-checkpoint", note},
		`the checkpoint is of another chain`:                     {platformFile, "-key", verifier, "-checkpoint", note},
		`the checkpoint is not a signed note`:                    {good, "-key", verifier, "-checkpoint", saved(t, "")},
		`line \d+ has no checkpoint`:                             {unsigned, "-key", verifier},
		`the file is empty`:                                      {saved(t, "")},
		`no such file`:                                           {filepath.Join(t.TempDir(), "nowhere")},
		`line 1 is not a JSON object`:                            {csv},
		`line 1 is changed: `:                                    {saved(t, escapes)},
	} {
		got := printed(t, 1, append([]string{"audit", "verify"}, args...)...)
		if !regexp.MustCompile(`^tenant-registry: [^\n]*` + says + `[^\n]*\n$`).MatchString(got) {
			t.Errorf("%q prints %q, want %s", args, got, says)
		}
	}
}

// TestAudit_verifyStandardInput asserts that the command reads standard input, and nothing of a server's environment.
func TestAudit_verifyStandardInput(t *testing.T) {
	t.Parallel()
	text := launch(t).get(t, "/v1/audit/export?tenant_id="+acme).text
	for in, code := range map[string]int{text: 0, text[:len(text)-1]: 1} {
		var stdout, stderr bytes.Buffer
		if got := auditCommand([]string{"verify", "-"}, strings.NewReader(in), &stdout, &stderr); got != code ||
			(code == 0) != (stderr.Len() == 0) {
			t.Errorf("exit %d, want %d: %s%s", got, code, &stdout, &stderr)
		}
	}
	unsafe := []string{"APP_ENV=banana", "DATABASE_URL=" + canary}
	p := start(t, unsafe, "audit", "verify", saved(t, text))
	if code := p.exit(t); code != 0 || !strings.HasPrefix(p.stdout.String(), "ok: ") || p.stderr.String() != "" {
		t.Errorf("exit %d: %s%s", code, &p.stdout, &p.stderr)
	}
}

func TestAudit_usage(t *testing.T) {
	t.Parallel()
	_, verifier := keys(t)
	for _, args := range []string{
		"audit", "audit verify", "audit verify a b", "audit verify a -key", "audit verify -x a",
		"audit verify a -checkpoint b", "audit sign", "audit keygen a b", "audit verify -key " + verifier,
	} {
		if got := printed(t, 2, strings.Fields(args)...); !strings.HasPrefix(got, "usage: ") {
			t.Errorf("%s prints %q", args, got)
		}
	}
	refused(t, 2, `-key: must be a verifier key of the form`, nil, "audit", "verify", "x", "-key", canary)
	refused(t, 2, `a name of a key has no blank and no plus sign`, nil, "audit", "keygen", "a b")
	refused(t, 2, `AUDIT_SIGNING_KEY: must be a private key of the form`, []string{"AUDIT_SIGNING_KEY=" + canary})
	refused(t, 2, `AUDIT_SIGNING_KEY: must be a private key of the form`, []string{"AUDIT_SIGNING_KEY=" + verifier})
}

// TestAudit_drain asserts that a server which is told to end answers a long poll at once.
func TestAudit_drain(t *testing.T) {
	t.Parallel()
	p := launch(t, "DRAIN_DELAY=2s") // in which the request comes at the latest
	begun := time.Now()
	answer := p.background("GET", "/v1/audit?order=asc&wait=25&action=never", "")
	p.signal(t, syscall.SIGTERM)
	if a := <-answer; a.err != nil || a.status != http.StatusOK || a.member("next_cursor") == nil {
		t.Errorf("the long poll gets %d %s (%v)", a.status, a.text, a.err)
	}
	if code := p.exit(t); code != 0 || time.Since(begun) > 20*time.Second {
		t.Errorf("exit %d after %v", code, time.Since(begun))
	}
}

// raw sends a GET on a connection of its own, and returns the answer as it comes.
func raw(t *testing.T, address, path string) *http.Response {
	t.Helper()
	conn := dial(t, address, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// TestAudit_longerThanLimits asserts that a long poll which takes longer than the listener's limits is answered, and so
// is an export that is read slowly. That these limits end other requests is TestLimits.
func TestAudit_longerThanLimits(t *testing.T) {
	t.Parallel()
	const short = 300 * time.Millisecond
	address, _ := limited(t, limits{time.Minute, short, short, time.Minute})
	if resp := raw(t, address, "/v1/audit?order=asc&wait=1"); resp.StatusCode != http.StatusOK {
		t.Errorf("the long poll is answered %s", resp.Status)
	}
	const events = 200 // more than the buffers of the connection hold
	for range events {
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
	if found, err := audit.VerifyExport(&text, audit.Proof{}); err != nil || found.Count != events {
		t.Errorf("%+v, %v", found, err)
	}
}
