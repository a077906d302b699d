package storetest

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

var errOfCaller = errors.New("storetest: the caller's own")

func transactions(t *testing.T, s suite) {
	s.test(t, "that fail leave nothing behind", rollbackOfInserts)
	s.test(t, "that fail leave updates undone", rollbackOfUpdates)
	s.test(t, "return the error of fn", func(w *world) {
		w.want(w.tx(func(registry.Tx) error { return errOfCaller }), errOfCaller)
		w.want(w.tx(func(tx registry.Tx) error {
			w.must(tx.InsertTenant(w.ctx, minimalTenant("tenant")))
			return errOfCaller
		}), errOfCaller)
		w.must(w.tx(func(registry.Tx) error { return nil }))
	})
	s.test(t, "that panic leave nothing behind and no lock", rollbackOfPanic)
	s.test(t, "see what they wrote", readsOwnWrites)
	s.test(t, "go on after what is not there", missingDoomsNot)
	s.test(t, "are doomed by a failed write", doomed)
	s.test(t, "take no calls after their end", noCallsAfterEnd)
}

func rollbackOfPanic(w *world) {
	tenant := minimalTenant("tenant")
	func() {
		defer func() { w.equal(recover(), "panic of the caller") }()
		_ = w.tx(func(tx registry.Tx) error {
			w.must(tx.InsertTenant(w.ctx, tenant))
			panic("panic of the caller")
		})
	}()
	w.insert(tenant)
}

func missingDoomsNot(w *world) {
	tenant, missing := minimalTenant("tenant"), newID()
	w.commit(func(tx registry.Tx) error {
		for name, answer := range notFounds(w.ctx, tx, missing) {
			if !errors.Is(answer, registry.ErrNotFound) {
				w.Errorf("%s: %v", name, answer)
			}
		}
		return tx.InsertTenant(w.ctx, tenant)
	})
	got, err := w.store.Tenant(w.ctx, tenant.ID)
	w.must(err)
	w.equal(got, tenant)
}

func noCallsAfterEnd(w *world) {
	for name, verdict := range map[string]error{"committed": nil, "rolled back": errOfCaller} {
		var ended registry.Tx
		w.want(w.tx(func(tx registry.Tx) error {
			ended = tx
			w.must(tx.InsertTenant(w.ctx, minimalTenant("t-"+newID().String())))
			return verdict
		}), verdict)
		for call, err := range everyCall(w.ctx, ended) {
			if err == nil || errors.Is(err, registry.ErrNotFound) {
				w.Errorf("%s of a transaction that was %s: %v", call, name, err)
			}
		}
	}
	w.equal(w.head(uuid.Nil), registry.AuditHead{})
}

// notFounds are the calls that ask for what is not there.
func notFounds(ctx context.Context, tx registry.Tx, missing uuid.UUID) map[string]error {
	key, tenant := minimalKey(missing), minimalTenant("missing")
	key.ID, tenant.ID = missing, missing
	only := func(_ any, err error) error { return err }
	return map[string]error{
		"Tenant":       only(tx.Tenant(ctx, missing)),
		"TenantBySlug": only(tx.TenantBySlug(ctx, "missing")),
		"TenantByOrg":  only(tx.TenantByOrg(ctx, "missing")),
		"LockTenant":   only(tx.LockTenant(ctx, missing)),
		"HoldTenant":   tx.HoldTenant(ctx, missing),
		"UpdateTenant": tx.UpdateTenant(ctx, tenant),
		"Product":      only(tx.Product(ctx, "missing")),
		"APIKey":       only(tx.APIKey(ctx, missing)),
		"KeyFacts":     only(tx.KeyFacts(ctx, newHash(), "")),
		"LockAPIKey":   only(tx.LockAPIKey(ctx, missing)),
		"UpdateAPIKey": tx.UpdateAPIKey(ctx, key),
		"Event":        only(tx.Event(ctx, missing)),
	}
}

