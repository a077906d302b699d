package registry

import (
	"strings"
	"testing"
)

func TestValidSlug_isALabel(t *testing.T) {
	t.Parallel()
	for slug, want := range map[string]bool{
		"acme": true, "abc": true, "a-b": true, "a1b": true, "123": true, "a--b": true, "axn--b": true, "adminx": true,
		strings.Repeat("a", 63): true,
		strings.Repeat("a", 64): false,
		"":                      false, "a": false, "ab": false, "-ab": false, "ab-": false, "---": false,
		"Acme": false, "a_b": false, "a.b": false, "a b": false,
		"acme\n": false, "\nacme": false, "acm\x00": false, "äcme": false, "аcme": false, "acme\xff": false,
		"xn--abc": false, "xn--": false,
		"www": false, "api": false, "admin": false, "by-slug": false, "portal": false, "internal": false,
	} {
		if got := ValidSlug(slug); got != want {
			t.Errorf("ValidSlug(%q) = %t", slug, got)
		}
		if got := slugPattern.MatchString(slug); want && !got {
			t.Errorf("%q is valid and does not match the pattern", slug)
		}
	}
	for _, slug := range reservedSlugs {
		if ValidSlug(slug) {
			t.Errorf("ValidSlug(%q), which is reserved", slug)
		}
	}
}
