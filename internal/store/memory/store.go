// Package memory is a registry.Store that lives and ends with the process.
//
// One transaction at a time writes. A transaction takes that writer slot at its first lock or write and keeps it to its end;
// until then it only reads what is committed, and stands in nobody's way. Writes go into the tables at once, beside the
// committed values, and are noted in the transaction's log: a commit makes them the committed values, a rollback takes them
// out again, and either costs what was written, not what is stored. Everybody else reads the committed values meanwhile and
// waits for no transaction.
//
// What Postgres keeps by constraints is kept here by the same rules: unique columns, parents, checks, texts without NUL.
package memory

import (
	"context"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// Store is a registry.Store in memory. It is safe for concurrent use.
//
// A Tx that is begun inside another one and writes waits for it, so for ever unless its context ends.
type Store struct {
	reader
}

var _ registry.Store = (*Store)(nil)

// New makes an empty store.
func New() *Store {
	return &Store{reader{db: newTables()}}
}

// Ping fails only if ctx has ended: this store can be read and written as long as the process runs.
func (s *Store) Ping(ctx context.Context) (registry.StoreStatus, error) {
	if err := ctx.Err(); err != nil {
		return registry.StoreStatus{}, err
	}
	return registry.StoreStatus{Store: "memory"}, nil
}

// Tx runs fn in one transaction, once. It is rolled back too if fn panics, or if ctx has ended by the end of fn.
func (s *Store) Tx(ctx context.Context, fn func(registry.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t := newTx(s.db)
	defer t.rollback()
	if err := fn(t); err != nil {
		return err
	}
	return t.commit(ctx)
}