// everyRead makes every call of a Reader.
func everyRead(ctx context.Context, r registry.Reader) map[string]error {
	only := func(_ any, err error) error { return err }
	id := newID()
	return map[string]error{
		"Tenant":            only(r.Tenant(ctx, id)),
		"TenantBySlug":      only(r.TenantBySlug(ctx, "slug")),
		"ManyTenantsBySlug": only(r.ManyTenantsBySlug(ctx, []string{"slug"})),
		"TenantByOrg":       only(r.TenantByOrg(ctx, "org")),
		"Product":           only(r.Product(ctx, "key")),
		"Products":          only(r.Products(ctx)),
		"PendingRequests":   only(r.PendingRequests(ctx, id)),
		"Entitlements":      only(r.Entitlements(ctx, id)),
		"APIKey":            only(r.APIKey(ctx, id)),
		"APIKeys":           only(r.APIKeys(ctx, registry.KeyQuery{TenantID: id, Limit: 9})),
		"CountAPIKeys":      only(r.CountAPIKeys(ctx, id)),
		"KeyFacts":          only(r.KeyFacts(ctx, newHash(), "")),
		"ManyKeyFacts":      only(r.ManyKeyFacts(ctx, []registry.KeyLookup{{Hash: newHash()}})),
		"Request":           only(r.Request(ctx, id)),
		"Event":             only(r.Event(ctx, id)),
		"Events":            only(r.Events(ctx, registry.AuditQuery{Limit: 9})),
		"NewestPos":         only(r.NewestPos(ctx)),
		"AuditChain":        only(r.AuditChain(ctx, id)),
	}
}

// everyWrite has every call of a Tx that a Reader has not.
func everyWrite(ctx context.Context, tx registry.Tx) map[string]func() error {
	id := newID()
	return map[string]func() error{
		"LockTenant":        func() error { _, err := tx.LockTenant(ctx, id); return err },
		"HoldTenant":        func() error { return tx.HoldTenant(ctx, id) },
		"HoldTenants":       func() error { _, err := tx.HoldTenants(ctx, []uuid.UUID{id}); return err },
		"InsertTenant":      func() error { return tx.InsertTenant(ctx, minimalTenant("slug")) },
		"UpdateTenant":      func() error { return tx.UpdateTenant(ctx, minimalTenant("slug")) },
		"InsertProduct":     func() error { return tx.InsertProduct(ctx, minimalProduct("key")) },
		"InsertRequest":     func() error { return tx.InsertRequest(ctx, minimalRequest(id, "key")) },
		"InsertEntitlement": func() error { return tx.InsertEntitlement(ctx, minimalEntitlement(id, "key")) },
		"LockAPIKey":        func() error { _, err := tx.LockAPIKey(ctx, id); return err },
		"InsertAPIKey":      func() error { return tx.InsertAPIKey(ctx, minimalKey(id)) },
		"UpdateAPIKey":      func() error { return tx.UpdateAPIKey(ctx, minimalKey(id)) },
		"TouchAPIKeys":      func() error { return tx.TouchAPIKeys(ctx, []registry.KeyUse{{ID: id, Hash: newHash(), At: noon}}) },
		"Publish":           func() error { return tx.Publish(ctx, registry.Touched{Tenants: []uuid.UUID{id}}) },
		"AuditHead":         func() error { _, err := tx.AuditHead(ctx, id); return err },
		"AuditHeads":        func() error { _, err := tx.AuditHeads(ctx, []uuid.UUID{id}, []registry.Hash{newHash()}); return err },
		"Claim":             func() error { _, err := tx.Claim(ctx, newHash()); return err },
		"InsertEvents": func() error {
			return tx.InsertEvents(ctx, []registry.AuditEvent{placed(minimalEvent(uuid.Nil), registry.AuditHead{})})
		},
		"InsertEvent": func() error { return tx.InsertEvent(ctx, placed(minimalEvent(uuid.Nil), registry.AuditHead{})) },
	}
}

// everyCall makes every call of a Tx.
func everyCall(ctx context.Context, tx registry.Tx) map[string]error {
	answers := everyRead(ctx, tx)
	for name, call := range everyWrite(ctx, tx) {
		answers[name] = call()
	}
	return answers
}

