package server

import (
	"net/http"
	"regexp"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

const idempotencyHeader = "Idempotency-Key"

var idempotencyPattern = regexp.MustCompile(`^[!-~]{1,200}$`)

// mayRepeat tells whether the route takes an Idempotency-Key: every POST that changes state does, of callers who are known.
func (rt *route) mayRepeat() bool {
	return rt.method == http.MethodPost && rt.event != "" && rt.allow != "anyone"
}

// readIdempotency reads the header; nil if it is absent or means nothing to the route.
func readIdempotency(rt *route, r *http.Request) (*registry.Idempotency, error) {
	given := r.Header[idempotencyHeader]
	switch {
	case len(given) == 0 || !rt.mayRepeat():
		return nil, nil
	case len(given) > 1 || !idempotencyPattern.MatchString(given[0]):
		return nil, invalid(registry.Violation{
			Parameter: idempotencyHeader, Message: "must be there once, with 1 to 200 visible ASCII characters without spaces",
		})
	}
	return &registry.Idempotency{Key: given[0], Operation: r.Method + " " + r.URL.Path}, nil
}
