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
	firstRetry   = 250 * time.Millisecond
	lastRetry    = 30 * time.Second
	renewEvery   = 5 * time.Minute // so that a key which the issuer withdrew is not trusted permanently
	maxFetchWait = 2 * time.Second // of a request whose token no known key verifies
)

// source holds the newest key set that could be loaded. Until the first one it loads by itself with a growing pause,
// after that every renewEvery and when a request asks for it, at most twice in any minute. A failure leaves the set as
// it is.
type source struct {
	fetcher *fetcher
	adopt   func(*keySet) // called once with each new set before it is used
	log     *slog.Logger

	set    atomic.Pointer[keySet]
	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu     sync.Mutex
	flight chan struct{} // closed when the fetch under way has ended; nil if there is none
	recent [2]time.Time  // when the last two fetches began, oldest first; failed ones before the first set do not count
}

func newSource(f *fetcher, adopt func(*keySet), log *slog.Logger) *source {
	s := &source{fetcher: f, adopt: adopt, log: log}
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
	for pause := firstRetry; !s.load(); pause = min(2*pause, lastRetry) {
		if !s.sleep(pause/2 + rand.N(pause/2)) {
			return
		}
	}
	for s.sleep(renewEvery) {
		if wait := s.start(); wait != nil {
			<-wait
		}
	}
}

func (s *source) sleep(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-s.ctx.Done():
		return false
	}
}

// newer returns a set that may know keys which than does not, or than itself if there is none, none may be fetched now,
// or the fetch does not end in time. Callers at the same time share one fetch.
func (s *source) newer(ctx context.Context, than *keySet) *keySet {
	if set := s.set.Load(); set != than {
		return set
	}
	if wait := s.start(); wait != nil {
		late := time.NewTimer(maxFetchWait)
		defer late.Stop()
		select {
		case <-wait:
		case <-late.C:
		case <-ctx.Done():
		}
	}
	return s.set.Load()
}

// start begins a fetch, or joins the one under way. It returns nil if there may be none now.
func (s *source) start() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight != nil {
		return s.flight
	}
	now := time.Now()
	if s.ctx.Err() != nil || now.Sub(s.recent[0]) < time.Minute {
		return nil
	}
	s.began(now)
	done := make(chan struct{})
	s.flight = done
	s.tasks.Go(func() {
		s.load()
		s.mu.Lock()
		s.flight = nil
		s.mu.Unlock()
		close(done)
	})
	return done
}

func (s *source) began(at time.Time) { s.recent = [2]time.Time{s.recent[1], at} }

// load fetches once and takes what came if it is new. It reports whether there was an answer.
func (s *source) load() bool {
	began := time.Now()
	set, err := s.fetcher.fetch(s.ctx)
	old := s.set.Load()
	switch {
	case s.ctx.Err() != nil:
		return false
	case err != nil && old == nil:
		s.log.Warn("the issuer's key set could not be loaded; requests with a token get 503 until it is", "reason", err)
		return false
	case err != nil:
		s.log.Warn("the issuer's key set could not be renewed; the known keys stay", "reason", err)
		return false
	}
	if old == nil {
		s.mu.Lock()
		s.began(began)
		s.mu.Unlock()
	}
	if old == nil || old.fingerprint != set.fingerprint {
		s.adopt(set)
		s.set.Store(set)
		s.log.Info("the issuer's key set was loaded", "keys", len(set.keys))
	}
	return true
}
