package storetest

import (
	"errors"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

func isolation(t *testing.T, s suite) {
	s.test(t, "nothing is seen before the commit", nothingBeforeCommit)
	s.test(t, "a transaction that has only read blocks no other", func(f *fixture) {
		tenant := minimalTenant("tenant")
		f.insert(tenant)
		idle := f.begin()
		_, err := idle.GetTenant(f.ctx, tenant.ID)
		f.must(err)
		f.equal(len(f.append(minimalEvent(tenant.ID))), 1)
		changed := tenant
		changed.Name = "changed"
		f.commit(func(tx registry.Tx) error { return tx.UpdateTenant(f.ctx, changed) })
		// Whatever it saw before, under the lock it sees what was committed.
		got, err := idle.LockTenant(f.ctx, tenant.ID)
		f.must(err)
		f.equal(got, changed)
		head, err := testkit.LockAuditHead(f.ctx, idle, tenant.ID)
		f.must(err)
		f.equal(head.Seq, int64(1))
		idle.commit()
	})
}

// nothingBeforeCommit reads everything from outside while a transaction that wrote everything is open.
func nothingBeforeCommit(f *fixture) {
	old := minimalTenant("old")
	oldKey := minimalKey(old.ID)
	f.insert(old, minimalProduct("old"), oldKey, minimalEvent(old.ID))
	rows := oneOfEach("slug", "product")
	tenant := rows[0].(registry.Tenant)
	rows = append(
		rows, minimalEntitlement(old.ID, "product"), minimalRequest(old.ID, "product"), minimalKey(old.ID),
		minimalEvent(old.ID),
	)
	for _, verdict := range []error{errOfCaller, nil} {
		oldBefore, newBefore := snapshot(f, f.store, old.ID, "old"), snapshot(f, f.store, tenant.ID, "product")
		writer := f.begin()
		f.must(insertAll(f.ctx, writer, rows...))
		changed, changedKey := fullTenant("x"), fullKey(old.ID, "product")
		changed.ID, changedKey.ID = old.ID, oldKey.ID
		f.must(writer.UpdateTenant(f.ctx, changed))
		f.must(writer.UpdateAPIKey(f.ctx, changedKey))
		within := snapshot(f, writer, old.ID, "old")

		reader := f.begin() // another transaction sees no more than the store does
		for name, r := range map[string]registry.Reader{"the store": f.store, "a transaction": reader} {
			if snapshot(f, r, old.ID, "old") != oldBefore || snapshot(f, r, tenant.ID, "product") != newBefore {
				f.Errorf("%s sees what is not committed", name)
			}
			if _, err := lookupTenant(f.ctx, r, "slug"); !errors.Is(err, registry.ErrNotFound) {
				f.Errorf("%s finds a slug that is not committed: %v", name, err)
			}
			if _, err := lookupOrg(f.ctx, r, tenant.KeycloakOrgID); !errors.Is(err, registry.ErrNotFound) {
				f.Errorf("%s finds an organisation that is not committed: %v", name, err)
			}
		}
		reader.commit()
		f.want(writer.end(verdict), verdict)
		after := snapshot(f, f.store, old.ID, "old")
		if verdict == nil && after != within {
			f.Error("after the commit others see something else than the writer did")
		}
		if verdict != nil && after != oldBefore {
			f.Error("the rollback left something")
		}
	}
}
