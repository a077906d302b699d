package web

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// A caller's request id is kept if it is fit to be logged; otherwise the request gets an id of its own.
func TestRequestID(t *testing.T) {
	t.Parallel()
	isSecret := func(s string) bool { return strings.HasPrefix(s, "secret") }
	for given, kept := range map[string]bool{
		"a": true, "A-1_b.c": true, strings.Repeat("x", 128): true,
		"": false, " a": false, "a\nb": false, "é": false, strings.Repeat("x", 129): false, "secret-1": false,
	} {
		got, isGiven := requestID(http.Header{"X-Request-Id": {given}}, isSecret)
		if (got == given) != kept || isGiven != kept {
			t.Errorf("%q became %q, given: %t", given, got, isGiven)
		}
		info := RequestInfo{ID: got, Given: isGiven}
		if own := info.OwnID(); (own == "") != kept {
			t.Errorf("of %q the id of our own is %q", given, own)
		}
		if id, ok := ParseUUID(got); !kept && (!ok || id.Version() != 7 || id.Variant() != uuid.RFC4122) {
			t.Errorf("%q is no UUID of version 7", got)
		}
	}
	if got, _ := requestID(http.Header{"X-Request-Id": {"a", "b"}}, isSecret); got == "a" || got == "b" {
		t.Errorf("of two ids %q was kept", got)
	}
}
