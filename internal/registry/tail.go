package registry

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	lookEvery   = 250 * time.Millisecond // how often the store is asked for news while somebody waits
	waiterPause = 50 * time.Millisecond  // of one who was woken for nothing, so that many appends are not as many reads
	maxWaiting  = 1000                   // on one replica; who comes then is answered at once
)

// whole is what those wait for who follow all groups. It is no group's id.
var whole = uuid.UUID{0xff}

// tail wakes those who wait for new events. While anybody waits, one goroutine asks the store for the newest position, for all of
// them; nobody holds a connection meanwhile.
type tail struct {
	store  AuditReader
	within time.Duration // what one look at the store may take

	mu      sync.Mutex
	news    map[uuid.UUID]chan struct{} // by group; closed when there may be something new for those who wait
	waiting int
	stop    context.CancelFunc // ends the goroutine
	closed  bool
	done    chan struct{} // closed when nobody may wait any more
}

func newTail(store AuditReader, within time.Duration) *tail {
	return &tail{store: store, within: within, news: map[uuid.UUID]chan struct{}{}, done: make(chan struct{})}
}

// join counts a waiter, until it leaves; unless there are too many.
func (t *tail) join() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waiting == maxWaiting {
		return false
	}
	if t.waiting++; t.waiting == 1 {
		var ctx context.Context
		ctx, t.stop = context.WithCancel(context.Background())
		go t.look(ctx)
	}
	return true
}

func (t *tail) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waiting--; t.waiting == 0 {
		t.stop()
		clear(t.news)
	}
}

// next is closed at the next news of a group. Who takes it before it reads misses nothing that is written after.
func (t *tail) next(group *uuid.UUID) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	of := whole
	if group != nil {
		of = *group
	}
	if t.news[of] == nil {
		t.news[of] = make(chan struct{})
	}
	return t.news[of]
}

// wake tells of news of some groups.
func (t *tail) wake(groups ...uuid.UUID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waiting == 0 {
		return
	}
	for _, of := range append(groups, whole) {
		if waited := t.news[of]; waited != nil {
			close(waited)
			delete(t.news, of)
		}
	}
}

// wakeAll tells of news, of which group nobody knows.
func (t *tail) wakeAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, waited := range t.news {
		close(waited)
	}
	clear(t.news)
}

// close ends all waits, for ever.
func (t *tail) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.closed = true
		close(t.done)
	}
}

// look asks until ctx ends. What it hears first is news, since nobody knows what was there when the first waiter read. A store that
// cannot answer is asked again.
func (t *tail) look(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for known := int64(-1); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if pos, err := t.ask(ctx); err == nil && pos != known {
			known = pos
			t.wakeAll()
		}
	}
}

func (t *tail) ask(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, t.within)
	defer cancel()
	return t.store.NewestPos(ctx)
}

// EndWaits answers everybody who waits for events, at once, and from now on nobody waits.
func (s *Service) EndWaits() { s.tail.close() }

// MaxWait bounds how long a caller may wait for an event.
const MaxWait = 25 * time.Second

// Follow is Audit, but if the page is empty and nothing was left out it waits for one that is not, for so long at most. It is
// meant for ascending order. Whoever has gone, or must not wait any more, gets the empty page, whose Next stands behind all that was
// looked at meanwhile.
func (s *Service) Follow(ctx context.Context, by Caller, q AuditQuery, wait time.Duration) (AuditPage, error) {
	if wait == 0 || !s.tail.join() {
		return s.auditInTime(ctx, by, q)
	}
	defer s.tail.leave()
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		news := s.tail.next(q.GroupID)
		page, err := s.auditInTime(ctx, by, q)
		if err != nil || len(page.Items) > 0 || page.Cut || !s.tail.heard(waiting, news) {
			return page, err
		}
		q.After = page.Next
	}
}

// heard waits for news, and tells whether there was some before ctx ended.
func (t *tail) heard(ctx context.Context, news <-chan struct{}) bool {
	pause, cancel := context.WithTimeout(ctx, waiterPause)
	defer cancel()
	for _, ready := range []<-chan struct{}{news, pause.Done()} {
		select {
		case <-ready:
		case <-t.done:
			return false
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
}

func (s *Service) auditInTime(ctx context.Context, by Caller, q AuditQuery) (AuditPage, error) {
	ctx, cancel := context.WithTimeout(ctx, s.callTimeout)
	defer cancel()
	return s.Audit(ctx, by, q)
}

// Waiting is how many callers wait for events now.
func (s *Service) Waiting() int {
	s.tail.mu.Lock()
	defer s.tail.mu.Unlock()
	return s.tail.waiting
}
