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

// TestMutations_confirmWhatIsReported asserts that a replay, and what changes nothing, is answered only when everything
// earlier is confirmed: it reports a change whose own answer may have been 503. The control is the same request when it
// is.
func TestMutations_confirmWhatIsReported(t *testing.T) {
	eachMutation(t, func(t *testing.T, api *client, s stage, m mutation) {
		unconfirmed := failing(api, faultstore.On("Confirm", registry.ErrUnavailable))
		var reports []request
		if m.idempotent {
			replay := m.request(s.fixture).with(idempotencyHeader, s.newSlug)
			api.call(replay).want(m.ok)
			reports = append(reports, replay)
		}
		if m.unchanged != nil {
			reports = append(reports, m.unchanged(s)...)
		}
		for _, r := range reports {
			if r.target == "/v1/api-keys/self-revoke" && !strings.Contains(r.body, unknownKey) {
				continue // it is no key, so nothing was read
			}
			unconfirmed.call(r).wantProblem("unavailable")
			if got := api.call(r); got.status >= 300 {
				t.Errorf("%s %s → %d %s", r.method, r.target, got.status, got.body)
			}
		}
	})
}

// TestProof_isConfirmed asserts that an export, also a tenant's, a chain's head and the log in ascending order are
// answered only when what was read is confirmed, and that other reads do not wait for that.
func TestProof_isConfirmed(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		tenant := api.tenant("acme").ID.String()
		unconfirmed := failing(api, faultstore.On("ConfirmReads", registry.ErrUnavailable))
		for target, confirmed := range map[string]bool{
			"/v1/audit/export?tenant_id=" + tenant:    true,
			"/v1/audit/chain?tenant_id=" + tenant:     true,
			"/v1/tenants/" + tenant + "/export":       true,
			"/v1/audit?order=asc&tenant_id=" + tenant: true,
			"/v1/audit?order=asc&wait=1":              true,
			"/v1/audit?tenant_id=" + tenant:           false,
			"/v1/tenants/" + tenant:                   false,
			"/v1/tenants/by-slug/acme":                false,
			"/v1/entitlements?tenant_id=" + tenant:    false,
			"/v1/catalog":                             false,
			"/readyz":                                 false,
		} {
			got := unconfirmed.get(target)
			if confirmed {
				got.wantProblem("unavailable")
			} else {
				got.want(http.StatusOK)
			}
			api.get(target).want(http.StatusOK)
		}
	})
}
