package storetest

import (
	"context"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

func contexts(t *testing.T, s suite) {
	s.test(t, "that have ended end every call", endedContexts)
	s.test(t, "that end within a transaction undo it", contextEndsWithin)
	s.test(t, "that end while waiting doom the transaction", contextEndsWaiting)
	s.test(t, "ping", func(f *fixture) {
		status, err := f.store.Ping(f.ctx)
		f.must(err)
		if status.Store == "" {
			f.Error("a store without a name")
		}
	})
}

func endedContexts(f *fixture) {
	ended, cancel := context.WithCancel(f.ctx)
	cancel()
	for name, err := range everyRead(ended, f.store) {
		f.endedBy(name, err)
	}
	_, err := f.store.Ping(ended)
	f.endedBy("Ping", err)
	f.endedBy(
		"Tx", f.store.Tx(ended, func(tx registry.Tx) error { return tx.InsertTenant(f.ctx, minimalTenant("tenant")) }),
	)
	_ = f.tx(func(tx registry.Tx) error {
		for name, err := range everyRead(ended, tx) {
			f.endedBy(name, err)
		}
		return nil
	})
	for name := range everyWrite(ended, nil) {
		f.want(f.tx(func(tx registry.Tx) error {
			f.endedBy(name, everyWrite(ended, tx)[name]())
			return errOfCaller
		}), errOfCaller)
	}
	_, err = lookupTenant(f.ctx, f.store, "tenant")
	f.want(err, registry.ErrNotFound)
}

func contextEndsWithin(f *fixture) {
	ctx, cancel := context.WithCancel(f.ctx)
	err := f.store.Tx(ctx, func(tx registry.Tx) error {
		f.must(insertAll(ctx, tx, minimalTenant("tenant"), minimalEvent(uuid.Nil)))
		cancel()
		return nil
	})
	f.endedBy("Tx", err)
	_, err = lookupTenant(f.ctx, f.store, "tenant")
	f.want(err, registry.ErrNotFound)
	f.insert(minimalTenant("tenant"), minimalEvent(uuid.Nil))
}

func contextEndsWaiting(f *fixture) {
	tenant := minimalTenant("tenant")
	f.insert(tenant)
	holder := f.begin()
	_, err := holder.LockTenant(f.ctx, tenant.ID)
	f.must(err)
	err = f.tx(func(tx registry.Tx) error {
		short, cancel := context.WithTimeout(f.ctx, moment)
		defer cancel()
		_, err := tx.LockTenant(short, tenant.ID)
		f.endedBy("LockTenant", err)
		return nil
	})
	f.wantFault(err)
	holder.commit()
}

// endedBy checks that a call whose context has ended answered nothing but that.
func (f *fixture) endedBy(call string, err error) {
	f.Helper()
	if err == nil {
		f.Errorf("%s: no error", call)
		return
	}
	f.wantFault(err)
}
