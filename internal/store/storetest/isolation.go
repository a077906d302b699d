package storetest

import (
	"errors"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

func isolation(t *testing.T, s suite) {
	s.test(t, "nothing is seen before the commit", nothingBeforeCommit)
	s.test(t, "who has only read is in nobody's way", func(w *world) {
		tenant := minimalTenant("tenant")
		w.insert(tenant)
		idle := w.begin()
		_, err := idle.Tenant(w.ctx, tenant.ID)
		w.must(err)
		w.equal(len(w.append(minimalEvent(tenant.ID))), 1)
		changed := tenant
		changed.Name = "changed"
		w.commit(func(tx registry.Tx) error { return tx.UpdateTenant(w.ctx, changed) })
		// Whatever it saw before, under the lock it sees what was committed.
		got, err := idle.LockTenant(w.ctx, tenant.ID)
		w.must(err)
		w.equal(got, changed)
		head, err := idle.AuditHead(w.ctx, tenant.ID)
		w.must(err)
		w.equal(head.Seq, int64(1))
		idle.commit()
	})
}

// nothingBeforeCommit reads everything from outside while a transaction that wrote everything is open.
func nothingBeforeCommit(w *world) {
	old := minimalTenant("old")
	oldKey := minimalKey(old.ID)
	w.insert(old, minimalProduct("old"), oldKey, minimalEvent(old.ID))
	rows := aWorldful("slug", "product")
	tenant := rows[0].(registry.Tenant)
	rows = append(rows, minimalEntitlement(old.ID, "product"), minimalRequest(old.ID, "product"), minimalKey(old.ID), minimalEvent(old.ID))
	for _, verdict := range []error{errOfCaller, nil} {
		oldBefore, newBefore := snapshot(w, w.store, old.ID, "old"), snapshot(w, w.store, tenant.ID, "product")
		writer := w.begin()
		w.must(insertAll(w.ctx, writer, rows...))
		changed, changedKey := fullTenant("x"), fullKey(old.ID, "product")
		changed.ID, changedKey.ID = old.ID, oldKey.ID
		w.must(writer.UpdateTenant(w.ctx, changed))
		w.must(writer.UpdateAPIKey(w.ctx, changedKey))
		within := snapshot(w, writer, old.ID, "old")

		reader := w.begin() // another transaction sees no more than the store does
		for name, r := range map[string]registry.Reader{"the store": w.store, "a transaction": reader} {
			if snapshot(w, r, old.ID, "old") != oldBefore || snapshot(w, r, tenant.ID, "product") != newBefore {
				w.Errorf("%s sees what is not committed", name)
			}
			if _, err := r.TenantBySlug(w.ctx, "slug"); !errors.Is(err, registry.ErrNotFound) {
				w.Errorf("%s finds a slug that is not committed: %v", name, err)
			}
			if _, err := r.TenantByOrg(w.ctx, tenant.KeycloakOrgID); !errors.Is(err, registry.ErrNotFound) {
				w.Errorf("%s finds an organisation that is not committed: %v", name, err)
			}
		}
		reader.commit()
		w.want(writer.end(verdict), verdict)
		after := snapshot(w, w.store, old.ID, "old")
		if verdict == nil && after != within {
			w.Error("after the commit others see something else than the writer did")
		}
		if verdict != nil && after != oldBefore {
			w.Error("the rollback left something")
		}
	}
}
