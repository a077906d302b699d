package registry

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// The vectors of the package's documentation are what a shell makes of them, and what this package makes of the same event.
func TestDoc_vectors(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	e, err := appendEvent(context.Background(), &chainTx{}, AuditEvent{
		ID: uuid.MustParse("00000000-0000-4000-8000-000000000001"), GroupID: AcmeID, Action: "document.create", CRUD: Create,
		Actor: Party{ID: "user-1"}, Created: at, Received: at.Add(1500 * time.Microsecond),
	})
	if err != nil {
		t.Fatal(err)
	}
	vectors := regexp.MustCompile(`(?s)//\t(printf %s '([^']*)' \| sha256sum)\n.*?//\t([0-9a-f]{64})\n`).FindAllStringSubmatch(string(text), -1)
	if len(vectors) != 2 || vectors[0][2] != string(e.canonical()) || vectors[0][3] != e.ChainHash || vectors[1][3] != e.Hash {
		t.Fatalf("the documentation has %q, the event is %s of %s", vectors, e.ChainHash, e.canonical())
	}
	for _, v := range vectors {
		if said, err := exec.Command("sh", "-c", v[1]).Output(); err != nil || !strings.HasPrefix(string(said), v[3]) {
			t.Errorf("%s prints %s (%v)", v[1], said, err)
		}
	}
}
