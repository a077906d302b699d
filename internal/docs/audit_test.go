package docs_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
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
	signed := "tenant-registry " + quoted(t, "`(audit verify --key VERIFIERKEY FILE)`") + " " +
		quoted(t, "`(--checkpoint NOTEFILE)` in addition")
	signed = strings.NewReplacer("NOTEFILE", note, "FILE", export, "VERIFIERKEY", s.verifier).Replace(signed)
	for _, script := range append(blocks(t, "bash"), signed) {
		said, shown := s.run(script), regexp.MustCompile(`(?m)^# (.*)$`).FindAllStringSubmatch(script, -1)
		if shown == nil && !strings.HasPrefix(said, "ok, ") {
			t.Errorf("%s prints %s", script, said)
		}
		for i, line := range strings.SplitN(said, "\n", len(shown)) {
			if shown != nil && !strings.HasPrefix(line, shown[i][1]+" ") {
				t.Errorf("%s prints %s", script, said)
			}
		}
	}
	listed := map[string]bool{}
	for _, row := range table(t, page("audit"), "Verifying an export") {
		listed[row[0]] = true
	}
	if len(listed) != 4 || !listed["0"] || !listed["1"] || !listed["2"] || !listed["3"] {
		t.Errorf("the page lists the exit codes %v", listed)
	}
	part := s.save("/v1/audit/export?to_seq=1", "part")
	s.ends("a file that is not an export", 2, "verify", note)
	s.ends("no file", 2, "verify")
	s.ends("an export without its end", 3, "verify", part)
	s.ends("a part", 0, "verify", part, "--part")
	s.ends("several files", 2, "verify", export, part, note)
}

// ends runs `audit` with arguments, which must end with this exit code.
func (s signedServer) ends(name string, code int, args ...string) {
	s.t.Helper()
	cmd := exec.Command(s.program, append([]string{"audit"}, args...)...)
	if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != code {
		s.t.Errorf("%s: exit %d, want %d: %s", name, cmd.ProcessState.ExitCode(), code, out)
	}
}

// TestPages_auditThreats makes the manipulations of the page's threat model that can be made of an export, and compares
// the verdicts on them.
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
	broken := func(lines []string) (file string) {
		t.Helper()
		file = filepath.Join(t.TempDir(), "broken")
		if err := os.WriteFile(file, []byte(strings.Join(lines, "")), 0o600); err != nil {
			t.Fatal(err)
		}
		if slices.Equal(lines, whole) {
			t.Errorf("nothing is changed: %s", lines[0])
		}
		return file
	}
	for name, lines := range map[string][]string{
		"changed":               replaced(whole, 1, strings.Replace(whole[1], `"crud":"`, `"crud":"x`, 1)),
		"missing":               slices.Delete(slices.Clone(whole), 1, 2),
		"duplicated":            slices.Insert(slices.Clone(whole), 1, whole[1]),
		"out of order":          replaced(replaced(whole, 1, whole[2]), 2, whole[1]),
		"truncated":             whole[:last],
		"after the trailer":     append(slices.Clone(whole), whole[1]),
		"header":                replaced(whole, 0, strings.Replace(whole[0], `"first_seq":`, `"first_seq":1`, 1)),
		"trailer":               replaced(whole, last, strings.Replace(whole[last], `"count":`, `"count":1`, 1)),
		"checkpoint of another": replaced(whole, last, otherCheckpoint),
	} {
		s.ends(name, 1, "verify", broken(lines))
	}

	const actor, event = `"disclosed":\{"actor":\[[^\]]*\],`, `"event":{`
	removed := regexp.MustCompile(actor).ReplaceAllString(whole[1], `"disclosed":{`)
	marked := strings.Replace(removed, event, `"erased":[{"by":99,"part":"actor"}],`+event, 1)
	s.ends("a part without an erasure", 1, "verify", broken(summed(replaced(whole, 1, removed))))
	s.ends("a mark by an erasure that never comes", 3, "verify", broken(summed(replaced(whole, 1, marked))))
	s.ends("the same, as a part", 3, "verify", "--part", broken(summed(replaced(whole, 1, marked))))

	cut, hash := slices.Delete(slices.Clone(whole), last-1, last), regexp.MustCompile(`"chain_hash":"[0-9a-f]+"`)
	number := func(name string, n int) string { return `"` + name + `":` + strconv.Itoa(n) }
	end := hash.FindString(cut[last-2])
	cut[last-1] = hash.ReplaceAllString(cut[last-1], end)
	for _, name := range []string{"count", "last_seq"} {
		cut[last-1] = strings.Replace(cut[last-1], number(name, last-1), number(name, last-2), 1)
	}
	s.ends("the newest event cut off", 3, "verify", "--key", s.verifier, broken(summed(cut)))
	cut[0] = strings.Replace(hash.ReplaceAllString(cut[0], end), number("seq", last-1), number("seq", last-2), 1)
	s.ends("the same, header changed to fit", 1, "verify", "--key", s.verifier, broken(summed(cut)))
	cut[last-1] = regexp.MustCompile(`"checkpoint":".*?",`).ReplaceAllString(cut[last-1], "")
	s.ends("the same, without the checkpoint", 0, "verify", broken(summed(cut)))
	s.ends("the same with the key", 1, "verify", "--key", s.verifier, broken(summed(cut)))

	earlier := s.save("/v1/audit/export?"+acme, "earlier")
	newKeys(t, s.base, 1)
	note := s.save("/v1/audit/checkpoint?"+acme, "note")
	s.ends("an earlier export by itself", 0, "verify", earlier, "--key", s.verifier)
	s.ends("an earlier export as the newest", 3, "verify", earlier, "--key", s.verifier, "--checkpoint", note)
	s.ends("a checkpoint without a key", 2, "verify", earlier, "--checkpoint", note)
}

// summed has the trailer's sha256 computed again.
func summed(lines []string) []string {
	last := len(lines) - 1
	until, _, _ := strings.Cut(lines[last], `,"sha256":`)
	sum := sha256.Sum256([]byte(strings.Join(lines[:last], "") + until))
	return replaced(lines, last, until+`,"sha256":"`+hex.EncodeToString(sum[:])+`"}`+"\n")
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
