package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/share"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
	"github.com/breakpilot/tenant-registry/internal/store/storetest/faultstore"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// take takes all that there is of a share.
func (c *client) take(name string) (release func()) {
	c.t.Helper()
	release, err := c.shareOf(name).Take(share.Holder{}, 1<<40)
	if err != nil {
		c.t.Fatal(err)
	}
	return release
}

func (c *client) shareOf(name string) *share.Share {
	c.t.Helper()
	all := c.registry.Shares()
	i := slices.IndexFunc(all, func(s *share.Share) bool { return s.Name() == name })
	if i < 0 {
		c.t.Fatalf("there is no share %s", name)
	}
	return all[i]
}

// TestShares_takenAreOverloaded asserts that every route whose document says so answers 503 overloaded, with
// Retry-After and the name of the share, when all of a share is taken, and that nothing was done.
func TestShares_takenAreOverloaded(t *testing.T) {
	t.Parallel()
	api := exampleServer(t)
	before := api.logLength()
	for _, s := range api.registry.Shares() {
		api.take(s.Name())
	}
	for _, rt := range routes {
		o, _, _ := theContract().find(rt.Method, strings.TrimSuffix(rt.Path, "{$}"))
		answer := o.op.Responses.Status(http.StatusServiceUnavailable)
		if answer == nil || answer.Ref != "#/components/responses/UnavailableOrOverloaded" {
			continue
		}
		for _, body := range exampleBodies(o) {
			r := exampleRequest(o, body)
			if rt.name() == "GET /v1/api-keys" { // of which only the filtered ones are wide
				r.target += "&state=revoked"
			}
			p := api.call(r).want(http.StatusServiceUnavailable).wantProblem("overloaded")
			if p.Share == "" {
				t.Errorf("%s names no share", rt.name())
			}
			break
		}
	}
	if n := api.logLength() - before; n != 0 {
		t.Errorf("refusals left %d events", n)
	}
}

