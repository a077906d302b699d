package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// querier is what a connection and a transaction have in common.
type querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// caller runs one call of the Store within its deadline, on a connection or in a transaction, and turns an error into
// what the Store promises. op names the call in errors.
type caller interface {
	call(ctx context.Context, op string, fn func(ctx context.Context, on querier) error) error
	// callWide is call for a read that may examine many rows: all of these together hold a third of the pool.
	callWide(ctx context.Context, op string, fn func(ctx context.Context, on querier) error) error
	// plannedEachTime is the mode for a statement whose plan must depend on its values.
	plannedEachTime() pgx.QueryExecMode
	// logUnreadable logs a row that cannot be read, and is left out.
	logUnreadable(ctx context.Context, table, key string, err error)
}

// reader implements registry.Reader; the methods are with their aggregates.
type reader struct{ caller }

// query is a statement to run.
type query struct {
	op, sql string
	args    []any
}

// one reads exactly one row; none is ErrNotFound.
func one[T any](ctx context.Context, c caller, q query, scan pgx.RowToFunc[T]) (T, error) {
	var got T
	err := c.call(ctx, q.op, func(ctx context.Context, on querier) (err error) {
		rows, _ := on.Query(ctx, q.sql, q.args...) // its error is also the rows'
		got, err = pgx.CollectExactlyOneRow(rows, scan)
		return err
	})
	return got, err
}

// many reads all rows; none is an empty list.
func many[T any](ctx context.Context, c caller, q query, scan pgx.RowToFunc[T]) ([]T, error) {
	return collect(ctx, c.call, q, scan)
}

// manyWide is many for a read that may examine many rows.
func manyWide[T any](ctx context.Context, c caller, q query, scan pgx.RowToFunc[T]) ([]T, error) {
	return collect(ctx, c.callWide, q, scan)
}

func collect[T any](
	ctx context.Context, call func(context.Context, string, func(context.Context, querier) error) error, q query,
	scan pgx.RowToFunc[T],
) ([]T, error) {
	var got []T
	err := call(ctx, q.op, func(ctx context.Context, on querier) (err error) {
		rows, _ := on.Query(ctx, q.sql, q.args...)
		got, err = pgx.CollectRows(rows, scan)
		return err
	})
	return got, err
}

// change writes a row; none is ErrNotFound.
func change(ctx context.Context, c caller, q query) error {
	return c.call(ctx, q.op, func(ctx context.Context, on querier) error {
		tag, err := on.Exec(ctx, q.sql, q.args...)
		if err == nil && tag.RowsAffected() == 0 {
			return pgx.ErrNoRows
		}
		return err
	})
}

// connectionPause is between two attempts to get a connection while the server allows no more of them.
const connectionPause = 5 * time.Millisecond

// pool runs each call on a connection of its own.
type pool struct {
	inner                       *pgxpool.Pool
	mode                        pgx.QueryExecMode // of statements that set none
	acquireTimeout, callTimeout time.Duration
	lost                        func()       // called when a connection of the pool turned out to be dead
	log                         *slog.Logger // of rows that cannot be read, and are left out

	turns   *turns
	wide    chan struct{} // of the reads that may examine many rows, those that have a connection
	commits commits

	readOnly, diskFull atomic.Bool  // what the server's last answer to a change was
	faults             atomic.Int64 // calls that failed with what may be a fault of the schema
}

func newPool(inner *pgxpool.Pool, cfg Config) *pool {
	return &pool{
		inner: inner, mode: inner.Config().ConnConfig.DefaultQueryExecMode, acquireTimeout: cfg.AcquireTimeout,
		callTimeout: cfg.CallTimeout, lost: func() {}, log: cfg.Logger,
		turns: newTurns(inner.Config().MaxConns, cfg.CallTimeout),
		wide:  make(chan struct{}, max(1, inner.Config().MaxConns/3)),
	}
}

// plannedEachTime implements caller. In every mode but the default one all statements are planned each time.
func (p *pool) plannedEachTime() pgx.QueryExecMode {
	if p.mode == pgx.QueryExecModeCacheStatement {
		return pgx.QueryExecModeCacheDescribe
	}
	return p.mode
}

