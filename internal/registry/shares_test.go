package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/share"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// caps sets the caps of some shares; the others have none.
func caps(set func(*registry.ShareCaps)) func(*registry.Options) {
	return func(o *registry.Options) {
		o.Shares = &registry.ShareCaps{}
		set(o.Shares)
	}
}

// full checks that a share refuses, and by whose cap.
func (f *fixture) full(err error, name string, level share.Level) {
	f.t.Helper()
	var r *share.Refusal
	if !errors.As(err, &r) || r.Share != name || r.Level != level || r.RetryAfter <= 0 {
		f.t.Errorf("got %v, want a refusal by the share %s of the %s", err, name, level)
	}
}

// inUse is what is taken of a share.
func (f *fixture) inUse(name string) int64 {
	i := slices.IndexFunc(f.s.Shares(), func(s *share.Share) bool { return s.Name() == name })
	return f.s.Shares()[i].InUse()
}

// admin is a tenant-admin of a tenant.
func admin(name string, tenant registry.Tenant) registry.Caller {
	return registry.Caller{Actor: audit.Party{ID: name}, Access: registry.Access{Tenant: tenant.ID}}
}

// Exports are capped by caller, by tenant and in all; closing one makes room, and one that is refused takes nothing.
func TestShares_exports(t *testing.T) {
	t.Parallel()
	f := newFixture(t, caps(func(c *registry.ShareCaps) { c.Exports = share.Caps{Caller: 1, Tenant: 2, Total: 3} }))
	mine, theirs := f.tenant("mine", registry.StatusActive), f.tenant("theirs", registry.StatusActive)
	begin := func(by registry.Caller, tenant registry.Tenant) (*registry.Export, error) {
		return f.s.Export(f.ctx, by, registry.ExportRequest{GroupID: &tenant.ID})
	}
	first, err := begin(admin("a", mine), mine)
	f.must(err)
	_, err = begin(admin("a", mine), mine)
	f.full(err, "exports", share.Caller)
	_, err = begin(admin("a", mine), theirs) // a foreign tenant is none, whatever is taken
	f.refusal(err, registry.NotFound, registry.CodeTenantNotFound)
	second, err := begin(admin("b", mine), mine)
	f.must(err)
	_, err = begin(admin("c", mine), mine)
	f.full(err, "exports", share.Tenant)
	third, err := begin(admin("x", theirs), theirs)
	f.must(err)
	_, err = begin(f.by, mine)
	f.full(err, "exports", share.All)
	first.Close()
	last, err := begin(f.by, mine)
	f.must(err)
	for _, x := range []*registry.Export{second, third, last} {
		x.Close()
	}
	for _, s := range f.s.Shares() {
		if n := s.InUse(); n != 0 {
			t.Errorf("%d are left of the share %s", n, s.Name())
		}
	}
}

// A drain ends an export with the page that it is in, and its cursor continues it. The control is the same export
// without a drain, which is one.
func TestExport_drainEndsItWithACursor(t *testing.T) {
	t.Parallel()
	for name, drains := range map[string]bool{"drain": true, "control": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, noCaps)
			tenant := f.tenant("acme", registry.StatusTrial)
			for range 300 {
				_, err := f.s.RecordEvent(f.ctx, f.by, reported(tenant.ID))
				f.must(err)
			}
			whole := f.exported(registry.ExportRequest{GroupID: &tenant.ID})
			x, err := f.s.Export(f.ctx, f.by, registry.ExportRequest{GroupID: &tenant.ID})
			f.must(err)
			defer x.Close()
			if drains {
				f.s.Drain()
			}
			var text bytes.Buffer
			next := ""
			err = x.NDJSON(f.ctx, &text, func(place string) string {
				next = place
				return place
			})
			if errors.Is(err, registry.ErrDraining) != drains || !drains && err != nil {
				t.Fatalf("the export ends with %v", err)
			}
			r := verified(text.String(), audit.Proof{Part: true})
			if r.Status != audit.OK || (r.Last == 301) == drains || next != f.placeOf(tenant, r.Last) {
				t.Fatalf("the export ends at %d, the cursor continues at %s: %s", r.Last, next, r.Text)
			}
			rest := f.exportedBy(registry.New(f.store, registry.Options{}),
				registry.ExportRequest{GroupID: &tenant.ID, Cursor: next})
			lines := slices.Concat(eventLines(text.String()), eventLines(rest))
			if !slices.Equal(lines, eventLines(whole)) {
				t.Errorf("%s and the rest are %d lines of %d", next, len(lines), len(eventLines(whole)))
			}
		})
	}
}

