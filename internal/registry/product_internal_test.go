package registry

import (
	"strings"
	"testing"
)

func TestValidProductKey_formatAndReserved(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]bool{
		"ab": true, "a-": true, "0a": true, "code-scanner": true, strings.Repeat("a", 63): true,
		strings.Repeat("a", 64): false,
		"":                      false, "a": false, "-a": false, "Ab": false, "a_b": false, "ab\n": false, "äb": false,
		"request": false, "requests": false, "trial-request": false, "request-s": true,
	} {
		if got := validProductKey(key); got != want {
			t.Errorf("validProductKey(%q) = %t", key, got)
		}
	}
}
