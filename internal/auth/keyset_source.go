package auth

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	firstRetry   = 250 * time.Millisecond // after a fetch that failed; doubled after each further one
	lastRetry    = 30 * time.Second
	renewEvery   = 5 * time.Minute // so that a key which the issuer withdrew is not trusted permanently
	quotaWindow  = time.Minute     // in which two fetches may be answered
	maxFetchWait = 2 * time.Second // of a request whose token no known key verifies
)

// source holds the newest key set that could be loaded. It loads the first one by itself, renews it every renewEvery
// and when a request asks for it. At most two fetches that begin within any quotaWindow are answered; after one that
// failed there is a growing pause, and a failure leaves the set as it is.
type source struct {
	fetcher *fetcher
	log     *slog.Logger

	newest atomic.Pointer[snapshot]
	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu       sync.Mutex
	flight   *flight      // the fetch under way; nil if there is none
	begun    uint64       // fetches
	recent   [2]time.Time // when the last two fetches that were answered began, oldest first
	failures int          // since the last answer
	retryAt  time.Time    // when the pause after the last failure ends
	warnedAt time.Time    // when it was last logged that the quota is used up
}

// snapshot is what one fetch was answered.
type snapshot struct {
	set     *keySet
	at      time.Time // when the fetch began: keys that the issuer added since may be missing
	ordinal uint64    // of the fetch
}

// flight is a fetch under way; its fields never change.
type flight struct {
	at      time.Time
	ordinal uint64
	done    chan struct{}
}

func newSource(f *fetcher, log *slog.Logger) *source {
	s := &source{fetcher: f, log: log}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.tasks.Go(s.run)
	return s
}

// close ends the loading and waits until it has.
func (s *source) close() {
	s.mu.Lock() // start looks at ctx under it, so no task begins after this
	s.cancel()
	s.mu.Unlock()
	s.tasks.Wait()
	s.fetcher.client.CloseIdleConnections()
}

// run loads the first set and renews it.
func (s *source) run() {
	for {
		if f := s.start(); f != nil {
			<-f.done
		}
		select {
		case <-time.After(s.untilRenewal()):
		case <-s.ctx.Done():
			return
		}
	}
}

// untilRenewal is how long the set need not, or may not, be renewed.
func (s *source) untilRenewal() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	due := s.mayBegin()
	if s.failures == 0 {
		if renewal := s.recent[1].Add(renewEvery); renewal.After(due) {
			due = renewal
		}
	}
	return time.Until(due)
}

// mayBegin is when the next fetch may. The caller holds mu.
func (s *source) mayBegin() time.Time {
	at := s.recent[0].Add(quotaWindow)
	if s.retryAt.After(at) {
		at = s.retryAt
	}
	return at
}

// lastBegun is the ordinal of the newest fetch.
func (s *source) lastBegun() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.begun
}

// newer returns another snapshot than one, fetching it unless there is one already. Callers at the same time share one
// fetch. It waits for that until ctx ends.
func (s *source) newer(ctx context.Context, than *snapshot) (*snapshot, *KeysUnavailable) {
	if newest := s.newest.Load(); newest != than {
		return newest, nil
	}
	if f := s.start(); f != nil {
		select {
		case <-f.done:
		case <-ctx.Done():
		}
	}
	if newest := s.newest.Load(); newest != than {
		return newest, nil
	}
	return nil, s.unavailable()
}

// unavailable says when to ask again: when the next fetch may begin, or the one under way has ended at the latest.
func (s *source) unavailable() *KeysUnavailable {
	s.mu.Lock()
	at, now := s.mayBegin(), time.Now()
	warn := s.flight == nil && s.failures == 0 && now.Before(at) && now.Sub(s.warnedAt) >= quotaWindow
	if s.flight != nil {
		at = s.flight.at.Add(fetchTimeout)
	}
	if warn {
		s.warnedAt = now
	}
	s.mu.Unlock()
	if warn {
		s.log.Warn("tokens of an unknown key get 503: the issuer's key set was fetched twice in the last minute")
	}
	return &KeysUnavailable{RetryAfter: max(at.Sub(now), time.Second)}
}

// start begins a fetch, or joins the one under way. It returns nil if there may be none now.
func (s *source) start() *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight != nil {
		return s.flight
	}
	now := time.Now()
	if s.ctx.Err() != nil || now.Before(s.mayBegin()) {
		return nil
	}
	s.begun++
	f := &flight{at: now, ordinal: s.begun, done: make(chan struct{})}
	s.flight = f
	s.tasks.Go(func() {
		defer close(f.done)
		set, err := s.fetcher.fetch(s.ctx)
		if s.ctx.Err() != nil {
			s.mu.Lock()
			s.flight = nil
			s.mu.Unlock()
			return
		}
		old, next := s.end(f, set, err)
		s.report(old, next, set, err)
	})
	return f
}

// end takes what a fetch brought, and returns the snapshots before and after it.
func (s *source) end(f *flight, set *keySet, err error) (old, next *snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flight = nil
	old = s.newest.Load()
	if err != nil {
		pause := min(firstRetry<<min(s.failures, 10), lastRetry)
		s.failures++
		s.retryAt = time.Now().Add(pause/2 + rand.N(pause/2))
		return old, old
	}
	s.recent, s.failures, s.retryAt = [2]time.Time{s.recent[1], f.at}, 0, time.Time{}
	next = &snapshot{set: set, at: f.at, ordinal: f.ordinal}
	switch {
	case old == nil:
		set.adopt(nil)
	case old.set.fingerprint == set.fingerprint:
		next.set = old.set // with the tokens that it verified
	default:
		set.adopt(old.set)
	}
	s.newest.Store(next)
	return old, next
}

// report logs what a fetch brought.
func (s *source) report(old, next *snapshot, set *keySet, err error) {
	switch {
	case err != nil && old == nil:
		s.log.Warn("the issuer's key set could not be loaded; requests with a token get 503 until it is", "reason", err)
		return
	case err != nil:
		s.log.Warn("the issuer's key set could not be renewed; the known keys stay", "reason", err)
		return
	}
	if len(set.keys) == 0 {
		s.log.Error("the issuer's key set has no usable key; every token is refused",
			"unusable", set.unusable, "algorithms", algorithmNames)
	}
	if set.beyond > 0 {
		s.log.Warn("the issuer's key set has more keys than are used", "used", len(set.keys), "left_out", set.beyond)
	}
	if old == nil || old.set != next.set {
		s.log.Info("the issuer's key set was loaded",
			"keys", len(set.keys), "unusable", set.unusable, "withdrawn", len(next.set.withdrawn))
	}
}
