package internal_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// TestReadme_audit verifies an export by the README's lines, and what else it says of the program's arguments.
func TestReadme_audit(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "tenant-registry")
	if out, err := shell("go build -o " + binary + " ./cmd/server").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	run := func(script string) string {
		t.Helper()
		out, err := shell(strings.NewReplacer("bin/tenant-registry", binary, "tenant-registry ", binary+" ").Replace(script)).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v: %s", script, err, out)
		}
		return string(out)
	}
	keygen := quoted(t, "`(tenant-registry audit keygen NAME)` prints")
	keys := regexp.MustCompile(`AUDIT_SIGNING_KEY=(\S+)\nverifier key: (\S+)\n`).FindStringSubmatch(run(keygen))
	if keys == nil {
		t.Fatal("keygen prints no keys")
	}
	_, base := start(t, "AUDIT_SIGNING_KEY='"+keys[1]+"' APP_ENV=dev exec "+binary)
	note, export := filepath.Join(t.TempDir(), "note"), filepath.Join(t.TempDir(), "export")
	run("curl -sf '" + base + "/v1/audit/checkpoint' -o " + note + "; curl -sf '" + base + "/v1/audit/export' -o " + export)
	scripts := blocks(t, "bash")
	signed := "tenant-registry " + quoted(t, "`(audit verify FILE -key VERIFIERKEY)`") + " " + quoted(t, "`(-checkpoint NOTEFILE)`")
	scripts = append(scripts, strings.NewReplacer("FILE", export, "VERIFIERKEY", keys[2], "NOTEFILE", note).Replace(signed))
	for _, script := range scripts {
		if said := run(strings.ReplaceAll(script, "http://localhost:8090", base)); !strings.HasPrefix(said, "ok: ") {
			t.Errorf("%s prints %s", script, said)
		}
	}
	broken := exec.Command(binary, "audit", "verify", note)
	if out, _ := broken.CombinedOutput(); broken.ProcessState.ExitCode() != 1 {
		t.Errorf("a file that is no export: exit %d, %s", broken.ProcessState.ExitCode(), out)
	}
	if resp, err := http.Get(base + "/v1/audit?order=asc&wait=" + quoted(t, `\(seconds, at most (\d+)\)`) + "&limit=1"); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("the longest wait: %v, %v", resp, err)
	} else {
		_ = resp.Body.Close()
	}
	if quoted(t, `A page looks at ([0-9,]+) events at most`) != "10,000" || registry.MaxExamined != 10_000 {
		t.Errorf("a page looks at %d events", registry.MaxExamined)
	}
}

// TestReadme_securityEvents asserts that the README names the security events that a server leaves, and no others.
func TestReadme_securityEvents(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("registry/guard.go")
	if err != nil {
		t.Fatal(err)
	}
	var written []string
	for _, action := range regexp.MustCompile(`(?m)^\taction\w+\s+= "([a-z.]+)"`).FindAllStringSubmatch(string(text), -1) {
		written = append(written, action[1])
	}
	var named []string
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "**Security events**")
	section, _, _ = strings.Cut(section, "**Checkpoints.**")
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z.]+)` \\|").FindAllStringSubmatch(section, -1) {
		named = append(named, row[1])
	}
	if slices.Sort(written); len(written) == 0 || !slices.Equal(written, slices.Sorted(slices.Values(named))) {
		t.Errorf("the README has %v, a server leaves %v", named, written)
	}
}
