package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

const (
	maxRetries      = 3
	pauseAtMost     = 20 * time.Millisecond // before the first retry; twice that before the second, and so on
	rollbackTimeout = time.Second
)

// tx is one transaction, for one goroutine. After its end pgx refuses every call.
type tx struct {
	reader
	pool    *pool
	conn    *pgxpool.Conn
	inner   *transaction
	failure error // of the first call that failed: from then on the transaction is doomed

	answered  bool // a call succeeded: the connection is alive
	dead      bool // the first call found that it is not, or that it was prepared for another schema
	abandoned bool // its COMMIT was, and has the connection
}

var _ registry.Tx = (*tx)(nil)

// Tx runs fn in one transaction, and up to three times more if Postgres gave up the transaction in favour of another
// one. It waits for its turn first, without a connection.
func (s *Store) Tx(ctx context.Context, fn func(registry.Tx) error) error {
	for retry := 1; ; retry++ {
		contention, err := s.run(ctx, fn)
		switch {
		case contention == nil:
			return err
		case retry > maxRetries:
			return fmt.Errorf(
				"postgres: the transaction lost %d times against others: %w: %w", retry, registry.ErrUnavailable,
				contention,
			)
		}
		if err := pause(ctx, rand.N(pauseAtMost<<(retry-1))); err != nil {
			return failure("wait before a retry", err)
		}
	}
}

// run is one run of a transaction, or two if the first met a connection that had died in the pool, and so did nothing.
// If it was given up in favour of another one, contention is why, and nothing of it was committed.
func (s *Store) run(ctx context.Context, fn func(registry.Tx) error) (contention, err error) {
	if err := s.pool.turns.take(ctx); err != nil {
		return nil, err
	}
	defer s.pool.turns.give()
	t, err := s.attempt(ctx, fn)
	if t != nil && t.dead && ctx.Err() == nil {
		s.pool.startAfresh(t.failure)
		t, err = s.attempt(ctx, fn)
	}
	if t == nil {
		return nil, err
	}
	if isContention(t.failure) {
		return t.failure, err
	}
	return nil, err
}

// attempt runs fn and commits. It returns the transaction, which has ended; nil if there was no connection for it.
func (s *Store) attempt(ctx context.Context, fn func(registry.Tx) error) (*tx, error) {
	conn, err := s.pool.connect(ctx)
	if err != nil {
		return nil, err
	}
	t := &tx{pool: s.pool, conn: conn, inner: &transaction{conn: conn.Conn()}}
	t.reader = reader{t}
	defer t.end(ctx)
	err = fn(t)
	switch {
	case err != nil:
	case t.failure != nil:
		err = t.doomed("commit")
	default:
		err = t.commit(ctx)
	}
	return t, err
}

// call implements caller. Every failure dooms the transaction, as it does in Postgres, but not a read that finds
// nothing.
func (t *tx) call(ctx context.Context, op string, fn func(ctx context.Context, on querier) error) error {
	if t.failure != nil {
		return t.doomed(op)
	}
	ctx, cancel := context.WithTimeout(ctx, t.pool.callTimeout)
	defer cancel()
	err := t.inner.flush(ctx)
	if err == nil {
		err = fn(ctx, t.inner)
	}
	if err == nil || errors.Is(err, pgx.ErrNoRows) {
		t.answered = t.inner.begun
		return failure(op, err)
	}
	t.dead = !t.answered && ctx.Err() == nil && (isLost(err) || hasCode(err, stalePlan))
	t.failure = t.pool.failure(op, err)
	return t.failure
}

// callWide implements caller. The transaction has its connection.
func (t *tx) callWide(ctx context.Context, op string, fn func(ctx context.Context, on querier) error) error {
	return t.call(ctx, op, fn)
}

func (t *tx) plannedEachTime() pgx.QueryExecMode { return t.pool.plannedEachTime() }

func (t *tx) logUnreadable(ctx context.Context, table, key string, err error) {
	t.pool.logUnreadable(ctx, table, key, err)
}

// doomed names the first failure in its text without wrapping it: errors.Is finds ErrTxDoomed only.
func (t *tx) doomed(op string) error {
	return fmt.Errorf("postgres: %s: %w: %v", op, registry.ErrTxDoomed, t.failure)
}

// end rolls back what was not committed, also if ctx has ended or fn panicked, and gives the connection back; one that
// does not answer is closed, and one whose COMMIT was abandoned is left to it.
func (t *tx) end(ctx context.Context) {
	if t.abandoned {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	t.inner.Rollback(ctx) // after a commit there is nothing to do
	release(t.conn)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
