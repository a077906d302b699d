package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// commits are the COMMITs under way. None is ever cancelled: with synchronous replication that would make visible what
// only this server has. One that takes longer than its caller waits is abandoned: its connection leaves the pool, and
// is closed when Postgres has answered.
type commits struct {
	underWay sync.WaitGroup

	mu        sync.Mutex
	abandoned map[*pgx.Conn]bool
}

// begin commits a transaction, whatever becomes of ctx. ended is called, and the outcome sent, when Postgres has
// answered.
func (c *commits) begin(ctx context.Context, t *transaction, ended func()) <-chan error {
	conn, outcome := t.conn, make(chan error, 1)
	socket := socketOf(conn.PgConn())
	socket.committing.Store(true)
	c.underWay.Go(func() {
		err := t.Commit(context.WithoutCancel(ctx))
		if !conn.IsClosed() {
			socket.committing.Store(false)
		}
		ended()
		if c.end(conn, outcome, err) {
			closeConn(conn)
		}
	})
	return outcome
}

// end sends the outcome, and reports whether the connection was abandoned meanwhile.
func (c *commits) end(conn *pgx.Conn, outcome chan<- error, err error) (abandoned bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	outcome <- err
	abandoned = c.abandoned[conn]
	delete(c.abandoned, conn)
	return abandoned
}

// abandon leaves a connection to its COMMIT, unless that has just ended.
func (c *commits) abandon(conn *pgx.Conn, outcome <-chan error) (err error, ended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case err := <-outcome:
		return err, true
	default:
	}
	if c.abandoned == nil {
		c.abandoned = map[*pgx.Conn]bool{}
	}
	c.abandoned[conn] = true
	return nil, false
}

// close closes the sockets of what was abandoned, which ends no wait in Postgres, and returns when no COMMIT is under
// way.
func (c *commits) close() {
	c.mu.Lock()
	for conn := range c.abandoned {
		_ = socketOf(conn.PgConn()).Close()
	}
	c.mu.Unlock()
	c.underWay.Wait()
}

// commit is never repeated. Unless the server says that it refused, the outcome is unknown.
func (t *tx) commit(ctx context.Context) error {
	const op = "commit"
	if err := ctx.Err(); err != nil {
		return failure(op, err)
	}
	ctx, cancel := context.WithTimeout(ctx, t.pool.callTimeout)
	defer cancel()
	outcome := t.pool.commits.begin(ctx, t.inner, t.pool.turns.committing())
	var err error
	select {
	case err = <-outcome:
	case <-ctx.Done():
		var ended bool
		if err, ended = t.pool.commits.abandon(t.inner.conn, outcome); !ended {
			t.conn.Hijack()
			t.abandoned, err = true, ctx.Err()
		}
	}
	var refused *pgconn.PgError
	switch {
	case err == nil:
		t.pool.committed()
		return nil
	case errors.Is(err, pgx.ErrTxCommitRollback):
		return fmt.Errorf("postgres: %s: %w: %w", op, registry.ErrTxDoomed, err)
	case errors.As(err, &refused) && t.inner.unwritten: // by the server, and the COMMIT was not reached
		t.failure = t.pool.failure("last write", err)
		return t.failure
	case errors.As(err, &refused):
		return t.pool.failure(op, err)
	}
	return fmt.Errorf("postgres: %s: the outcome is unknown: %w: %w", op, registry.ErrUnavailable, err)
}
