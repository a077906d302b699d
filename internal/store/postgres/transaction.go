package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const beginSQL = `BEGIN ISOLATION LEVEL READ COMMITTED`

// transaction is a transaction on a connection. Its BEGIN is sent with its first batch, and its last write with its
// COMMIT: each saves a round trip, of which a transaction consists for the most part.
type transaction struct {
	conn         *pgx.Conn
	begun, ended bool
	last         *pgx.QueuedQuery // the last write, until it is sent; nil: there is none
	unwritten    bool             // it was sent with the COMMIT, and is not known to have succeeded
}

// Exec implements querier.
func (t *transaction) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if err := t.begin(ctx); err != nil {
		return pgconn.CommandTag{}, err
	}
	return t.conn.Exec(ctx, sql, args...)
}

// Query implements querier.
func (t *transaction) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if err := t.begin(ctx); err != nil {
		return failedRows{err: err}, err
	}
	return t.conn.Query(ctx, sql, args...)
}

// SendBatch implements querier.
func (t *transaction) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if t.ended {
		return failedBatch{err: pgx.ErrTxClosed}
	}
	if t.begun {
		return t.conn.SendBatch(ctx, b)
	}
	t.begun = true
	begun := &pgx.Batch{QueuedQueries: append([]*pgx.QueuedQuery{{SQL: beginSQL}}, b.QueuedQueries...)}
	results := t.conn.SendBatch(ctx, begun)
	if _, err := results.Exec(); err != nil { // the error of the whole batch, if there is one
		_ = results.Close()
		return failedBatch{err: err}
	}
	return results
}

func (t *transaction) begin(ctx context.Context) error {
	if t.ended {
		return pgx.ErrTxClosed
	}
	if t.begun {
		return nil
	}
	t.begun = true
	_, err := t.conn.Exec(ctx, beginSQL)
	return err
}

// writeLast is a write that is sent with the COMMIT, or before the next statement if there is one.
func (t *transaction) writeLast(sql string, args []any) {
	t.last = &pgx.QueuedQuery{SQL: sql, Arguments: args}
}

// flush sends the last write: it is not the last.
func (t *transaction) flush(ctx context.Context) error {
	last := t.last
	if t.last = nil; last == nil {
		return nil
	}
	_, err := t.Exec(ctx, last.SQL, last.Arguments...)
	return err
}

// Commit sends the last write and the COMMIT. If the server refused the write, the COMMIT was not reached.
func (t *transaction) Commit(ctx context.Context) error {
	if t.ended {
		return pgx.ErrTxClosed
	}
	if !t.begun && t.last == nil {
		t.ended = true
		return nil
	}
	var b pgx.Batch
	if t.unwritten = t.last != nil; t.unwritten {
		b.Queue(t.last.SQL, t.last.Arguments...).Exec(func(pgconn.CommandTag) error {
			t.unwritten = false
			return nil
		})
	}
	rolledBack := false
	b.Queue(`COMMIT`).Exec(func(tag pgconn.CommandTag) error {
		rolledBack = tag.String() == "ROLLBACK"
		return nil
	})
	if err := t.SendBatch(ctx, &b).Close(); err != nil {
		return err
	}
	if t.ended = true; rolledBack {
		return pgx.ErrTxCommitRollback
	}
	return nil
}

// Rollback ends the transaction, unless it has ended. A connection that does not answer is closed.
func (t *transaction) Rollback(ctx context.Context) {
	if t.ended || !t.begun {
		t.ended = true
		return
	}
	t.ended = true
	if _, err := t.conn.Exec(ctx, `ROLLBACK`); err != nil {
		_ = t.conn.Close(ctx)
	}
}

// failedRows are those of a statement that was not sent.
type failedRows struct {
	pgx.Rows
	err error
}

// Close implements pgx.Rows.
func (failedRows) Close() {}

// Err implements pgx.Rows.
func (r failedRows) Err() error { return r.err }

// Next implements pgx.Rows.
func (failedRows) Next() bool { return false }

// failedBatch is a batch that failed with its first statement.
type failedBatch struct {
	pgx.BatchResults
	err error
}

// Exec implements pgx.BatchResults.
func (b failedBatch) Exec() (pgconn.CommandTag, error) { return pgconn.CommandTag{}, b.err }

// Query implements pgx.BatchResults.
func (b failedBatch) Query() (pgx.Rows, error) { return nil, b.err }

// QueryRow implements pgx.BatchResults.
func (b failedBatch) QueryRow() pgx.Row { return b }

// Scan implements pgx.Row.
func (b failedBatch) Scan(...any) error { return b.err }

// Close implements pgx.BatchResults.
func (b failedBatch) Close() error { return b.err }
