package docs_test

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

// signedServer is a running server with a key for checkpoints, and the program that verifies its exports.
type signedServer struct {
	t        *testing.T
	program  string
	base     string
	verifier string // the public part of the key
}

func startSigned(t *testing.T) signedServer {
	t.Helper()
	s := signedServer{t: t, program: built(t, serverProgram)}
	said := s.run(quoted(t, "`(tenant-registry audit keygen NAME)` prints"))
	keys := regexp.MustCompile(`AUDIT_SIGNING_KEY=(\S+)\nverifier key: (\S+)\n`).FindStringSubmatch(said)
	if keys == nil {
		t.Fatalf("keygen prints %s", said)
	}
	s.verifier, s.base = keys[2], serve(t, "AUDIT_SIGNING_KEY='"+keys[1]+"'")
	return s
}

// run runs a script of the page against the server, which must succeed, and returns what it prints.
func (s signedServer) run(script string) string {
	s.t.Helper()
	names := strings.NewReplacer("bin/tenant-registry", s.program, "tenant-registry ", s.program+" ",
		"http://localhost:8090", s.base)
	out, err := shell(names.Replace(script)).CombinedOutput()
	if err != nil {
		s.t.Errorf("%s: %v: %s", script, err, out)
	}
	return string(out)
}

// save writes what a path of the server answers to a file.
func (s signedServer) save(path, name string) string {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), name)
	s.run("curl -sf '" + s.base + path + "' -o " + file)
	return file
}

// TestPages_auditVerify verifies exports by the lines of the page, with checkpoints and without.
func TestPages_auditVerify(t *testing.T) {
	t.Parallel()
	s := startSigned(t)
	note, export := s.save("/v1/audit/checkpoint", "note"), s.save("/v1/audit/export", "export")
	signed := "tenant-registry " + quoted(t, "`(audit verify FILE -key VERIFIERKEY)`") + " " +
		quoted(t, "and `(-checkpoint NOTEFILE)` in addition")
	signed = strings.NewReplacer("FILE", export, "VERIFIERKEY", s.verifier, "NOTEFILE", note).Replace(signed)
	for _, script := range append(blocks(t, "bash"), signed) {
		if said := s.run(script); !strings.HasPrefix(said, "ok: ") {
			t.Errorf("%s prints %s", script, said)
		}
	}
	listed := map[string]bool{}
	for _, row := range table(t, page("audit"), "Verifying an export") {
		listed[row[0]] = true
	}
	if len(listed) != 3 || !listed["0"] || !listed["1"] || !listed["2"] {
		t.Errorf("the page lists the exit codes %v", listed)
	}
	s.refuses("a file that is not an export", 1, "verify", note)
	s.refuses("no file", 2, "verify")
}

func (s signedServer) refuses(name string, code int, args ...string) {
	s.t.Helper()
	cmd := exec.Command(s.program, append([]string{"audit"}, args...)...)
	if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != code {
		s.t.Errorf("%s: exit %d, want %d: %s", name, cmd.ProcessState.ExitCode(), code, out)
	}
}

// TestPages_auditThreats makes the manipulations of the page's threat model that an export alone, or a checkpoint, must
// reveal.
func TestPages_auditThreats(t *testing.T) {
	t.Parallel()
	s := startSigned(t)
	acme := "tenant_id=" + quoted(t, "seeded with the tenant `acme` \\(id `([^`]+)`\\)")
	text, err := os.ReadFile(s.save("/v1/audit/export?"+acme, "export"))
	if err != nil {
		t.Fatal(err)
	}
	whole := strings.SplitAfter(strings.TrimSuffix(string(text), "\n"), "\n")
	whole[len(whole)-1] += "\n"
	if len(whole) < 5 {
		t.Fatalf("the sample has %d lines", len(whole))
	}
	last := len(whole) - 1
	otherCheckpoint := strings.Replace(whole[last], `"checkpoint":"`, `"checkpoint":"x`, 1)
	for name, lines := range map[string][]string{
		"changed":               replaced(whole, 1, strings.Replace(whole[1], `"crud":"`, `"crud":"x`, 1)),
		"missing":               slices.Delete(slices.Clone(whole), 1, 2),
		"duplicated":            slices.Insert(slices.Clone(whole), 1, whole[1]),
		"out of order":          replaced(replaced(whole, 1, whole[2]), 2, whole[1]),
		"truncated":             whole[:last],
		"after the trailer":     append(slices.Clone(whole), whole[1]),
		"header":                replaced(whole, 0, strings.Replace(whole[0], `"version":`, `"version":1`, 1)),
		"trailer":               replaced(whole, last, strings.Replace(whole[last], `"count":`, `"count":1`, 1)),
		"checkpoint of another": replaced(whole, last, otherCheckpoint),
	} {
		file := filepath.Join(t.TempDir(), "broken")
		if err := os.WriteFile(file, []byte(strings.Join(lines, "")), 0o600); err != nil {
			t.Fatal(err)
		}
		if slices.Equal(lines, whole) {
			t.Errorf("%s: nothing is changed", name)
		}
		s.refuses(name, 1, "verify", file)
	}

	earlier := s.save("/v1/audit/export?"+acme, "earlier")
	newKeys(t, s.base, 1)
	note := s.save("/v1/audit/checkpoint?"+acme, "note")
	said := s.run("tenant-registry audit verify " + earlier + " -key " + s.verifier)
	if !strings.HasPrefix(said, "ok: ") {
		t.Errorf("an earlier export by itself: %s", said)
	}
	s.refuses("an earlier export as the newest", 1, "verify", earlier, "-key", s.verifier, "-checkpoint", note)
}

func replaced(lines []string, at int, line string) []string {
	lines = slices.Clone(lines)
	lines[at] = line
	return lines
}

// TestPages_auditLimits asserts the limits of reading and following that the page states.
func TestPages_auditLimits(t *testing.T) {
	t.Parallel()
	longest := quoted(t, `\(seconds, at most (\d+)\)`)
	resp, err := http.Get(serve(t, "") + "/v1/audit?order=asc&wait=" + longest + "&limit=1")
	if err != nil {
		t.Fatal(err)
	}
	decode(t, resp, http.StatusOK, nil)
	if quoted(t, `A page examines ([0-9,]+) events at most`) != "10,000" || registry.MaxExamined != 10_000 {
		t.Errorf("a page examines %d events", registry.MaxExamined)
	}
}

// TestPages_securityEvents asserts that the page names the security events that a server leaves, and no others.
func TestPages_securityEvents(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(root + "/internal/registry/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var written, named []string
	constant := regexp.MustCompile(`(?m)^\t\w*[aA]ction\w*\s+= "([a-z.]+)"`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") || !strings.Contains(string(text), `"token.refuse"`) {
			continue
		}
		for _, action := range constant.FindAllStringSubmatch(string(text), -1) {
			written = append(written, action[1])
		}
	}
	for _, row := range table(t, page("audit"), "Security events") {
		named = append(named, bare(row[0]))
	}
	slices.Sort(written)
	slices.Sort(named)
	if len(written) == 0 || !slices.Equal(written, named) {
		t.Errorf("the page has %v, a server leaves %v", named, written)
	}
}
