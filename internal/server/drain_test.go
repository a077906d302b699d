package server

import (
	"net/http"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

// TestDrain_everyAnswerClosesItsConnection asserts that from the drain on every kind of answer tells the client to use
// the connection no more. The control is the same before.
func TestDrain_everyAnswerClosesItsConnection(t *testing.T) {
	t.Parallel()
	api := newClient(t, memory.New(), registry.Options{})
	tenant := api.tenant("globex")
	etag := api.get("/v1/tenants/" + tenant.ID.String()).want(http.StatusOK).header.Get("ETag")
	requests := map[string]request{
		"ready":        fetch("/readyz"),
		"an object":    fetch("/v1/tenants/" + tenant.ID.String()),
		"not modified": fetch("/v1/tenants/"+tenant.ID.String()).with("If-None-Match", etag),
		"a problem":    fetch("/v1/tenants/" + tenant.ID.String() + "?x=1"),
		"no route":     fetch("/nowhere"),
		"no method":    {method: http.MethodDelete, target: "/healthz"},
		"no such path": fetch("/a//b"),
		"a head":       {method: http.MethodHead, target: "/v1/catalog"},
		"a stream":     fetch("/v1/audit/export?tenant_id=" + tenant.ID.String()),
		"a file":       fetch("/openapi.yaml"),
	}
	for name, r := range requests {
		if api.exchange(r).closes {
			t.Errorf("before the drain %s closes its connection", name)
		}
	}
	api.server.Drain()
	for name, r := range requests {
		if !api.exchange(r).closes {
			t.Errorf("%s does not close its connection", name)
		}
	}
}
