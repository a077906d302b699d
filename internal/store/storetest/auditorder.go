package storetest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

func auditOrder(t *testing.T, s suite) {
	s.test(t, "who commits later comes later", laterCommitLaterPlace)
	s.test(t, "a tail misses and doubles nothing", tailOfWriters)
}

// laterCommitLaterPlace: A begins, B commits, the tail is read, A commits, the tail is read on: A must appear, once.
func laterCommitLaterPlace(w *world) {
	tenant := minimalTenant("tenant")
	w.insert(tenant)
	for _, group := range []uuid.UUID{tenant.ID, uuid.Nil} {
		eventA, eventB := minimalEvent(group), minimalEvent(group) // A has the smaller id and began first
		for _, q := range []registry.AuditQuery{{Limit: 1, Ascending: true}, {Limit: 1, Ascending: true, GroupID: &group}} {
			eventA.ID, eventB.ID = newID(), newID()
			txA := w.begin()
			_, err := txA.Tenant(w.ctx, tenant.ID)
			w.must(err)
			_, err = txA.Events(w.ctx, q)
			w.must(err)
			b := w.append(eventB)[0]

			seen := w.events(q)
			w.equal(seen[len(seen)-1], b)
			q.After = q.Position(b)

			w.must(txA.HoldTenant(w.ctx, tenant.ID))
			a, err := appendEvent(w.ctx, txA, eventA)
			w.must(err)
			w.equal(w.events(q), []registry.AuditEvent{})
			txA.commit()
			w.equal(w.events(q), []registry.AuditEvent{a})
			if a.Pos <= b.Pos || a.Seq <= b.Seq {
				w.Errorf("A committed after B and is before it: %s", places([]registry.AuditEvent{a, b}))
			}
		}
	}
}

// tailOfWriters lets eight write through the use case while one follows the log.
func tailOfWriters(w *world) {
	const writers, each = 8, 25
	groups := []uuid.UUID{uuid.Nil}
	for i := range 2 {
		tenant := minimalTenant(fmt.Sprintf("tenant-%d", i))
		w.insert(tenant)
		groups = append(groups, tenant.ID)
	}
	service := registry.New(w.store, registry.Options{})
	var writing sync.WaitGroup
	for i := range writers {
		writing.Go(func() {
			for j := range each {
				_, err := service.RecordEvent(w.ctx, registry.Caller{}, registry.AuditEvent{
					GroupID: groups[(i+j)%len(groups)], Action: "tail.write", CRUD: registry.Create, IsAnonymous: true,
					ExternalID: fmt.Sprintf("%d/%d", i, j),
				})
				if err != nil {
					w.Errorf("write %d/%d: %v", i, j, err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { writing.Wait(); close(done) }()

	var log []registry.AuditEvent
	q := registry.AuditQuery{Ascending: true, Limit: 7}
	for finished := false; ; {
		page, err := w.store.Events(w.ctx, q)
		w.must(err)
		log, q.After = append(log, page.Items...), page.Examined
		switch {
		case len(page.Items) > 0:
		case finished:
			checkTail(w, log, writers*each)
			return
		default:
			select { // what was written before done was closed is read once more
			case <-done:
				finished = true
			default:
			}
		}
	}
}

// checkTail checks that a log holds each event once, and that each group's chain has no gap.
func checkTail(w *world, log []registry.AuditEvent, want int) {
	w.Helper()
	if len(log) != want {
		w.Errorf("the tail has %d events, %d were written", len(log), want)
	}
	seen := map[string]bool{}
	last := map[uuid.UUID]registry.AuditEvent{}
	for i, e := range log {
		if seen[e.ExternalID] {
			w.Errorf("event %s is there twice", e.ExternalID)
		}
		seen[e.ExternalID] = true
		if e.Pos != int64(i+1) {
			w.Errorf("event %d of the log has pos %d", i+1, e.Pos)
		}
		before := last[e.GroupID]
		if e.Seq != before.Seq+1 || (e.Seq > 1 && e.PrevChainHash != before.ChainHash) {
			w.Errorf("seq %d of a group follows %d, or their hashes do not", e.Seq, before.Seq)
		}
		last[e.GroupID] = e
	}
}