// An export of large events has few of them in memory at a time. The control is one of small events.
func TestExport_pagesAreBoundedByBytes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, noCaps)
	largest := func(bytes int) (most int) {
		tenant := f.tenant(fmt.Sprint("with-", bytes), registry.StatusTrial)
		for range 400 {
			e := reported(tenant.ID)
			e.Fields = map[string]string{"f": string(make([]byte, 0, bytes)) + fmt.Sprintf("%*d", bytes, 1)}
			_, err := f.s.RecordEvent(f.ctx, f.by, e)
			f.must(err)
		}
		x, err := f.s.Export(f.ctx, f.by, registry.ExportRequest{GroupID: &tenant.ID})
		f.must(err)
		defer x.Close()
		f.must(x.Pages(f.ctx, func(events []audit.Event) error {
			most = max(most, len(events))
			return nil
		}))
		return most
	}
	if n := largest(14_000); n > 25 {
		t.Errorf("%d events of 14 KB are in memory", n)
	}
	if n := largest(10); n <= 100 {
		t.Errorf("the control has pages of %d events", n)
	}
}

// A tenant's changes run in turn and hold one transaction, so another tenant's goes on at once; beyond the cap they are
// refused, and the portal's are counted for the tenant that they are for.
func TestShares_changes(t *testing.T) {
	t.Parallel()
	store := newGated()
	f := fixtureOn(t, store, caps(func(c *registry.ShareCaps) { c.Changes = share.Caps{Tenant: 10} }))
	mine, theirs := f.tenant("mine", registry.StatusActive), f.tenant("theirs", registry.StatusActive)
	begun := store.count()
	store.mu.Lock()
	store.gate = make(chan struct{})
	store.mu.Unlock()
	portal := registry.Caller{Actor: audit.Party{ID: "portal"}, Access: registry.Access{Tenants: true}}
	var running sync.WaitGroup
	create := func(tenant registry.Tenant) {
		running.Go(func() {
			_, err := f.s.CreateAPIKey(f.ctx, portal, registry.APIKeyInput{TenantID: tenant.ID, Name: "a key"})
			if err != nil {
				t.Error(err)
			}
		})
	}
	inUse := func() int64 { return f.inUse("changes") }
	for range 10 {
		create(mine)
	}
	testkit.Eventually(t, "all wait", func() bool { return inUse() == 10 && store.count() == begun+1 })
	_, err := f.s.CreateAPIKey(f.ctx, portal, registry.APIKeyInput{TenantID: mine.ID, Name: "one more"})
	f.full(err, "changes", share.Tenant)
	create(theirs)
	testkit.Eventually(t, "the other tenant's has its transaction", func() bool { return store.count() == begun+2 })
	close(store.gate)
	running.Wait()
	if n := inUse(); n != 0 {
		t.Errorf("%d are left", n)
	}
}

