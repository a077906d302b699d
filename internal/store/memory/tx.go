package memory

import (
	"context"
	"errors"
	"fmt"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

var errEnded = errors.New("memory: the transaction has ended")

// tx is one transaction. Its fields are guarded by db.mu.
type tx struct {
	reader
	failure error // of every further call; nil: the transaction goes on
	writes  bool  // it holds the writer slot
	log     []step
}

// step is how one write ends, one way or the other.
type step struct{ commit, undo func() }

var _ registry.Tx = (*tx)(nil)

func newTx(db *tables) *tx {
	t := &tx{}
	t.reader = reader{db: db, tx: t}
	return t
}

// write runs fn with the writer slot held and the tables locked. A failure dooms the transaction; ErrNotFound is none,
// as in Postgres.
func (t *tx) write(ctx context.Context, fn func() error) error {
	err := t.takeSlot(ctx)
	t.db.mu.Lock()
	defer t.db.mu.Unlock()
	if t.failure != nil {
		return t.failure
	}
	if err == nil {
		err = fn()
	}
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		t.failure = registry.ErrTxDoomed
	}
	return err
}

// lock is write for what reads under a lock.
func lock[T any](ctx context.Context, t *tx, fn func() (T, error)) (T, error) {
	var got T
	err := t.write(ctx, func() (err error) {
		got, err = fn()
		return err
	})
	return got, err
}

// takeSlot waits for the writer slot unless the transaction has it, or has failed or ended.
func (t *tx) takeSlot(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t.db.mu.RLock()
	settled := t.writes || t.failure != nil
	t.db.mu.RUnlock()
	if settled {
		return nil
	}
	select {
	case t.db.slot <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("%w: waited for another transaction: %w", registry.ErrUnavailable, ctx.Err())
	}
	t.db.mu.Lock()
	defer t.db.mu.Unlock()
	if t.writes || t.failure != nil {
		<-t.db.slot
		return nil
	}
	t.writes = true
	return nil
}

// record adds a write to the log.
func (t *tx) record(commit, undo func()) { t.log = append(t.log, step{commit, undo}) }

func (t *tx) commit(ctx context.Context) error {
	t.db.mu.Lock()
	defer t.db.mu.Unlock()
	if t.failure != nil {
		return t.failure
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, s := range t.log {
		s.commit()
	}
	t.end()
	return nil
}

// rollback undoes what was written, unless the transaction has ended.
func (t *tx) rollback() {
	t.db.mu.Lock()
	defer t.db.mu.Unlock()
	if errors.Is(t.failure, errEnded) {
		return
	}
	for i := len(t.log) - 1; i >= 0; i-- {
		t.log[i].undo()
	}
	t.end()
}

func (t *tx) end() {
	t.failure, t.log = errEnded, nil
	if t.writes {
		t.writes = false
		<-t.db.slot
	}
}

// PublishInvalidation implements registry.InvalidationWriter. No other process shares this store.
func (t *tx) PublishInvalidation(ctx context.Context, _ registry.Invalidation) error {
	_, err := read(ctx, t.reader, func(bool) (any, error) { return nil, nil })
	return err
}
