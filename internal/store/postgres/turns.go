package postgres

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// stallsAfter is how long a COMMIT may take before further transactions are refused at once: the standby does not
// confirm, and all of them would wait for the audit lock that it holds.
const stallsAfter = time.Second

// turns bound how many connections transactions hold, whatever they wait for: a third of the pool, so that reads find
// one. The other transactions wait for their turn without a connection, in the order in which they came.
type turns struct {
	wait  time.Duration // for a turn, at most
	taken chan struct{}
	began time.Time

	stalled     atomic.Int64 // COMMITs that have taken longer than stallsAfter, and have not ended
	stalledAt   atomic.Int64 // when the last of them had, since began
	confirmedAt atomic.Int64 // when a commit that began later than any of them was confirmed, since began
}

func newTurns(maxConns int32, wait time.Duration) *turns {
	return &turns{wait: wait, taken: make(chan struct{}, max(1, maxConns/3)), began: time.Now()}
}

// confirmed notes that the database confirms commits: a COMMIT that still waits does so on a server that is not the
// primary any more, and whose end may never be heard of.
func (t *turns) confirmed() { t.confirmedAt.Store(int64(time.Since(t.began))) }

// take waits for a turn until ctx ends. give ends the turn.
func (t *turns) take(ctx context.Context) error {
	if t.stalled.Load() > 0 && t.confirmedAt.Load() < t.stalledAt.Load() {
		return fmt.Errorf("postgres: begin: %w: a COMMIT has waited for longer than %s", registry.ErrUnavailable,
			stallsAfter)
	}
	ctx, cancel := context.WithTimeout(ctx, t.wait)
	defer cancel()
	select {
	case t.taken <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("postgres: begin: %w: waited for other transactions: %w", registry.ErrUnavailable, ctx.Err())
	}
}

func (t *turns) give() { <-t.taken }

// committing notes that a COMMIT begins; ended must be called when it has.
func (t *turns) committing() (ended func()) {
	timer := time.AfterFunc(stallsAfter, func() {
		t.stalledAt.Store(int64(time.Since(t.began)))
		t.stalled.Add(1)
	})
	return func() {
		if !timer.Stop() { // it has counted, or is about to
			t.stalled.Add(-1)
		}
	}
}
