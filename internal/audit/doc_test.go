package audit

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// The vectors of the package's documentation are what a shell makes of them, and what this package makes of the same
// event.
func TestDoc_vectorsAreRight(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	e := Event{
		ID: uuid.MustParse("00000000-0000-4000-8000-000000000001"), GroupID: acme, Action: "document.create",
		CRUD:  Create,
		Actor: Party{ID: "user-1"}, Created: at, Received: at.Add(1500 * time.Microsecond),
	}
	sealed := e.Seal()
	e = e.After(ChainHead{}, sealed)
	vectors := docVectors(string(text))
	if len(vectors) != 2 || vectors[0].text != string(e.Canonical()) || vectors[0].hash != e.ChainHash ||
		vectors[1].hash != e.Hash {
		t.Fatalf("the documentation has %q, the event is %s of %s", vectors, e.ChainHash, e.Canonical())
	}
	for _, v := range vectors {
		got, err := exec.Command("sh", "-c", v.command).Output()
		if err != nil || !strings.HasPrefix(string(got), v.hash) {
			t.Errorf("%s prints %s (%v)", v.command, got, err)
		}
	}
}

// docVector is a command of the documentation, the text that it hashes, and the hash below it.
type docVector struct{ command, text, hash string }

func docVectors(doc string) (vectors []docVector) {
	pattern := regexp.MustCompile(`(?s)//\t(printf %s .*? \| sha256sum)\n.*?//\t([0-9a-f]{64})\n`)
	quoted := regexp.MustCompile(`'([^']*)'`)
	for _, m := range pattern.FindAllStringSubmatch(doc, -1) {
		v := docVector{command: strings.ReplaceAll(m[1], "\n//\t", "\n"), hash: m[2]}
		for _, part := range quoted.FindAllStringSubmatch(v.command, -1) {
			v.text += part[1]
		}
		vectors = append(vectors, v)
	}
	return vectors
}
