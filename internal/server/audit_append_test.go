package server

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/timestamp"
)

// report appends an event; more are further members of it.
func (c *client) report(action string, more object) eventBody {
	c.t.Helper()
	body := object{"action": action, "crud": "c", "actor": object{"id": "user-1"}}
	for name, value := range more {
		body[name] = value
	}
	made := c.post("/v1/audit", body).want(http.StatusCreated)
	return as[eventBody](c.get(made.header.Get("Location")).want(http.StatusOK))
}

func TestAuditAppend_keepsEveryMember(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.tenant("globex")
		made := api.post("/v1/audit", object{
			"action": "document.share", "crud": "u", "group": object{"id": x.ID, "name": "Globex, then"},
			"actor": object{
				"id": "user:1", "name": "Acme admin", "href": "https://example.org/user-1", "type": "user",
				"fields": object{"team": "a=b"},
			},
			"target": object{
				"id": "doc%1", "name": "Plan", "href": "https://example.org/plan", "type": "document",
				"fields": object{},
			},
			"source_ip": "2001:DB8:0:0::1", "description": "Shared\nwith all.", "is_failure": true,
			"is_anonymous": false,
			"fields":       object{"channel": "web;1"},
			"component":    "portal", "version": "2.1", "external_id": "portal-77",
			"metadata": object{"shard": "4"}, "created": "2026-02-28T23:00:00.1234567-02:00",
			"correlation_id": "theirs",
		}).want(http.StatusCreated)
		receipt := as[object](made)
		got := as[eventBody](api.get(made.header.Get("Location")).want(http.StatusOK))
		want := eventBody{
			ID: got.ID, Seq: 2, Action: "document.share", CRUD: "u", Group: &groupBody{x.ID, new("Globex, then")},
			Actor: &partyBody{
				"user:1", new("Acme admin"), new("https://example.org/user-1"), new("user"),
				&map[string]string{"team": "a=b"},
			},
			Target: &partyBody{
				"doc%1", new("Plan"), new("https://example.org/plan"), new("document"), &map[string]string{},
			},
			SourceIP: new("2001:db8::1"), Description: new("Shared\nwith all."), IsFailure: true,
			Fields:    &map[string]string{"channel": "web;1"},
			Component: new("portal"), Version: new("2.1"), ExternalID: new("portal-77"),
			Metadata: &map[string]string{"shard": "4"},
			Created:  "2026-03-01T01:00:00.123456Z", Received: timestamp.Format(start), CorrelationID: new("theirs"),
			Emitter: &namedBody{"operator", new("operator")}, Hash: new(receipt["hash"].(string)),
			PrevChainHash: api.events()[0].ChainHash, ChainHash: got.ChainHash,
		}
		wantEqual(t, "the event", got, want)
		if receipt["id"] != got.ID.String() || made.header.Get("Location") != "/v1/audit/"+got.ID.String() {
			t.Errorf("the receipt is %v at %s, of %s", receipt, made.header.Get("Location"), got.ID)
		}
		wantEqual(t, "the event in the list", api.events()[1], want)
	})
}

func TestAuditAppend_membersMayBeUnset(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		empty := object{"fields": object{}, "metadata": object{}}
		for name, more := range map[string]object{
			"absent": {"actor": nil, "is_anonymous": true},
			"nulls": {
				"actor": nil, "is_anonymous": true, "group": nil, "target": nil, "source_ip": nil, "description": nil,
				"is_failure": nil, "fields": nil, "component": nil, "version": nil, "external_id": nil, "metadata": nil,
				"created": nil, "correlation_id": nil,
			},
			"empty": {
				"actor": nil, "is_anonymous": true, "source_ip": "", "description": "", "component": "", "version": "",
				"external_id": "", "correlation_id": "", "fields": empty["fields"], "metadata": empty["metadata"],
			},
		} {
			got := api.report("a", more)
			now := timestamp.Format(start)
			want := eventBody{
				ID: got.ID, Seq: got.Seq, Action: "a", CRUD: "c", IsAnonymous: true, Created: now, Received: now,
				CorrelationID: got.CorrelationID, Emitter: &namedBody{"operator", new("operator")},
				Hash: got.Hash, PrevChainHash: got.PrevChainHash, ChainHash: got.ChainHash,
			}
			if name == "empty" {
				want.Fields, want.Metadata = &map[string]string{}, &map[string]string{}
			}
			wantEqual(t, "the event with members "+name, got, want)
		}
	})
}

