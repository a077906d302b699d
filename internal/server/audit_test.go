package server

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
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

// found lists the actions of the events that a query finds, on one page.
func (c *client) found(query string) []string {
	c.t.Helper()
	list := []string{}
	for _, e := range as[page[eventBody]](c.get("/v1/audit?" + query).want(http.StatusOK)).Items {
		list = append(list, e.Action)
	}
	return list
}

func TestAudit_record(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.tenant("globex")
		made := api.post("/v1/audit", object{
			"action": "document.share", "crud": "u", "group": object{"id": x.ID, "name": "Globex, then"},
			"actor":     object{"id": "user:1", "name": "Acme admin", "href": "https://example.org/user-1", "type": "user", "fields": object{"team": "a=b"}},
			"target":    object{"id": "doc%1", "name": "Plan", "href": "https://example.org/plan", "type": "document", "fields": object{}},
			"source_ip": "2001:DB8:0:0::1", "description": "Shared\nwith all.", "is_failure": true, "is_anonymous": false,
			"fields": object{"channel": "web;1"}, "component": "portal", "version": "2.1", "external_id": "portal-77",
			"metadata": object{"shard": "4"}, "created": "2026-02-28T23:00:00.1234567-02:00", "correlation_id": "theirs",
		}).want(http.StatusCreated)
		receipt := as[object](made)
		got := as[eventBody](api.get(made.header.Get("Location")).want(http.StatusOK))
		want := eventBody{
			ID: got.ID, Seq: 2, Action: "document.share", CRUD: "u", Group: &groupBody{x.ID, new("Globex, then")},
			Actor:    &partyBody{"user:1", new("Acme admin"), new("https://example.org/user-1"), new("user"), &map[string]string{"team": "a=b"}},
			Target:   &partyBody{"doc%1", new("Plan"), new("https://example.org/plan"), new("document"), &map[string]string{}},
			SourceIP: new("2001:db8::1"), Description: new("Shared\nwith all."), IsFailure: true, Fields: &map[string]string{"channel": "web;1"},
			Component: new("portal"), Version: new("2.1"), ExternalID: new("portal-77"), Metadata: &map[string]string{"shard": "4"},
			Created: "2026-03-01T01:00:00.123456Z", Received: registry.FormatTime(start), CorrelationID: new("theirs"),
			Emitter: &emitterBody{"operator", new("operator")}, Hash: receipt["hash"].(string),
			PrevChainHash: api.events()[0].ChainHash, ChainHash: got.ChainHash,
		}
		wantEqual(t, "the event", got, want)
		if receipt["id"] != got.ID.String() || made.header.Get("Location") != "/v1/audit/"+got.ID.String() {
			t.Errorf("the receipt is %v at %s, of %s", receipt, made.header.Get("Location"), got.ID)
		}
		wantEqual(t, "the event in the list", api.events()[1], want)
	})
}

func TestAudit_recordUnset(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		empty := object{"fields": object{}, "metadata": object{}}
		for name, more := range map[string]object{
			"absent": {"actor": nil, "is_anonymous": true},
			"nulls": {"actor": nil, "is_anonymous": true, "group": nil, "target": nil, "source_ip": nil, "description": nil, "is_failure": nil,
				"fields": nil, "component": nil, "version": nil, "external_id": nil, "metadata": nil, "created": nil, "correlation_id": nil},
			"empty": {"actor": nil, "is_anonymous": true, "source_ip": "", "description": "", "component": "", "version": "", "external_id": "",
				"correlation_id": "", "fields": empty["fields"], "metadata": empty["metadata"]},
		} {
			got := api.report("a", more)
			now := registry.FormatTime(start)
			want := eventBody{ID: got.ID, Seq: got.Seq, Action: "a", CRUD: "c", IsAnonymous: true, Created: now, Received: now,
				CorrelationID: got.CorrelationID, Emitter: &emitterBody{"operator", new("operator")},
				Hash: got.Hash, PrevChainHash: got.PrevChainHash, ChainHash: got.ChainHash}
			if name == "empty" {
				want.Fields, want.Metadata = &map[string]string{}, &map[string]string{}
			}
			wantEqual(t, "the event with members "+name, got, want)
		}
	})
}

