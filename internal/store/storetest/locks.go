package storetest

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

func locks(t *testing.T, s suite) {
	s.test(t, "no update is lost", noLostUpdate)
	s.test(t, "a tenant is locked and changed by one", func(w *world) {
		tenant := minimalTenant("tenant")
		w.insert(tenant)
		lock := func(ctx context.Context, tx registry.Tx) error { _, err := tx.LockTenant(ctx, tenant.ID); return err }
		update := func(ctx context.Context, tx registry.Tx) error { return tx.UpdateTenant(ctx, tenant) }
		excludeEachOther(w, map[string]locker{"LockTenant": lock, "UpdateTenant": update})
	})
	s.test(t, "a key is locked and changed by one", func(w *world) {
		tenant := minimalTenant("tenant")
		key := minimalKey(tenant.ID)
		w.insert(tenant, key)
		lock := func(ctx context.Context, tx registry.Tx) error { _, err := tx.LockAPIKey(ctx, key.ID); return err }
		update := func(ctx context.Context, tx registry.Tx) error { return tx.UpdateAPIKey(ctx, key) }
		excludeEachOther(w, map[string]locker{"LockAPIKey": lock, "UpdateAPIKey": update})
	})
	s.test(t, "the audit lock is one for all groups", oneAuditLock)
	s.test(t, "of one idempotency key exclude each other, of two do not", func(w *world) {
		one, two := newHash(), newHash()
		claim := func(key registry.Hash) locker {
			return func(ctx context.Context, tx registry.Tx) error { _, err := tx.Claim(ctx, key); return err }
		}
		excludeEachOther(w, map[string]locker{"Claim": claim(one)})
		holder := w.begin()
		w.must(claim(one)(w.ctx, holder))
		w.waitsIfOneWriter(claim(two))
		holder.commit()
	})
	s.test(t, "a tenant that is locked can be held, and written about", holdsBesideLock)
	s.test(t, "of different tenants", func(w *world) {
		one, two := minimalTenant("one"), minimalTenant("two")
		w.insert(one, two)
		holder := w.begin()
		_, err := holder.LockTenant(w.ctx, one.ID)
		w.must(err)
		w.waitsIfOneWriter(func(ctx context.Context, tx registry.Tx) error { _, err := tx.LockTenant(ctx, two.ID); return err })
		holder.commit()
	})
	s.test(t, "of a unique value decide with the commit", uniqueValueWaits)
	s.test(t, "end with the transaction", locksEnd)
}

func oneAuditLock(w *world) {
	tenant := minimalTenant("tenant")
	w.insert(tenant)
	of := func(group uuid.UUID) locker {
		return func(ctx context.Context, tx registry.Tx) error { _, err := tx.AuditHead(ctx, group); return err }
	}
	excludeEachOther(w, map[string]locker{"of the tenant": of(tenant.ID), "of the platform": of(uuid.Nil), "of nobody": of(newID())})
}

func locksEnd(w *world) {
	tenant := minimalTenant("tenant")
	key := minimalKey(tenant.ID)
	w.insert(tenant, key)
	all := func(ctx context.Context, tx registry.Tx) error {
		if _, err := tx.LockTenant(ctx, tenant.ID); err != nil {
			return err
		}
		if _, err := tx.LockAPIKey(ctx, key.ID); err != nil {
			return err
		}
		_, err := tx.AuditHead(ctx, tenant.ID)
		return err
	}
	for _, verdict := range []error{nil, errOfCaller} {
		holder := w.begin()
		w.must(all(w.ctx, holder))
		w.want(holder.end(verdict), verdict)
		w.passes(all)
	}
	// Whoever gave up waiting has no lock either.
	holder := w.begin()
	w.must(all(w.ctx, holder))
	w.waits(all)
	holder.commit()
	w.passes(all)
}

// locker is a call that takes a lock.
type locker func(ctx context.Context, tx registry.Tx) error

