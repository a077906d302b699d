package server

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
)

// The person whom a test erases: by these an answer or a row would give her away.
const (
	zoe     = "zoe-quartz-7f31"
	zoeName = "name of " + zoe
	zoeIP   = "198.51.100.77"
)

// person leaves traces of a person wherever the service stores some.
type person struct {
	*client             // of the server that authenticates her
	admin, portal, self auth.Principal
	tenant              tenantBody
}

func newPerson(api *client) *person {
	tenant := api.own("acme-works", greedyOrg)
	product := api.product("reports", func(p *registry.Product) { p.Requestable = true })
	server, who := guarded(api, Config{})
	p := &person{client: server, tenant: tenant}
	p.admin = who.add(user(zoe, auth.RoleTenantAdmin, greedyOrg))
	p.portal = who.add(service("portal", "", auth.RolePortal))
	p.self = who.add(service("ops", "", auth.RoleOperator))
	behalf := func(r request) request {
		return r.by(p.portal).with("X-On-Behalf-Of-Id", zoe).with("X-On-Behalf-Of-Name", zoeName)
	}
	body := object{"tenant_id": tenant.ID, "name": "a key"}
	key := as[keyBody](p.call(jsonRequest("/v1/api-keys", body).by(p.admin).with("Idempotency-Key", "k1")).
		want(http.StatusCreated))
	p.call(behalf(jsonRequest("/v1/api-keys", body))).want(http.StatusCreated)
	p.call(remove("/v1/api-keys/" + key.ID.String() + "?reason=lost+by+" + zoe).by(p.admin)).want(http.StatusNoContent)
	p.call(behalf(jsonRequest("/v1/catalog/request", object{
		"tenant_id": tenant.ID, "product": product.Key, "message": "asked by " + zoe,
	}))).want(http.StatusCreated)
	for _, event := range []object{
		{"actor": object{"id": zoe, "name": zoeName}, "source_ip": zoeIP, "description": zoe + " read it",
			"metadata": object{"who": zoe}, "fields": object{"reader": zoe}, "external_id": zoe},
		{"is_anonymous": true, "target": object{"id": zoe, "name": zoeName}, "fields": object{"erased": zoe}},
	} {
		event["action"], event["crud"], event["group"] = "doc.read", "r", object{"id": tenant.ID}
		p.call(behalf(jsonRequest("/v1/audit", event)).with("Idempotency-Key", fmt.Sprint("e", len(event)))).
			want(http.StatusCreated)
	}
	reporter := who.add(service(zoe+"-reports", "", auth.RoleAuditWrite))
	p.call(jsonRequest("/v1/audit", reportAbout(tenant.ID)).by(reporter)).want(http.StatusCreated)
	p.call(jsonRequest("/v1/audit", object{
		"action": "session.login", "crud": "c", "actor": object{"id": zoe}, "source_ip": zoeIP,
	}).by(p.self)).want(http.StatusCreated)
	return p
}

// everything is what every read of the service answers to an operator, and all rows of the database.
func (p *person) everything() map[string]string {
	p.t.Helper()
	all := map[string]string{}
	id := p.tenant.ID.String()
	for _, target := range []string{
		"/v1/tenants/" + id, "/v1/tenants/by-slug/acme-works", "/v1/tenants/" + id + "/export",
		"/v1/entitlements?tenant_id=" + id, "/v1/catalog?tenant_id=" + id, "/v1/api-keys?tenant_id=" + id,
		"/v1/audit?limit=100", "/v1/audit?order=asc&limit=100", "/v1/audit?tenant_id=" + id + "&limit=100",
		"/v1/audit/chain?tenant_id=" + id, "/v1/audit/checkpoint?tenant_id=" + id,
		"/v1/audit/export", "/v1/audit/export?format=csv", "/v1/audit/export?tenant_id=" + id,
		"/v1/audit/export?format=csv&tenant_id=" + id, "/v1/audit?actor_id=" + zoe, "/v1/audit?target_id=" + zoe,
	} {
		for _, accept := range []string{"*/*", ndjson} {
			r := p.exchange(fetch(target).by(p.self).with("Accept", accept))
			all["GET "+target+" "+accept] = string(r.body)
		}
	}
	if p.dsn == "" {
		return all
	}
	conn, err := pgx.Connect(p.t.Context(), p.dsn)
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, _ := conn.Query(p.t.Context(), `SELECT tablename FROM pg_tables WHERE schemaname = 'public'`)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		p.t.Fatal(err)
	}
	for _, table := range tables {
		var text bytes.Buffer
		if _, err := conn.PgConn().CopyTo(p.t.Context(), &text, `COPY `+table+` TO STDOUT`); err != nil {
			p.t.Fatal(err)
		}
		all["table "+table] = text.String()
	}
	return all
}