func TestAuditAppend_refusesBadInput(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.tenant("globex").ID
		with := func(more object) object {
			body := object{"action": "a.b", "crud": "c", "actor": object{"id": "user-1"}}
			for name, value := range more {
				body[name] = value
			}
			return body
		}
		fields := object{}
		for i := range 65 {
			fields[fmt.Sprint(i)] = "x"
		}
		refused(api, "/v1/audit", []refusal{
			{object{"crud": "c", "is_anonymous": true}, "invalid_request", "/action"},
			{object{"action": "a", "is_anonymous": true}, "invalid_request", "/crud"},
			{object{"action": "a", "crud": "c"}, "invalid_request", "/actor"},
			{object{"action": "a", "crud": "c", "is_anonymous": false, "actor": nil}, "invalid_request", "/actor"},
			{with(object{"action": "a..b"}), "invalid_request", "/action"},
			{with(object{"action": "a b"}), "invalid_request", "/action"},
			{with(object{"action": strings.Repeat("a", 201)}), "invalid_request", "/action"},
			{with(object{"crud": "x"}), "invalid_request", "/crud"},
			{with(object{"group": object{"id": unknownID}}), "invalid_request", "/group/id"},
			{with(object{"group": object{"id": uuid.Nil}}), "invalid_request", "/group/id"},
			{with(object{"group": object{}}), "invalid_request", "/group/id"},
			{with(object{"group": object{"id": x, "name": " "}}), "invalid_request", "/group/name"},
			{with(object{"actor": object{}}), "invalid_request", "/actor/id"},
			{with(object{"actor": object{"name": "x"}}), "invalid_request", "/actor/id"},
			{with(object{"target": object{"id": nil, "type": "x"}}), "invalid_request", "/target/id"},
			{
				with(object{"target": object{"id": "x", "fields": object{"k": 1}}}), "invalid_request",
				"/target/fields/k",
			},
			{with(object{"source_ip": "example.org"}), "invalid_request", "/source_ip"},
			{with(object{"source_ip": "fe80::1%eth0"}), "invalid_request", "/source_ip"},
			{with(object{"component": "tenant-registry"}), "invalid_request", "/component"},
			{with(object{"component": "Tenant-Regiſtry"}), "invalid_request", "/component"},
			{with(object{"fields": fields}), "invalid_request", "/fields"},
			{with(object{"metadata": object{"k": strings.Repeat("x", 257)}}), "invalid_request", "/metadata/k"},
			{with(object{"created": "1969-12-31T23:59:59Z"}), "invalid_request", "/created"},
			{with(object{"created": "0001-01-01T00:00:00Z"}), "invalid_request", "/created"},
			{with(object{"created": "yesterday"}), "invalid_request", "/created"},
			{with(object{"fields": object{"k": strings.Repeat("x", 16<<10)}}), "invalid_request", ""},
		})
		api.send(jsonRequest("/v1/audit", with(object{
			"actor": object{}, "target": object{},
		}))).wantProblem("invalid_request", "/actor/id", "/target/id")
	})
}

// The order of the faults is part of the answer, which must be the same each time and on each store.
func TestAuditAppend_namesFaultsInOneOrder(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		for range 20 {
			p := api.send(jsonRequest("/v1/audit", object{
				"actor": object{}, "target": object{}, "group": object{},
			})).wantProblem("invalid_request")
			order := []string{}
			for _, e := range p.Errors {
				order = append(order, *e.Pointer)
			}
			wantEqual(t, "the order", order, []string{"/group/id", "/action", "/crud", "/actor/id", "/target/id"})
		}
	})
}

// Each event of this service names its actor, action, target and request; of an operator not the address.
func TestAuditAppend_ownEventsNameActorAndTarget(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := as[tenantBody](api.call(request{
			method: http.MethodPost, target: "/v1/tenants",
			body:   `{"slug":"globex","name":"Globex","metadata":{"team":"a"}}`,
			header: http.Header{"Content-Type": {"application/json"}, "X-Request-Id": {"req-1"}},
		}).want(http.StatusCreated).wantHeader("X-Request-Id", "req-1"))
		activated := api.post(join("/v1/tenants", x.ID, "activate"), nil)
		got := api.events()
		now := timestamp.Format(start)
		want := eventBody{
			ID: got[0].ID, Seq: 1, Action: "tenant.create", CRUD: "c", Group: &groupBody{x.ID, new("Globex")},
			Actor:  &partyBody{ID: "operator", Name: new("operator"), Type: new("operator")},
			Target: &partyBody{ID: x.ID.String(), Name: new("globex"), Type: new("tenant")},
			Fields: &map[string]string{
				"after.slug": `"globex"`, "after.name": `"Globex"`, "after.status": `"trial"`,
				"after.metadata": `{"team":"a"}`,
			},
			Component: new("tenant-registry"), Version: new(testVersion), Created: now, Received: now,
			CorrelationID: new("req-1"),
			Hash:          got[0].Hash, PrevChainHash: strings.Repeat("0", 64), ChainHash: got[0].ChainHash,
		}
		wantEqual(t, "tenant.create", got[0], want)
		want.ID, want.Seq, want.Action, want.CRUD, want.CorrelationID =
			got[1].ID, 2, "tenant.activate", "u", new(activated.header.Get("X-Request-Id"))
		want.Fields = &map[string]string{
			"before.status": `"trial"`, "after.status": `"active"`, "after.activated_at": `"` + now + `"`,
		}
		want.Hash, want.PrevChainHash, want.ChainHash = got[1].Hash, got[0].ChainHash, got[1].ChainHash
		wantEqual(t, "tenant.activate", got[1], want)
	})
}

