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
	s.test(t, "ping", func(w *world) {
		status, err := w.store.Ping(w.ctx)
		w.must(err)
		if status.Store == "" {
			w.Error("a store without a name")
		}
	})
}

func endedContexts(w *world) {
	ended, cancel := context.WithCancel(w.ctx)
	cancel()
	for name, err := range everyRead(ended, w.store) {
		w.endedBy(name, err)
	}
	_, err := w.store.Ping(ended)
	w.endedBy("Ping", err)
	w.endedBy("Tx", w.store.Tx(ended, func(tx registry.Tx) error { return tx.InsertTenant(w.ctx, minimalTenant("tenant")) }))
	_ = w.tx(func(tx registry.Tx) error {
		for name, err := range everyRead(ended, tx) {
			w.endedBy(name, err)
		}
		return nil
	})
	for name := range everyWrite(ended, nil) {
		w.want(w.tx(func(tx registry.Tx) error {
			w.endedBy(name, everyWrite(ended, tx)[name]())
			return errOfCaller
		}), errOfCaller)
	}
	_, err = w.store.TenantBySlug(w.ctx, "tenant")
	w.want(err, registry.ErrNotFound)
}

func contextEndsWithin(w *world) {
	ctx, cancel := context.WithCancel(w.ctx)
	err := w.store.Tx(ctx, func(tx registry.Tx) error {
		w.must(insertAll(ctx, tx, minimalTenant("tenant"), minimalEvent(uuid.Nil)))
		cancel()
		return nil
	})
	w.endedBy("Tx", err)
	_, err = w.store.TenantBySlug(w.ctx, "tenant")
	w.want(err, registry.ErrNotFound)
	w.insert(minimalTenant("tenant"), minimalEvent(uuid.Nil))
}

func contextEndsWaiting(w *world) {
	tenant := minimalTenant("tenant")
	w.insert(tenant)
	holder := w.begin()
	_, err := holder.LockTenant(w.ctx, tenant.ID)
	w.must(err)
	err = w.tx(func(tx registry.Tx) error {
		short, cancel := context.WithTimeout(w.ctx, moment)
		defer cancel()
		_, err := tx.LockTenant(short, tenant.ID)
		w.endedBy("LockTenant", err)
		return nil
	})
	w.wantFault(err)
	holder.commit()
}

// endedBy checks that a call whose context has ended answered nothing but that.
func (w *world) endedBy(call string, err error) {
	w.Helper()
	if err == nil {
		w.Errorf("%s: no error", call)
		return
	}
	w.wantFault(err)
}