// doomed fails a write in every way that there is, swallows the error, and goes on.
func doomed(w *world) {
	tenant, key, event := fullTenant("tenant"), fullKey(uuid.Nil, "product"), minimalEvent(uuid.Nil)
	key.TenantID = tenant.ID
	w.insert(tenant, minimalProduct("product"), minimalRequest(tenant.ID, "product"), trial(tenant.ID, "product"), key)
	event = w.append(event)[0]
	spoilt := minimalTenant("spoilt")
	spoilt.Version = 0
	spoiltUpdate, spoiltKey := tenant, key
	spoiltUpdate.Name, spoiltKey.Name = "NUL \x00", "NUL \x00"
	for name, fail := range map[string]func(registry.Tx) error{
		"a tenant twice":           func(tx registry.Tx) error { return tx.InsertTenant(w.ctx, tenant) },
		"a tenant that is spoilt":  func(tx registry.Tx) error { return tx.InsertTenant(w.ctx, spoilt) },
		"a spoilt update":          func(tx registry.Tx) error { return tx.UpdateTenant(w.ctx, spoiltUpdate) },
		"a product twice":          func(tx registry.Tx) error { return tx.InsertProduct(w.ctx, minimalProduct("product")) },
		"a request twice":          func(tx registry.Tx) error { return tx.InsertRequest(w.ctx, minimalRequest(tenant.ID, "product")) },
		"a trial twice":            func(tx registry.Tx) error { return tx.InsertEntitlement(w.ctx, trial(tenant.ID, "product")) },
		"a grant to nobody":        func(tx registry.Tx) error { return tx.InsertEntitlement(w.ctx, minimalEntitlement(newID(), "product")) },
		"a key twice":              func(tx registry.Tx) error { return tx.InsertAPIKey(w.ctx, key) },
		"a spoilt update of a key": func(tx registry.Tx) error { return tx.UpdateAPIKey(w.ctx, spoiltKey) },
		"an event twice":           func(tx registry.Tx) error { return tx.InsertEvent(w.ctx, event) },
		"an event of nobody":       func(tx registry.Tx) error { _, err := appendEvent(w.ctx, tx, minimalEvent(newID())); return err },
	} {
		w.want(w.tx(func(tx registry.Tx) error {
			w.must(tx.InsertProduct(w.ctx, minimalProduct("before")))
			if err := fail(tx); err == nil || errors.Is(err, registry.ErrTxDoomed) {
				w.Errorf("%s: %v", name, err)
			}
			for call, err := range everyCall(w.ctx, tx) {
				if !errors.Is(err, registry.ErrTxDoomed) {
					w.Errorf("%s after %s: %v", call, name, err)
				}
			}
			return nil
		}), registry.ErrTxDoomed)
		_, err := w.store.Product(w.ctx, "before")
		w.want(err, registry.ErrNotFound)
	}
	// Control: without a failure the same is committed. And the caller's own error goes before the doom.
	w.insert(minimalProduct("before"))
	w.want(w.tx(func(tx registry.Tx) error {
		_ = tx.InsertProduct(w.ctx, minimalProduct("before"))
		return errOfCaller
	}), errOfCaller)
}

// aWorldful are rows of every type that need nothing but each other, in an order in which they can be written.
func aWorldful(slug, product string) []any {
	tenant := fullTenant(slug)
	request := decided(fullRequest(tenant.ID, product))
	return []any{
		tenant, fullProduct(product), request, fullRequest(tenant.ID, product), fullEntitlement(tenant.ID, product, request.ID),
		trial(tenant.ID, product), fullKey(tenant.ID, product), fullEvent(tenant.ID), fullEvent(uuid.Nil),
	}
}

func rollbackOfInserts(w *world) {
	old := minimalTenant("old")
	w.insert(old, minimalProduct("old"), minimalKey(old.ID), minimalEntitlement(old.ID, "old"), minimalEvent(old.ID))
	before := snapshot(w, w.store, old.ID, "old")
	rows := aWorldful("slug", "product")
	tenant := rows[0].(registry.Tenant)
	more := []any{
		minimalEntitlement(old.ID, "product"), trial(old.ID, "product"), minimalRequest(old.ID, "product"), minimalKey(old.ID), fullEvent(old.ID),
	}
	fail := func() {
		w.want(w.tx(func(tx registry.Tx) error {
			w.must(insertAll(w.ctx, tx, rows...))
			w.must(insertAll(w.ctx, tx, more...))
			return errOfCaller
		}), errOfCaller)
	}
	none := snapshot(w, w.store, tenant.ID, "product")
	fail()
	w.equal(snapshot(w, w.store, old.ID, "old"), before)
	w.equal(snapshot(w, w.store, tenant.ID, "product"), none)
	_, err := w.store.TenantBySlug(w.ctx, "slug")
	w.want(err, registry.ErrNotFound)
	_, err = w.store.TenantByOrg(w.ctx, tenant.KeycloakOrgID)
	w.want(err, registry.ErrNotFound)
	for _, row := range append(rows, more...) {
		w.want(readBack(w, row), registry.ErrNotFound)
	}
	// Nothing that was undone is in the way of the same rows, not even after undoing it again.
	fail()
	w.insert(rows...)
	w.insert(more...)
	for _, row := range append(rows, more...) {
		if err := readBack(w, row); !errors.Is(err, errUnreadable) {
			w.must(err)
		}
	}
	// Nor has what was committed lost its place in any index.
	w.want(w.insertErr(minimalTenant("slug")), registry.ErrSlugTaken)
	w.want(w.insertErr(trial(tenant.ID, "product")), registry.ErrTrialExists)
	w.want(w.insertErr(minimalRequest(tenant.ID, "product")), registry.ErrRequestPending)
}

var errUnreadable = errors.Join(registry.ErrNotFound, errors.New("storetest: rows of this type are read with their tenant only"))

