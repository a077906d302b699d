// Package memory is a registry.Store that lives and ends with the process.
//
// One transaction at a time writes. A transaction takes the writer slot at its first lock or write and holds it to its
// end; until then it only reads what is committed, and blocks no other. Writes go into the tables at once, beside the
// committed values, and are recorded in the transaction's log: a commit makes them the committed values, a rollback
// removes them, and either costs what was written, not what is stored. Other readers see the committed values meanwhile
// and wait for no transaction.
//
// The constraints of the Postgres schema are enforced here by the same rules: unique columns, parents, checks, texts
// without NUL.
package memory

import (
	"context"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// Store is a registry.Store in memory. It is safe for concurrent use.
//
// A Tx that is begun inside another one and writes waits for it, until its context ends.
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

// Confirm fails only if ctx has ended: a commit waits for no other machine.
func (s *Store) Confirm(ctx context.Context) error { return ctx.Err() }

// ConfirmReads fails only if ctx has ended.
func (s *Store) ConfirmReads(ctx context.Context) error { return ctx.Err() }

// Tx runs fn one time, in one transaction. It is rolled back too if fn panics, or if ctx has ended by the end of fn.
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
