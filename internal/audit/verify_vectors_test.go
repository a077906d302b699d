package audit

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

// vector is a file of the format's own cases, and the verdict on it.
type vector struct {
	Name       string `json:"name"`
	Expect     string `json:"expect"`
	ExpectPart string `json:"expect_part"` // with Part, where it differs
	Line       int    `json:"line"`        // of the first fault
	Erased     *int64 `json:"parts_erased"`
	Lines      []int  `json:"lines"`
	text       []byte
}

// vectors are the format's own cases.
func vectors(t testing.TB) []vector {
	t.Helper()
	text, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Lines []string `json:"lines"`
		Cases []vector `json:"cases"`
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	for i, v := range all.Cases {
		for _, line := range v.Lines {
			all.Cases[i].text = append(all.Cases[i].text, all.Lines[line]+"\n"...)
		}
	}
	return all.Cases
}

// vectorText is the file of one case.
func vectorText(t testing.TB, name string) []byte {
	t.Helper()
	for _, v := range vectors(t) {
		if v.Name == name {
			return v.text
		}
	}
	t.Fatalf("there is no vector %q", name)
	return nil
}

func TestVerifyExport_vectors(t *testing.T) {
	t.Parallel()
	statuses := map[string]Status{"ok": OK, "fault": Fault, "unreadable": Unreadable, "unproven": Unproven}
	all := vectors(t)
	if len(all) != 244 {
		t.Errorf("there are %d vectors", len(all))
	}
	for _, v := range all {
		for part, expect := range map[bool]string{false: v.Expect, true: v.ExpectPart} {
			if expect == "" {
				expect = v.Expect
			}
			got := VerifyExport(bytes.NewReader(v.text), Proof{Part: part})
			begins := map[Status]string{
				OK: "ok, ", Fault: fmt.Sprintf("fault: line %d ", v.Line), Unreadable: "cannot be read: ",
				Unproven: "unproven, ",
			}[got.Status]
			if got.Status != statuses[expect] || !strings.HasPrefix(got.Text, begins) {
				t.Errorf("%s, part %t: %d %q, want %s in line %d", v.Name, part, got.Status, got.Text, expect, v.Line)
			}
			want := Verdict{Status: got.Status, Text: got.Text}
			if v.Erased != nil {
				if got.Erased != *v.Erased {
					t.Errorf("%s: %d parts are erased, want %d", v.Name, got.Erased, *v.Erased)
				}
			} else if got != want {
				t.Errorf("%s: %+v", v.Name, got)
			}
		}
	}
}
