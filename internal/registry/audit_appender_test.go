package registry_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// gated is a store whose transactions wait for the gate and are counted. What its hooks answer replaces what the
// transaction would.
type gated struct {
	registry.Store
	gate    chan struct{} // nil: open
	started chan struct{}
	mu      sync.Mutex
	txs     int
	insert  func([]audit.Event) error
	skip    func(locked map[uuid.UUID]bool)
}

func newGated() *gated { return &gated{Store: memory.New(), started: make(chan struct{}, 1000)} }

type gatedTx struct {
	registry.Tx
	s *gated
}

func (s *gated) Tx(ctx context.Context, fn func(registry.Tx) error) error {
	s.mu.Lock()
	s.txs++
	gate := s.gate
	s.mu.Unlock()
	s.started <- struct{}{}
	if gate != nil {
		<-gate
	}
	return s.Store.Tx(ctx, func(tx registry.Tx) error { return fn(gatedTx{tx, s}) })
}

func (s *gated) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.txs
}

func (tx gatedTx) InsertAuditEvents(ctx context.Context, events []audit.Event) error {
	if tx.s.insert != nil {
		if err := tx.s.insert(events); err != nil {
			return err
		}
	}
	return tx.Tx.InsertAuditEvents(ctx, events)
}

func (tx gatedTx) LockForAppend(
	ctx context.Context, tenants []uuid.UUID, skipLocked bool, groups []uuid.UUID, keys []audit.Digest,
) (map[uuid.UUID]bool, registry.AuditHeads, error) {
	locked, heads, err := tx.Tx.LockForAppend(ctx, tenants, skipLocked, groups, keys)
	if tx.s.skip != nil && skipLocked {
		tx.s.skip(locked)
	}
	return locked, heads, err
}

// together reports n events while the first one's transaction waits, so that all others are there when it ends; event
// makes the i-th.
func together(t *testing.T, f *fixture, s *gated, n int, event func(i int) audit.Event) []error {
	t.Helper()
	s.gate = make(chan struct{})
	for len(s.started) > 0 {
		<-s.started
	}
	errs := make([]error, n)
	var all sync.WaitGroup
	report := func(i int) {
		all.Go(func() { _, errs[i] = testkit.Value(f.s.RecordEvent(f.ctx, f.by, event(i))) })
	}
	report(0)
	<-s.started
	for i := range n - 1 {
		report(i + 1)
	}
	untilQueued(f, n-1)
	gate := s.gate
	s.mu.Lock()
	s.gate = nil
	s.mu.Unlock()
	close(gate)
	all.Wait()
	return errs
}

func untilQueued(f *fixture, n int) {
	f.t.Helper()
	testkit.Eventually(f.t, fmt.Sprint(n, " requests are queued"), func() bool {
		return registry.QueuedAppends(f.s) >= n
	})
}

// Requests that arrive while an event is being committed share the next transaction: one lock, one commit, and their
// chain is whole.
func TestAppender_requestsShareOneTransaction(t *testing.T) {
	t.Parallel()
	s := newGated()
	f := fixtureOn(t, s)
	acme := f.tenant("acme", registry.StatusActive)
	before, events := s.count(), len(f.log())
	for _, err := range together(t, f, s, 100, func(i int) audit.Event {
		return reported([]uuid.UUID{acme.ID, uuid.Nil}[i%2])
	}) {
		f.must(err)
	}
	if txs := s.count() - before; txs != 2 {
		t.Errorf("100 events took %d transactions, want the first one's and one for all others", txs)
	}
	if n := len(f.log()) - events; n != 100 {
		t.Errorf("100 events left %d", n)
	}
	dense(t, f.log())
}

// An event that the store rejects fails alone; so does one whose tenant does not exist.
func TestAppender_rejectedEventFailsAlone(t *testing.T) {
	t.Parallel()
	poison := errors.New("the database rejects this event")
	s := newGated()
	s.insert = func(events []audit.Event) error {
		for _, e := range events {
			if e.Action == "poisoned" {
				return poison
			}
		}
		return nil
	}
	f := fixtureOn(t, s)
	acme := f.tenant("acme", registry.StatusActive)
	events := len(f.log())
	errs := together(t, f, s, 20, func(i int) audit.Event {
		e := reported(acme.ID)
		switch i {
		case 7:
			e.Action = "poisoned"
		case 11:
			e.GroupID = uuid.New()
		}
		return e
	})
	for i, err := range errs {
		switch {
		case i == 7 && !errors.Is(err, poison):
			t.Errorf("the poisoned one is answered %v", err)
		case i == 11:
			f.blames(f.refusal(err, registry.Invalid, registry.CodeInvalid), "/group/id")
		case i != 7 && err != nil:
			t.Errorf("event %d fails with another: %v", i, err)
		}
	}
	if n := len(f.log()) - events; n != 18 {
		t.Errorf("18 good events left %d", n)
	}
	dense(t, f.log())
}