// The chain of each group starts at 64 zeros and links each event to the one before.
func TestAuditAppend_linksEachChain(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		api.seeded()
		api.report("a.b", nil)
		heads := map[string]eventBody{}
		for _, e := range api.events() {
			group := "platform"
			if e.Group != nil {
				group = e.Group.ID.String()
			}
			head, later := heads[group]
			if want := head.Seq + 1; e.Seq != want {
				t.Errorf("%s: seq %d after %d", group, e.Seq, head.Seq)
			}
			if (later && e.PrevChainHash != head.ChainHash) || (!later && e.PrevChainHash != strings.Repeat("0", 64)) {
				t.Errorf("%s: event %d does not link to the one before", group, e.Seq)
			}
			heads[group] = e
		}
		if len(heads) != 2 {
			t.Errorf("there are %d chains, want two", len(heads))
		}
	})
}

func TestAuditAppend_takesManyAtOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.tenant("globex").ID
		var events []object
		for i := range registry.MaxBulk {
			e := object{
				"action": "bulk.write", "crud": "c", "actor": object{"id": "user-1"},
				"fields": object{"n": fmt.Sprint("value ", i)},
			}
			if i%2 == 0 {
				e["group"] = object{"id": x}
			}
			events = append(events, e)
		}
		receipts := as[[]recordedBody](api.post("/v1/audit/bulk", object{"events": events}).want(http.StatusCreated))
		if len(receipts) != registry.MaxBulk {
			t.Fatalf("%d receipts", len(receipts))
		}
		log := api.events()
		log = log[len(log)-registry.MaxBulk:]
		for i, e := range log {
			if e.ID != receipts[i].ID || textOf(e.Hash) != receipts[i].Hash ||
				(*e.Fields)["n"] != fmt.Sprint("value ", i) {
				t.Errorf("event %d is %v, its receipt %v", i, e, receipts[i])
			}
		}
		before := len(api.events())
		refused(api, "/v1/audit/bulk", []refusal{
			{object{"events": append(events, events[0])}, "invalid_request", "/events"},
			{object{"events": []object{}}, "invalid_request", "/events"},
			{object{}, "invalid_request", "/events"},
			{object{"events": nil}, "invalid_request", "/events"},
			{
				object{"events": []object{events[0], {"action": "a b", "crud": "c", "actor": object{"id": "x"}}}},
				"invalid_request", "/events/1/action",
			},
			{
				object{"events": []object{events[0], {"action": "a", "crud": "c", "actor": object{}}}},
				"invalid_request", "/events/1/actor/id",
			},
			{
				object{
					"events": []object{
						{"action": "a", "crud": "c", "actor": object{"id": "x"}, "group": object{"id": unknownID}},
					},
				},
				"invalid_request", "/events/0/group/id",
			},
			{
				object{
					"events": []object{
						{"action": "a", "crud": "c", "actor": object{"id": "x"}, "fields": object{"a/b": 1}},
					},
				},
				"invalid_request", "/events/0/fields/a~1b",
			},
			{
				object{"events": []object{{"action": "a", "crud": "c", "actor": object{"id": "x"}, "more": 1}}},
				"invalid_request", "/events/0/more",
			},
		})
		all := api.send(jsonRequest("/v1/audit/bulk", object{
			"events": []object{{"action": "a b", "crud": "x", "group": object{}}, {"crud": "c", "target": object{}}},
		}))
		all.wantProblem(
			"invalid_request", "/events/0/group/id", "/events/0/action", "/events/0/crud", "/events/0/actor",
			"/events/1/action", "/events/1/actor", "/events/1/target/id",
		)
		if after := len(api.events()); after != before {
			t.Errorf("what was refused left %d events", after-before)
		}
	})
}
