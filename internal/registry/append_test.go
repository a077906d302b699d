package registry_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

// gated is a store whose transactions wait for the gate and are counted. What its hooks answer replaces what the transaction would.
type gated struct {
	registry.Store
	gate    chan struct{} // nil: open
	started chan struct{}
	mu      sync.Mutex
	txs     int
	insert  func([]registry.AuditEvent) error
	hold    func(held map[uuid.UUID]bool)
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

func (tx gatedTx) InsertEvents(ctx context.Context, events []registry.AuditEvent) error {
	if tx.s.insert != nil {
		if err := tx.s.insert(events); err != nil {
			return err
		}
	}
	return tx.Tx.InsertEvents(ctx, events)
}

func (tx gatedTx) HoldTenants(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]bool, error) {
	held, err := tx.Tx.HoldTenants(ctx, ids)
	if tx.s.hold != nil {
		tx.s.hold(held)
	}
	return held, err
}

// together reports n events while the first one's transaction waits, so that all others are there when it ends; event makes the i-th.
func together(t *testing.T, w *world, s *gated, n int, event func(i int) registry.AuditEvent) []error {
	t.Helper()
	s.gate = make(chan struct{})
	for len(s.started) > 0 {
		<-s.started
	}
	errs := make([]error, n)
	var all sync.WaitGroup
	report := func(i int) {
		all.Go(func() { _, errs[i] = w.s.RecordEvent(w.ctx, w.by, event(i)) })
	}
	report(0)
	<-s.started
	for i := range n - 1 {
		report(i + 1)
	}
	untilWaiting(w, n-1)
	gate := s.gate
	s.mu.Lock()
	s.gate = nil
	s.mu.Unlock()
	close(gate)
	all.Wait()
	return errs
}

func untilWaiting(w *world, n int) {
	w.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); registry.Waiting(w.s) < n; runtime.Gosched() {
		if time.Now().After(deadline) {
			w.t.Fatalf("%d wait, not %d", registry.Waiting(w.s), n)
		}
	}
}

// Those who report while an event is being committed share the next transaction: one lock, one commit, and their chain is whole.
func TestAppend_together(t *testing.T) {
	t.Parallel()
	s := newGated()
	w := worldOn(t, s)
	acme := w.tenant("acme", registry.StatusActive)
	before, events := s.count(), len(w.log())
	for _, err := range together(t, w, s, 100, func(i int) registry.AuditEvent {
		return reported([]uuid.UUID{acme.ID, uuid.Nil}[i%2])
	}) {
		w.must(err)
	}
	if txs := s.count() - before; txs != 2 {
		t.Errorf("100 events took %d transactions, want the first one's and one for all others", txs)
	}
	if n := len(w.log()) - events; n != 100 {
		t.Errorf("100 events left %d", n)
	}
	dense(t, w.log())
}

// An event that the store refuses fails alone; so does one whose tenant is not there.
func TestAppend_poisoned(t *testing.T) {
	t.Parallel()
	poison := errors.New("the database has something against this one")
	s := newGated()
	s.insert = func(events []registry.AuditEvent) error {
		for _, e := range events {
			if e.Action == "poisoned" {
				return poison
			}
		}
		return nil
	}
	w := worldOn(t, s)
	acme := w.tenant("acme", registry.StatusActive)
	events := len(w.log())
	errs := together(t, w, s, 20, func(i int) registry.AuditEvent {
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
			w.blames(w.refusal(err, registry.Invalid, registry.CodeInvalid), "/group/id")
		case i != 7 && err != nil:
			t.Errorf("event %d fails with another: %v", i, err)
		}
	}
	if n := len(w.log()) - events; n != 18 {
		t.Errorf("18 good events left %d", n)
	}
	dense(t, w.log())
}

// What holds one tenant up holds up nobody else's events: theirs are committed, and that tenant's wait by themselves.
func TestAppend_lockedTenant(t *testing.T) {
	t.Parallel()
	s := newGated()
	w := worldOn(t, s)
	acme, globex := w.tenant("acme", registry.StatusActive), w.tenant("globex", registry.StatusActive)
	s.hold = func(held map[uuid.UUID]bool) {
		if _, there := held[globex.ID]; there {
			held[globex.ID] = false
		}
	}
	before := s.count()
	for _, err := range together(t, w, s, 10, func(i int) registry.AuditEvent {
		if i == 5 {
			return reported(globex.ID)
		}
		return reported(acme.ID)
	}) {
		w.must(err)
	}
	if txs := s.count() - before; txs != 3 {
		t.Errorf("%d transactions, want the first, the others', and one of the locked tenant's", txs)
	}
	dense(t, w.log())
}

// If the store cannot answer, nobody is told that the events are there, and nothing is repeated.
func TestAppend_unavailable(t *testing.T) {
	t.Parallel()
	s := newGated()
	s.insert = func([]registry.AuditEvent) error { return registry.ErrUnavailable }
	w := worldOn(t, s)
	before := s.count()
	for _, err := range together(t, w, s, 10, func(int) registry.AuditEvent { return reported(uuid.Nil) }) {
		if !errors.Is(err, registry.ErrUnavailable) {
			t.Errorf("the answer is %v", err)
		}
	}
	if txs := s.count() - before; txs != 2 || len(w.log()) != 0 {
		t.Errorf("%d transactions, %d events", txs, len(w.log()))
	}
}

// Who gives up waiting is told that it is unknown what became of the event; the others are not disturbed.
func TestAppend_gaveUp(t *testing.T) {
	t.Parallel()
	s := newGated()
	w := worldOn(t, s)
	ctx, cancel := context.WithCancel(w.ctx)
	gaveUp := make(chan error, 1)
	errs := together(t, w, s, 10, func(i int) registry.AuditEvent {
		if i == 9 {
			go func() {
				_, err := w.s.RecordEvent(ctx, w.by, reported(uuid.Nil))
				gaveUp <- err
			}()
			cancel()
			if err := <-gaveUp; !errors.Is(err, registry.ErrUnavailable) {
				t.Errorf("who gave up is told %v", err)
			}
		}
		return reported(uuid.Nil)
	})
	w.must(errors.Join(errs...))
	dense(t, w.log())
}

// The same key twice in one batch is one effect.
func TestAppend_keysInOneBatch(t *testing.T) {
	t.Parallel()
	s := newGated()
	w := worldOn(t, s)
	ids := make([]uuid.UUID, 10)
	s.gate = make(chan struct{})
	gate := s.gate
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() {
			e, err := w.s.RecordEvent(w.ctx, w.again(fmt.Sprint(i/5), ""), reported(uuid.Nil))
			w.must(err)
			ids[i] = e.ID
		})
	}
	untilWaiting(w, 9)
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
	if n := len(w.log()); n != 2 {
		t.Errorf("two keys left %d events", n)
	}
}

// A panic in the transaction of many is an error for those in it, and stops nobody who comes later.
func TestAppend_panic(t *testing.T) {
	t.Parallel()
	s := newGated()
	w := worldOn(t, s)
	first := true
	s.insert = func([]registry.AuditEvent) error {
		if first {
			first = false
			panic("in the store")
		}
		return nil
	}
	for range 3 {
		_, err := w.s.RecordEvent(w.ctx, w.by, reported(uuid.Nil))
		w.must(err)
	}
	if n := len(w.log()); n != 3 {
		t.Errorf("%d events", n)
	}
}
