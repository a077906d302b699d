package internal_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestReadme_go runs the README's verifier against a registry that a test plays.
func TestReadme_go(t *testing.T) {
	t.Parallel()
	all := blocks(t, "go")
	if len(all) != 1 {
		t.Fatalf("%d blocks of Go", len(all))
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example\n\ngo 1.26\n", "verifier.go": all[0], "verifier_test.go": read(t, "testdata/verifier_test.go.txt"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, command := range [][]string{{"vet", "."}, {"test", "."}} {
		cmd := exec.Command("go", command...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("go %s: %v\n%s", command[0], err, out)
		}
	}
}
