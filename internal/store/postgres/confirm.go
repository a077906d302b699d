package postgres

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// emitMessage writes a record to the log of the database that means nothing to anyone. Its commit waits for the
// standbys as every commit does, and so for everything that was committed before. It needs no privilege.
const emitMessage = `SELECT pg_logical_emit_message(true, 'tenant-registry', '')`

// confirmer commits emitted messages, one at a time. All who ask while one is under way share the next one. It shows no
// one a row, so it may be cancelled at its deadline.
type confirmer struct {
	life   context.Context                 // ends what is under way
	commit func(ctx context.Context) error // a message

	mu      sync.Mutex
	next    *confirmation // waits for the one under way; nil: no one has asked
	running bool
	commits sync.WaitGroup
}

// confirmation is one transaction that some callers wait for.
type confirmation struct {
	done chan struct{} // closed when err is set
	err  error
}

// confirm returns when everything is confirmed that was committed before the call, or ctx ends.
func (c *confirmer) confirm(ctx context.Context) error {
	shared := c.join()
	select {
	case <-shared.done:
		return shared.err
	case <-ctx.Done():
		return fmt.Errorf("postgres: confirm: %w: %w", registry.ErrUnavailable, ctx.Err())
	}
}

func (c *confirmer) join() *confirmation {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == nil {
		c.next = &confirmation{done: make(chan struct{})}
	}
	shared := c.next
	if !c.running {
		c.running = true
		c.commits.Go(c.run)
	}
	return shared
}

// run commits until no one waits.
func (c *confirmer) run() {
	for shared := c.take(); shared != nil; shared = c.take() {
		shared.err = c.commit(c.life)
		close(shared.done)
	}
}

func (c *confirmer) take() *confirmation {
	c.mu.Lock()
	defer c.mu.Unlock()
	shared := c.next
	c.next, c.running = nil, shared != nil
	return shared
}

// close waits for what is under way. The confirmer's life must have ended.
func (c *confirmer) close() { c.commits.Wait() }

// commitMessage commits a message on one of the store's own connections.
func (p *pool) commitMessage(ctx context.Context) error {
	return p.call(ctx, "confirm", func(ctx context.Context, on querier) error {
		_, err := on.Exec(ctx, emitMessage)
		return err
	})
}

// Confirm implements registry.Store: it commits a message, which waits for the standbys as everything before it does.
func (s *Store) Confirm(ctx context.Context) error { return s.confirmer.confirm(ctx) }

// incarnation changes when the server starts, or recovers in place from the crash of one of its processes: only then
// are rows visible that no standby has confirmed, as long as no one cancels a wait.
type incarnation struct{ started, recovered time.Time }

func scanIncarnation(row pgx.CollectableRow) (i incarnation, err error) {
	err = row.Scan(&i.started, &i.recovered)
	return i, err
}

// ConfirmReads implements registry.Store: one Confirm for each incarnation of the server.
func (s *Store) ConfirmReads(ctx context.Context) error {
	const sql = `SELECT pg_postmaster_start_time(), stats_reset FROM pg_stat_bgwriter`
	now, err := one(ctx, s.reader, query{"read incarnation", sql, nil}, scanIncarnation)
	if err != nil {
		return err
	}
	if confirmed := s.confirmed.Load(); confirmed != nil && *confirmed == now {
		return nil
	}
	if err := s.Confirm(ctx); err != nil {
		return err
	}
	s.confirmed.Store(&now)
	return nil
}
