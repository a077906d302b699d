package server

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

// TestIsolation tries every route as every kind of principal on its own objects, on foreign ones and on what is not there, and holds the
// answers to whoMayCall. A route without a case fails.
func TestIsolation(t *testing.T) {
	rows := cells(t)
	eachStore(t, func(t *testing.T, api *client) {
		catalogue(api)
		server, who := guarded(api, Config{})
		for i, name := range Routes() {
			c, there := routeCases[name]
			if !there {
				t.Errorf("%s has no row in the matrix", name)
				continue
			}
			t.Run(strings.ReplaceAll(name, "/", "_"), func(t *testing.T) {
				t.Parallel()
				for _, k := range kinds {
					m := matrix{operator: api.in(t), server: server.in(t), who: who, kind: k, changes: routes[i].event != "", anyone: routes[i].allow == "anyone"}
					m.try(c, k.in(rows[c.row]))
				}
			})
		}
	})
}

// matrix is one principal at one route.
type matrix struct {
	operator, server *client
	who              *identities
	kind             kind
	ground           *ground
	changes          bool
	anyone           bool              // the route does not look at who calls
	refused          map[string]string // of each way to ask, what the first refusal was
}

func (m *matrix) try(c routeCase, r reach) {
	m.operator.t.Helper()
	m.refused = map[string]string{}
	m.ground = newGround(m.operator, c.trial)
	principal := m.principal()
	aims := c.aims(m.ground)
	before := m.ground.state(m.operator)
	changed := false
	for i, a := range aims {
		want := m.want(a, r)
		for _, way := range ways(a.request) {
			id := fmt.Sprintf("request-%06d-%02d-%s", m.ground.n, i, way.name)
			sent := way.request.with("X-Request-Id", id)
			if !m.kind.anonymous {
				sent = sent.by(principal)
			}
			m.server.canaries = m.hidden(a, r)
			got := m.server.send(sent)
			what := fmt.Sprintf("%s, %s object, %s", m.kind.name, a.object, way.name)
			if expected := way.expects(c, want); got.status != expected {
				m.server.t.Errorf("%s: %s → %d %s, want %d", what, got.what, got.status, got.body, expected)
			}
			m.compare(what, way.name, id, got)
			m.checkEvents(what, id, principal, want < 300 && (!m.anyone || a.object != unknown))
			changed = changed || (m.changes && got.status < 300)
		}
	}
	if after := m.ground.state(m.operator); !changed && after != before {
		m.server.t.Errorf("%s: refused calls changed something: before\n%s\nafter\n%s", m.kind.name, before, after)
	}
}

// principal makes the kind's principal for this ground known.
func (m *matrix) principal() auth.Principal {
	k := m.kind
	id := fmt.Sprintf("%d-%s", m.ground.n, strings.NewReplacer(" ", "-", ",", "", "'", "", ":", "").Replace(k.name))
	p := auth.Principal{ID: id, Name: id, Type: auth.TypeUser, AZP: "azp", Roles: slices.Clone(k.roles), Product: k.product}
	switch p.Organization = map[string]string{"own": m.ground.org, "slug": m.ground.own.slug, "unknown": "org-unknown"}[k.org]; k.org {
	case "":
		p.OrganizationFault = "the token has no claim organization"
	}
	return m.who.add(p)
}

// want is the status of an answer to a GET or of a change.
func (m *matrix) want(a aim, r reach) int {
	switch {
	case m.kind.anonymous && !r.anyone:
		return http.StatusUnauthorized
	case !r.some():
		return http.StatusForbidden
	case r.sees(a.object):
		return a.ok
	}
	return a.missing
}

// hidden is what the answer must not hold.
func (m *matrix) hidden(a aim, r reach) []string {
	var texts []string
	switch mayHold := r.sees(a.object) && a.object != own; {
	case !mayHold, a.object == none && !r.operator:
		texts = append(texts, tenantCanary)
	}
	onlyByProduct := !r.all && (!r.own || a.object != own)
	if onlyByProduct && (r.product || !r.sees(a.object)) {
		texts = append(texts, productCanary, foreignProduct)
	}
	return texts
}

// way is how a request is sent.
type way struct {
	name    string
	request request
}

// ways are a request as it is, and what else can be asked of a route that only reads: HEAD, and whether something is still the same.
func ways(r request) []way {
	if r.method != http.MethodGet {
		return []way{{"plain", r}}
	}
	head := r
	head.method = http.MethodHead
	return []way{{"plain", r}, {"head", head}, {"if-none-match", r.with("If-None-Match", "*")}}
}

// expects is the status of the way, given that of a GET.
func (w way) expects(c routeCase, status int) int {
	tagged := c.row == "read tenant, by slug" || strings.HasPrefix(w.request.target, "/v1/api-keys/")
	if w.name == "if-none-match" && status == http.StatusOK && tagged {
		return http.StatusNotModified
	}
	return status
}

// compare asserts that all refusals of one caller are the same bytes, whatever they refuse.
func (m *matrix) compare(what, way, id string, got *reply) {
	m.server.t.Helper()
	if got.status != http.StatusUnauthorized && got.status != http.StatusForbidden && got.status != http.StatusNotFound {
		return
	}
	text := withoutID(got, id)
	if first, there := m.refused[way]; !there {
		m.refused[way] = text
	} else if first != text {
		m.server.t.Errorf("%s: the refusals differ:\n%s\n%s", what, first, text)
	}
}

// withoutID is an answer, all but what is different at every request.
func withoutID(got *reply, id string) string {
	header := got.header.Clone()
	header.Del("Date")
	header.Set("X-Request-Id", strings.ReplaceAll(header.Get("X-Request-Id"), id, "ID"))
	return fmt.Sprintf("%d %v %s", got.status, header, bytes.ReplaceAll(got.body, []byte(id), []byte("ID")))
}

// checkEvents asserts that the request left one event by this principal if it changed something, and else none.
func (m *matrix) checkEvents(what, id string, p auth.Principal, changed bool) {
	m.server.t.Helper()
	if !m.changes {
		return
	}
	found, err := m.operator.registry.Audit(m.operator.t.Context(), operator, registry.AuditQuery{CorrelationID: id, Limit: 10})
	if err != nil {
		m.server.t.Fatal(err)
	}
	want := 0
	if changed {
		want = 1
	}
	if m.anyone {
		p.ID = ""
	}
	if len(found.Items) != want {
		m.server.t.Fatalf("%s: %d events, want %d", what, len(found.Items), want)
	}
	for _, e := range found.Items {
		if by := e.Actor.ID + e.EmitterID; by != p.ID || e.SourceIP != "" && e.SourceIP != "127.0.0.1" {
			m.server.t.Errorf("%s: the event is by %q of %s, want %q", what, by, e.SourceIP, p.ID)
		}
	}
}
