package storetest

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/testkit"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

func locks(t *testing.T, s suite) {
	s.test(t, "no update is lost", noLostUpdate)
	s.test(t, "a tenant is locked and changed by one", func(f *fixture) {
		tenant := minimalTenant("tenant")
		f.insert(tenant)
		lock := func(ctx context.Context, tx registry.Tx) error { _, err := tx.LockTenant(ctx, tenant.ID); return err }
		update := func(ctx context.Context, tx registry.Tx) error { return tx.UpdateTenant(ctx, tenant) }
		excludeEachOther(f, map[string]locker{"LockTenant": lock, "UpdateTenant": update})
	})
	s.test(t, "a key is locked and changed by one", func(f *fixture) {
		tenant := minimalTenant("tenant")
		key := minimalKey(tenant.ID)
		f.insert(tenant, key)
		lock := func(ctx context.Context, tx registry.Tx) error { _, err := tx.LockAPIKey(ctx, key.ID); return err }
		update := func(ctx context.Context, tx registry.Tx) error { return tx.UpdateAPIKey(ctx, key) }
		excludeEachOther(f, map[string]locker{"LockAPIKey": lock, "UpdateAPIKey": update})
	})
	s.test(t, "the audit lock is one for all groups", oneAuditLock)
	s.test(t, "a tenant that is locked can be locked shared, and written about", holdsBesideLock)
	s.test(t, "of different tenants", func(f *fixture) {
		one, two := minimalTenant("one"), minimalTenant("two")
		f.insert(one, two)
		holder := f.begin()
		_, err := holder.LockTenant(f.ctx, one.ID)
		f.must(err)
		f.waitsIfOneWriter(
			func(ctx context.Context, tx registry.Tx) error { _, err := tx.LockTenant(ctx, two.ID); return err },
		)
		holder.commit()
	})
	s.test(t, "of several tenants, shared", func(f *fixture) {
		one, two := minimalTenant("one"), minimalTenant("two")
		f.insert(one, two)
		f.commit(func(tx registry.Tx) error {
			held, err := tx.LockTenantsShared(f.ctx, []uuid.UUID{one.ID, newID(), two.ID, one.ID, uuid.Nil}, true)
			f.equal(held, map[uuid.UUID]bool{one.ID: true, two.ID: true})
			return err
		})
		f.commit(func(tx registry.Tx) error {
			held, err := tx.LockTenantsShared(f.ctx, nil, true)
			f.equal(len(held), 0)
			return err
		})
	})
	s.test(t, "of a unique value decide with the commit", uniqueValueWaits)
	s.test(t, "end with the transaction", locksEnd)
}

func oneAuditLock(f *fixture) {
	tenant := minimalTenant("tenant")
	f.insert(tenant)
	of := func(group uuid.UUID) locker {
		return func(ctx context.Context, tx registry.Tx) error {
			_, err := testkit.LockAuditHead(ctx, tx, group)
			return err
		}
	}
	excludeEachOther(
		f,
		map[string]locker{
			"of the tenant":       of(tenant.ID),
			"of the platform":     of(uuid.Nil),
			"of an unknown group": of(newID()),
		},
	)
}

func locksEnd(f *fixture) {
	tenant := minimalTenant("tenant")
	key := minimalKey(tenant.ID)
	f.insert(tenant, key)
	all := func(ctx context.Context, tx registry.Tx) error {
		if _, err := tx.LockTenant(ctx, tenant.ID); err != nil {
			return err
		}
		if _, err := tx.LockAPIKey(ctx, key.ID); err != nil {
			return err
		}
		_, err := testkit.LockAuditHead(ctx, tx, tenant.ID)
		return err
	}
	for _, verdict := range []error{nil, errOfCaller} {
		holder := f.begin()
		f.must(all(f.ctx, holder))
		f.want(holder.end(verdict), verdict)
		f.passes(all)
	}
	// A transaction that gave up waiting has no lock either.
	holder := f.begin()
	f.must(all(f.ctx, holder))
	f.waits(all)
	holder.commit()
	f.passes(all)
}

// locker is a call that takes a lock.
type locker func(ctx context.Context, tx registry.Tx) error