func (p *pool) logUnreadable(ctx context.Context, table, key string, err error) {
	p.log.ErrorContext(ctx, "row unreadable, left out", "table", table, "key", key, "error", err)
}

func (p *pool) call(ctx context.Context, op string, fn func(ctx context.Context, on querier) error) error {
	ctx, cancel := context.WithTimeout(ctx, p.callTimeout)
	defer cancel()
	err := p.again(ctx, func() error {
		conn, err := p.acquire(ctx)
		if err != nil {
			return err
		}
		defer release(conn)
		return fn(ctx, conn)
	})
	return p.failure(op, err)
}

func (p *pool) callWide(ctx context.Context, op string, fn func(ctx context.Context, on querier) error) error {
	waiting, cancel := context.WithTimeout(ctx, p.callTimeout)
	defer cancel()
	select {
	case p.wide <- struct{}{}:
		defer func() { <-p.wide }()
		return p.call(ctx, op, fn)
	case <-waiting.Done():
		return fmt.Errorf("postgres: %s: %w: waited for other reads: %w", op, registry.ErrUnavailable, waiting.Err())
	}
}

// connect gets a connection that the caller must release.
func (p *pool) connect(ctx context.Context) (*pgxpool.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, p.callTimeout)
	defer cancel()
	conn, err := p.acquire(ctx)
	return conn, p.failure("begin", err)
}

// again runs something that changes nothing, and once more if it met a connection that had died in the pool, or a
// statement that was prepared before SQL changed a column. The other connections may be in the same state, after a
// restart of the server for example, so the pool starts afresh.
func (p *pool) again(ctx context.Context, fn func() error) error {
	err := fn()
	if ctx.Err() != nil || !isLost(err) && !hasCode(err, stalePlan) {
		return err
	}
	p.startAfresh(err)
	return fn()
}

// startAfresh closes all connections of the pool, one of which failed so.
func (p *pool) startAfresh(err error) {
	if !hasCode(err, stalePlan) {
		p.lost()
	}
	p.inner.Reset()
}

func (p *pool) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, p.acquireTimeout)
	defer cancel()
	for {
		conn, err := p.inner.Acquire(ctx)
		if err == nil {
			return conn, nil
		}
		// Where the server allows fewer connections than the pool has, one that is in use becomes free.
		if !hasCode(err, tooManyConnections) || pause(ctx, connectionPause) != nil {
			return nil, fmt.Errorf("%w: no connection: %w", registry.ErrUnavailable, err)
		}
	}
}

// release gives a connection back. One that was closed in the middle of a call leaves the pool instead: pgx takes up to
// 15 seconds to end it where the server does not answer, and the pool would have room for no other meanwhile.
func release(conn *pgxpool.Conn) {
	if conn.Conn().IsClosed() {
		conn.Hijack()
		return
	}
	conn.Release()
}

// failure is what the Store returns for an error.
func (p *pool) failure(op string, err error) error {
	switch {
	case isReadOnly(err):
		p.observe(true)
	case hasCode(err, diskFull):
		p.diskFull.Store(true)
	case hasCode(err, stalePlan):
		p.inner.Reset() // the other connections have prepared it, too
	case isFault(err):
		p.faults.Add(1)
	}
	return failure(op, err)
}

// committed notes that the server committed a change.
func (p *pool) committed() {
	p.observe(false)
	if p.diskFull.Load() {
		p.diskFull.Store(false)
	}
}

// observe notes whether the server takes writes. When that changes the pool closes all connections, one time: where
// there are several hosts another one may be the primary now, and a session that began read-only stays so.
func (p *pool) observe(readOnly bool) {
	if p.readOnly.Load() != readOnly && p.readOnly.Swap(readOnly) != readOnly {
		p.inner.Reset()
	}
}

// refused is why the server refused the last change, although it is not read-only; empty if it did not.
func (p *pool) refused() string {
	if p.diskFull.Load() {
		return refusedDiskFull
	}
	return ""
}
