package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// The vectors of the package's documentation are what a shell makes of them, and what this package makes of the same
// event.
func TestDoc_vectorsAreRight(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	vectors := docVectors(string(text))
	if len(vectors) != 2 {
		t.Fatalf("the documentation has %q", vectors)
	}
	disclosure, skeleton := vectors[0], vectors[1]
	e := exported(t, `{"chain_hash":"`+skeleton.hash+`","disclosed":{"actor":`+disclosure.text+
		`,"hash":["4CPDdTMPx5uDmq14IT1Dyg","b59a5b53a58ba85eac683d298d52f9d14c3340719a59e85aa16f8b5c88620cf2"]},`+
		`"event":`+skeleton.text+`}`)
	if digest := e.DigestOf(PartActor); hex.EncodeToString(digest[:]) != disclosure.hash {
		t.Errorf("the actor's digest is %x", digest)
	}
	if got := e.Skeleton(); string(got) != skeleton.text {
		t.Errorf("the event's skeleton is %s", got)
	}
	if sum := sha256.Sum256(e.Skeleton()); hex.EncodeToString(sum[:]) != skeleton.hash {
		t.Errorf("the skeleton's hash is %x", sum)
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
