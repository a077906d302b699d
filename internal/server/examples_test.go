package server

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// The ids that examples of openapi.yaml name in paths, of objects that the sample data does not have.
var (
	exampleKeyID    = uuid.MustParse("01958000-0000-7000-8000-000000000001")
	exampleEventID  = uuid.MustParse("01958000-0000-7000-8000-000000000002")
	exampleTenantID = uuid.MustParse("01958000-0000-7000-8000-000000000003")
	exampleFrozenID = uuid.MustParse("01958000-0000-7000-8000-000000000004")
)

// exampleServer has the sample data and what the examples name besides.
func exampleServer(t *testing.T) *client {
	t.Helper()
	api := newClient(t, memory.New(), registry.Options{Signer: testSigner})
	api.examples()
	return api
}

// examples fills the store with what the examples of openapi.yaml act on.
func (c *client) examples() {
	c.t.Helper()
	c.seeded()
	c.tx(func(ctx context.Context, tx registry.Tx) error {
		if err := tx.InsertTenant(ctx, registry.Tenant{
			ID: exampleTenantID, Slug: "umbrella", Name: "Umbrella", Status: registry.StatusTrial,
			Metadata: map[string]string{}, Version: 1,
			CreatedAt: start, UpdatedAt: start,
		}); err != nil {
			return err
		}
		if err := tx.InsertTenant(ctx, registry.Tenant{
			ID: exampleFrozenID, Slug: "hooli", Name: "Hooli", Status: registry.StatusFrozen,
			Metadata: map[string]string{}, Version: 3,
			CreatedAt: start, UpdatedAt: start, ActivatedAt: &start, FrozenAt: &start,
		}); err != nil {
			return err
		}
		if err := tx.InsertAPIKey(ctx, registry.APIKey{
			ID: exampleKeyID, TenantID: registry.AcmeID, Name: "example", Environment: apikey.Test,
			Scopes: []string{"reports:read"},
			Prefix: unknownKey[:12], Hash: sha256.Sum256([]byte(unknownKey)), CreatedBy: "operator", CreatedAt: start,
			UpdatedAt: start, Version: 1,
		}); err != nil {
			return err
		}
		head, err := testkit.LockAuditHead(ctx, tx, registry.AcmeID)
		if err != nil {
			return err
		}
		return testkit.InsertAuditEvent(ctx, tx, salted(audit.Event{
			ID: exampleEventID, Pos: head.Pos + 1, Seq: head.Seq + 1, GroupID: registry.AcmeID, GroupName: "Acme",
			Action: "document.share",
			CRUD:   audit.Update, Actor: audit.Party{ID: "user-1", Name: "Acme admin", Type: "user"},
			Target: audit.Party{ID: "document-9", Type: "document"}, SourceIP: "192.0.2.10",
			Fields:    map[string]string{"channel": "web"},
			Component: "portal", ExternalID: "portal-77", Created: start, Received: start,
			CorrelationID: unknownID.String(),
			Emitter:       audit.Named{ID: "operator", Name: "operator"},
			Hash:          strings.Repeat("0", 64), PrevChainHash: head.ChainHash, ChainHash: strings.Repeat("1", 64),
		}))
	})
}

// salted gives an event salts, which are always the same.
func salted(e audit.Event) audit.Event {
	for _, p := range audit.AllParts {
		if e.Has(p) {
			e.Salts[p] = audit.Salt{1}
		}
	}
	return e
}

// TestExamples_areWhatIsAnswered sends every example request to a server with the sample data and compares the answer
// with the example of the same name. What is made anew at each start (ids, keys, hashes, cursors) counts as equal.
func TestExamples_areWhatIsAnswered(t *testing.T) {
	t.Parallel()
	for _, o := range theContract().operations {
		for name, body := range exampleBodies(o) {
			t.Run(strings.TrimSpace(o.op.OperationID+" "+name), func(t *testing.T) {
				t.Parallel()
				status, want := exampleAnswer(t, o, name)
				r := exampleRequest(o, body)
				if page, is := want.(map[string]any); is && page["items"] != nil {
					r.target = newQuery(r.target).set("limit", len(page["items"].([]any))).String()
				}
				got := exampleServer(t).call(r).want(status)
				if want != nil {
					wantEqual(t, "the answer", as[any](masked(got)), as[any](masked(&reply{
						t: t, body: mustJSON(want),
					})))
				}
			})
		}
	}
}

// exampleBodies are an operation's example bodies by name; one without a name if it takes no body.
func exampleBodies(o operation) map[string]any {
	if o.op.RequestBody == nil {
		return map[string]any{"": nil}
	}
	bodies := map[string]any{}
	for name, example := range o.op.RequestBody.Value.Content["application/json"].Examples {
		bodies[name] = example.Value.Value
	}
	return bodies
}

