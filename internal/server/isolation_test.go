package server

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

// TestIsolation_holdsAtEveryRoute tries every route as every kind of caller on its own objects, on foreign ones and on
// what does not exist, and holds the answers to policyTable.
func TestIsolation_holdsAtEveryRoute(t *testing.T) {
	rows := policyRows(t)
	eachStore(t, func(t *testing.T, api *client) {
		insertProducts(api)
		server, known := guarded(api, Config{})
		for _, kind := range principalKinds {
			t.Run(strings.ReplaceAll(kind.name, " ", "_"), func(t *testing.T) {
				t.Parallel()
				isolationOf(api.in(t), server.in(t), known, kind, rows)
			})
		}
	})
}

// requestCount makes the ids of requests unique.
var requestCount atomic.Int64

// isolationOf tries every route as one kind of caller. What is to change nothing shares fixtures, which must be as
// before at the end.
func isolationOf(operator, server *client, known *principals, kind principalKind, rows map[string]map[string]string) {
	operator.t.Helper()
	shared := newFixtures(operator, registry.StatusActive)
	before := shared.state(operator)
	for i, name := range Routes() {
		test := isolationTest{
			operator: operator, server: server, known: known, kind: kind, fixtures: shared, route: name,
			anyone:   routes[i].Roles.anyone,
			refusals: map[string]string{},
		}
		m, changes := mutations[name]
		read, reads := readCases[name]
		switch {
		case reads:
			test.access = kind.access(rows[read.policy])
			test.tagged = read.policy == "read tenant, by slug" || name == "GET /v1/api-keys/{id}"
			test.try(read.cases(shared))
			continue
		case !changes:
			continue // which TestMutations_haveAllRoutes or TestIsolation_hasAllRoutes reports
		}
		test.changes, test.access = true, kind.access(rows[m.policy])
		if test.access.any() {
			test.fixtures = newFixtures(operator, m.status())
		}
		test.try(m.isolationCases(test.fixtures))
	}
	if after := shared.state(operator); after != before {
		server.t.Errorf(
			"%s: calls that read or were refused changed something: before\n%s\nafter\n%s", kind.name, before, after,
		)
	}
}

// isolationTest is one caller at one route.
type isolationTest struct {
	operator, server *client
	known            *principals
	kind             principalKind
	access           expectedAccess
	fixtures         *fixtures
	route            string
	changes          bool              // it leaves an event
	tagged           bool              // its answers have entity tags
	anyone           bool              // it does not look at who calls
	refusals         map[string]string // of each way to ask, the first
}

func (it *isolationTest) try(cases []isolationCase) {
	it.server.t.Helper()
	principal := it.principal()
	before, changed := "", false
	mayChange := it.changes && it.access.any() // so the fixtures are its own
	if mayChange {
		before = it.fixtures.state(it.operator)
	}
	for i, c := range cases {
		want := it.want(c)
		for _, way := range ways(c.request) {
			id := fmt.Sprintf("request-%06d-%02d-%s", requestCount.Add(1), i, way.name)
			sent := way.request.with("X-Request-Id", id)
			if !it.kind.anonymous {
				sent = sent.by(principal)
			}
			it.server.canaries = it.hidden(c)
			got := it.server.send(sent)
			what := fmt.Sprintf("%s, %s, %s object, %s", it.kind.name, it.route, c.object, way.name)
			if expected := way.expects(it.tagged, want); got.status != expected {
				it.server.t.Errorf("%s: %s → %d %s, want %d", what, got.what, got.status, got.body, expected)
			}
			it.compare(what, way.name, id, got)
			it.checkEvents(what, id, principal, want < 300 && (!it.anyone || c.object != unknown))
			changed = changed || got.status < 300
		}
	}
	if mayChange && !changed && it.fixtures.state(it.operator) != before {
		it.server.t.Errorf("%s: refused calls of %s changed something: before\n%s", it.kind.name, it.route, before)
	}
}

