package registry_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/share"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// countedStore is a store that counts reads of the newest position and of pages, and fails while down is set.
type countedStore struct {
	registry.Store
	looks, pages atomic.Int64
	down         atomic.Bool
	blind        atomic.Bool // the newest position cannot be read
}

func (c *countedStore) GetNewestPosition(ctx context.Context) (int64, error) {
	c.looks.Add(1)
	if c.down.Load() || c.blind.Load() {
		return 0, registry.ErrUnavailable
	}
	return c.Store.GetNewestPosition(ctx)
}

func (c *countedStore) ListGroupsAfter(ctx context.Context, after int64, limit int) (registry.GroupsAfter, error) {
	c.looks.Add(1)
	if c.down.Load() || c.blind.Load() {
		return registry.GroupsAfter{}, registry.ErrUnavailable
	}
	return c.Store.ListGroupsAfter(ctx, after, limit)
}

func (c *countedStore) ListAuditEvents(ctx context.Context, q registry.AuditQuery) (registry.AuditRows, error) {
	c.pages.Add(1)
	if c.down.Load() {
		return registry.AuditRows{}, registry.ErrUnavailable
	}
	return c.Store.ListAuditEvents(ctx, q)
}

// follow follows in the background.
func (f *fixture) follow(
	ctx context.Context, q registry.AuditQuery, wait time.Duration,
) <-chan registry.Page[audit.Event] {
	got := make(chan registry.Page[audit.Event], 1)
	go func() {
		page, err := f.s.Follow(ctx, f.by, q, wait)
		if err != nil {
			f.t.Errorf("follow: %v", err)
		}
		got <- page
	}()
	return got
}

var ascending = registry.AuditQuery{Ascending: true, PageRequest: registry.PageRequest{Limit: 10}}

// One goroutine reads the newest position for all long polls, and only while there are any. One goroutine for each
// would read more often.
func TestFollow_onePollForAll(t *testing.T) {
	t.Parallel()
	store := &countedStore{Store: memory.New()}
	f := fixtureOn(t, store, noCaps)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const polls = 50
	var all []<-chan registry.Page[audit.Event]
	for range polls {
		all = append(all, f.follow(ctx, ascending, registry.MaxWait))
	}
	testkit.Eventually(t, "all wait", func() bool { return f.s.LongPolls() == polls })
	first, begun := store.looks.Load(), time.Now()
	testkit.Eventually(t, "five reads", func() bool { return store.looks.Load() >= first+5 })
	if took := time.Since(begun); took < time.Second {
		t.Errorf("five reads in %v: more than one goroutine reads", took)
	}
	cancel()
	for _, got := range all {
		if page := <-got; len(page.Items) != 0 || page.Next == "" {
			t.Errorf("a long poll whose context ended gets %+v", page)
		}
	}
	if n := f.s.LongPolls(); n != 0 {
		t.Errorf("%d long polls are left", n)
	}
	after := store.looks.Load()
	select {
	case <-time.After(3 * 250 * time.Millisecond): // nothing must happen for so long
	case <-t.Context().Done():
	}
	if n := store.looks.Load() - after; n > 1 { // one may have been under way
		t.Errorf("without a long poll the store was read %d times", n)
	}
}

