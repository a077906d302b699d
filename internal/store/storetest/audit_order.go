package storetest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/testkit"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

func auditOrder(t *testing.T, s suite) {
	s.test(t, "a later commit has a later place", laterCommitLaterPlace)
	s.test(t, "a reader that follows misses and doubles nothing", tailOfWriters)
}

// laterCommitLaterPlace: A begins, B commits, the tail is read, A commits, the tail is read on: A must appear, once.
func laterCommitLaterPlace(f *fixture) {
	tenant := minimalTenant("tenant")
	f.insert(tenant)
	for _, group := range []uuid.UUID{tenant.ID, uuid.Nil} {
		eventA, eventB := minimalEvent(group), minimalEvent(group) // A has the smaller id and began first
		for _, q := range []registry.AuditQuery{{Ascending: true}, {Ascending: true, GroupID: &group}} {
			q.Limit = 1
			eventA.ID, eventB.ID = newID(), newID()
			txA := f.begin()
			_, err := txA.GetTenant(f.ctx, tenant.ID)
			f.must(err)
			_, err = txA.ListAuditEvents(f.ctx, q)
			f.must(err)
			b := f.append(eventB)[0]

			seen := f.events(q)
			f.equal(seen[len(seen)-1], b)
			q.Position = q.PositionOf(b)

			f.must(testkit.LockTenantShared(f.ctx, txA, tenant.ID))
			a, err := appendEvent(f.ctx, txA, eventA)
			f.must(err)
			f.equal(f.events(q), []audit.Event{})
			txA.commit()
			f.equal(f.events(q), []audit.Event{a})
			if a.Pos <= b.Pos || a.Seq <= b.Seq {
				f.Errorf("A committed after B and is before it: %s", places([]audit.Event{a, b}))
			}
		}
	}
}

// tailOfWriters lets eight write through the use case while one follows the log.
func tailOfWriters(f *fixture) {
	const writers, each = 8, 25
	groups := []uuid.UUID{uuid.Nil}
	for i := range 2 {
		tenant := minimalTenant(fmt.Sprintf("tenant-%d", i))
		f.insert(tenant)
		groups = append(groups, tenant.ID)
	}
	service := registry.New(f.store, registry.Options{})
	var writing sync.WaitGroup
	for i := range writers {
		writing.Go(func() {
			for j := range each {
				_, err := service.RecordEvent(f.ctx, registry.Caller{Access: registry.FullAccess}, audit.Event{
					GroupID: groups[(i+j)%len(groups)], Action: "tail.write", CRUD: audit.Create, IsAnonymous: true,
					ExternalID: fmt.Sprintf("%d/%d", i, j),
				})
				if err != nil {
					f.Errorf("write %d/%d: %v", i, j, err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { writing.Wait(); close(done) }()

	var log []audit.Event
	q := registry.AuditQuery{Ascending: true, PageRequest: firstPage(7)}
	for finished := false; ; {
		page, err := f.store.ListAuditEvents(f.ctx, q)
		f.must(err)
		log, q.Position = append(log, page.Items...), page.Examined
		switch {
		case len(page.Items) > 0:
		case finished:
			checkTail(f, log, writers*each)
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
func checkTail(f *fixture, log []audit.Event, want int) {
	f.Helper()
	if len(log) != want {
		f.Errorf("the tail has %d events, %d were written", len(log), want)
	}
	seen := map[string]bool{}
	last := map[uuid.UUID]audit.Event{}
	for i, e := range log {
		if seen[e.ExternalID] {
			f.Errorf("event %s is there twice", e.ExternalID)
		}
		seen[e.ExternalID] = true
		if e.Pos != int64(i+1) {
			f.Errorf("event %d of the log has pos %d", i+1, e.Pos)
		}
		before := last[e.GroupID]
		if e.Seq != before.Seq+1 || (e.Seq > 1 && e.PrevChainHash != before.ChainHash) {
			f.Errorf("seq %d of a group follows %d, or their hashes do not", e.Seq, before.Seq)
		}
		last[e.GroupID] = e
	}
}