// A locked tenant delays no other tenant's events: these are committed, and its own wait in a transaction of their own.
func TestAppender_lockedTenantDelaysNoOther(t *testing.T) {
	t.Parallel()
	s := newGated()
	f := fixtureOn(t, s)
	acme, globex := f.tenant("acme", registry.StatusActive), f.tenant("globex", registry.StatusActive)
	s.skip = func(locked map[uuid.UUID]bool) {
		if _, exists := locked[globex.ID]; exists {
			locked[globex.ID] = false
		}
	}
	before := s.count()
	for _, err := range together(t, f, s, 10, func(i int) audit.Event {
		if i == 5 {
			return reported(globex.ID)
		}
		return reported(acme.ID)
	}) {
		f.must(err)
	}
	if txs := s.count() - before; txs != 3 {
		t.Errorf("%d transactions, want the first, the others', and one of the locked tenant's", txs)
	}
	dense(t, f.log())
}

// If the store is unavailable, every request fails and none is retried.
func TestAppender_unavailableStoreIsNotRetried(t *testing.T) {
	t.Parallel()
	s := newGated()
	s.insert = func([]audit.Event) error { return registry.ErrUnavailable }
	f := fixtureOn(t, s)
	before := s.count()
	for _, err := range together(t, f, s, 10, func(int) audit.Event { return reported(uuid.Nil) }) {
		if !errors.Is(err, registry.ErrUnavailable) {
			t.Errorf("the answer is %v", err)
		}
	}
	if txs := s.count() - before; txs != 2 || len(f.log()) != 0 {
		t.Errorf("%d transactions, %d events", txs, len(f.log()))
	}
}

// A request whose context ends is unavailable, since the outcome is unknown; the others are not disturbed.
func TestAppender_endedContextDisturbsNoOther(t *testing.T) {
	t.Parallel()
	s := newGated()
	f := fixtureOn(t, s)
	ctx, cancel := context.WithCancel(f.ctx)
	gaveUp := make(chan error, 1)
	errs := together(t, f, s, 10, func(i int) audit.Event {
		if i == 9 {
			go func() {
				_, err := f.s.RecordEvent(ctx, f.by, reported(uuid.Nil))
				gaveUp <- err
			}()
			cancel()
			if err := <-gaveUp; !errors.Is(err, registry.ErrUnavailable) {
				t.Errorf("the request whose context ended is answered %v", err)
			}
		}
		return reported(uuid.Nil)
	})
	f.must(errors.Join(errs...))
	dense(t, f.log())
}

// The same key twice in one batch is one effect.
func TestAppender_sameKeyInOneBatchIsOneEffect(t *testing.T) {
	t.Parallel()
	s := newGated()
	f := fixtureOn(t, s)
	ids := make([]uuid.UUID, 10)
	s.gate = make(chan struct{})
	gate := s.gate
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() {
			e, err := testkit.Value(f.s.RecordEvent(f.ctx, f.again(fmt.Sprint(i/5), ""), reported(uuid.Nil)))
			f.must(err)
			ids[i] = e.ID
		})
	}
	untilQueued(f, 9)
	s.mu.Lock()
	s.gate = nil
	s.mu.Unlock()
	close(gate)
	all.Wait()
	for i := range ids {
		if ids[i] != ids[i/5*5] {
			t.Errorf("request %d made %s, the first with its key %s", i, ids[i], ids[i/5*5])
		}
	}
	if n := len(f.log()); n != 2 {
		t.Errorf("two keys left %d events", n)
	}
}

// A panic in a shared transaction is an error for its requests, and stops no later one.
func TestAppender_outlivesAPanic(t *testing.T) {
	t.Parallel()
	s := newGated()
	f := fixtureOn(t, s)
	first := true
	s.insert = func([]audit.Event) error {
		if first {
			first = false
			panic("in the store")
		}
		return nil
	}
	for range 3 {
		_, err := f.s.RecordEvent(f.ctx, f.by, reported(uuid.Nil))
		f.must(err)
	}
	if n := len(f.log()); n != 3 {
		t.Errorf("%d events", n)
	}
}