// An append of this service wakes its long polls at once, whether reported or a change, also while the newest position
// cannot be read. The control is an append of another service.
func TestFollow_ownAppendsWakeAtOnce(t *testing.T) {
	t.Parallel()
	store := &countedStore{Store: memory.New()}
	store.blind.Store(true)
	f := fixtureOn(t, store)
	control := f.follow(f.ctx, ascending, time.Second)
	testkit.Eventually(t, "the control waits", func() bool { return store.pages.Load() == 1 })
	_, err := registry.New(store, registry.Options{}).RecordEvent(f.ctx, f.by, reported(uuid.Nil))
	f.must(err)
	if page := <-control; len(page.Items) != 0 {
		t.Errorf("an append of another service wakes the control: %+v", page)
	}
	for name, write := range map[string]func() error{
		"reported": func() error { _, err := f.s.RecordEvent(f.ctx, f.by, reported(uuid.Nil)); return err },
		"a change": func() error {
			_, err := f.s.CreateTenant(f.ctx, f.by, registry.TenantInput{Slug: "globex", Name: "Globex"})
			return err
		},
	} {
		q := ascending
		for _, e := range f.log() {
			q.Cursor = place(e.Pos, e)
		}
		pages := store.pages.Load()
		got := f.follow(f.ctx, q, registry.MaxWait)
		testkit.Eventually(t, "it waits", func() bool { return f.s.LongPolls() == 1 && store.pages.Load() > pages+1 })
		f.must(write())
		if page := <-got; len(page.Items) != 1 {
			t.Errorf("%s: %+v", name, page)
		}
	}
}

// A long poll is woken by its own chain's events alone, also by those of another replica: a thousand events of another
// tenant cost it one read, the first one. The control is one event of its own.
func TestFollow_wakesItsChainOnly(t *testing.T) {
	t.Parallel()
	store := &countedStore{Store: memory.New()}
	f := fixtureOn(t, store)
	other := registry.New(store, registry.Options{Shares: &registry.ShareCaps{}})
	mine, theirs := f.tenant("mine", registry.StatusActive), f.tenant("theirs", registry.StatusActive)
	q := ascending
	q.GroupID, q.Cursor = &mine.ID, f.placeOf(mine, 2)
	store.pages.Store(0) // the event of the cursor is read, too
	got := f.follow(f.ctx, q, registry.MaxWait)
	testkit.Eventually(t, "the position was read", func() bool { return store.looks.Load() > 0 })
	testkit.Eventually(t, "the first reads", func() bool { return store.pages.Load() == 3 })
	for range 2500 {
		_, err := other.RecordEvent(f.ctx, f.by, reported(theirs.ID))
		f.must(err)
	}
	looks := store.looks.Load()
	testkit.Eventually(t, "all of it was looked at", func() bool { return store.looks.Load() > looks+4 })
	if n := store.pages.Load(); n != 3 {
		t.Errorf("another chain's events cost %d reads", n-3)
	}
	_, err := other.RecordEvent(f.ctx, f.by, reported(mine.ID))
	f.must(err)
	if page := <-got; len(page.Items) != 1 {
		t.Errorf("its own event: %+v", page)
	}
}

// Many appends that a long poll does not match are not as many reads, and events that were examined are not examined
// again.
func TestFollow_foreignAppendsCostFewReads(t *testing.T) {
	t.Parallel()
	store := &countedStore{Store: memory.New()}
	f := fixtureOn(t, store)
	tenant := f.tenant("acme", registry.StatusActive)
	q := registry.AuditQuery{
		GroupID: &tenant.ID, Ascending: true, PageRequest: registry.PageRequest{Limit: 10}, CRUD: audit.Delete,
	}
	begun := time.Now()
	got := f.follow(f.ctx, q, registry.MaxWait)
	for range 2000 {
		_, err := f.s.RecordEvent(f.ctx, f.by, reported(tenant.ID))
		f.must(err)
	}
	wanted := reported(tenant.ID)
	wanted.CRUD = audit.Delete
	wanted, err := testkit.Value(f.s.RecordEvent(f.ctx, f.by, wanted))
	f.must(err)
	page := <-got
	if len(page.Items) != 1 || page.Items[0].ID != wanted.ID || page.Next != place(wanted.Seq, wanted) {
		t.Errorf("the page is %+v", page)
	}
	if n, most := store.pages.Load(), 3+int64(time.Since(begun)/(50*time.Millisecond)); n > most {
		t.Errorf("%d reads, want %d at most", n, most)
	}
}

