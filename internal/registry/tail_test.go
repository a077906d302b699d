package registry_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

// counted is a store that counts who asks for news and for pages, and can be told to fail.
type counted struct {
	registry.Store
	looks, pages atomic.Int64
	down         atomic.Bool
	blind        atomic.Bool // it tells of no news
}

func (c *counted) NewestPos(ctx context.Context) (int64, error) {
	c.looks.Add(1)
	if c.down.Load() || c.blind.Load() {
		return 0, registry.ErrUnavailable
	}
	return c.Store.NewestPos(ctx)
}

func (c *counted) Events(ctx context.Context, q registry.AuditQuery) (registry.AuditRows, error) {
	c.pages.Add(1)
	if c.down.Load() {
		return registry.AuditRows{}, registry.ErrUnavailable
	}
	return c.Store.Events(ctx, q)
}

// eventually polls for what happens in its own time.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(20 * time.Second); !done(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

// follow follows in the background.
func (w *world) follow(ctx context.Context, q registry.AuditQuery, wait time.Duration) <-chan registry.AuditPage {
	got := make(chan registry.AuditPage, 1)
	go func() {
		page, err := w.s.Follow(ctx, w.by, q, wait)
		if err != nil {
			w.t.Errorf("follow: %v", err)
		}
		got <- page
	}()
	return got
}

var tailOfAll = registry.AuditQuery{Ascending: true, Limit: 10}

// However many wait, one asks, and only while somebody waits. Many is what one for each waiter would be.
func TestFollow_oneLooks(t *testing.T) {
	t.Parallel()
	store := &counted{Store: memory.New()}
	w := worldOn(t, store)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const waiters = 50
	var all []<-chan registry.AuditPage
	for range waiters {
		all = append(all, w.follow(ctx, tailOfAll, registry.MaxWait))
	}
	eventually(t, "all wait", func() bool { return w.s.Waiting() == waiters })
	first, begun := store.looks.Load(), time.Now()
	eventually(t, "five looks", func() bool { return store.looks.Load() >= first+5 })
	if took := time.Since(begun); took < time.Second {
		t.Errorf("five looks in %v: more than one asks", took)
	}
	cancel()
	for _, got := range all {
		if page := <-got; len(page.Items) != 0 || !page.More {
			t.Errorf("who has gone gets %+v", page)
		}
	}
	if n := w.s.Waiting(); n != 0 {
		t.Errorf("%d wait still", n)
	}
	after := store.looks.Load()
	select {
	case <-time.After(3 * 250 * time.Millisecond): // nothing must happen for so long
	case <-t.Context().Done():
	}
	if n := store.looks.Load() - after; n > 1 { // one may have been under way
		t.Errorf("nobody waits, and the store was asked %d times", n)
	}
}

// An append of this service's own wakes at once, whether reported or a change, also while the store tells of no news. The control is
// another service's.
func TestFollow_ownAppends(t *testing.T) {
	t.Parallel()
	store := &counted{Store: memory.New()}
	store.blind.Store(true)
	w := worldOn(t, store)
	control := w.follow(w.ctx, tailOfAll, time.Second)
	eventually(t, "the control waits", func() bool { return store.pages.Load() == 1 })
	_, err := registry.New(store, registry.Options{}).RecordEvent(w.ctx, w.by, reported(uuid.Nil))
	w.must(err)
	if page := <-control; len(page.Items) != 0 {
		t.Errorf("the control hears of another's append: %+v", page)
	}
	for name, write := range map[string]func() error{
		"reported": func() error { _, err := w.s.RecordEvent(w.ctx, w.by, reported(uuid.Nil)); return err },
		"a change": func() error {
			_, err := w.s.CreateTenant(w.ctx, w.by, registry.NewTenant{Slug: "globex", Name: "Globex"})
			return err
		},
	} {
		q := tailOfAll
		for _, e := range w.log() {
			q.After = e.Pos
		}
		pages := store.pages.Load()
		got := w.follow(w.ctx, q, registry.MaxWait)
		eventually(t, "it waits", func() bool { return w.s.Waiting() == 1 && store.pages.Load() > pages })
		w.must(write())
		if page := <-got; len(page.Items) != 1 {
			t.Errorf("%s: %+v", name, page)
		}
	}
}

