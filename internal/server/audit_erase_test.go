package server

import (
	"bytes"
	"encoding/csv"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
)

// TestAuditErase_answersWhatItTook asserts the answer to an erasure, to a repeat of it, and to one that finds nothing.
func TestAuditErase_answersWhatItTook(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.tenant("globex").ID
		for range 2 {
			api.report("a.b", object{"group": object{"id": x}, "target": object{"id": "doc-1"}})
		}
		request := eraseEvents(x, "doc-1").with(idempotencyHeader, "k")
		first := api.call(request).want(http.StatusCreated)
		e := api.newest()
		wantEqual(t, "the answer", as[object](first), object{"event_id": e.ID, "events": 2, "parts": 4})
		wantEqual(t, "what is recorded", e.Erase, eraseBody{Events: 2, Parts: 4, First: 2})
		if e.Action != "audit.erase" || textOf(e.Description) != "asked for" || len(e.Erased) != 0 {
			t.Errorf("the event is %+v", e)
		}
		again := api.call(request).want(http.StatusCreated).wantHeader("Idempotent-Replayed", "true")
		if !bytes.Equal(again.body, first.body) {
			t.Errorf("the repeat answers %s", again.body)
		}
		nothing := api.call(eraseEvents(x, "doc-1")).want(http.StatusOK)
		wantEqual(t, "the answer", as[object](nothing), object{"event_id": nil, "events": 0, "parts": 0})
		if got := api.newest(); got.ID != e.ID {
			t.Errorf("what took nothing left %+v", got)
		}
	})
}