func TestAudit_refused(t *testing.T) {
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
			{with(object{"group": object{"id": nobody}}), "invalid_request", "/group/id"},
			{with(object{"group": object{"id": uuid.Nil}}), "invalid_request", "/group/id"},
			{with(object{"group": object{}}), "invalid_request", "/group/id"},
			{with(object{"group": object{"id": x, "name": " "}}), "invalid_request", "/group/name"},
			{with(object{"actor": object{}}), "invalid_request", "/actor/id"},
			{with(object{"actor": object{"name": "x"}}), "invalid_request", "/actor/id"},
			{with(object{"target": object{"id": nil, "type": "x"}}), "invalid_request", "/target/id"},
			{with(object{"target": object{"id": "x", "fields": object{"k": 1}}}), "invalid_request", "/target/fields/k"},
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
		api.send(jsonRequest("/v1/audit", with(object{"actor": object{}, "target": object{}}))).wantProblem("invalid_request", "/actor/id", "/target/id")
	})
}

// The order of the faults is part of the answer, which must be the same each time and on each store.
func TestAudit_refusedInOneOrder(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		for range 20 {
			p := api.send(jsonRequest("/v1/audit", object{"actor": object{}, "target": object{}, "group": object{}})).wantProblem("invalid_request")
			order := []string{}
			for _, e := range p.Errors {
				order = append(order, *e.Pointer)
			}
			wantEqual(t, "the order", order, []string{"/group/id", "/action", "/crud", "/actor/id", "/target/id"})
		}
	})
}

func TestAudit_filters(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x, y := api.tenant("globex").ID, api.tenant("initech").ID
		own := object{"group": object{"id": x}}
		in := func(more object) object {
			for name, value := range own {
				more[name] = value
			}
			return more
		}
		api.report("document.create", in(object{"target": object{"id": "doc-1"}, "correlation_id": "c-1"}))
		api.report("document.share.all", in(object{"actor": object{"id": "user 2"}, "target": object{"id": "doc-1"}}))
		api.report("documents.list", in(object{"is_failure": true, "actor": object{"id": "user 2"}}))
		api.report("session.login", object{"group": object{"id": y}, "correlation_id": "c-1"})
		api.report("platform.start", nil)
		tenant := "tenant_id=" + x.String() + "&"
		for query, want := range map[string][]string{
			"order=asc":           {"tenant.create", "tenant.create", "document.create", "document.share.all", "documents.list", "session.login", "platform.start"},
			"order=desc&limit=2":  {"platform.start", "session.login"},
			"limit=2":             {"platform.start", "session.login"},
			tenant + "order=asc":  {"tenant.create", "document.create", "document.share.all", "documents.list"},
			tenant + "order=desc": {"documents.list", "document.share.all", "document.create", "tenant.create"},
			"tenant_id=00000000-0000-0000-0000-000000000000": {"platform.start"},
			tenant + "action=document.create":                {"document.create"},
			tenant + "action=document.*":                     {"document.share.all", "document.create"},
			tenant + "action=document.share":                 {},
			tenant + "action=doc.*":                          {},
			"action=session.*":                               {"session.login"},
			tenant + "actor_id=user+2":                       {"documents.list", "document.share.all"},
			tenant + "target_id=doc-1":                       {"document.share.all", "document.create"},
			"correlation_id=c-1":                             {"session.login", "document.create"},
			tenant + "correlation_id=c-1":                    {"document.create"},
			tenant + "is_failure=true":                       {"documents.list"},
			tenant + "is_failure=false":                      {"document.share.all", "document.create", "tenant.create"},
			tenant + "actor_id=user+2&is_failure=false":      {"document.share.all"},
			"actor_id=nobody":                                {},
		} {
			wantEqual(t, query, api.found(query), want)
		}
		api.get("/v1/audit?tenant_id="+nobody.String()).wantProblem("tenant_not_found", "?tenant_id")
		api.get("/v1/audit?action=a&tenant_id="+nobody.String()).wantProblem("tenant_not_found", "?tenant_id")
		for _, bad := range []string{"action=*", "action=a.b.*", "action=a.*.b", "action=a*", "action=", "order=up", "is_failure=1", "actor_id=", "order=",
			"actor_id=" + strings.Repeat("x", 201), "action=" + strings.Repeat("%C3%A9", 101), "action=" + strings.Repeat("a", 201)} {
			name, _, _ := strings.Cut(bad, "=")
			api.send(request{method: http.MethodGet, target: "/v1/audit?" + bad}).wantProblem("invalid_request", "?"+name)
		}
	})
}

func TestAudit_event(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		api.tenant("globex")
		api.get(join("/v1/audit", nobody)).wantProblem("audit_event_not_found")
		for _, e := range api.events() {
			wantEqual(t, "the event by its id", as[eventBody](api.get(join("/v1/audit", e.ID)).want(http.StatusOK)), e)
		}
	})
}