// Who names a tenant that it does not reach takes nothing of that tenant's share, and waits in no turn of it; a
// revocation is refused by no greed of its tenant. The control is a creation.
func TestShares_changesOfForeignTenants(t *testing.T) {
	t.Parallel()
	store := newGated()
	f := fixtureOn(t, store, caps(func(c *registry.ShareCaps) { c.Changes = share.Caps{Tenant: 4} }))
	mine, theirs := f.tenant("mine", registry.StatusActive), f.tenant("theirs", registry.StatusActive)
	key, _ := f.key(registry.APIKeyInput{TenantID: mine.ID})
	begun := store.count()
	store.mu.Lock()
	store.gate = make(chan struct{})
	store.mu.Unlock()
	var running sync.WaitGroup
	create := func(by registry.Caller, tenant registry.Tenant) {
		running.Go(func() {
			_, _ = f.s.CreateAPIKey(f.ctx, by, registry.APIKeyInput{TenantID: tenant.ID, Name: "a key"})
		})
	}
	for range 4 {
		create(admin("greedy", mine), theirs)
	}
	testkit.Eventually(t, "one of the greedy ones has a transaction, the others wait", func() bool {
		return store.count() == begun+1 && f.inUse("changes") == 4
	})
	_, err := f.s.CreateAPIKey(f.ctx, admin("greedy", mine), registry.APIKeyInput{TenantID: theirs.ID, Name: "x"})
	f.full(err, "changes", share.Tenant)
	create(admin("quiet", theirs), theirs)
	testkit.Eventually(t, "the other tenant's own has one, too", func() bool { return store.count() == begun+2 })
	revoked := make(chan error, 1)
	running.Go(func() {
		_, err := f.s.RevokeAPIKey(f.ctx, admin("another", mine), key.ID, "")
		revoked <- err
	})
	testkit.Eventually(t, "the revocation waits for its turn", func() bool { return f.inUse("changes") == 6 })
	close(store.gate)
	running.Wait()
	f.must(<-revoked)
}

// A request whose caller has gone leaves the queue of appends: while the database hangs no more is queued than callers
// wait for.
func TestAppender_forgetsWhoHasGone(t *testing.T) {
	t.Parallel()
	store := newGated()
	f := fixtureOn(t, store, noCaps)
	store.mu.Lock()
	store.gate = make(chan struct{})
	store.mu.Unlock()
	var running sync.WaitGroup
	first := f.by
	running.Go(func() { _, _ = f.s.RecordEvent(f.ctx, first, reported(uuid.Nil)) })
	<-store.started
	for i := range 50 {
		by := f.by
		by.Actor.ID = fmt.Sprint("caller-", i%3)
		ctx, leave := context.WithCancel(f.ctx)
		leave()
		if _, err := f.s.RecordEvent(ctx, by, reported(uuid.Nil)); !errors.Is(err, registry.ErrUnavailable) {
			t.Errorf("who has gone is answered %v", err)
		}
	}
	if n := registry.QueuedAppends(f.s); n != 0 {
		t.Errorf("%d requests of callers that have gone are queued", n)
	}
	close(store.gate)
	running.Wait()
	if n := len(f.log()); n != 1 {
		t.Errorf("%d events are written, want one", n)
	}
}

// The daily limit counts what leaves rows that no one removes: creations and rotations by any caller, and never a
// revocation; a refused command counts for nothing.
func TestShares_keyChanges(t *testing.T) {
	t.Parallel()
	f := newFixture(t, caps(func(c *registry.ShareCaps) { c.KeyChanges = share.Caps{Tenant: 3} }))
	mine, theirs := f.tenant("mine", registry.StatusActive), f.tenant("theirs", registry.StatusActive)
	in := registry.APIKeyInput{TenantID: mine.ID}
	first, _ := f.key(in)
	second, _ := f.key(in)
	_, err := f.s.CreateAPIKey(f.ctx, f.by, registry.APIKeyInput{TenantID: mine.ID, Name: "x", Product: "unknown"})
	f.refusal(err, registry.NotFound, registry.CodeProductNotFound)
	_, err = f.s.RotateAPIKey(f.ctx, f.by, first.ID, nil)
	f.must(err)
	_, err = f.s.RotateAPIKey(f.ctx, f.by, first.ID, nil)
	f.full(err, "key_changes", share.Tenant)
	_, err = f.s.CreateAPIKey(f.ctx, f.by, registry.APIKeyInput{TenantID: mine.ID, Name: "x"})
	f.full(err, "key_changes", share.Tenant)
	for _, id := range []uuid.UUID{first.ID, second.ID} {
		_, err = f.s.RevokeAPIKey(f.ctx, f.by, id, "")
		f.must(err)
	}
	f.key(registry.APIKeyInput{TenantID: theirs.ID})
}