// principal makes the kind's principal for these fixtures known.
func (it *isolationTest) principal() auth.Principal {
	k := it.kind
	id := fmt.Sprintf("%d-%s", it.fixtures.n, strings.NewReplacer(" ", "-", ",", "", "'", "", ":", "").Replace(k.name))
	p := auth.Principal{
		ID: id, Name: id, Type: auth.TypeUser, AZP: "azp", Roles: slices.Clone(k.roles), Product: k.product,
	}
	p.Organization = map[string]string{
		"own": it.fixtures.org, "slug": it.fixtures.own.slug, "unknown": "org-unknown",
	}[k.org]
	if k.org == "" {
		p.OrganizationFault = "the token has no claim organization"
	}
	return it.known.add(p)
}

// want is the status of an answer to a GET or of a change.
func (it *isolationTest) want(c isolationCase) int {
	switch {
	case it.kind.anonymous && !it.access.anyone:
		return http.StatusUnauthorized
	case !it.access.any():
		return http.StatusForbidden
	case it.access.sees(c.object):
		return c.ok
	}
	return c.missing
}

// hidden is what the answer must not hold.
func (it *isolationTest) hidden(c isolationCase) []string {
	var texts []string
	a := it.access
	switch mayHold := a.sees(c.object) && c.object != own; {
	case !mayHold, c.object == none && !a.operator:
		texts = append(texts, tenantCanary)
	}
	onlyByProduct := !a.all && (!a.own || c.object != own)
	if onlyByProduct && (a.product || !a.sees(c.object)) {
		texts = append(texts, productCanary, foreignProduct)
	}
	return texts
}

// way is how a request is sent.
type way struct {
	name    string
	request request
}

// ways are a request as it is, and what else can be asked of a route that only reads: HEAD, and whether something is
// unchanged.
func ways(r request) []way {
	if r.method != http.MethodGet {
		return []way{{"plain", r}}
	}
	head := r
	head.method = http.MethodHead
	return []way{{"plain", r}, {"head", head}, {"if-none-match", r.with("If-None-Match", "*")}}
}

// expects is the status of the way, given that of a GET.
func (w way) expects(tagged bool, status int) int {
	if w.name == "if-none-match" && status == http.StatusOK && tagged {
		return http.StatusNotModified
	}
	return status
}

// compare asserts that all refusals of one caller are the same bytes, whatever they refuse.
func (it *isolationTest) compare(what, way, id string, got *reply) {
	it.server.t.Helper()
	if got.status != http.StatusUnauthorized && got.status != http.StatusForbidden &&
		got.status != http.StatusNotFound {
		return
	}
	text := withoutID(got, id)
	if first, there := it.refusals[way]; !there {
		it.refusals[way] = text
	} else if first != text {
		it.server.t.Errorf("%s: the refusals differ:\n%s\n%s", what, first, text)
	}
}

// withoutID is an answer, all but what is different at every request.
func withoutID(got *reply, id string) string {
	header := got.header.Clone()
	header.Del("Date")
	header.Set("X-Request-Id", strings.ReplaceAll(header.Get("X-Request-Id"), id, "ID"))
	return fmt.Sprintf("%d %v %s", got.status, header, bytes.ReplaceAll(got.body, []byte(id), []byte("ID")))
}

// checkEvents asserts that the request left one event by this principal if it changed something, and else none. Those
// of an unknown caller have no id of its own choice, by which to find them: the mutation catalogue holds them.
func (it *isolationTest) checkEvents(what, id string, p auth.Principal, changed bool) {
	it.server.t.Helper()
	if !it.changes || it.anyone {
		return
	}
	query := registry.AuditQuery{CorrelationID: id, PageRequest: registry.PageRequest{Limit: 10}}
	found, err := it.operator.registry.Audit(it.operator.t.Context(), operatorCaller, query)
	if err != nil {
		it.server.t.Fatal(err)
	}
	want := 0
	if changed {
		want = 1
	}
	if len(found.Items) != want {
		it.server.t.Fatalf("%s: %d events, want %d", what, len(found.Items), want)
	}
	for _, e := range found.Items {
		if by := e.Actor.ID + e.Emitter.ID; by != p.ID || e.SourceIP != "" && e.SourceIP != "127.0.0.1" {
			it.server.t.Errorf("%s: the event is by %q of %s, want %q", what, by, e.SourceIP, p.ID)
		}
	}
}