// excludeEachOther checks that while one of the calls is in an open transaction, another transaction waits with any of them, and
// gets through when the first has ended.
func excludeEachOther(w *world, calls map[string]locker) {
	for _, first := range calls {
		for name, second := range calls {
			holder := w.begin()
			w.must(first(w.ctx, holder))
			w.waits(second)
			var ended atomic.Bool
			waiter := make(chan error, 1)
			go func() {
				waiter <- w.tx(func(tx registry.Tx) error {
					err := second(w.ctx, tx)
					if !ended.Load() {
						w.Errorf("%s went on before the holder ended", name)
					}
					return err
				})
			}()
			ended.Store(true)
			holder.commit()
			w.must(<-waiter)
		}
	}
}

// waitsIfOneWriter checks that fn waits for the open transaction in a store of one writer, and for nobody in any other.
func (w *world) waitsIfOneWriter(fn locker) {
	w.Helper()
	if w.options.OneWriter {
		w.waits(fn)
	} else {
		w.passes(fn)
	}
}

// noLostUpdate has two transactions that each read a version under the lock and write the next one.
func noLostUpdate(w *world) {
	tenant := minimalTenant("tenant")
	w.insert(tenant)
	next := func(ctx context.Context, tx registry.Tx, before int64) error {
		t, err := tx.LockTenant(ctx, tenant.ID)
		if err != nil {
			return err
		}
		w.equal(t.Version, before)
		t.Version++
		return tx.UpdateTenant(ctx, t)
	}
	holder := w.begin()
	_, err := holder.LockTenant(w.ctx, tenant.ID)
	w.must(err)
	// For as long as the holder holds, a rival does not come through: this one gives up.
	w.waits(func(ctx context.Context, tx registry.Tx) error { return next(ctx, tx, 1) })
	// This one does not, and sees what the holder committed.
	waiter := make(chan error, 1)
	go func() {
		waiter <- w.tx(func(tx registry.Tx) error { return next(w.ctx, tx, 2) })
	}()
	w.must(next(w.ctx, holder, 1))
	holder.commit()
	w.must(<-waiter)
	got, err := w.store.Tenant(w.ctx, tenant.ID)
	w.must(err)
	w.equal(got.Version, int64(3))
}

func holdsBesideLock(w *world) {
	tenant := minimalTenant("tenant")
	w.insert(tenant, minimalProduct("product"))
	hold := func(ctx context.Context, tx registry.Tx) error { return tx.HoldTenant(ctx, tenant.ID) }
	writer := w.begin()
	_, err := writer.LockTenant(w.ctx, tenant.ID)
	w.must(err)
	w.must(writer.UpdateTenant(w.ctx, tenant))
	w.waitsIfOneWriter(hold)
	w.waitsIfOneWriter(func(ctx context.Context, tx registry.Tx) error {
		if err := hold(ctx, tx); err != nil {
			return err
		}
		_, err := appendEvent(ctx, tx, minimalEvent(tenant.ID))
		return err
	})
	w.waitsIfOneWriter(func(ctx context.Context, tx registry.Tx) error { return tx.InsertAPIKey(ctx, minimalKey(tenant.ID)) })
	writer.commit()

	// The other way round: who holds does not keep anybody from changing, nor another from holding.
	holder := w.begin()
	w.must(hold(w.ctx, holder))
	w.waitsIfOneWriter(hold)
	w.waitsIfOneWriter(func(ctx context.Context, tx registry.Tx) error {
		if _, err := tx.LockTenant(ctx, tenant.ID); err != nil {
			return err
		}
		return tx.UpdateTenant(ctx, tenant)
	})
	holder.commit()
}

// uniqueValueWaits has two transactions that want the same slug at the same time: who comes second hears what became of the first.
func uniqueValueWaits(w *world) {
	for _, c := range []struct{ verdict, second error }{{nil, registry.ErrSlugTaken}, {errOfCaller, nil}} {
		slug := "slug-" + newID().String()
		first := w.begin()
		w.must(first.InsertTenant(w.ctx, minimalTenant(slug)))
		w.waits(func(ctx context.Context, tx registry.Tx) error { return tx.InsertTenant(ctx, minimalTenant(slug)) })
		second := make(chan error, 1)
		go func() { second <- w.insertErr(minimalTenant(slug)) }()
		w.want(first.end(c.verdict), c.verdict)
		w.want(<-second, c.second)
	}
}
