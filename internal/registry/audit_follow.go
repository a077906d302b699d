package registry

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
)

// MaxWait bounds one long poll.
const MaxWait = 25 * time.Second

const (
	pollInterval = 250 * time.Millisecond // between two reads of the newest position while there are long polls
	wakePause    = 50 * time.Millisecond  // after a wake: many appends are not as many reads
	lookBatch    = 1000                   // events whose groups are read in one statement
)

// allGroups is the key of those who follow all groups. It is no group's id.
var allGroups = uuid.UUID{0xff}

// follower wakes long polls at new events of the group that they wait for. While there is any, one goroutine reads for
// all of them which groups have new events, and none of them holds a connection.
type follower struct {
	store   AuditReader
	timeout time.Duration // of one look at the store

	mu     sync.Mutex
	news   map[uuid.UUID]chan struct{} // by group that is followed; closed when there may be new events
	of     map[uuid.UUID]int           // long polls by group
	polls  int
	stop   context.CancelFunc // ends the goroutine
	closed bool
	done   chan struct{} // closed when no one may wait any more
}

func newFollower(store AuditReader, timeout time.Duration) *follower {
	return &follower{store: store, timeout: timeout, news: map[uuid.UUID]chan struct{}{},
		of: map[uuid.UUID]int{}, done: make(chan struct{})}
}

// followed is the group as the follower knows it.
func followed(group *uuid.UUID) uuid.UUID {
	if group == nil {
		return allGroups
	}
	return *group
}

// join counts a long poll until it leaves.
func (f *follower) join(group uuid.UUID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.of[group]++
	if f.polls++; f.polls == 1 {
		var ctx context.Context
		ctx, f.stop = context.WithCancel(context.Background())
		go f.poll(ctx)
	}
}

func (f *follower) leave(group uuid.UUID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of[group]--; f.of[group] == 0 {
		delete(f.of, group)
		delete(f.news, group)
	}
	if f.polls--; f.polls == 0 {
		f.stop()
	}
}

// next is closed at the next news of a group. A caller that takes it before it reads misses nothing that is written
// after.
func (f *follower) next(group uuid.UUID) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.news[group] == nil {
		f.news[group] = make(chan struct{})
	}
	return f.news[group]
}

// wake wakes the long polls of some groups.
func (f *follower) wake(groups ...uuid.UUID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.polls == 0 {
		return
	}
	for _, of := range append(groups, allGroups) {
		if news := f.news[of]; news != nil {
			close(news)
			delete(f.news, of)
		}
	}
}

// wakeAll wakes all long polls: there are new events of unknown groups.
func (f *follower) wakeAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, news := range f.news {
		close(news)
	}
	clear(f.news)
}

// close ends all long polls, permanently.
func (f *follower) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.closed = true
		close(f.done)
	}
}

// ended reports whether no one may wait any more.
func (f *follower) ended() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// poll looks for news until ctx ends. A store that cannot answer is asked again.
func (f *follower) poll(ctx context.Context) {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for known := int64(-1); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		known = f.look(ctx, known)
	}
}

// look wakes the long polls of the groups that have events after a position, and returns the newest. The first position
// read is news for all, since it is unknown what was there when the first long poll read; and so is one that went back,
// as after a restore.
func (f *follower) look(ctx context.Context, known int64) int64 {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	if known < 0 {
		newest, err := f.store.GetNewestPosition(ctx)
		if err != nil {
			return known
		}
		f.wakeAll()
		return newest
	}
	for {
		found, err := f.store.ListGroupsAfter(ctx, known, lookBatch)
		switch {
		case err != nil:
			return known
		case found.Position < known:
			f.wakeAll()
		case found.Position > known:
			f.wake(found.Groups...)
		}
		if known = found.Position; !found.More {
			return known
		}
	}
}

// awaitNews waits for news, and reports whether there was some before ctx ended.
func (f *follower) awaitNews(ctx context.Context, news <-chan struct{}) bool {
	pause, cancel := context.WithTimeout(ctx, wakePause)
	defer cancel()
	for _, ready := range []<-chan struct{}{news, pause.Done()} {
		select {
		case <-ready:
		case <-f.done:
			return false
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
}

// Drain answers all long polls at once, and ends exports as NDJSON with the page that they are in: their trailer says
// where another one continues. From now on none waits.
func (s *Service) Drain() { s.follower.close() }

// LongPolls is how many callers wait for events now.
func (s *Service) LongPolls() int {
	s.follower.mu.Lock()
	defer s.follower.mu.Unlock()
	return s.follower.polls
}

// Follow is Audit as a long poll: if the page is empty and not truncated, it waits for one that is not, for at most
// wait. It is meant for ascending order. A caller that has gone, or that a drain ends, gets the empty page, whose Next
// is after all that was examined. The pages, what is examined for them, and the long polls are shares.
func (s *Service) Follow(ctx context.Context, by Caller, q AuditQuery, wait time.Duration) (Page[audit.Event], error) {
	page, err := s.follow(ctx, by, q, wait)
	if err != nil {
		return Page[audit.Event]{}, err
	}
	confirming, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.callTimeout)
	defer cancel()
	if err := s.confirmFollowed(confirming, q); err != nil {
		return Page[audit.Event]{}, err
	}
	s.security.LogRead(by, q.GroupID)
	return page.Page, nil
}

func (s *Service) follow(ctx context.Context, by Caller, q AuditQuery, wait time.Duration) (auditPage, error) {
	if err := by.Access.audit(q.GroupID); err != nil { // before anything is remembered of the group
		return auditPage{}, err
	}
	of := s.shares.longPolls
	if wait == 0 {
		of = s.shares.wideReads
	}
	release, err := s.takeAuditRead(by, of)
	if err != nil {
		return auditPage{}, err
	}
	defer release()
	if err := s.beginAt(ctx, by, &q); err != nil {
		return auditPage{}, err
	}
	if wait == 0 {
		return s.auditPageInTime(ctx, by, q)
	}
	group := followed(q.GroupID)
	s.follower.join(group)
	defer s.follower.leave(group)
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		news := s.follower.next(group)
		page, err := s.auditPageInTime(ctx, by, q)
		if err != nil || len(page.Items) > 0 || page.truncated || !s.follower.awaitNews(waiting, news) {
			return page, err
		}
		q.Position, q.at = page.end.position, page.end
	}
}

func (s *Service) auditPageInTime(ctx context.Context, by Caller, q AuditQuery) (auditPage, error) {
	ctx, cancel := context.WithTimeout(ctx, s.callTimeout)
	defer cancel()
	return s.auditPage(ctx, by, q)
}
