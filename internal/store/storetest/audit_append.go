package storetest

import (
	"errors"
	"math"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// append commits events, one by one, and returns them with their places.
func (f *fixture) append(events ...audit.Event) []audit.Event {
	f.Helper()
	var placed []audit.Event
	for _, e := range events {
		f.commit(func(tx registry.Tx) (err error) {
			e, err = appendEvent(f.ctx, tx, e)
			return err
		})
		placed = append(placed, stored(e))
	}
	return placed
}

func (f *fixture) head(group uuid.UUID) testkit.AuditHead {
	f.Helper()
	var head testkit.AuditHead
	f.commit(func(tx registry.Tx) (err error) {
		head, err = testkit.LockAuditHead(f.ctx, tx, group)
		return err
	})
	return head
}

func auditAppend(t *testing.T, s suite) {
	s.test(t, "events come back as they went in", eventsComeBack)
	s.test(t, "an event that is not there", func(f *fixture) {
		_, err := f.store.GetAuditEvent(f.ctx, newID())
		f.want(err, registry.ErrNotFound)
		f.equal(f.events(registry.AuditQuery{PageRequest: firstPage(9)}), []audit.Event{})
	})
	s.test(t, "the head is where log and group stand", headOfLog)
	s.test(t, "the locks of an append are those of tenants and log", locksForAppend)
	s.test(t, "several events at once", manyEvents)
	s.test(t, "events are unique and need their tenant", uniqueEvents)
	s.test(t, "events take the next place only", nextPlaces)
	s.test(t, "events that break a check", spoiltEvents)
}

// locksForAppend asserts that LockForAppend answers what the two locks do.
func locksForAppend(f *fixture) {
	one, two, unknown := minimalTenant("one"), minimalTenant("two"), newID()
	f.insert(one, two)
	key := newDigest()
	recorded := minimalEvent(one.ID)
	recorded.Idempotency = audit.IdempotencyRecord{Key: key, Fingerprint: audit.NewFingerprint([]byte("command"))}
	f.append(recorded, minimalEvent(uuid.Nil))
	for _, skipLocked := range []bool{true, false} {
		for _, tenants := range [][]uuid.UUID{nil, {one.ID}, {one.ID, two.ID, unknown}} {
			groups, keys := append([]uuid.UUID{uuid.Nil}, tenants...), []audit.Digest{key, newDigest()}
			var locked map[uuid.UUID]bool
			var heads registry.AuditHeads
			f.commit(func(tx registry.Tx) (err error) {
				locked, heads, err = tx.LockForAppend(f.ctx, tenants, skipLocked, groups, keys)
				return err
			})
			f.commit(func(tx registry.Tx) error {
				wantLocked, err := tx.LockTenantsShared(f.ctx, tenants, skipLocked)
				f.must(err)
				want, err := tx.LockAuditLog(f.ctx, groups, keys)
				f.must(err)
				f.equal(locked, wantLocked)
				f.equal(heads, want)
				return nil
			})
		}
	}
}

func headOfLog(f *fixture) {
	one, two := minimalTenant("one"), minimalTenant("two")
	f.insert(one, two)
	f.equal(f.head(uuid.Nil), testkit.AuditHead{})
	f.equal(f.head(newID()), testkit.AuditHead{})
	got := f.append(minimalEvent(one.ID), minimalEvent(uuid.Nil), minimalEvent(one.ID), minimalEvent(two.ID))
	f.equal(f.head(one.ID), testkit.AuditHead{Pos: 4, Seq: 2, ChainHash: got[2].ChainHash})
	f.equal(f.head(two.ID), testkit.AuditHead{Pos: 4, Seq: 1, ChainHash: got[3].ChainHash})
	f.equal(f.head(uuid.Nil), testkit.AuditHead{Pos: 4, Seq: 1, ChainHash: got[1].ChainHash})
	f.equal(f.head(newID()), testkit.AuditHead{Pos: 4})
	f.commit(func(tx registry.Tx) error {
		e, err := appendEvent(f.ctx, tx, minimalEvent(two.ID))
		f.must(err)
		head, err := testkit.LockAuditHead(f.ctx, tx, two.ID)
		f.equal(head, testkit.AuditHead{Pos: 5, Seq: 2, ChainHash: e.ChainHash})
		return err
	})
}

func spoiltEvents(f *fixture) {
	for _, spoil := range []func(*audit.Event){
		func(e *audit.Event) { e.CRUD = "" },
		func(e *audit.Event) { e.CRUD = "x" },
		func(e *audit.Event) { e.Pos = 0 },
		func(e *audit.Event) { e.Seq = 0 },
		func(e *audit.Event) { e.Hash = "" },
		func(e *audit.Event) { e.ChainHash = e.ChainHash[:62] },
		func(e *audit.Event) { e.PrevChainHash = "no hex" },
	} {
		f.wantFault(f.tx(func(tx registry.Tx) error {
			head, err := testkit.LockAuditHead(f.ctx, tx, uuid.Nil)
			f.must(err)
			bad := placed(minimalEvent(uuid.Nil), head)
			spoil(&bad)
			return testkit.InsertAuditEvent(f.ctx, tx, bad)
		}))
	}
	f.equal(f.head(uuid.Nil), testkit.AuditHead{})
}

func eventsComeBack(f *fixture) {
	tenant := minimalTenant("tenant")
	f.insert(tenant)
	empty := minimalEvent(tenant.ID)
	empty.Fields, empty.Metadata = map[string]string{}, map[string]string{}
	empty.Actor = audit.Party{ID: "actor", Fields: map[string]string{}}
	empty.Target = audit.Party{ID: "target", Fields: map[string]string{}}
	half := minimalEvent(uuid.Nil)
	half.Fields, half.Target = map[string]string{"a": "b"}, audit.Party{ID: "target"}
	all := f.append(minimalEvent(uuid.Nil), fullEvent(tenant.ID), empty, half, minimalEvent(tenant.ID))
	for _, want := range all {
		got, err := f.store.GetAuditEvent(f.ctx, want.ID)
		f.must(err)
		f.equal(got, want)
	}
	f.equal(f.events(registry.AuditQuery{Ascending: true, PageRequest: firstPage(9)}), all)
}

func uniqueEvents(f *fixture) {
	tenant := minimalTenant("tenant")
	f.insert(tenant)
	first := f.append(minimalEvent(tenant.ID), minimalEvent(uuid.Nil))
	// Each spoils one of the three places of an event that would be the tenant's second and the log's third.
	for _, spoil := range []func(*audit.Event){
		func(e *audit.Event) { e.ID = first[0].ID },
		func(e *audit.Event) { e.Pos = first[1].Pos },
		func(e *audit.Event) { e.Seq = first[0].Seq },
	} {
		f.want(f.tx(func(tx registry.Tx) error {
			head, err := testkit.LockAuditHead(f.ctx, tx, tenant.ID)
			f.must(err)
			bad := placed(minimalEvent(tenant.ID), head)
			spoil(&bad)
			return testkit.InsertAuditEvent(f.ctx, tx, bad)
		}), registry.ErrDuplicate)
	}
	f.want(f.insertErr(minimalEvent(newID())), registry.ErrNoParent)
	f.equal(f.events(registry.AuditQuery{Ascending: true, PageRequest: firstPage(9)}), first)
}

// nextPlaces tries places that are free, and would leave a gap in the log or in a chain.
func nextPlaces(f *fixture) {
	tenant, other := minimalTenant("tenant"), minimalTenant("other")
	f.insert(tenant, other)
	first := f.append(minimalEvent(tenant.ID), minimalEvent(uuid.Nil))
	next := func(group uuid.UUID) audit.Event { return placed(minimalEvent(group), f.head(group)) }
	for name, spoil := range map[string]func(*audit.Event){
		"a gap in the log":          func(e *audit.Event) { e.Pos++ },
		"the last number of JSON":   func(e *audit.Event) { e.Pos = 1<<53 - 1 },
		"the last place of the log": func(e *audit.Event) { e.Pos = math.MaxInt64 },
		"a gap in the chain":        func(e *audit.Event) { e.Seq++ },
		"the last place of a chain": func(e *audit.Event) { e.Seq = math.MaxInt64 },
		"the hash of no event":      func(e *audit.Event) { e.PrevChainHash = e.Hash },
		"the hash of another chain": func(e *audit.Event) { e.PrevChainHash = first[1].ChainHash },
		"the hash of no chain":      func(e *audit.Event) { e.PrevChainHash = audit.ZeroHash },
		"its own hash":              func(e *audit.Event) { e.PrevChainHash = e.ChainHash },
		"a chain that has no seq 1": func(e *audit.Event) { e.GroupID = other.ID },
		"a hash before a chain":     func(e *audit.Event) { e.GroupID, e.Seq = other.ID, 1 },
	} {
		bad := next(tenant.ID)
		spoil(&bad)
		err := f.tx(func(tx registry.Tx) error { return testkit.InsertAuditEvent(f.ctx, tx, bad) })
		if !errors.Is(err, registry.ErrDuplicate) {
			f.Errorf("%s: error is %v, want %v", name, err, registry.ErrDuplicate)
		}
	}
	batch := func(at ...int64) error {
		one, two := next(tenant.ID), next(uuid.Nil)
		one.Pos, two.Pos = at[0], at[1]
		return f.tx(func(tx registry.Tx) error { return tx.InsertAuditEvents(f.ctx, []audit.Event{one, two}) })
	}
	f.want(batch(3, 5), registry.ErrDuplicate)
	f.want(batch(5, 4), registry.ErrDuplicate)
	f.equal(f.events(registry.AuditQuery{Ascending: true, PageRequest: firstPage(9)}), first)
	f.must(batch(4, 3)) // the order of a list says nothing
	f.equal(f.head(uuid.Nil).Pos, int64(4))
}

func manyEvents(f *fixture) {
	one, two := minimalTenant("one"), minimalTenant("two")
	f.insert(one, two)
	first := f.append(minimalEvent(one.ID))[0]
	var written []audit.Event
	f.commit(func(tx registry.Tx) error {
		heads, err := tx.LockAuditLog(f.ctx, []uuid.UUID{one.ID, two.ID, uuid.Nil}, nil)
		f.must(err)
		f.equal(heads.Pos, first.Pos)
		f.equal(heads.Chains, map[uuid.UUID]audit.ChainHead{one.ID: {Seq: 1, Hash: first.ChainHash}})
		full := fullEvent(one.ID)
		written = []audit.Event{
			placed(full, testkit.AuditHead{Pos: 1, Seq: 1, ChainHash: first.ChainHash}),
			placed(minimalEvent(uuid.Nil), testkit.AuditHead{Pos: 2}),
			placed(minimalEvent(two.ID), testkit.AuditHead{Pos: 3}),
		}
		return tx.InsertAuditEvents(f.ctx, written)
	})
	got, err := f.store.ListAuditEvents(f.ctx, registry.AuditQuery{Ascending: true, PageRequest: firstPage(9)})
	f.must(err)
	f.equal(got.Items, []audit.Event{first, stored(written[0]), stored(written[1]), stored(written[2])})
	// One that breaks a rule takes the others along.
	head := testkit.AuditHead{Pos: 4, Seq: 1, ChainHash: written[2].ChainHash}
	for _, spoilt := range []struct {
		event audit.Event
		want  error
	}{
		{placed(minimalEvent(newID()), testkit.AuditHead{Pos: 5}), registry.ErrNoParent},
		{written[1], registry.ErrDuplicate},
	} {
		f.want(f.tx(func(tx registry.Tx) error {
			return tx.InsertAuditEvents(f.ctx, []audit.Event{placed(minimalEvent(two.ID), head), spoilt.event})
		}), spoilt.want)
	}
	got, err = f.store.ListAuditEvents(f.ctx, registry.AuditQuery{PageRequest: firstPage(9)})
	f.must(err)
	f.equal(len(got.Items), 4)
}
