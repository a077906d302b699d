package docs_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// checker is the program of the page, in a file.
type checker struct {
	t            *testing.T
	python, file string
}

// newChecker skips the test where there is no Python.
func newChecker(t *testing.T) checker {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("the checker of the page is not run: there is no python3")
	}
	programs := blocks(t, "python")
	if len(programs) != 1 {
		t.Fatalf("the pages have %d programs in Python", len(programs))
	}
	file := filepath.Join(t.TempDir(), quoted(t, "Save it as `([^`]+)`"))
	if err := os.WriteFile(file, []byte(programs[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	return checker{t, python, file}
}

// checks compares what the checker and the server's program print of files, and their exit codes, with one that is
// wanted. Of a fault only the line is the same, and of what cannot be read only that it cannot.
func (c checker) checks(name string, code int, args ...string) {
	c.t.Helper()
	own := exec.Command(c.python, append([]string{c.file}, args...)...)
	theirs := exec.Command(built(c.t, serverProgram), append([]string{"audit", "verify"}, args...)...)
	said, err := own.CombinedOutput()
	want, _ := theirs.CombinedOutput()
	if own.ProcessState.ExitCode() != code || theirs.ProcessState.ExitCode() != code {
		c.t.Errorf("%s: the checker ends with %v and prints %s; `audit verify` ends with %d and prints %s; want %d",
			name, err, said, theirs.ProcessState.ExitCode(), want, code)
	}
	verdict := func(said []byte) []string {
		words := strings.Fields(string(said))
		if code == 1 || code == 2 {
			return words[:min(3, len(words))]
		}
		return words
	}
	if !slices.Equal(verdict(said), verdict(want)) {
		c.t.Errorf("%s: the checker prints %s, `audit verify` prints %s", name, said, want)
	}
}

// TestPages_checkerVectors runs the checker of the page on all vectors of the format.
func TestPages_checkerVectors(t *testing.T) {
	t.Parallel()
	c := newChecker(t)
	const path = "internal/audit/testdata/vectors.json"
	var vectors struct {
		Cases []struct {
			Name, Expect string
			ExpectPart   string `json:"expect_part"` // with --part, where it differs
			Line         int
			Erased       *int64 `json:"parts_erased"`
		}
	}
	if err := json.Unmarshal([]byte(read(t, path)), &vectors); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(c.python, "testdata/checker.py", filepath.Join(root, path))
	cmd.Env = append(os.Environ(), "PYTHONPATH="+filepath.Dir(c.file), "PYTHONDONTWRITEBYTECODE=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	var said [][2][2]any
	if err != nil || json.Unmarshal(out, &said) != nil || len(said) != len(vectors.Cases) {
		t.Fatalf("%v: %d of %d vectors are checked: %s", err, len(said), len(vectors.Cases), out)
	}
	if count := quoted(t, "vectors.json` has ([0-9]+) files"); count != fmt.Sprint(len(said)) {
		t.Errorf("there are %d vectors, the page says %s", len(said), count)
	}
	codes := []string{"ok", "fault", "unreadable", "unproven"}
	for i, v := range vectors.Cases {
		for part, expect := range []string{v.Expect, v.ExpectPart} {
			if expect == "" {
				expect = v.Expect
			}
			code, verdict := codes[int(said[i][part][0].(float64))], fmt.Sprint(said[i][part][1])
			erased := v.Erased == nil || strings.Contains(verdict, fmt.Sprintf(" %d parts erased", *v.Erased))
			if code != expect || !erased ||
				code == "fault" && !strings.HasPrefix(verdict, fmt.Sprintf("fault: line %d ", v.Line)) {
				t.Errorf("%s, part %d: %s %q, want %s in line %d", v.Name, part, code, verdict, expect, v.Line)
			}
		}
	}
}

// TestPages_checkerExports runs the checker of the page on exports of a server, before and after an erasure.
func TestPages_checkerExports(t *testing.T) {
	t.Parallel()
	c, s := newChecker(t), startSigned(t)
	tenant := quoted(t, "seeded with the tenant `acme` \\(id `([^`]+)`\\)")
	for _, event := range []string{
		`"actor":{"id":"person-1","name":"Zoë"},"source_ip":"192.0.2.23","fields":{"～":"1","😀":"2"},"metadata":{}`,
		`"actor":{"id":"person-2"},"target":{"id":"person-1"},"description":"line\nfeed"`,
	} {
		body := `{"group":{"id":"` + tenant + `"},"action":"document.read","crud":"r",` + event + `}`
		post(t, s.base+"/v1/audit", body, http.StatusCreated, nil)
	}
	export := "/v1/audit/export?tenant_id=" + tenant
	before := s.save(export, "before")
	c.checks("before the erasure", 0, before)

	var took struct{ Events, Parts int }
	subject := `{"subjects":["person-1"],"reason":"a request","include_fields":true}`
	post(t, s.base+"/v1/tenants/"+tenant+"/audit/erasures", subject, http.StatusCreated, &took)
	if took.Events != 2 || took.Parts < 5 {
		t.Errorf("the erasure took %+v", took)
	}
	var chain struct{ Size int }
	get(t, s.base+"/v1/audit/chain?tenant_id="+tenant, &chain)
	after, part := s.save(export, "after"), s.save(export+"&to_seq=2", "part")
	overtaken := s.save(fmt.Sprintf("%s&to_seq=%d", export, chain.Size-1), "overtaken")
	c.checks("after the erasure", 0, after)
	c.checks("before, again", 0, before)
	c.checks("several", 0, before, after)
	c.checks("a part", 3, part)
	c.checks("a part, expected", 0, "--part", part)
	c.checks("an erasure after the end", 3, "--part", overtaken)
	c.checks("a continuation", 0, s.save(fmt.Sprintf("%s&from_seq=%d", export, chain.Size), "continuation"))
	c.checks("no export", 2, c.file)
	c.checks("no file", 2, filepath.Join(t.TempDir(), "missing"))

	text, err := os.ReadFile(after)
	if err != nil {
		t.Fatal(err)
	}
	changed := filepath.Join(t.TempDir(), "changed")
	text = []byte(strings.Replace(string(text), `"id":"person-2"`, `"id":"person-3"`, 1))
	if err := os.WriteFile(changed, text, 0o600); err != nil {
		t.Fatal(err)
	}
	c.checks("a value changed", 1, changed)
}