// Each event of ours says who did what to whom, in which request, from where.
func TestAudit_ownEvents(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := as[tenantBody](api.call(request{
			method: http.MethodPost, target: "/v1/tenants", body: `{"slug":"globex","name":"Globex","metadata":{"team":"a"}}`,
			header: http.Header{"Content-Type": {"application/json"}, "X-Request-Id": {"req-1"}},
		}).want(http.StatusCreated).wantHeader("X-Request-Id", "req-1"))
		activated := api.post(join("/v1/tenants", x.ID, "activate"), nil)
		got := api.events()
		now := registry.FormatTime(start)
		want := eventBody{
			ID: got[0].ID, Seq: 1, Action: "tenant.create", CRUD: "c", Group: &groupBody{x.ID, new("Globex")},
			Actor:  &partyBody{ID: "operator", Name: new("operator"), Type: new("operator")},
			Target: &partyBody{ID: x.ID.String(), Name: new("globex"), Type: new("tenant")}, SourceIP: new("127.0.0.1"),
			Fields:    &map[string]string{"after.slug": `"globex"`, "after.name": `"Globex"`, "after.status": `"trial"`, "after.metadata": `{"team":"a"}`},
			Component: new("tenant-registry"), Version: new(testVersion), Created: now, Received: now, CorrelationID: new("req-1"),
			Hash: got[0].Hash, PrevChainHash: strings.Repeat("0", 64), ChainHash: got[0].ChainHash,
		}
		wantEqual(t, "tenant.create", got[0], want)
		want.ID, want.Seq, want.Action, want.CRUD, want.CorrelationID = got[1].ID, 2, "tenant.activate", "u", new(activated.header.Get("X-Request-Id"))
		want.Fields = &map[string]string{"before.status": `"trial"`, "after.status": `"active"`, "after.activated_at": `"` + now + `"`}
		want.Hash, want.PrevChainHash, want.ChainHash = got[1].Hash, got[0].ChainHash, got[1].ChainHash
		wantEqual(t, "tenant.activate", got[1], want)
	})
}

// A reader that keeps the last cursor sees every event once, in order, also those that come after it had read all.
func TestAudit_tail(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x, y := api.tenant("globex").ID, api.tenant("initech").ID
		for scope, target := range map[string]target{
			"all": newQuery("/v1/audit?order=asc&limit=2"), "tenant": newQuery("/v1/audit?order=asc&limit=2&tenant_id=" + x.String()),
			"silent": newQuery("/v1/audit?order=asc&limit=2&action=never.*"),
		} {
			seen := []string{}
			read := func() {
				t.Helper()
				for {
					p := as[page[eventBody]](api.get(target.String()).want(http.StatusOK))
					if p.NextCursor == nil {
						t.Fatalf("%s: an ascending page has no next_cursor", scope)
					}
					target = target.set("cursor", *p.NextCursor)
					for _, e := range p.Items {
						seen = append(seen, e.ID.String())
					}
					if len(p.Items) < 2 {
						return
					}
				}
			}
			read()
			read()
			for i := range 5 {
				api.report("a.b", object{"group": object{"id": []uuid.UUID{x, y}[i%2]}})
				if i%2 == 1 {
					read()
				}
			}
			read()
			want := []string{}
			for _, e := range api.events() {
				if scope == "all" || (scope == "tenant" && e.Group != nil && e.Group.ID == x) {
					want = append(want, e.ID.String())
				}
			}
			wantEqual(t, "the tail of "+scope, seen, want)
		}
	})
}

func TestAudit_pages(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.tenant("globex").ID
		for range 4 {
			api.report("a.b", object{"group": object{"id": x}})
			api.report("c.d", nil)
		}
		for _, query := range []string{"", "?tenant_id=" + x.String(), "?action=c.d"} {
			all := []string{}
			for _, e := range as[page[eventBody]](api.get("/v1/audit" + query).want(http.StatusOK)).Items {
				all = append(all, e.ID.String())
			}
			for limit := 1; limit <= len(all)+1; limit++ {
				got := pages(api, "/v1/audit"+query, limit, func(e eventBody) string { return e.ID.String() })
				wantEqual(t, fmt.Sprintf("%s in pages of %d", query, limit), got, all)
			}
			if len(all) == 0 || !slices.IsSortedFunc(all, func(a, b string) int { return strings.Compare(b, a) }) {
				t.Errorf("%s is not newest first: %v", query, all)
			}
		}
	})
}

// The chain of each group starts at 64 zeros and links each event to the one before.
func TestAudit_chain(t *testing.T) {
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
