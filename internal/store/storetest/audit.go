package storetest

import (
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// append commits events, one by one, and returns them with their places.
func (w *world) append(events ...registry.AuditEvent) []registry.AuditEvent {
	w.Helper()
	var placed []registry.AuditEvent
	for _, e := range events {
		w.commit(func(tx registry.Tx) (err error) {
			e, err = appendEvent(w.ctx, tx, e)
			return err
		})
		placed = append(placed, kept(e))
	}
	return placed
}

func (w *world) head(group uuid.UUID) registry.AuditHead {
	w.Helper()
	var head registry.AuditHead
	w.commit(func(tx registry.Tx) (err error) {
		head, err = tx.AuditHead(w.ctx, group)
		return err
	})
	return head
}

// events is everything that a query finds, read in pages of limit.
func (w *world) events(q registry.AuditQuery) []registry.AuditEvent {
	w.Helper()
	got := []registry.AuditEvent{}
	for {
		rows, err := w.store.Events(w.ctx, q)
		w.must(err)
		page := rows.Items
		if len(page) > q.Limit {
			w.Errorf("%d events with limit %d", len(page), q.Limit)
		}
		if len(page) == 0 || len(got) > 1000 {
			w.equal(page, []registry.AuditEvent{})
			return got
		}
		got = append(got, page...)
		q.After = q.Position(page[len(page)-1])
	}
}

func audit(t *testing.T, s suite) {
	s.test(t, "events come back as they went in", eventsComeBack)
	s.test(t, "an event that is not there", func(w *world) {
		_, err := w.store.Event(w.ctx, newID())
		w.want(err, registry.ErrNotFound)
		w.equal(w.events(registry.AuditQuery{Limit: 9}), []registry.AuditEvent{})
	})
	s.test(t, "the head is where log and group stand", headOfLog)
	s.test(t, "events are unique and need their tenant", uniqueEvents)
	s.test(t, "events that break a check", spoiltEvents)
}

func headOfLog(w *world) {
	one, two := minimalTenant("one"), minimalTenant("two")
	w.insert(one, two)
	w.equal(w.head(uuid.Nil), registry.AuditHead{})
	w.equal(w.head(newID()), registry.AuditHead{})
	got := w.append(minimalEvent(one.ID), minimalEvent(uuid.Nil), minimalEvent(one.ID), minimalEvent(two.ID))
	w.equal(w.head(one.ID), registry.AuditHead{Pos: 4, Seq: 2, ChainHash: got[2].ChainHash})
	w.equal(w.head(two.ID), registry.AuditHead{Pos: 4, Seq: 1, ChainHash: got[3].ChainHash})
	w.equal(w.head(uuid.Nil), registry.AuditHead{Pos: 4, Seq: 1, ChainHash: got[1].ChainHash})
	w.equal(w.head(newID()), registry.AuditHead{Pos: 4})
	w.commit(func(tx registry.Tx) error {
		e, err := appendEvent(w.ctx, tx, minimalEvent(two.ID))
		w.must(err)
		head, err := tx.AuditHead(w.ctx, two.ID)
		w.equal(head, registry.AuditHead{Pos: 5, Seq: 2, ChainHash: e.ChainHash})
		return err
	})
}

func spoiltEvents(w *world) {
	for _, spoil := range []func(*registry.AuditEvent){
		func(e *registry.AuditEvent) { e.CRUD = "" },
		func(e *registry.AuditEvent) { e.CRUD = "x" },
		func(e *registry.AuditEvent) { e.Pos = 0 },
		func(e *registry.AuditEvent) { e.Seq = 0 },
		func(e *registry.AuditEvent) { e.Hash = "" },
		func(e *registry.AuditEvent) { e.ChainHash = e.ChainHash[:62] },
		func(e *registry.AuditEvent) { e.PrevChainHash = "no hex" },
	} {
		w.wantFault(w.tx(func(tx registry.Tx) error {
			head, err := tx.AuditHead(w.ctx, uuid.Nil)
			w.must(err)
			bad := placed(minimalEvent(uuid.Nil), head)
			spoil(&bad)
			return tx.InsertEvent(w.ctx, bad)
		}))
	}
	w.equal(w.head(uuid.Nil), registry.AuditHead{})
}

func eventsComeBack(w *world) {
	tenant := minimalTenant("tenant")
	w.insert(tenant)
	empty := minimalEvent(tenant.ID)
	empty.Fields, empty.Metadata = map[string]string{}, map[string]string{}
	empty.Actor = registry.Party{ID: "actor", Fields: map[string]string{}}
	empty.Target = registry.Party{ID: "target", Fields: map[string]string{}}
	half := minimalEvent(uuid.Nil)
	half.Fields, half.Target = map[string]string{"a": "b"}, registry.Party{ID: "target"}
	all := w.append(minimalEvent(uuid.Nil), fullEvent(tenant.ID), empty, half, minimalEvent(tenant.ID))
	for _, want := range all {
		got, err := w.store.Event(w.ctx, want.ID)
		w.must(err)
		w.equal(got, want)
	}
	w.equal(w.events(registry.AuditQuery{Ascending: true, Limit: 9}), all)
}

func uniqueEvents(w *world) {
	tenant := minimalTenant("tenant")
	w.insert(tenant)
	first := w.append(minimalEvent(tenant.ID), minimalEvent(uuid.Nil))
	// Each spoils one of the three places of an event that would be the tenant's second and the log's third.
	for _, spoil := range []func(*registry.AuditEvent){
		func(e *registry.AuditEvent) { e.ID = first[0].ID },
		func(e *registry.AuditEvent) { e.Pos = first[1].Pos },
		func(e *registry.AuditEvent) { e.Seq = first[0].Seq },
	} {
		w.want(w.tx(func(tx registry.Tx) error {
			head, err := tx.AuditHead(w.ctx, tenant.ID)
			w.must(err)
			bad := placed(minimalEvent(tenant.ID), head)
			spoil(&bad)
			return tx.InsertEvent(w.ctx, bad)
		}), registry.ErrDuplicate)
	}
	w.want(w.insertErr(minimalEvent(newID())), registry.ErrNoParent)
	w.equal(w.events(registry.AuditQuery{Ascending: true, Limit: 9}), first)
}
