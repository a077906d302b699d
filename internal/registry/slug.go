package registry

import (
	"regexp"
	"slices"
	"strings"

	"github.com/breakpilot/tenant-registry/internal/violation"
)

var slugPattern = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]*[a-z0-9])$`)

// Slugs that would shadow a host or a path of the platform.
var reservedSlugs = []string{
	"admin", "api", "app", "assets", "auth", "billing", "by-slug", "cdn", "console", "dashboard", "docs", "internal",
	"localhost", "login", "logout", "mail", "portal", "public", "root", "signup", "static", "status", "support",
	"system", "www",
}

// ValidSlug reports whether s could be the slug of a tenant: 3 to 63 of a-z, 0-9 and '-', no dash at either end, no
// punycode, not reserved.
func ValidSlug(s string) bool { return slugFault(s) == "" }

func slugFault(s string) string {
	switch {
	case s == "":
		return violation.Required
	case len(s) < 3 || len(s) > 63 || !slugPattern.MatchString(s):
		return violation.Slug
	case strings.HasPrefix(s, "xn--"):
		return violation.SlugPunycode
	case slices.Contains(reservedSlugs, s):
		return violation.Reserved
	}
	return ""
}