// Reported events are limited by the second; this service's own are in no one's share.
func TestShares_events(t *testing.T) {
	t.Parallel()
	f, l, recorded := securityFixture(t, caps(func(c *registry.ShareCaps) { c.Events = share.Caps{Caller: 105} }))
	tenant := f.tenant("acme", registry.StatusActive)
	bulk := make([]audit.Event, 100)
	for i := range bulk {
		bulk[i] = reported(tenant.ID)
	}
	report := func(by registry.Caller) error {
		done, err := f.s.BeginAppend(by, 10<<10, 10<<10)
		if err != nil {
			return err
		}
		defer done()
		_, err = f.s.RecordEvents(f.ctx, by, bulk)
		return err
	}
	f.must(report(f.by))
	f.full(report(f.by), "events", share.Caller)
	other := f.by
	other.Actor.ID = "op-2"
	f.must(report(other))
	reads(f, l, 0, 300)
	if got := recorded(); len(got) != 300 {
		t.Errorf("%d events of this service are written, want 300", len(got))
	}
}

// What is examined for pages is charged to the caller: over its share a caller is refused, another tenant is not.
func TestShares_auditRows(t *testing.T) {
	t.Parallel()
	f := newFixture(t, caps(func(c *registry.ShareCaps) { c.AuditRows = share.Caps{Caller: 100, Tenant: 1000} }))
	mine, theirs := f.tenant("mine", registry.StatusActive), f.tenant("theirs", registry.StatusActive)
	for range 500 {
		_, err := f.s.RecordEvent(f.ctx, f.by, reported(mine.ID))
		f.must(err)
	}
	ask := func(by registry.Caller, tenant registry.Tenant) error {
		_, err := f.s.Audit(f.ctx, by, registry.AuditQuery{
			GroupID: &tenant.ID, CRUD: audit.Delete, PageRequest: registry.PageRequest{Limit: 1},
		})
		return err
	}
	f.must(ask(admin("a", mine), mine))
	f.full(ask(admin("a", mine), mine), "audit_rows", share.Caller)
	f.must(ask(admin("b", mine), mine))
	f.full(ask(admin("c", mine), mine), "audit_rows", share.Tenant)
	f.must(ask(admin("x", theirs), theirs))
}

// A page that its caller does not wait for is charged as one that examined all it may.
func TestShares_auditRowsOfWhoLeaves(t *testing.T) {
	t.Parallel()
	f := newFixture(t, caps(func(c *registry.ShareCaps) { c.AuditRows = share.Caps{Caller: 100} }))
	q := registry.AuditQuery{PageRequest: registry.PageRequest{Limit: 1}}
	ctx, leave := context.WithCancel(f.ctx)
	leave()
	if _, err := f.s.Audit(ctx, f.by, q); !errors.Is(err, context.Canceled) {
		t.Fatalf("who leaves is answered %v", err)
	}
	_, err := f.s.Audit(f.ctx, f.by, q)
	f.full(err, "audit_rows", share.Caller)
}

// A body whose length was not announced is charged what it had when that is known. The control is a long one.
func TestShares_eventsOfUnannouncedBodies(t *testing.T) {
	t.Parallel()
	f := newFixture(t, caps(func(c *registry.ShareCaps) { c.Events = share.Caps{Caller: 5000} }))
	send := func(length int64) error {
		done, err := f.s.BeginAppend(f.by, 2<<20, 0)
		if err != nil {
			return err
		}
		defer done()
		f.s.AppendLength(f.by, 0, length)
		return nil
	}
	for range 10 {
		f.must(send(1 << 10))
	}
	f.must(send(2 << 20))
	f.full(send(1<<10), "events", share.Caller)
}