// excludeEachOther checks that while one of the calls is in an open transaction, another transaction waits with any of
// them, and gets through when the first has ended.
func excludeEachOther(f *fixture, calls map[string]locker) {
	for _, first := range calls {
		for name, second := range calls {
			holder := f.begin()
			f.must(first(f.ctx, holder))
			f.waits(second)
			var ended atomic.Bool
			waiter := make(chan error, 1)
			go func() {
				waiter <- f.tx(func(tx registry.Tx) error {
					err := second(f.ctx, tx)
					if !ended.Load() {
						f.Errorf("%s went on before the holder ended", name)
					}
					return err
				})
			}()
			ended.Store(true)
			holder.commit()
			f.must(<-waiter)
		}
	}
}

// waitsIfOneWriter checks that fn waits for the open transaction in a store of one writer, and for none in any other.
func (f *fixture) waitsIfOneWriter(fn locker) {
	f.Helper()
	if f.options.OneWriter {
		f.waits(fn)
	} else {
		f.passes(fn)
	}
}

// noLostUpdate has two transactions that each read a version under the lock and write the next one.
func noLostUpdate(f *fixture) {
	tenant := minimalTenant("tenant")
	f.insert(tenant)
	next := func(ctx context.Context, tx registry.Tx, before int64) error {
		t, err := tx.LockTenant(ctx, tenant.ID)
		if err != nil {
			return err
		}
		f.equal(t.Version, before)
		t.Version++
		return tx.UpdateTenant(ctx, t)
	}
	holder := f.begin()
	_, err := holder.LockTenant(f.ctx, tenant.ID)
	f.must(err)
	// For as long as the holder holds, a rival does not come through: this one gives up.
	f.waits(func(ctx context.Context, tx registry.Tx) error { return next(ctx, tx, 1) })
	// This one does not, and sees what the holder committed.
	waiter := make(chan error, 1)
	go func() {
		waiter <- f.tx(func(tx registry.Tx) error { return next(f.ctx, tx, 2) })
	}()
	f.must(next(f.ctx, holder, 1))
	holder.commit()
	f.must(<-waiter)
	got, err := f.store.GetTenant(f.ctx, tenant.ID)
	f.must(err)
	f.equal(got.Version, int64(3))
}

func holdsBesideLock(f *fixture) {
	tenant := minimalTenant("tenant")
	f.insert(tenant, minimalProduct("product"))
	hold := func(ctx context.Context, tx registry.Tx) error { return testkit.LockTenantShared(ctx, tx, tenant.ID) }
	writer := f.begin()
	_, err := writer.LockTenant(f.ctx, tenant.ID)
	f.must(err)
	f.must(writer.UpdateTenant(f.ctx, tenant))
	f.waitsIfOneWriter(hold)
	f.waitsIfOneWriter(func(ctx context.Context, tx registry.Tx) error {
		if err := hold(ctx, tx); err != nil {
			return err
		}
		_, err := appendEvent(ctx, tx, minimalEvent(tenant.ID))
		return err
	})
	f.waitsIfOneWriter(
		func(ctx context.Context, tx registry.Tx) error { return tx.InsertAPIKey(ctx, minimalKey(tenant.ID)) },
	)
	writer.commit()

	// The other way round: a shared lock blocks neither a change nor another shared lock.
	holder := f.begin()
	f.must(hold(f.ctx, holder))
	f.waitsIfOneWriter(hold)
	f.waitsIfOneWriter(func(ctx context.Context, tx registry.Tx) error {
		if _, err := tx.LockTenant(ctx, tenant.ID); err != nil {
			return err
		}
		return tx.UpdateTenant(ctx, tenant)
	})
	holder.commit()
}

// uniqueValueWaits has two transactions that want the same slug at the same time: the outcome of the second depends on
// that of the first.
func uniqueValueWaits(f *fixture) {
	for _, c := range []struct{ verdict, second error }{{nil, registry.ErrSlugTaken}, {errOfCaller, nil}} {
		slug := "slug-" + newID().String()
		first := f.begin()
		f.must(first.InsertTenant(f.ctx, minimalTenant(slug)))
		f.waits(func(ctx context.Context, tx registry.Tx) error { return tx.InsertTenant(ctx, minimalTenant(slug)) })
		second := make(chan error, 1)
		go func() { second <- f.insertErr(minimalTenant(slug)) }()
		f.want(first.end(c.verdict), c.verdict)
		f.want(<-second, c.second)
	}
}
