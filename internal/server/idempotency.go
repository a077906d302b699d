package server

import (
	"net/http"
	"regexp"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
	"github.com/breakpilot/tenant-registry/internal/violation"
)

const idempotencyHeader = "Idempotency-Key"

var idempotencyPattern = regexp.MustCompile(`^[!-~]{1,200}$`)

// idempotent reports whether the route takes an Idempotency-Key: every POST that changes state does, of callers who are
// known.
func (rt *route) idempotent() bool {
	return rt.Method == http.MethodPost && rt.Event != "" && !rt.Roles.anyone
}

// readIdempotency reads the header; nil if it is absent, or ignored by the route.
func readIdempotency(rt *route, r *http.Request) (*registry.Idempotency, error) {
	given := r.Header[idempotencyHeader]
	switch {
	case len(given) == 0 || !rt.idempotent():
		return nil, nil
	case len(given) > 1 || !idempotencyPattern.MatchString(given[0]):
		return nil, web.Invalid(violation.Violation{
			Parameter: idempotencyHeader, Message: violation.VisibleASCII,
		})
	}
	return &registry.Idempotency{Key: given[0], Operation: r.Method + " " + r.URL.Path}, nil
}
