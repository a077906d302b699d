package server

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/auth"
)

// TestAddress_isInEvents asserts that events name the client's address, and no proxy's.
func TestAddress_isInEvents(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		for proxies, want := range map[int]string{0: "127.0.0.1", 1: "198.51.100.7", 2: "203.0.113.9", 3: "127.0.0.1"} {
			server, who := guarded(api, Config{TrustedProxies: proxies})
			p := who.add(user("portal", auth.RolePortal, ""))
			r := jsonRequest("/v1/tenants", object{"slug": fmt.Sprintf("tenant-%d", proxies), "name": "T"})
			server.send(r.by(p).with("X-Forwarded-For", "203.0.113.9, 198.51.100.7")).want(http.StatusCreated)
			if e := api.newest(); *e.SourceIP != want {
				t.Errorf("behind %d proxies the event came from %s, want %s", proxies, *e.SourceIP, want)
			}
		}
	})
}