// readBack reads a row by what names it.
func readBack(w *world, row any) error {
	only := func(_ any, err error) error { return err }
	switch row := row.(type) {
	case registry.Tenant:
		return only(w.store.Tenant(w.ctx, row.ID))
	case registry.Product:
		return only(w.store.Product(w.ctx, row.Key))
	case registry.APIKey:
		return errors.Join(only(w.store.APIKey(w.ctx, row.ID)), only(w.store.KeyFacts(w.ctx, row.Hash, "")))
	case registry.AuditEvent:
		return only(w.store.Event(w.ctx, row.ID))
	}
	return errUnreadable
}

// snapshot is everything that can be read of a tenant and of what all share.
func snapshot(w *world, r registry.Reader, tenant uuid.UUID, product string) string {
	w.Helper()
	var all []any
	see := func(v any, err error) {
		if err != nil && !errors.Is(err, registry.ErrNotFound) {
			w.Fatalf("unexpected error: %v", err)
		}
		all = append(all, v, err != nil)
	}
	t, err := r.Tenant(w.ctx, tenant)
	see(t, err)
	see(one(r.TenantBySlug(w.ctx, t.Slug)))
	see(one(r.TenantByOrg(w.ctx, t.KeycloakOrgID)))
	see(one(r.Product(w.ctx, product)))
	see(one(r.Products(w.ctx)))
	see(one(r.PendingRequests(w.ctx, tenant)))
	see(one(r.Entitlements(w.ctx, tenant)))
	see(one(r.CountAPIKeys(w.ctx, tenant)))
	page, err := r.APIKeys(w.ctx, registry.KeyQuery{TenantID: tenant, Limit: 100})
	see(page, err)
	for _, k := range page.Keys {
		see(one(r.APIKey(w.ctx, k.ID)))
		see(one(r.KeyFacts(w.ctx, k.Hash, product)))
	}
	see(one(r.Events(w.ctx, registry.AuditQuery{Limit: 100})))
	see(one(r.Events(w.ctx, registry.AuditQuery{Limit: 100, GroupID: &tenant})))
	see(one(r.NewestPos(w.ctx)))
	see(one(r.AuditChain(w.ctx, tenant)))
	return show(all)
}

// one makes any answer one that holds any value.
func one[T any](v T, err error) (any, error) { return v, err }

func rollbackOfUpdates(w *world) {
	tenant := minimalTenant("tenant")
	key := minimalKey(tenant.ID)
	w.insert(tenant, minimalProduct("product"), key)
	before := snapshot(w, w.store, tenant.ID, "product")
	changed, changedKey := fullTenant("tenant"), fullKey(tenant.ID, "product")
	changed.ID, changedKey.ID = tenant.ID, key.ID
	again, againKey := changed, changedKey
	again.Name, againKey.Name = "again", "again"
	update := func(tx registry.Tx) {
		w.must(tx.UpdateTenant(w.ctx, changed))
		w.must(tx.UpdateAPIKey(w.ctx, changedKey))
		w.must(tx.UpdateTenant(w.ctx, again))
		w.must(tx.UpdateAPIKey(w.ctx, againKey))
	}
	w.want(w.tx(func(tx registry.Tx) error { update(tx); return errOfCaller }), errOfCaller)
	w.equal(snapshot(w, w.store, tenant.ID, "product"), before)
	// Nor does the next writer find anything of it.
	w.commit(func(tx registry.Tx) error {
		locked, err := tx.LockTenant(w.ctx, tenant.ID)
		w.must(err)
		w.equal(locked, tenant)
		lockedKey, err := tx.LockAPIKey(w.ctx, key.ID)
		w.must(err)
		w.equal(lockedKey, key)
		w.equal(snapshot(w, tx, tenant.ID, "product"), before)
		return nil
	})
	w.commit(func(tx registry.Tx) error { update(tx); return nil })
	got, err := w.store.Tenant(w.ctx, tenant.ID)
	w.must(err)
	w.equal(got.Name, "again")
	one, err := w.store.APIKey(w.ctx, key.ID)
	w.must(err)
	w.equal(one.Name, "again")
}

func readsOwnWrites(w *world) {
	rows := aWorldful("slug", "product")
	tenant := rows[0].(registry.Tenant)
	var inside string
	w.commit(func(tx registry.Tx) error {
		if err := insertAll(w.ctx, tx, rows...); err != nil {
			return err
		}
		inside = snapshot(w, tx, tenant.ID, "product")
		return nil
	})
	if outside := snapshot(w, w.store, tenant.ID, "product"); inside != outside {
		w.Errorf("within %s\nafter  %s", inside, outside)
	}
}
