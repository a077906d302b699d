// Package faultstore is a registry.Store whose calls fail, block or run twice as a test says.
//
// Calls have the names of the Store's methods: "GetTenant", "ListAuditEvents", "Ping". Within a transaction they are
// those of the Tx after "Tx.": "Tx.GetTenant", "Tx.InsertAuditEvents". A transaction itself is "Tx" before it begins,
// "Rerun" between its two runs, and "Commit" after it was committed. A store that is a registry.Lookup has the calls
// "KeyFacts", "TenantBySlug" and "TenantByKeycloakOrg" too.
package faultstore

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// What a fault may return beside an error of its own.
var (
	// ErrBlock makes the call wait until its context ends, and return the context's error.
	ErrBlock = errors.New("faultstore: block until the context ends")
	// ErrRerun, of the call "Tx", makes the transaction run twice: its first run is rolled back, as after a deadlock.
	ErrRerun = errors.New("faultstore: run the transaction again")
)

// Option is what else happens to calls.
type Option func(*hooks)

// After asks a second function after each call within and outside of transactions: it holds up an answer that was read,
// or replaces it by its error. The answer of a call whose context has ended meanwhile is the context's error.
func After(answered func(call string) error) Option {
	return func(h *hooks) { h.after = answered }
}

// New decorates a store. fault is asked before each call, which is not made if fault returns an error: the error is the
// answer. fault may count, block, and change the store. It is called by every goroutine that calls the store.
func New(inner registry.Store, fault func(call string) error, options ...Option) registry.Store {
	h := &hooks{before: fault}
	for _, o := range options {
		o(h)
	}
	s := &store{reader{inner, h, ""}, inner}
	if lookup, ok := inner.(registry.Lookup); ok {
		return &lookupStore{s, lookup}
	}
	return s
}

// On is a fault of one call: it fails with err, each time.
func On(call string, err error) func(string) error {
	return func(name string) error {
		if name == call {
			return err
		}
		return nil
	}
}

// hooks are asked about calls.
type hooks struct {
	before, after func(call string) error
}

// ask asks whether a call fails.
func (h *hooks) ask(ctx context.Context, name string) error {
	err := h.before(name)
	if errors.Is(err, ErrBlock) {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

// call makes a call unless it is to fail.
func call[T any](ctx context.Context, h *hooks, name string, do func() (T, error)) (T, error) {
	var none T
	if err := h.ask(ctx, name); err != nil {
		return none, err
	}
	got, err := do()
	if h.after == nil {
		return got, err
	}
	if err := errors.Join(h.after(name), ctx.Err()); err != nil {
		return none, err
	}
	return got, err
}

// write is call for a call without a result.
func write(ctx context.Context, h *hooks, name string, do func() error) error {
	_, err := call(ctx, h, name, func() (struct{}, error) { return struct{}{}, do() })
	return err
}

// store decorates a registry.Store.
type store struct {
	reader
	inner registry.Store
}

func (s *store) Ping(ctx context.Context) (registry.StoreStatus, error) {
	return call(ctx, s.h, "Ping", func() (registry.StoreStatus, error) { return s.inner.Ping(ctx) })
}

func (s *store) Confirm(ctx context.Context) error {
	return write(ctx, s.h, "Confirm", func() error { return s.inner.Confirm(ctx) })
}

func (s *store) ConfirmReads(ctx context.Context) error {
	return write(ctx, s.h, "ConfirmReads", func() error { return s.inner.ConfirmReads(ctx) })
}

func (s *store) LockErasures(ctx context.Context, group uuid.UUID) (registry.ErasureLock, error) {
	return call(ctx, s.h, "LockErasures", func() (registry.ErasureLock, error) {
		return s.inner.LockErasures(ctx, group)
	})
}

func (s *store) Tx(ctx context.Context, fn func(registry.Tx) error) error {
	err := s.h.ask(ctx, "Tx")
	if errors.Is(err, ErrRerun) {
		if err := s.rollback(ctx, fn); err != nil {
			return err
		}
		err = s.h.ask(ctx, "Rerun")
	}
	if err != nil {
		return err
	}
	if err := s.inner.Tx(ctx, func(tx registry.Tx) error { return fn(s.decorate(tx)) }); err != nil {
		return err
	}
	return s.h.ask(ctx, "Commit")
}

// rollback runs fn and rolls it back. Its error is that of fn, if there is one.
func (s *store) rollback(ctx context.Context, fn func(registry.Tx) error) error {
	err := s.inner.Tx(ctx, func(tx registry.Tx) error {
		if err := fn(s.decorate(tx)); err != nil {
			return err
		}
		return ErrRerun
	})
	if errors.Is(err, ErrRerun) {
		return nil
	}
	return err
}

func (s *store) decorate(inner registry.Tx) registry.Tx { return &tx{reader{inner, s.h, "Tx."}, inner} }

// lookupStore is a store that is a registry.Lookup.
type lookupStore struct {
	*store
	lookup registry.Lookup
}

func (s *lookupStore) KeyFacts(
	ctx context.Context, l registry.KeyLookup, o registry.ReadOptions,
) (registry.KeyFacts, error) {
	return call(ctx, s.h, "KeyFacts", func() (registry.KeyFacts, error) { return s.lookup.KeyFacts(ctx, l, o) })
}

func (s *lookupStore) TenantBySlug(ctx context.Context, slug string, o registry.ReadOptions) (registry.Tenant, error) {
	return call(
		ctx, s.h, "TenantBySlug", func() (registry.Tenant, error) { return s.lookup.TenantBySlug(ctx, slug, o) },
	)
}

func (s *lookupStore) TenantByKeycloakOrg(
	ctx context.Context, org string, o registry.ReadOptions,
) (registry.Tenant, error) {
	return call(ctx, s.h, "TenantByKeycloakOrg", func() (registry.Tenant, error) {
		return s.lookup.TenantByKeycloakOrg(ctx, org, o)
	})
}