// Many appends that are not for a waiter are not as many reads, and where it has looked it does not look again.
func TestFollow_appendsOfOthers(t *testing.T) {
	t.Parallel()
	store := &counted{Store: memory.New()}
	w := worldOn(t, store)
	tenant := w.tenant("acme", registry.StatusActive)
	q := registry.AuditQuery{GroupID: &tenant.ID, Ascending: true, Limit: 10, CRUD: registry.Delete}
	begun := time.Now()
	got := w.follow(w.ctx, q, registry.MaxWait)
	for range 2000 {
		_, err := w.s.RecordEvent(w.ctx, w.by, reported(tenant.ID))
		w.must(err)
	}
	wanted := reported(tenant.ID)
	wanted.CRUD = registry.Delete
	wanted, err := w.s.RecordEvent(w.ctx, w.by, wanted)
	w.must(err)
	page := <-got
	if len(page.Items) != 1 || page.Items[0].ID != wanted.ID || page.Next != wanted.Seq {
		t.Errorf("the page is %+v", page)
	}
	if n, most := store.pages.Load(), 3+int64(time.Since(begun)/(50*time.Millisecond)); n > most {
		t.Errorf("%d reads, want %d at most", n, most)
	}
}

// While the store cannot tell of news who waits goes on waiting; when it can again, nothing is lost.
func TestFollow_outage(t *testing.T) {
	t.Parallel()
	store := &counted{Store: memory.New()}
	w := worldOn(t, store)
	other := registry.New(store, registry.Options{})
	got := w.follow(w.ctx, tailOfAll, registry.MaxWait)
	eventually(t, "it has looked", func() bool { return store.looks.Load() > 1 })
	store.down.Store(true)
	looks := store.looks.Load()
	eventually(t, "it asks on", func() bool { return store.looks.Load() > looks+1 })
	_, err := other.RecordEvent(w.ctx, w.by, reported(uuid.Nil))
	w.must(err)
	store.down.Store(false)
	if page := <-got; len(page.Items) != 1 {
		t.Errorf("after the outage: %+v", page)
	}
	store.down.Store(true)
	if _, err := w.s.Follow(w.ctx, w.by, tailOfAll, time.Second); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("who begins in an outage: %v", err)
	}
}

// A wait ends when it is over, when a page was cut short, and when nobody may wait any more.
func TestFollow_ends(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.s.RecordEvent(w.ctx, w.by, reported(uuid.Nil))
	w.must(err)
	nothing := tailOfAll
	nothing.CRUD = registry.Delete
	page := <-w.follow(w.ctx, nothing, 10*time.Millisecond)
	if len(page.Items) != 0 || !page.More || page.Cut || page.Next != 1 {
		t.Errorf("after its time: %+v", page)
	}
	_, err = w.s.RecordEvent(w.ctx, w.by, reported(uuid.Nil))
	w.must(err)
	cut := nothing
	cut.Examine = 1
	if page := <-w.follow(w.ctx, cut, registry.MaxWait); len(page.Items) != 0 || !page.Cut || page.Next != 1 {
		t.Errorf("with more to look at: %+v", page)
	}
	var waiters sync.WaitGroup
	for range 10 {
		waiters.Go(func() { <-w.follow(w.ctx, nothing, registry.MaxWait) })
	}
	eventually(t, "all wait", func() bool { return w.s.Waiting() == 10 })
	w.s.EndWaits()
	waiters.Wait()
	<-w.follow(w.ctx, nothing, registry.MaxWait)
}