// TestShares_bulkIsRefusedBeforeItsBody asserts that a bulk for which there is no room is refused when its header is
// there, whatever its body would be. The control is one for which there is room: it is answered when its body came.
func TestShares_bulkIsRefusedBeforeItsBody(t *testing.T) {
	t.Parallel()
	api := newClient(t, memory.New(), registry.Options{})
	ask := func() *http.Response {
		conn, err := net.Dial("tcp", strings.TrimPrefix(api.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_, err = fmt.Fprintf(conn, "POST /v1/audit/bulk HTTP/1.1\r\nHost: localhost\r\n"+
			"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n", 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return nil
		}
		return answer
	}
	if answer := ask(); answer != nil {
		t.Errorf("the control is answered %d without its body", answer.StatusCode)
	}
	testkit.Eventually(t, "the control has gone", func() bool { return api.shareOf("append_bytes").InUse() == 0 })
	api.take("append_bytes")
	if answer := ask(); answer == nil || answer.StatusCode != http.StatusServiceUnavailable ||
		answer.Header.Get("Retry-After") == "" {
		t.Errorf("a bulk without room is answered %+v", answer)
	}
}

// hostile is one caller's greed at a shared resource, and what another tenant's caller does meanwhile.
type hostile struct {
	share    string
	greed    func(r *rivals, i int)        // one of many at the same time
	innocent func(r *rivals, i int) *reply // what must go on
	held     int64                         // that may be taken of the share at most, whatever is asked for
	rate     bool                          // what is taken is not held, but returns with time
}

// rivals are two tenants on one server, each with its admins, and two services.
type rivals struct {
	server        *client
	greedy, quiet tenantBody
	admins        []auth.Principal // of the greedy tenant
	admin         auth.Principal   // of the quiet one
	writer, other auth.Principal
	// operators, who belong to no tenant
	operator, another auth.Principal
}

const (
	greedyOrg = "3f1c9f3e-0000-4000-8000-000000000001"
	quietOrg  = "3f1c9f3e-0000-4000-8000-000000000002"
)

// hostiles is the table of what callers share: each share has a line.
var hostiles = []hostile{
	{
		share: "appends", held: 4,
		greed: func(r *rivals, i int) { r.server.exchange(r.report(r.greedy, 1).by(r.writer)) },
		innocent: func(r *rivals, i int) *reply {
			return r.server.exchange(r.report(r.quiet, 1).by(r.other))
		},
	},
	{
		share: "append_bytes", held: 50_000,
		greed: func(r *rivals, i int) { r.server.exchange(r.report(r.greedy, 90).by(r.writer)) },
		innocent: func(r *rivals, i int) *reply {
			return r.server.exchange(r.report(r.quiet, 1).by(r.other))
		},
	},
	{
		share: "events", held: 1000, rate: true,
		greed: func(r *rivals, i int) { r.server.exchange(r.report(r.greedy, 90).by(r.writer)) },
		innocent: func(r *rivals, i int) *reply {
			return r.server.exchange(r.report(r.quiet, 1).by(r.other))
		},
	},
	{
		share: "exports", held: 4,
		greed: func(r *rivals, i int) { r.unread("/v1/audit/export?tenant_id="+r.greedy.ID.String(), r.admins[i%3]) },
		innocent: func(r *rivals, i int) *reply {
			return r.server.exchange(fetch("/v1/audit/export?tenant_id=" + r.quiet.ID.String()).by(r.admin))
		},
	},
	{
		share: "erasures", held: 2,
		greed: func(r *rivals, i int) { r.server.exchange(eraseEvents(r.greedy.ID, "no-one").by(r.operator)) },
		innocent: func(r *rivals, i int) *reply {
			return r.server.exchange(eraseEvents(r.quiet.ID, "no-one").by(r.another))
		},
	},
	{
		share: "long_polls", held: 10,
		greed: func(r *rivals, i int) {
			r.unread("/v1/audit?order=asc&wait=1&action=no.such&tenant_id="+r.greedy.ID.String(), r.admins[i%3])
		},
		innocent: func(r *rivals, i int) *reply {
			return r.server.exchange(fetch("/v1/audit?tenant_id=" + r.quiet.ID.String()).by(r.admin))
		},
	},
	{
		share: "wide_reads", held: 6,
		greed: func(r *rivals, i int) {
			r.server.exchange(fetch("/v1/audit?tenant_id=" + r.greedy.ID.String()).by(r.admins[i%3]))
		},
		innocent: func(r *rivals, i int) *reply {
			return r.server.exchange(fetch("/v1/audit?limit=1&tenant_id=" + r.quiet.ID.String()).by(r.admin))
		},
	},
	{
		share: "audit_rows", held: 1 << 40, rate: true, // charged afterwards, so it may be more than the cap
		greed: func(r *rivals, i int) {
			r.server.exchange(fetch("/v1/audit?crud=d&tenant_id=" + r.greedy.ID.String()).by(r.admins[i%3]))
		},
		innocent: func(r *rivals, i int) *reply {
			return r.server.exchange(fetch("/v1/audit?limit=1&tenant_id=" + r.quiet.ID.String()).by(r.admin))
		},
	},
	{
		share: "changes", held: 6,
		greed: func(r *rivals, i int) { r.server.exchange(r.key(r.greedy, i).by(r.admins[i%3])) },
		innocent: func(r *rivals, i int) *reply {
			return r.server.exchange(r.key(r.quiet, i).by(r.admin))
		},
	},
	{
		share: "key_changes", held: 1000, rate: true,
		greed: func(r *rivals, i int) { r.server.exchange(r.key(r.greedy, i).by(r.admins[i%3])) },
		innocent: func(r *rivals, i int) *reply {
			return r.server.exchange(r.key(r.quiet, i).by(r.admin))
		},
	},
}

// smallCaps are caps that a test reaches.
func smallCaps() registry.ShareCaps {
	return registry.ShareCaps{
		Appends: share.Caps{Caller: 2, Total: 100}, AppendBytes: share.Caps{Caller: 30_000, Total: 1 << 20},
		Events: share.Caps{Caller: 500, Total: 100_000}, Exports: share.Caps{Caller: 1, Tenant: 2, Total: 4},
		Erasures:  share.Caps{Caller: 1, Total: 2},
		LongPolls: share.Caps{Caller: 2, Tenant: 4, Total: 10}, WideReads: share.Caps{Caller: 2, Tenant: 3, Total: 6},
		AuditRows: share.Caps{Caller: 1000, Tenant: 2000}, Changes: share.Caps{Caller: 100, Tenant: 3, Total: 100},
		KeyChanges: share.Caps{Tenant: 30},
	}
}

// TestShares_holdOneCallersGreed asserts for each share that a hostile caller which asks for more than it may have is
// refused and takes no more than its caps, while the caller of another tenant is served. The control is the same
// without caps: the hostile one takes more, or is never refused.
func TestShares_holdOneCallersGreed(t *testing.T) {
	t.Parallel()
	for _, h := range hostiles {
		for name, caps := range map[string]registry.ShareCaps{"": smallCaps(), " control": {}} {
			t.Run(h.share+name, func(t *testing.T) {
				t.Parallel()
				r := newRivals(t, caps)
				capped := name == ""
				peak, refused := r.attack(h, capped)
				if capped && (refused == 0 || peak > h.held) {
					t.Errorf("%d were taken, %d at most; %d refusals", peak, h.held, refused)
				}
				if !capped && !h.rate && peak <= h.held {
					t.Errorf("without caps only %d were taken, of %d: this test shows nothing", peak, h.held)
				}
			})
		}
	}
}

// TestShares_haveALine asserts that every share is in the table of hostile callers.
func TestShares_haveALine(t *testing.T) {
	t.Parallel()
	for _, s := range newClient(t, memory.New(), registry.Options{}).registry.Shares() {
		if !slices.ContainsFunc(hostiles, func(h hostile) bool { return h.share == s.Name() }) {
			t.Errorf("the share %s has no line in the table of hostile callers", s.Name())
		}
	}
}

func newRivals(t *testing.T, caps registry.ShareCaps) *rivals {
	t.Helper()
	api := newClient(t, memory.New(), registry.Options{Shares: &registry.ShareCaps{}})
	r := &rivals{greedy: api.own("greedy", greedyOrg), quiet: api.own("quiet", quietOrg)}
	for range 20 {
		api.call(r.report(r.greedy, 100)).want(http.StatusCreated)
	}
	who := &principals{known: map[string]auth.Principal{}}
	slow := faultstore.New(api.store, func(call string) error { // as a database is
		if call == "ListAuditEvents" || call == "Tx.InsertAuditEvents" || call == "LockErasures" {
			<-time.After(2 * time.Millisecond)
		}
		return nil
	})
	r.server = startServer(t, slow, registry.Options{Now: api.clock.now, Shares: &caps}, Config{Auth: who})
	for i := range 3 {
		r.admins = append(r.admins, who.add(user(fmt.Sprint("greedy-", i), auth.RoleTenantAdmin, greedyOrg)))
	}
	r.admin = who.add(user("quiet", auth.RoleTenantAdmin, quietOrg))
	r.writer = who.add(service("greedy-writer", "", auth.RoleAuditWrite))
	r.other = who.add(service("quiet-writer", "", auth.RoleAuditWrite))
	r.operator = who.add(user("greedy-operator", auth.RoleOperator, ""))
	r.another = who.add(user("quiet-operator", auth.RoleOperator, ""))
	return r
}

// attack lets many greedy requests run, with caps until the first is refused, without until they hold more than the
// caps would allow, and then an innocent caller make its own one after the other, all of which must be served. It
// returns what was taken of the share at most, and how often the share refused.
func (r *rivals) attack(h hostile, capped bool) (most, refused int64) {
	s := r.server.shareOf(h.share)
	ctx, stop := context.WithCancel(r.server.t.Context())
	var running sync.WaitGroup
	var number, peak atomic.Int64
	for range 24 {
		running.Go(func() {
			for ctx.Err() == nil {
				h.greed(r, int(number.Add(1)))
			}
		})
	}
	running.Go(func() {
		for ctx.Err() == nil {
			peak.Store(max(peak.Load(), s.InUse()))
			runtime.Gosched()
		}
	})
	testkit.Eventually(r.server.t, "the greedy requests run, and are too many", func() bool {
		if capped {
			return number.Load() > 24 && s.Refused() > 0
		}
		return number.Load() > 24 && (h.rate || peak.Load() > h.held)
	})
	for i := range 8 {
		if got := h.innocent(r, i); got.status >= http.StatusBadRequest {
			r.server.t.Errorf("the innocent caller is answered %d %s", got.status, got.body)
		}
	}
	stop()
	running.Wait()
	return peak.Load(), s.Refused()
}

// report is a number of events about a tenant.
func (r *rivals) report(tenant tenantBody, count int) request {
	events := make([]object, count)
	for i := range events {
		events[i] = reportAbout(tenant.ID)
		events[i]["description"] = strings.Repeat("x", 100)
	}
	return jsonRequest("/v1/audit/bulk", object{"events": events})
}

func (r *rivals) key(tenant tenantBody, i int) request {
	return jsonRequest("/v1/api-keys", object{"tenant_id": tenant.ID, "name": "key " + strconv.Itoa(i)})
}

// unread asks and reads the header, and the body no faster than a page in a while.
func (r *rivals) unread(target string, by auth.Principal) {
	ctx, cancel := context.WithTimeout(r.server.t.Context(), 200*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.server.url+target, nil)
	if err != nil {
		return
	}
	req.Header.Set("Authorization", "Bearer "+by.ID)
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode == http.StatusOK {
		_, _ = io.CopyN(io.Discard, answer.Body, 1024)
		<-ctx.Done()
	}
}
