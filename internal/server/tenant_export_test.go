package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/storetest/faultstore"
)

// TestTenantExport_isWhole asserts that the export has each record as its own endpoint shows it, then the chain, which
// verifies as it stands there, then a trailer that fits, and nothing of another tenant.
func TestTenantExport_isWhole(t *testing.T) {
	eachStoreWith(t, registry.Options{Signer: testSigner}, func(t *testing.T, api *client) {
		insertStageProducts(api)
		s, other := newStage(api, registry.StatusActive), newFixtures(api, registry.StatusActive)
		api.canaries = []string{tenantCanary, other.own.tenant.String()}
		target := join("/v1/tenants", s.tenant, "export")
		got := api.get(target).want(http.StatusOK).wantHeader("Content-Type", "application/x-ndjson").
			wantHeader("Content-Disposition", `attachment; filename="tenant-`+s.tenant.String()+`.ndjson"`)
		lines := bytes.SplitAfter(got.body, []byte("\n"))
		lines = lines[:len(lines)-1] // what is behind the last line feed
		var kinds []string
		var chain []byte
		for i, line := range lines[:len(lines)-1] {
			var r struct {
				Record string `json:"record"`
				Value  object `json:"value"`
			}
			if err := json.Unmarshal(line, &r); err != nil {
				t.Fatal(err)
			}
			if r.Record == "" {
				chain = bytes.Join(lines[i:len(lines)-1], nil)
				break
			}
			kinds = append(kinds, r.Record)
			shown := map[string]string{"tenant": "/v1/tenants", "api_key": "/v1/api-keys"}[r.Record]
			if shown != "" {
				wantEqual(t, r.Record, r.Value, as[object](api.get(join(shown, r.Value["id"])).want(http.StatusOK)))
			}
		}
		wantEqual(t, "the records", kinds, []string{
			"tenant", "entitlement", "entitlement", "entitlement", "catalog_request", "api_key", "api_key", "api_key",
		})
		v := audit.VerifyExport(bytes.NewReader(chain), audit.Proof{Key: testVerifier})
		if v.Status != audit.OK || v.Count != 1 || v.GroupID != s.tenant {
			t.Errorf("the chain is %+v in\n%s", v, chain)
		}
		sum := sha256.Sum256(bytes.Join(lines[:len(lines)-1], nil))
		trailer := fmt.Sprintf(`{"count":%d,"sha256":"%s"}`+"\n", len(lines)-1, hex.EncodeToString(sum[:]))
		if text := string(lines[len(lines)-1]); text != trailer {
			t.Errorf("the trailer is %s, want %s", text, trailer)
		}
		head := api.call(request{method: http.MethodHead, target: target}).want(http.StatusOK)
		if len(head.body) > 0 || head.header.Get("Content-Disposition") == "" {
			t.Errorf("HEAD answers %s", head)
		}
	})
}

// TestTenantExport_isForItsOwn asserts that an admin exports its own tenant and no other, and that who reports or
// serves customers exports none.
func TestTenantExport_isForItsOwn(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		server, who := guarded(api, Config{})
		mine, theirs := api.own("globex", organization).ID, api.tenant("initech").ID
		admin := who.add(user("admin", auth.RoleTenantAdmin, organization))
		server.send(fetch(join("/v1/tenants", mine, "export")).by(admin)).want(http.StatusOK)
		for _, id := range []any{theirs, unknownID, uuid.Nil} {
			server.send(fetch(join("/v1/tenants", id, "export")).by(admin)).wantProblem("tenant_not_found")
		}
		for _, p := range []auth.Principal{
			who.add(service("portal", "", auth.RolePortal)), who.add(service("mailer", "", auth.RoleAuditWrite)),
		} {
			server.send(fetch(join("/v1/tenants", mine, "export")).by(p)).wantProblem("forbidden")
		}
	})
}

// TestTenantExport_isCutIfTheStoreFails asserts that a store which fails in the middle cuts the connection, so that no
// one takes a part for the whole, and that one which fails before is 503.
func TestTenantExport_isCutIfTheStoreFails(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.tenant("globex").ID
		for _, call := range []string{"ListEntitlements", "ListCatalogRequests", "ListAPIKeys", "ListAuditEvents"} {
			reads := atomic.Int32{}
			broken := failing(api, func(name string) error {
				if name == call && (call != "ListAuditEvents" || reads.Add(1) == 2) {
					return fmt.Errorf("%w: %s", registry.ErrUnavailable, secretCause)
				}
				return nil
			})
			if call == "ListAuditEvents" {
				events := slices.Repeat([]audit.Event{{
					GroupID: x, Action: "a.b", CRUD: audit.Read, IsAnonymous: true,
				}}, registry.MaxBulk)
				for range 3 {
					if _, err := api.registry.RecordEvents(t.Context(), operatorCaller, events); err != nil {
						t.Fatal(err)
					}
				}
			}
			resp, err := broken.http.Get(broken.url + join("/v1/tenants", x, "export"))
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK || !errors.Is(err, io.ErrUnexpectedEOF) ||
				bytes.Contains(text, []byte(`{"count"`)) {
				t.Errorf("%s: %d, %v, %s", call, resp.StatusCode, err, text)
			}
		}
		failing(api, faultstore.On("GetTenant", registry.ErrUnavailable)).get(join("/v1/tenants", x, "export")).
			wantProblem("unavailable")
	})
}
