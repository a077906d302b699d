package cache

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// TestInvalidate: every invalidation of a dependency makes the cache read again, and no other one does.
func TestInvalidate(t *testing.T) {
	t.Parallel()
	for name, invalidate := range map[string]func(*fixture){
		"its key":    func(f *fixture) { f.Invalidate(f.keyInvalidation()) },
		"its tenant": func(f *fixture) { f.Invalidate(f.tenantInvalidation()) },
		"everything": func(f *fixture) { f.Invalidate(registry.Invalidation{All: true}) },
		"a flush":    func(f *fixture) { f.Flush() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, Options{})
			f.wantGood(true, 1)
			f.writeElsewhere(f.revoke)
			invalidate(f)
			f.wantGood(false, 1)
			f.wantGood(false, 0)
			f.Invalidate(registry.Invalidation{Keys: []uuid.UUID{f.unrelated()}})
			f.wantGood(false, 0)
		})
	}
}

// unrelated is an id in another slot than the key and its tenant.
func (f *fixture) unrelated() uuid.UUID {
	v := f.validity
	for {
		id := uuid.New()
		if p := v.slotOfID(id); p != v.slotOfID(f.key.ID) && p != v.slotOfID(f.tenant.ID) {
			return id
		}
	}
}

// TestInvalidate_duringLoad: what was read before is not cached, also if the load could not know that it is about this
// tenant. A caller that asked before the change may get the old answer, one that asks later may not.
func TestInvalidate_duringLoad(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		elsewhere func(*fixture, registry.Tx) error
		then      func(*fixture)
	}{
		"a revocation": {(*fixture).revoke, func(f *fixture) { f.Invalidate(f.keyInvalidation()) }},
		"a freeze, the tenant is not known": {(*fixture).freeze, func(f *fixture) {
			f.Invalidate(f.tenantInvalidation())
		}},
		"a flush":                  {(*fixture).revoke, func(f *fixture) { f.Flush() }},
		"a change by this process": {nil, func(f *fixture) { f.must(f.write(f.revoke)) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, Options{})
			held := f.hold()
			first := f.inBackground(registry.ReadOptions{})
			old := <-held // has read that the key is good
			f.free()
			if c.elsewhere != nil {
				f.writeElsewhere(func(tx registry.Tx) error { return c.elsewhere(f, tx) })
			}
			c.then(f)
			f.wantGood(false, 1) // neither waits for the old load nor gets its answer
			close(old.arrive)
			if !<-first {
				t.Error("the old load has read something else")
			}
			f.wantGood(false, 0)
		})
	}
}

// TestInvalidate_lateLoadIsNotCached is TestInvalidate_duringLoad without a read in between.
func TestInvalidate_lateLoadIsNotCached(t *testing.T) {
	t.Parallel()
	for name, invalidate := range map[string]func(*fixture){
		"its tenant": func(f *fixture) { f.Invalidate(f.tenantInvalidation()) },
		"a flush":    func(f *fixture) { f.Flush() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, Options{})
			held := f.hold()
			first := f.inBackground(registry.ReadOptions{})
			old := <-held
			f.free()
			f.writeElsewhere(f.freeze)
			invalidate(f)
			close(old.arrive)
			<-first
			f.wantGood(false, 1)
		})
	}
}

// publish is what a transaction of these tests publishes.
func (f *fixture) publish(tx registry.Tx, i registry.Invalidation) error {
	return tx.PublishInvalidation(f.Context(), i)
}

// TestTx_outcomes: whatever Tx answers, what it published is read again.
func TestTx_outcomes(t *testing.T) {
	t.Parallel()
	for name, outcome := range map[string]func(*fixture){
		"committed": func(f *fixture) { f.must(f.write(f.revoke)) },
		"everything is published": func(f *fixture) {
			f.must(f.Tx(f.Context(), func(tx registry.Tx) error {
				return errors.Join(f.revoke(tx), f.publish(tx, registry.Invalidation{All: true}))
			}))
		},
		"published twice": func(f *fixture) {
			f.must(f.Tx(f.Context(), func(tx registry.Tx) error {
				err := errors.Join(f.revoke(tx), f.publish(tx, f.keyInvalidation()))
				return errors.Join(err, f.publish(tx, f.tenantInvalidation()))
			}))
		},
		"unknown": func(f *fixture) {
			f.afterCommit = func() error { return registry.ErrUnavailable }
			if err := f.write(f.revoke); !errors.Is(err, registry.ErrUnavailable) {
				f.Errorf("the outcome is %v", err)
			}
		},
		"a panic after the commit": func(f *fixture) {
			f.afterCommit = func() error { panic("after") }
			defer func() { _ = recover() }()
			_ = f.write(f.revoke)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, Options{})
			f.wantGood(true, 1)
			outcome(f)
			f.wantGood(false, 1)
			f.wantGood(false, 0) // the change has ended
		})
	}
}