// showing lists where there is something of her.
func showing(all map[string]string) (places []string) {
	for place, text := range all {
		for _, trace := range []string{zoe, zoeName, zoeIP} {
			if strings.Contains(text, trace) {
				places = append(places, place+" shows "+trace)
				break
			}
		}
	}
	return places
}

// TestErasure_leavesNothing asserts that after both chains were erased with the fields nothing of a person is in any
// answer, in any export or in any row, and that both chains verify as they did. The control is the same before.
func TestErasure_leavesNothing(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		p := newPerson(api)
		before := p.everything()
		for _, place := range []string{
			"GET /v1/audit?limit=100 */*", "GET /v1/audit/export */*", "GET /v1/audit?order=asc&limit=100 " + ndjson,
			"GET /v1/tenants/" + p.tenant.ID.String() + "/export */*",
			"GET /v1/api-keys?tenant_id=" + p.tenant.ID.String() + " */*",
		} {
			if len(showing(map[string]string{place: before[place]})) == 0 {
				t.Errorf("before the erasure %s shows nothing: this test shows nothing", place)
			}
		}
		for _, chain := range []uuid.UUID{p.tenant.ID, uuid.Nil} {
			got := as[erasureBody](p.call(jsonRequest("/v1/tenants/"+chain.String()+"/audit/erasures", object{
				"subjects": []string{zoe, zoe + "-reports"}, "reason": "Request 12", "include_fields": true,
			}).by(p.self)).want(http.StatusCreated))
			if got.Events == 0 || got.Parts < got.Events {
				t.Errorf("the erasure of %s took %d parts of %d events", chain, got.Parts, got.Events)
			}
		}
		after := p.everything()
		if places := showing(after); len(places) > 0 {
			t.Errorf("after the erasure: %s", strings.Join(places, "\n"))
		}
		for place, text := range after {
			if !strings.Contains(place, "/v1/audit/export") || strings.Contains(place, "csv") {
				continue
			}
			found := audit.VerifyExport(strings.NewReader(text), audit.Proof{Key: testVerifier})
			if found.Status != audit.OK || found.Erased == 0 {
				t.Errorf("%s: %s", place, found.Text)
			}
		}
		p.guess(before, after)
	})
}

// guess asserts that no address of her network can be found by what remains of an event; with Retraced's hash, which
// was there before, one can.
func (p *person) guess(before, after map[string]string) {
	p.t.Helper()
	page := func(all map[string]string) []eventBody {
		return as[web.Page[eventBody]](&reply{
			t: p.t, status: http.StatusOK, body: []byte(all["GET /v1/audit?limit=100 */*"]),
		}).Items
	}
	find := func(events []eventBody) (found netip.Addr) {
		for _, e := range events {
			if e.Hash == nil || e.Action != "doc.read" {
				continue
			}
			guess := audit.Event{ID: e.ID, Action: e.Action, IsFailure: e.IsFailure, Actor: audit.Party{ID: zoe},
				Fields: map[string]string{"reader": zoe}, ExternalID: zoe, Metadata: map[string]string{"who": zoe}}
			if e.Group != nil {
				guess.GroupID = e.Group.ID
			}
			for at := netip.MustParseAddr("198.51.0.0"); at.String() != "198.52.0.0"; at = at.Next() {
				if guess.SourceIP = at.String(); guess.RetracedHash() == *e.Hash {
					return at
				}
			}
		}
		return found
	}
	if at := find(page(before)); at.String() != zoeIP {
		p.t.Errorf("the control finds %s", at)
	}
	if at := find(page(after)); at.IsValid() {
		p.t.Errorf("the address %s is found", at)
	}
}
