package audit_test

import (
	"strings"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/audit"
)

func TestSigningKeys_errorsHideTheKey(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "a b", "a+b", "a\nb"} {
		if _, _, err := audit.GenerateKey(name); err == nil {
			t.Errorf("%q is a name of a key", name)
		}
	}
	const secret = "PRIVATE+KEY+x+12345678+c4n4ry"
	if _, err := audit.NewSigner(secret); err == nil || strings.Contains(err.Error(), "c4n4ry") {
		t.Errorf("a key that is none: %v", err)
	}
	if _, err := audit.NewVerifier("c4n4ry"); err == nil || strings.Contains(err.Error(), "c4n4ry") {
		t.Errorf("a verifier key that is none: %v", err)
	}
}