// TestAuditErase_showsWhatIsGone asserts that an erased part is null as JSON and empty as CSV, and named, and that the
// export verifies with the checkpoint from before.
func TestAuditErase_showsWhatIsGone(t *testing.T) {
	eachStoreWith(t, registry.Options{Signer: testSigner}, func(t *testing.T, api *client) {
		x := api.tenant("globex").ID
		own := "?order=asc&tenant_id=" + x.String()
		was := api.report("a.b", object{
			"group": object{"id": x}, "actor": object{"id": "user-1", "name": "A user"}, "source_ip": "192.0.2.9",
			"metadata": object{}, "fields": object{"k": "v"},
		})
		checkpoint := string(api.get("/v1/audit/checkpoint?tenant_id=" + x.String()).want(http.StatusOK).body)
		api.call(eraseEvents(x, "user-1")).want(http.StatusCreated)
		want := was
		want.Actor, want.SourceIP, want.Metadata, want.CorrelationID, want.Hash = nil, nil, nil, nil, nil
		want.Erased = []string{"actor", "hash", "metadata", "source", "text"}
		wantEqual(t, "the event", as[eventBody](api.get(join("/v1/audit", was.ID)).want(http.StatusOK)), want)
		wantEqual(t, "the event in the list", as[web.Page[eventBody]](api.get("/v1/audit" + own)).Items[1], want)
		rows, err := csv.NewReader(bytes.NewReader(
			api.get("/v1/audit/export?format=csv&tenant_id=" + x.String()).want(http.StatusOK).body,
		)).ReadAll()
		if err != nil || len(rows) != 4 {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		for name, text := range map[string]string{
			"erased": "actor hash metadata source text", "actor_id": "", "actor_name": "", "source_ip": "", "hash": "",
			"metadata": "", "fields": `{"k":"v"}`, "emitter_id": "operator", "chain_hash": was.ChainHash,
		} {
			if got := rows[2][slices.Index(rows[0], name)]; got != text {
				t.Errorf("%s is %q, want %q", name, got, text)
			}
		}
		got := api.exported("/v1/audit/export?tenant_id=" + x.String())
		found := got.verify(t, audit.Proof{Key: testVerifier, Checkpoint: checkpoint})
		if found.Erased != 5 || strings.Contains(string(got.text), "user-1") {
			t.Errorf("the export has %+v:\n%s", found, got.text)
		}
		if n := len(as[web.Page[eventBody]](api.get("/v1/audit" + own + "&actor_id=user-1")).Items); n != 0 {
			t.Errorf("%d events are found by who was erased", n)
		}
	})
}

// TestAuditErase_refusesBadInput asserts where an erasure is refused, that no refusal repeats a subject, and that what
// was erased answers a repeat of its request.
func TestAuditErase_refusesBadInput(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.tenant("globex").ID
		report := jsonRequest("/v1/audit", object{
			"action": "a.b", "crud": "c", "actor": object{"id": "s3cr3t"}, "group": object{"id": x},
		}).with(idempotencyHeader, "k")
		api.call(report).want(http.StatusCreated)
		before := api.logLength()
		for _, r := range []refusal{
			{object{"reason": "r"}, "invalid_request", "/subjects"},
			{object{"reason": "r", "subjects": []string{}}, "invalid_request", "/subjects"},
			{object{"reason": "r", "subjects": slices.Repeat([]string{"x"}, 101)}, "invalid_request", "/subjects"},
			{object{"reason": "r", "subjects": []string{"x", ""}}, "invalid_request", "/subjects/1"},
			{object{"reason": "r", "subjects": []any{"x", 1}}, "invalid_request", "/subjects/1"},
			{object{"reason": "r", "subjects": []string{"x\x00y"}}, "invalid_request", "/subjects/0"},
			{object{"reason": "r", "subjects": "s3cr3t"}, "invalid_request", "/subjects"},
			{object{"reason": "r", "subjects": []string{strings.Repeat("x", 201)}}, "invalid_request", "/subjects/0"},
			{object{"reason": "r", "subjects": []string{"*", "s3cr3t"}}, "invalid_request", "/subjects/0"},
			{object{"subjects": []string{"s3cr3t"}}, "invalid_request", "/reason"},
			{object{"reason": "for s3cr3t", "subjects": []string{"s3cr3t"}}, "invalid_request", "/reason"},
			{object{"reason": unknownKey, "subjects": []string{"s3cr3t"}}, "invalid_request", "/reason"},
			{object{"reason": "r", "subjects": []string{"x"}, "more": 1}, "invalid_request", "/more"},
			{object{"reason": "r", "subjects": []string{"*"}}, "tenant_not_deleted", "/subjects/0"},
		} {
			got := api.send(jsonRequest(join("/v1/tenants", x, "audit/erasures"), r.body))
			if got.wantProblem(r.code, r.place); got.shows("s3cr3t") {
				t.Errorf("the refusal shows a subject: %s", got)
			}
		}
		if n := api.logLength() - before; n != 0 {
			t.Errorf("refusals left %d events", n)
		}
		api.call(eraseEvents(unknownID, "x")).wantProblem("tenant_not_found")
		api.send(jsonRequest("/v1/tenants/x/audit/erasures", object{
			"subjects": []string{"x"}, "reason": "r",
		})).wantProblem("invalid_request", "?id")
		api.call(eraseEvents(x, "s3cr3t")).want(http.StatusCreated)
		api.call(report).wantProblem("erased")
	})
}

// TestAuditErase_ofThePlatform asserts that the nil UUID is the platform's own chain.
func TestAuditErase_ofThePlatform(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		api.report("a.b", object{"target": object{"id": "doc-1"}})
		got := as[erasureBody](api.call(eraseEvents(uuid.Nil, "doc-1")).want(http.StatusCreated))
		if e := api.newest(); got.Events != 1 || e.Group != nil || e.Erase == nil || *got.EventID != e.ID {
			t.Errorf("the answer is %+v, the event %+v", got, e)
		}
		if found := api.exported("/v1/audit/export").verify(t, audit.Proof{}); found.Erased != 2 {
			t.Errorf("the chain is %+v", found)
		}
	})
}

// TestAuditErase_isForOperators asserts that no one else may erase, not even in its own tenant's log, and that nothing
// is read before that is known.
func TestAuditErase_isForOperators(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		server, who := guarded(api, Config{})
		x := api.own("globex", organization).ID
		for _, p := range []auth.Principal{
			who.add(user("admin", auth.RoleTenantAdmin, organization)), who.add(service("portal", "", auth.RolePortal)),
			who.add(service("mailer", "", auth.RoleAuditWrite)),
		} {
			for _, id := range []uuid.UUID{x, unknownID} {
				server.send(eraseEvents(id, "user-1").by(p)).wantProblem("forbidden")
			}
		}
		server.send(eraseEvents(x, "user-1")).wantProblem("unauthenticated")
	})
}
