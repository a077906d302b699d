package storetest

import (
	"errors"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/testkit"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

var errOfCaller = errors.New("storetest: the caller's own")

func transactions(t *testing.T, s suite) {
	s.test(t, "that fail leave nothing", rollbackOfInserts)
	s.test(t, "that fail leave updates undone", rollbackOfUpdates)
	s.test(t, "return the error of fn", func(f *fixture) {
		f.want(f.tx(func(registry.Tx) error { return errOfCaller }), errOfCaller)
		f.want(f.tx(func(tx registry.Tx) error {
			f.must(tx.InsertTenant(f.ctx, minimalTenant("tenant")))
			return errOfCaller
		}), errOfCaller)
		f.must(f.tx(func(registry.Tx) error { return nil }))
	})
	s.test(t, "that panic leave nothing, and no lock", rollbackOfPanic)
	s.test(t, "see what they wrote", readsOwnWrites)
	s.test(t, "go on after what is not there", missingDoomsNot)
	s.test(t, "are doomed by a failed write", doomed)
	s.test(t, "take no calls after their end", noCallsAfterEnd)
	s.test(t, "are tested with every call there is", everyCallIsListed)
}

func rollbackOfPanic(f *fixture) {
	tenant := minimalTenant("tenant")
	func() {
		defer func() { f.equal(recover(), "panic of the caller") }()
		_ = f.tx(func(tx registry.Tx) error {
			f.must(tx.InsertTenant(f.ctx, tenant))
			panic("panic of the caller")
		})
	}()
	f.insert(tenant)
}

func missingDoomsNot(f *fixture) {
	tenant, missing := minimalTenant("tenant"), newID()
	f.commit(func(tx registry.Tx) error {
		for name, answer := range notFounds(f.ctx, tx, missing) {
			if !errors.Is(answer, registry.ErrNotFound) {
				f.Errorf("%s: %v", name, answer)
			}
		}
		return tx.InsertTenant(f.ctx, tenant)
	})
	got, err := f.store.GetTenant(f.ctx, tenant.ID)
	f.must(err)
	f.equal(got, tenant)
}

func noCallsAfterEnd(f *fixture) {
	for name, verdict := range map[string]error{"committed": nil, "rolled back": errOfCaller} {
		var ended registry.Tx
		f.want(f.tx(func(tx registry.Tx) error {
			ended = tx
			f.must(tx.InsertTenant(f.ctx, minimalTenant("t-"+newID().String())))
			return verdict
		}), verdict)
		for call, err := range everyCall(f.ctx, ended) {
			if err == nil || errors.Is(err, registry.ErrNotFound) {
				f.Errorf("%s of a transaction that was %s: %v", call, name, err)
			}
		}
	}
	f.equal(f.head(uuid.Nil), testkit.AuditHead{})
}

// doomed fails a write in every way that there is, swallows the error, and goes on.
func doomed(f *fixture) {
	tenant, key, event := fullTenant("tenant"), fullKey(uuid.Nil, "product"), minimalEvent(uuid.Nil)
	key.TenantID = tenant.ID
	f.insert(tenant, minimalProduct("product"), minimalRequest(tenant.ID, "product"), trial(tenant.ID, "product"), key)
	event = f.append(event)[0]
	spoilt := minimalTenant("spoilt")
	spoilt.Version = 0
	spoiltUpdate, spoiltKey := tenant, key
	spoiltUpdate.Name, spoiltKey.Name = "NUL \x00", "NUL \x00"
	for name, fail := range map[string]func(registry.Tx) error{
		"a tenant twice":          func(tx registry.Tx) error { return tx.InsertTenant(f.ctx, tenant) },
		"a tenant that is spoilt": func(tx registry.Tx) error { return tx.InsertTenant(f.ctx, spoilt) },
		"a spoilt update":         func(tx registry.Tx) error { return tx.UpdateTenant(f.ctx, spoiltUpdate) },
		"a product twice": func(tx registry.Tx) error {
			return tx.InsertProduct(f.ctx, minimalProduct("product"))
		},
		"a request twice": func(tx registry.Tx) error {
			return tx.InsertCatalogRequest(f.ctx, minimalRequest(tenant.ID, "product"))
		},
		"a trial twice": func(tx registry.Tx) error {
			return tx.InsertEntitlement(f.ctx, trial(tenant.ID, "product"))
		},
		"a grant to an unknown tenant": func(tx registry.Tx) error {
			return tx.InsertEntitlement(f.ctx, minimalEntitlement(newID(), "product"))
		},
		"a key twice":              func(tx registry.Tx) error { return tx.InsertAPIKey(f.ctx, key) },
		"a spoilt update of a key": func(tx registry.Tx) error { return tx.UpdateAPIKey(f.ctx, spoiltKey) },
		"an event twice": func(tx registry.Tx) error {
			return f.sent(tx, testkit.InsertAuditEvent(f.ctx, tx, event))
		},
		"an event of an unknown group": func(tx registry.Tx) error {
			_, err := appendEvent(f.ctx, tx, minimalEvent(newID()))
			return f.sent(tx, err)
		},
	} {
		f.want(f.tx(func(tx registry.Tx) error {
			f.must(tx.InsertProduct(f.ctx, minimalProduct("before")))
			if err := fail(tx); err == nil || errors.Is(err, registry.ErrTxDoomed) {
				f.Errorf("%s: %v", name, err)
			}
			for call, err := range everyCall(f.ctx, tx) {
				if !errors.Is(err, registry.ErrTxDoomed) {
					f.Errorf("%s after %s: %v", call, name, err)
				}
			}
			return nil
		}), registry.ErrTxDoomed)
		_, err := f.store.GetProduct(f.ctx, "before")
		f.want(err, registry.ErrNotFound)
	}
	// Control: without a failure the same is committed. And the caller's own error goes before the doom.
	f.insert(minimalProduct("before"))
	f.want(f.tx(func(tx registry.Tx) error {
		_ = tx.InsertProduct(f.ctx, minimalProduct("before"))
		return errOfCaller
	}), errOfCaller)
}

func rollbackOfInserts(f *fixture) {
	old := minimalTenant("old")
	f.insert(old, minimalProduct("old"), minimalKey(old.ID), minimalEntitlement(old.ID, "old"), minimalEvent(old.ID))
	before := snapshot(f, f.store, old.ID, "old")
	rows := oneOfEach("slug", "product")
	tenant := rows[0].(registry.Tenant)
	more := []any{
		minimalEntitlement(old.ID, "product"), trial(old.ID, "product"), minimalRequest(old.ID, "product"),
		minimalKey(old.ID), fullEvent(old.ID),
	}
	fail := func() {
		f.want(f.tx(func(tx registry.Tx) error {
			f.must(insertAll(f.ctx, tx, rows...))
			f.must(insertAll(f.ctx, tx, more...))
			return errOfCaller
		}), errOfCaller)
	}
	none := snapshot(f, f.store, tenant.ID, "product")
	fail()
	f.equal(snapshot(f, f.store, old.ID, "old"), before)
	f.equal(snapshot(f, f.store, tenant.ID, "product"), none)
	_, err := lookupTenant(f.ctx, f.store, "slug")
	f.want(err, registry.ErrNotFound)
	_, err = lookupOrg(f.ctx, f.store, tenant.KeycloakOrgID)
	f.want(err, registry.ErrNotFound)
	for _, row := range append(rows, more...) {
		f.want(readBack(f, row), registry.ErrNotFound)
	}
	// Nothing that was undone is in the way of the same rows, not even after undoing it again.
	fail()
	f.insert(rows...)
	f.insert(more...)
	for _, row := range append(rows, more...) {
		if err := readBack(f, row); !errors.Is(err, errUnreadable) {
			f.must(err)
		}
	}
	// Nor has what was committed lost its place in any index.
	f.want(f.insertErr(minimalTenant("slug")), registry.ErrSlugTaken)
	f.want(f.insertErr(trial(tenant.ID, "product")), registry.ErrTrialExists)
	f.want(f.insertErr(minimalRequest(tenant.ID, "product")), registry.ErrRequestPending)
}

func rollbackOfUpdates(f *fixture) {
	tenant := minimalTenant("tenant")
	key := minimalKey(tenant.ID)
	f.insert(tenant, minimalProduct("product"), key)
	before := snapshot(f, f.store, tenant.ID, "product")
	changed, changedKey := fullTenant("tenant"), fullKey(tenant.ID, "product")
	changed.ID, changedKey.ID = tenant.ID, key.ID
	again, againKey := changed, changedKey
	again.Name, againKey.Name = "again", "again"
	update := func(tx registry.Tx) {
		f.must(tx.UpdateTenant(f.ctx, changed))
		f.must(tx.UpdateAPIKey(f.ctx, changedKey))
		f.must(tx.UpdateTenant(f.ctx, again))
		f.must(tx.UpdateAPIKey(f.ctx, againKey))
	}
	f.want(f.tx(func(tx registry.Tx) error { update(tx); return errOfCaller }), errOfCaller)
	f.equal(snapshot(f, f.store, tenant.ID, "product"), before)
	// Nor does the next writer find anything of it.
	f.commit(func(tx registry.Tx) error {
		locked, err := tx.LockTenant(f.ctx, tenant.ID)
		f.must(err)
		f.equal(locked, tenant)
		lockedKey, err := tx.LockAPIKey(f.ctx, key.ID)
		f.must(err)
		f.equal(lockedKey, key)
		f.equal(snapshot(f, tx, tenant.ID, "product"), before)
		return nil
	})
	f.commit(func(tx registry.Tx) error { update(tx); return nil })
	got, err := f.store.GetTenant(f.ctx, tenant.ID)
	f.must(err)
	f.equal(got.Name, "again")
	one, err := f.store.GetAPIKey(f.ctx, key.ID)
	f.must(err)
	f.equal(one.Name, "again")
}

func readsOwnWrites(f *fixture) {
	rows := oneOfEach("slug", "product")
	tenant := rows[0].(registry.Tenant)
	var inside string
	f.commit(func(tx registry.Tx) error {
		if err := insertAll(f.ctx, tx, rows...); err != nil {
			return err
		}
		inside = snapshot(f, tx, tenant.ID, "product")
		return nil
	})
	if outside := snapshot(f, f.store, tenant.ID, "product"); inside != outside {
		f.Errorf("within %s\nafter  %s", inside, outside)
	}
}

// sent is what came of an InsertAuditEvents that answered err: a store may answer it with the next call.
func (f *fixture) sent(tx registry.Tx, err error) error {
	if err != nil {
		return err
	}
	_, err = tx.GetNewestPosition(f.ctx)
	return err
}
