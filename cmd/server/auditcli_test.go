package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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

// verdict runs `audit verify`, which must end with this code, and returns what it printed: on standard output whatever
// the code.
func verdict(t *testing.T, code int, args ...string) string {
	t.Helper()
	got, said, other := runHere(t, nil, append([]string{"audit", "verify"}, args...)...)
	if got != code || other != "" {
		t.Errorf("%q: exit %d, want %d: %s%s", args, got, code, said, other)
	}
	return said
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
	ok := regexp.MustCompile(`^ok, \d+ events, 0 parts erased\n$`)
	for _, args := range [][]string{
		{good}, {good, "-key", verifier}, {"--key", verifier, good}, {unsigned},
		{"-key=" + verifier, good, "--checkpoint", note},
	} {
		if got := verdict(t, 0, args...); !ok.MatchString(got) {
			t.Errorf("%q prints %q", args, got)
		}
	}
	begin := saved(t, s.get(t, "/v1/audit/export?to_seq=1&tenant_id="+acme).text)
	ends := regexp.MustCompile(`^(ok|unproven), 1 events, 0 parts erased; ends before the head: 1 of \d+\n$`)
	for code, args := range map[int][]string{0: {"--part", begin, "-key", verifier}, 3: {begin}} {
		if got := verdict(t, code, args...); !ends.MatchString(got) {
			t.Errorf("a part prints %q", got)
		}
	}
	platform := saved(t, s.get(t, "/v1/audit/export").text)
	changed := saved(t, strings.Replace(text, `"a.b"`, `"a.c"`, 1))
	for says, args := range map[string][]string{
		`line \d+ is changed`: {changed},
		`line \d+ has a checkpoint that is not signed with this`: {good, "-key", other},
		`line 1 is of another chain than the checkpoint`:         {platform, "-key", verifier, "-checkpoint", note},
		`line \d+ has no checkpoint`:                             {unsigned, "-key", verifier},
	} {
		got := verdict(t, 1, args...)
		if !regexp.MustCompile(`^fault: ` + says + `[^\n]*\n$`).MatchString(got) {
			t.Errorf("%q prints %q, want %s", args, got, says)
		}
	}
	got := verdict(t, 2, good, "-key", other, "-checkpoint", note)
	if got != "cannot be read: the checkpoint is not signed with this key\n" {
		t.Errorf("another key's checkpoint prints %q", got)
	}
}

// vectorFiles are some of the format's own cases, by name.
func vectorFiles(t *testing.T, names ...string) (files []string) {
	t.Helper()
	text, err := os.ReadFile("../../internal/audit/testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Lines []string
		Cases []struct {
			Name  string
			Lines []int
		}
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		for _, c := range all.Cases {
			if c.Name != name {
				continue
			}
			file := ""
			for _, line := range c.Lines {
				file += all.Lines[line] + "\n"
			}
			files = append(files, saved(t, file))
		}
	}
	if len(files) != len(names) {
		t.Fatalf("%d of %q are there", len(files), names)
	}
	return files
}

// TestAudit_verdicts asserts the one line of each verdict, and its exit code.
func TestAudit_verdicts(t *testing.T) {
	t.Parallel()
	files := vectorFiles(t, "two erasures", "value altered", "empty file", "part that ends before the head")
	good, bad, empty, part := files[0], files[1], files[2], files[3]
	nowhere := filepath.Join(t.TempDir(), "now\x1b[2Khere")
	const (
		goodSays  = "ok, 9 events, 12 parts erased\n"
		badSays   = "fault: line 3 is changed: "
		emptySays = "cannot be read: the file is empty\n"
		partSays  = "unproven, 3 events, 0 parts erased; ends before the head: 3 of 6\n"
	)
	for _, c := range []struct {
		code int
		args []string
		says []string // the beginning of each line
	}{
		{0, []string{good}, []string{goodSays}},
		{1, []string{bad}, []string{badSays}},
		{2, []string{empty}, []string{emptySays}},
		{2, []string{nowhere}, []string{"cannot be read: open "}},
		{2, []string{t.TempDir()}, []string{"cannot be read: read "}},
		{3, []string{part}, []string{partSays}},
		{0, []string{part, "--part"}, []string{strings.Replace(partSays, "unproven", "ok", 1)}},
		{0, []string{"-part", good, good}, []string{good + ": " + goodSays, good + ": " + goodSays}},
		{3, []string{good, part}, []string{good + ": " + goodSays, part + ": " + partSays}},
		{2, []string{part, empty, good}, []string{part + ": " + partSays, empty + ": " + emptySays, good + ": "}},
		{1, []string{empty, part, bad}, []string{empty + ": ", part + ": ", bad + ": " + badSays}},
		{1, []string{bad, empty, "-part", part}, []string{bad + ": ", empty + ": ", part + ": ok"}},
	} {
		said := verdict(t, c.code, c.args...)
		lines := slices.Collect(strings.Lines(said))
		if len(lines) != len(c.says) || strings.ContainsRune(said, '\x1b') {
			t.Errorf("%q prints %q", c.args, said)
			continue
		}
		for i, line := range lines {
			if !strings.HasPrefix(line, c.says[i]) {
				t.Errorf("%q prints %q, want %q", c.args, line, c.says[i])
			}
		}
	}
}

// TestAudit_verifyStandardInput asserts that the command reads standard input, and nothing of a server's environment.
func TestAudit_verifyStandardInput(t *testing.T) {
	t.Parallel()
	files := vectorFiles(t, "two erasures")
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for in, code := range map[string]int{string(text): 0, string(text[:len(text)-1]): 1, "": 2} {
		var stdout, stderr bytes.Buffer
		got := auditCommand([]string{"verify", "-"}, strings.NewReader(in), &stdout, &stderr)
		if got != code || stderr.Len() > 0 || strings.Count(stdout.String(), "\n") != 1 {
			t.Errorf("exit %d, want %d: %s%s", got, code, &stdout, &stderr)
		}
	}
	unsafe := []string{"APP_ENV=banana", "DATABASE_URL=" + canary}
	p := start(t, unsafe, "audit", "verify", files[0])
	if code := p.exit(t); code != 0 || !strings.HasPrefix(p.stdout.String(), "ok, ") || p.stderr.String() != "" {
		t.Errorf("exit %d: %s%s", code, &p.stdout, &p.stderr)
	}
}

func TestAudit_usage(t *testing.T) {
	t.Parallel()
	_, verifier := keys(t)
	for _, args := range []string{
		"audit", "audit verify", "audit verify --part", "audit verify a -key", "audit verify -x a",
		"audit verify a -checkpoint b", "audit sign", "audit keygen a b", "audit verify -key " + verifier,
	} {
		if got := printed(t, 2, strings.Fields(args)...); !strings.HasPrefix(got, "usage: ") {
			t.Errorf("%s prints %q", args, got)
		}
	}
	refused(t, 2, `-key: must be a verifier key of the form`, nil, "audit", "verify", "x", "-key", canary)
	refused(t, 2, `-checkpoint: the file is not a signed note`, nil,
		"audit", "verify", "x", "-key", verifier, "-checkpoint", saved(t, ""))
	refused(t, 2, `-checkpoint: open .*: no such file`, nil,
		"audit", "verify", "x", "-key", verifier, "-checkpoint", filepath.Join(t.TempDir(), "nowhere"))
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
	if found := audit.VerifyExport(&text, audit.Proof{}); found.Status != audit.OK || found.Count != events {
		t.Errorf("%+v", found)
	}
}