// exampleAnswer finds the success of this name, or the only one; its body is nil if the document gives none.
func exampleAnswer(t *testing.T, o operation, name string) (int, any) {
	t.Helper()
	for _, status := range []int{http.StatusOK, http.StatusCreated, http.StatusNoContent} {
		ref := o.op.Responses.Status(status)
		if ref == nil {
			continue
		}
		media := ref.Value.Content["application/json"]
		if media == nil || len(media.Examples) == 0 {
			return status, nil
		}
		for key, example := range media.Examples {
			if key == name || name == "" {
				return status, example.Value.Value
			}
		}
	}
	t.Fatalf("%s has no answer named %q", o.op.OperationID, name)
	return 0, nil
}

// exampleRequest fills in every parameter that has an example.
func exampleRequest(o operation, body any) request {
	q := newQuery(o.path)
	for _, parameters := range []openapi3.Parameters{o.item.Parameters, o.op.Parameters} {
		for _, ref := range parameters {
			switch p := ref.Value; {
			case p.Example == nil:
			case p.In == openapi3.ParameterInPath:
				q.path = strings.ReplaceAll(q.path, "{"+p.Name+"}", fmt.Sprint(p.Example))
			case p.In == openapi3.ParameterInQuery:
				q = q.set(p.Name, p.Example)
			}
		}
	}
	r := jsonRequest(q.String(), body)
	r.method = o.method
	return r
}

func mustJSON(v any) []byte {
	text, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		panic(err)
	}
	return text
}

var madeAnew = regexp.MustCompile(
	`"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"|"[0-9a-f]{64}"|` +
		`"bp_(live|test)_[0-9A-Za-z]{4,}"|"next_cursor":"[^"]+"`,
)

// masked is an answer without what is made anew at each start.
func masked(r *reply) *reply {
	same := *r
	same.body = madeAnew.ReplaceAllFunc(r.body, func(found []byte) []byte {
		if name, _, isMember := strings.Cut(string(found), `:`); isMember {
			return []byte(name + `:"some"`)
		}
		return []byte(`"some"`)
	})
	return &same
}

// The cursors of examples are real ones, of the lists they stand under.
func TestExamples_cursorsOpen(t *testing.T) {
	t.Parallel()
	newest, _ := web.OpenCursor(cursorOf(exampleServer(t), "/v1/audit"), "audit:false:all")
	for id, list := range map[string]string{
		"listEntitlements": "entitlements:" + registry.AcmeID.String(),
		"listCatalog":      "catalog:" + registry.AcmeID.String(),
		"listAPIKeys":      "api-keys:" + registry.AcmeID.String(), "listAuditEvents": "audit:false:all",
	} {
		i := slices.IndexFunc(theContract().operations, func(o operation) bool { return o.op.OperationID == id })
		_, want := exampleAnswer(t, theContract().operations[i], "")
		cursor := fmt.Sprint(want.(map[string]any)["next_cursor"])
		items := want.(map[string]any)["items"].([]any)
		last := items[len(items)-1].(map[string]any)
		position := map[string]any{
			"listEntitlements": last["product"], "listCatalog": last["key"], "listAPIKeys": last["id"],
			"listAuditEvents": newest,
		}[id]
		if want := web.SealCursor(list, fmt.Sprint(position)); cursor != want {
			t.Errorf("%s: the example's cursor is %s, want %s", id, cursor, want)
		}
	}
}

// Each example of a problem has the words that the server says. Which ones it says is known when all other tests have
// run, so they are compared with unanswered.
func (c *contract) problemExamples() map[string]map[string]bool {
	all := map[string]map[string]bool{}
	for _, ref := range c.doc.Components.Responses {
		if media := ref.Value.Content["application/problem+json"]; media != nil {
			for _, example := range media.Examples {
				body := mustJSON(example.Value.Value)
				code := example.Value.Value.(map[string]any)["code"].(string)
				if all[code] == nil {
					all[code] = map[string]bool{}
				}
				all[code][saying(body)] = true
			}
		}
	}
	return all
}

var digits = regexp.MustCompile(`[0-9]+`)

// saying is what a problem says: its code, sentence and faults, whatever the numbers in them.
func saying(body []byte) string {
	var p problem
	if err := json.Unmarshal(body, &p, json.MatchCaseInsensitiveNames(true)); err != nil {
		return ""
	}
	return "the words: " + p.Code + ", " + digits.ReplaceAllString(p.Detail, "N") + " " + string(mustJSON(p.Errors))
}
