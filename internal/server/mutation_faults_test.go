package server

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/storetest/faultstore"
)

// TestMutations_areUndoneWithoutEvent asserts that a change whose event cannot be written has not happened. The control
// is the same request without the fault.
func TestMutations_areUndoneWithoutEvent(t *testing.T) {
	eachMutation(t, func(t *testing.T, api *client, s stage, m mutation) {
		broken := failing(api, faultstore.On("Tx.InsertAuditEvents", registry.ErrUnavailable))
		before := snapshot(api, s)
		broken.call(m.request(s.fixture)).wantProblem("unavailable")
		if after := snapshot(api, s); after != before {
			t.Errorf("the change happened without its event: before\n%s\nafter\n%s", before, after)
		}
		api.call(m.request(s.fixture)).want(m.ok)
		if snapshot(api, s) == before {
			t.Error("without the fault nothing changes either")
		}
	})
}

// snapshot is all that can be read of a stage, the tenant that would be created, and the length of the whole log.
func snapshot(api *client, s stage) string {
	api.t.Helper()
	var all strings.Builder
	tenant := s.tenant.String()
	for _, target := range []string{
		"/v1/tenants/" + tenant, "/v1/catalog?tenant_id=" + tenant, "/v1/entitlements?tenant_id=" + tenant,
		"/v1/api-keys?tenant_id=" + tenant,
		"/v1/audit?tenant_id=" + tenant,
	} {
		fmt.Fprintf(&all, "%s\n", api.get(target).want(http.StatusOK).body)
	}
	_, err := registry.GetTenantBySlug(api.t.Context(), api.store, s.newSlug)
	return all.String() + fmt.Sprint(err, api.logLength())
}
