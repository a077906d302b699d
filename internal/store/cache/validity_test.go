package cache

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestLease: without one no entry is answered. It runs from when the heartbeat was sent.
func TestLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Options{Lease: time.Second})
		f.wantGood(true, 1)
		f.wantGood(true, 1)
		sent := time.Now()
		time.Sleep(300 * time.Millisecond)
		f.Renew(sent)
		f.wantGood(true, 1)
		f.wantGood(true, 0)
		time.Sleep(699 * time.Millisecond)
		f.Renew(sent.Add(-time.Second)) // received late: it shortens nothing
		f.wantGood(true, 0)
		f.writeElsewhere(f.revoke)
		time.Sleep(time.Millisecond)
		f.wantGood(false, 1)
		f.wantGood(false, 1)
		f.Renew(time.Now())
		f.Flush()
		f.wantGood(false, 1)
		f.wantGood(false, 0)
	})
}

// TestVersions: with all slots contended, a version never goes back and no change is left under way.
func TestVersions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ held, invalidated changes }{
		"slots":      {changes{slots: []slot{1, 2, 1}}, changes{slots: []slot{2}}},
		"everything": {changes{all: true}, changes{all: true, slots: []slot{2}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newValidity(Options{})
			stamp := func(at uint64, of slot) *validityStamp {
				return &validityStamp{at: at, until: 1 << 62, dependencies: dependencies{of, of, of, of}}
			}
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					for range 1000 {
						at := v.clock.Load()
						v.hold(c.held)
						if v.valid(stamp(v.clock.Load(), 1), 0) {
							t.Error("valid while a change is under way")
							return
						}
						v.release(c.held)
						v.invalidate(c.invalidated)
						if v.valid(stamp(at, 2), 0) {
							t.Error("valid after a change")
							return
						}
					}
				})
			}
			all.Wait()
			if !v.valid(stamp(v.clock.Load(), 1), 0) || !v.valid(stamp(v.clock.Load(), 2), 0) {
				t.Error("a change is left under way")
			}
		})
	}
}