// While the newest position cannot be read a long poll goes on; when it can be read again, nothing is lost.
func TestFollow_outlastsAnOutage(t *testing.T) {
	t.Parallel()
	store := &countedStore{Store: memory.New()}
	f := fixtureOn(t, store)
	other := registry.New(store, registry.Options{})
	got := f.follow(f.ctx, ascending, registry.MaxWait)
	testkit.Eventually(t, "the position was read", func() bool { return store.looks.Load() > 1 })
	store.down.Store(true)
	looks := store.looks.Load()
	testkit.Eventually(t, "it goes on reading", func() bool { return store.looks.Load() > looks+1 })
	_, err := other.RecordEvent(f.ctx, f.by, reported(uuid.Nil))
	f.must(err)
	store.down.Store(false)
	if page := <-got; len(page.Items) != 1 {
		t.Errorf("after the outage: %+v", page)
	}
	store.down.Store(true)
	if _, err := f.s.Follow(f.ctx, f.by, ascending, time.Second); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("a long poll that begins in an outage: %v", err)
	}
}

// Who is over its share is refused before anything is read, also at a cursor, whose event is read first. The control is
// who is not.
func TestFollow_refusalsReadNothing(t *testing.T) {
	t.Parallel()
	store := &countedStore{Store: memory.New()}
	f := fixtureOn(t, store, caps(func(c *registry.ShareCaps) {
		c.LongPolls, c.WideReads = share.Caps{Caller: 1}, share.Caps{Caller: 1}
	}))
	mine := f.tenant("mine", registry.StatusActive)
	q := ascending
	q.GroupID, q.Cursor = &mine.ID, f.placeOf(mine, 2)
	for _, s := range f.s.Shares() {
		_, err := s.Take(share.Holder{Caller: f.by.Actor.ID}, 1)
		f.must(err)
	}
	pages := store.pages.Load()
	for name, wait := range map[string]time.Duration{"long_polls": time.Second, "wide_reads": 0} {
		_, err := f.s.Follow(f.ctx, f.by, q, wait)
		f.full(err, name, share.Caller)
	}
	if n := store.pages.Load() - pages; n != 0 {
		t.Errorf("%d pages are read for who is refused", n)
	}
	other := f.by
	other.Actor.ID = "op-2"
	if _, err := f.s.Follow(f.ctx, other, q, 0); err != nil || store.pages.Load() == pages {
		t.Errorf("the control: %v", err)
	}
}

// A long poll ends after its time, when the page was truncated, and when no long poll may wait any more.
func TestFollow_endsInTime(t *testing.T) {
	t.Parallel()
	f := newFixture(t, noCaps)
	_, err := f.s.RecordEvent(f.ctx, f.by, reported(uuid.Nil))
	f.must(err)
	nothing := ascending
	nothing.CRUD = audit.Delete
	begun, wait := time.Now(), 10*time.Millisecond
	page := <-f.follow(f.ctx, nothing, wait)
	if took := time.Since(begun); len(page.Items) != 0 || page.Next != place(1, f.log()[0]) || took < wait {
		t.Errorf("after %v of %v: %+v", took, wait, page)
	}
	_, err = f.s.RecordEvent(f.ctx, f.by, reported(uuid.Nil))
	f.must(err)
	truncated := nothing
	truncated.MaxExamined = 1
	begun = time.Now()
	page = <-f.follow(f.ctx, truncated, registry.MaxWait)
	if took := time.Since(begun); len(page.Items) != 0 || page.Next != place(1, f.log()[0]) ||
		took >= registry.MaxWait {
		t.Errorf("with more events to examine, after %v: %+v", took, page)
	}
	var polls sync.WaitGroup
	for range 10 {
		polls.Go(func() { <-f.follow(f.ctx, nothing, registry.MaxWait) })
	}
	testkit.Eventually(t, "all wait", func() bool { return f.s.LongPolls() == 10 })
	f.s.Drain()
	polls.Wait()
	<-f.follow(f.ctx, nothing, registry.MaxWait)
}
