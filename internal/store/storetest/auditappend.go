package storetest

import (
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

func auditAppend(t *testing.T, s suite) {
	s.test(t, "many events at once", manyEvents)
	s.test(t, "marks are found by their key, in order, and taken once", marks)
	s.test(t, "many tenants are held at once", func(w *world) {
		one, two := minimalTenant("one"), minimalTenant("two")
		w.insert(one, two)
		w.commit(func(tx registry.Tx) error {
			held, err := tx.HoldTenants(w.ctx, []uuid.UUID{one.ID, newID(), two.ID, one.ID, uuid.Nil})
			w.equal(held, map[uuid.UUID]bool{one.ID: true, two.ID: true})
			return err
		})
		w.commit(func(tx registry.Tx) error {
			held, err := tx.HoldTenants(w.ctx, nil)
			w.equal(len(held), 0)
			return err
		})
	})
}

func manyEvents(w *world) {
	one, two := minimalTenant("one"), minimalTenant("two")
	w.insert(one, two)
	first := w.append(minimalEvent(one.ID))[0]
	var written []registry.AuditEvent
	w.commit(func(tx registry.Tx) error {
		heads, err := tx.AuditHeads(w.ctx, []uuid.UUID{one.ID, two.ID, uuid.Nil}, nil)
		w.must(err)
		w.equal(heads.Pos, first.Pos)
		w.equal(heads.Chains, map[uuid.UUID]registry.ChainHead{one.ID: {Seq: 1, Hash: first.ChainHash}})
		full := fullEvent(one.ID)
		written = []registry.AuditEvent{
			placed(full, registry.AuditHead{Pos: 1, Seq: 1, ChainHash: first.ChainHash}),
			placed(minimalEvent(uuid.Nil), registry.AuditHead{Pos: 2}),
			placed(minimalEvent(two.ID), registry.AuditHead{Pos: 3}),
		}
		return tx.InsertEvents(w.ctx, written)
	})
	got, err := w.store.Events(w.ctx, registry.AuditQuery{Ascending: true, Limit: 9})
	w.must(err)
	w.equal(got.Items, []registry.AuditEvent{first, kept(written[0]), kept(written[1]), kept(written[2])})
	// One that breaks a rule takes the others along.
	for _, spoilt := range []registry.AuditEvent{placed(minimalEvent(newID()), registry.AuditHead{Pos: 5}), written[1]} {
		w.wantFault(w.tx(func(tx registry.Tx) error {
			return tx.InsertEvents(w.ctx, []registry.AuditEvent{placed(minimalEvent(two.ID), registry.AuditHead{Pos: 4, Seq: 1}), spoilt})
		}))
	}
	got, err = w.store.Events(w.ctx, registry.AuditQuery{Limit: 9})
	w.must(err)
	w.equal(len(got.Items), 4)
}

func marks(w *world) {
	key, print, other := newHash(), newHash(), newHash()
	marked := func(ordinal int) registry.AuditEvent {
		e := minimalEvent(uuid.Nil)
		e.Target = registry.Party{ID: "target"}
		e.Once = registry.OnceMark{Key: key, Print: print, Ordinal: ordinal}
		return e
	}
	find := func(tx registry.Tx) []registry.MarkedEvent {
		claimed, err := tx.Claim(w.ctx, key)
		w.must(err)
		heads, err := tx.AuditHeads(w.ctx, nil, []registry.Hash{key, other})
		w.must(err)
		w.equal(len(heads.Marked[other]), 0)
		w.equal(len(heads.Marked[key]), len(claimed))
		if len(claimed) > 0 {
			w.equal(heads.Marked[key], claimed)
		}
		return claimed
	}
	var written []registry.AuditEvent
	w.commit(func(tx registry.Tx) error {
		w.equal(find(tx), []registry.MarkedEvent{})
		for _, ordinal := range []int{1, 0} {
			e, err := appendEvent(w.ctx, tx, marked(ordinal))
			w.must(err)
			written = append(written, e)
		}
		w.equal(len(find(tx)), 2)
		return nil
	})
	w.commit(func(tx registry.Tx) error {
		w.equal(find(tx), []registry.MarkedEvent{
			{OnceMark: written[1].Once, ID: written[1].ID, Hash: written[1].Hash, TargetID: "target"},
			{OnceMark: written[0].Once, ID: written[0].ID, Hash: written[0].Hash, TargetID: "target"},
		})
		return nil
	})
	w.want(w.tx(func(tx registry.Tx) error { _, err := appendEvent(w.ctx, tx, marked(1)); return err }), registry.ErrKeyUsed)
	// What was rolled back marks nothing.
	w.want(w.tx(func(tx registry.Tx) error {
		_, err := appendEvent(w.ctx, tx, marked(2))
		w.must(err)
		return errOfCaller
	}), errOfCaller)
	w.commit(func(tx registry.Tx) error {
		w.equal(len(find(tx)), 2)
		return nil
	})
}