// TestTx_rolledBack: what was not committed costs nothing, and leaves nothing.
func TestTx_rolledBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	f.wantGood(true, 1)
	undo := errors.New("undo")
	change := func(tx registry.Tx) error { return errors.Join(f.revoke(tx), f.publish(tx, f.keyInvalidation())) }
	err := f.Tx(t.Context(), func(tx registry.Tx) error { return errors.Join(change(tx), undo) })
	if !errors.Is(err, undo) {
		t.Fatal(err)
	}
	func() {
		defer func() { _ = recover() }()
		_ = f.Tx(t.Context(), func(tx registry.Tx) error { panic(change(tx)) })
	}()
	f.wantGood(true, 0)
}

// TestTx_publicationFails: what could not be published is not committed.
func TestTx_publicationFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	f.wantGood(true, 1)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	err := f.Tx(t.Context(), func(tx registry.Tx) error {
		return errors.Join(f.revoke(tx), tx.PublishInvalidation(ended, f.keyInvalidation()))
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	f.wantGood(true, 0)
}

// TestTx_underWay: between the commit and the end of Tx no caller gets what was before, whatever was read meanwhile.
// The order of the calls is that of the transaction: the cache adds none.
func TestTx_underWay(t *testing.T) {
	t.Parallel()
	for name, published := range map[string]func(*fixture) registry.Invalidation{
		"the key":    (*fixture).keyInvalidation,
		"everything": func(*fixture) registry.Invalidation { return registry.Invalidation{All: true} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, Options{})
			f.wantGood(true, 1)
			f.afterCommit = func() error {
				f.wantGood(false, 1)
				f.wantGood(false, 1) // and nothing is cached that was read before the end
				return nil
			}
			f.must(f.Tx(t.Context(), func(tx registry.Tx) error {
				return errors.Join(f.revoke(tx), f.publish(tx, published(f)))
			}))
			f.afterCommit = nil
			f.wantGood(false, 1)
			f.wantGood(false, 0)
		})
	}
}

// TestTx_unpublished: the cache publishes nothing of its own accord.
func TestTx_unpublished(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	f.wantGood(true, 1)
	f.must(f.Tx(t.Context(), f.revoke))
	f.wantGood(true, 0)
	if n := f.published.Load(); n != 0 {
		t.Errorf("%d publications", n)
	}
}

// TestTx_manyKeys: a tenant with ten thousand keys is one version, and one publication.
func TestTx_manyKeys(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	keys := make([]registry.APIKey, 10_000)
	for i := range keys {
		keys[i] = newKey(f.tenant.ID)
	}
	for batch := range slices.Chunk(keys, 1000) {
		f.writeElsewhere(func(tx registry.Tx) error {
			for _, k := range batch {
				if err := tx.InsertAPIKey(t.Context(), k); err != nil {
					return err
				}
			}
			return nil
		})
	}
	atOnce(slices.Values(keys), func(k registry.APIKey) {
		if _, err := f.lookup(k.Hash); err != nil {
			t.Error(err)
		}
	})
	f.must(f.write(f.freeze))
	if n := f.published.Load(); n != 1 {
		t.Errorf("%d publications", n)
	}
	if n := f.validity.clock.Load(); n > 4 {
		t.Errorf("%d invalidations", n)
	}
	atOnce(slices.Values(keys), func(k registry.APIKey) {
		if facts, err := f.lookup(k.Hash); err != nil || facts.Tenant.Status != registry.StatusFrozen {
			t.Errorf("a key is as before: %v", err)
		}
	})
}