// One caller's long polls are capped, and a refused one says so instead of being answered at once.
func TestShares_longPolls(t *testing.T) {
	t.Parallel()
	f := newFixture(t, caps(func(c *registry.ShareCaps) { c.LongPolls = share.Caps{Caller: 2} }))
	ctx, cancel := context.WithCancel(f.ctx)
	one, two := f.follow(ctx, ascending, registry.MaxWait), f.follow(ctx, ascending, registry.MaxWait)
	testkit.Eventually(t, "they wait", func() bool { return f.s.LongPolls() == 2 })
	_, err := f.s.Follow(f.ctx, f.by, ascending, registry.MaxWait)
	f.full(err, "long_polls", share.Caller)
	cancel()
	<-one
	<-two
	if n := f.s.LongPolls(); n != 0 {
		t.Errorf("%d are left", n)
	}
}

// The appends of callers are served in turn: one that came after a hundred of another's is in the next batch. The
// control is the order in which they came.
func TestAppender_servesCallersInTurn(t *testing.T) {
	t.Parallel()
	store := newGated()
	f := fixtureOn(t, store, noCaps)
	store.mu.Lock()
	store.gate = make(chan struct{})
	store.mu.Unlock()
	var running sync.WaitGroup
	report := func(by string, count int) {
		caller := f.by
		caller.Actor.ID = by
		events := make([]audit.Event, count)
		for i := range events {
			events[i] = reported(uuid.Nil)
		}
		queued := registry.QueuedAppends(f.s)
		running.Go(func() {
			if _, err := f.s.RecordEvents(f.ctx, caller, events); err != nil {
				t.Error(err)
			}
		})
		testkit.Eventually(t, "it is queued", func() bool {
			return registry.QueuedAppends(f.s) > queued || len(store.started) > 0
		})
	}
	report("greedy", 1)
	<-store.started
	for range 20 {
		report("greedy", 100)
	}
	report("modest", 1)
	close(store.gate)
	running.Wait()
	at := slices.IndexFunc(f.log(), func(e audit.Event) bool { return e.Emitter.ID == "modest" })
	if at < 0 || at > 1+100 {
		t.Errorf("the modest caller's event is number %d of 2002", at)
	}
}

// The share of an append is taken before its body is read, by requests and by bytes.
func TestShares_appends(t *testing.T) {
	t.Parallel()
	f := newFixture(t, caps(func(c *registry.ShareCaps) {
		c.Appends, c.AppendBytes = share.Caps{Caller: 3}, share.Caps{Total: 1000}
	}))
	done, err := f.s.BeginAppend(f.by, 900, 900)
	f.must(err)
	_, err = f.s.BeginAppend(f.by, 200, 200)
	f.full(err, "append_bytes", share.All)
	for range 2 {
		_, err = f.s.BeginAppend(f.by, 10, 10)
		f.must(err)
	}
	_, err = f.s.BeginAppend(f.by, 10, 10)
	f.full(err, "appends", share.Caller)
	done()
	_, err = f.s.BeginAppend(f.by, 800, 800)
	f.must(err)
}

// exportedBy is an export as NDJSON, of another replica.
func (f *fixture) exportedBy(s *registry.Service, r registry.ExportRequest) string {
	f.t.Helper()
	x, err := s.Export(f.ctx, f.by, r)
	f.must(err)
	defer x.Close()
	var text bytes.Buffer
	f.must(x.NDJSON(f.ctx, io.Writer(&text), asIs))
	return text.String()
}

// eventLines are the lines of an export between its header and its trailer.
func eventLines(text string) []string {
	lines := bytes.Split([]byte(text), []byte("\n"))
	var events []string
	for _, line := range lines[1 : len(lines)-2] {
		events = append(events, string(line))
	}
	return events
}
