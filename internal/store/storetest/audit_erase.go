package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

func auditErase(t *testing.T, s suite) {
	s.test(t, "a mark has no effect before its event, and then at once", marksHaveEffect)
	s.test(t, "an erased part is deleted, and nothing else", partsAreDeleted)
	s.test(t, "only what may be marked is marked, and only what is erased is deleted", wrongErasures)
	s.test(t, "filters find no erased part", filtersFindNoErased)
	s.test(t, "the fingerprints of a request go with any of its events", fingerprintsGo)
	s.test(t, "the event of an erasure in the chain of a deleted tenant", erasureOfDeleted)
	s.test(t, "subjects in a tenant's rows", subjectsInRows)
	s.test(t, "erasures of a chain exclude each other", erasuresExclude)
}

// eventParts are parts of an event with their digests.
func eventParts(e audit.Event, parts ...audit.Part) registry.EventParts {
	given := registry.EventParts{Seq: e.Seq, Parts: map[audit.Part]audit.Digest{}}
	for _, p := range parts {
		given.Parts[p] = e.DigestOf(p)
	}
	return given
}

// erasure commits the event of an erasure.
func (f *fixture) erasure(id, group uuid.UUID) audit.Event {
	f.Helper()
	return f.append(erasureEvent(id, group))[0]
}

func erasureEvent(id, group uuid.UUID) audit.Event {
	e := minimalEvent(group)
	e.ID, e.Action = id, "audit.erase"
	e.Erasure = &audit.Erasure{Events: 1, First: 1, Parts: 2, Set: newDigest()}
	return e
}

func (f *fixture) mark(group, erasure uuid.UUID, parts ...registry.EventParts) {
	f.Helper()
	f.commit(func(tx registry.Tx) error { return tx.MarkEventParts(f.ctx, group, erasure, parts) })
}

func (f *fixture) event(id uuid.UUID) audit.Event {
	f.Helper()
	e, err := f.store.GetAuditEvent(f.ctx, id)
	f.must(err)
	return e
}

// without is an event without parts that an erasure took.
func without(e audit.Event, by int64, deleted bool, parts ...audit.Part) audit.Event {
	for _, p := range parts {
		e.Erase(p, audit.ErasedPart{By: by, Digest: e.DigestOf(p), Deleted: deleted})
	}
	return e
}

func marksHaveEffect(f *fixture) {
	tenant := minimalTenant("tenant")
	f.insert(tenant)
	full := f.append(fullEvent(tenant.ID), minimalEvent(tenant.ID))[0]
	given, other, id := eventParts(full, audit.PartActor, audit.PartHash), newID(), newID()
	f.mark(tenant.ID, other, given)
	f.equal(f.event(full.ID), full)
	f.mark(tenant.ID, id, given) // takes up the marks of one that was interrupted
	f.equal(f.event(full.ID), full)
	f.mark(tenant.ID, other, eventParts(full, audit.PartTarget))
	by := f.erasure(id, tenant.ID)
	want := without(full, by.Seq, false, audit.PartActor, audit.PartHash)
	f.equal(f.event(full.ID), want)
	f.equal(f.event(by.ID), by)
	f.equal(f.events(registry.AuditQuery{GroupID: &tenant.ID, Ascending: true, PageRequest: firstPage(9)})[0], want)
}

func partsAreDeleted(f *fixture) {
	tenant := minimalTenant("tenant")
	f.insert(tenant)
	full := f.append(fullEvent(tenant.ID))[0]
	all, id := eventParts(full, audit.AllParts...), newID()
	f.mark(tenant.ID, id, all)
	by := f.erasure(id, tenant.ID)
	first := eventParts(full, audit.PartActor, audit.PartText)
	remove := func(parts registry.EventParts) {
		f.commit(func(tx registry.Tx) error {
			return tx.DeleteEventParts(f.ctx, tenant.ID, []registry.EventParts{parts})
		})
	}
	remove(first)
	want := without(full, by.Seq, false, audit.AllParts...)
	for p := range first.Parts {
		erased := want.Erased[p]
		erased.Deleted = true
		want.Erased[p] = erased
	}
	f.equal(f.event(full.ID), want)
	remove(all)
	remove(all)
	f.equal(f.event(full.ID), without(full, by.Seq, true, audit.AllParts...))
	f.equal(f.head(tenant.ID), testkit.AuditHead{Pos: by.Pos, Seq: by.Seq, ChainHash: by.ChainHash})
}

func wrongErasures(f *fixture) {
	tenant, other := minimalTenant("tenant"), minimalTenant("other")
	f.insert(tenant, other)
	events := f.append(fullEvent(tenant.ID), minimalEvent(tenant.ID), minimalEvent(other.ID))
	full, plain, foreign := events[0], events[1], events[2]
	actor, target := eventParts(full, audit.PartActor), eventParts(full, audit.PartTarget)
	id, marked, next := newID(), newID(), newID()
	f.mark(tenant.ID, id, actor)
	f.mark(tenant.ID, marked, target) // whose event never comes
	f.erasure(id, tenant.ID)
	forOther := newID()
	f.mark(tenant.ID, forOther, eventParts(full, audit.PartSource))
	f.erasure(forOther, other.ID) // of another chain
	tries := map[string]func(tx registry.Tx) error{
		"a mark for an event that is written": func(tx registry.Tx) error {
			return tx.MarkEventParts(f.ctx, tenant.ID, id, []registry.EventParts{target})
		},
		"a mark for an event that is none of an erasure": func(tx registry.Tx) error {
			return tx.MarkEventParts(f.ctx, tenant.ID, plain.ID, []registry.EventParts{target})
		},
		"a mark of an erased part": func(tx registry.Tx) error {
			return tx.MarkEventParts(f.ctx, tenant.ID, next, []registry.EventParts{actor})
		},
		"a mark of a part that is not there": func(tx registry.Tx) error {
			return tx.MarkEventParts(f.ctx, tenant.ID, next, []registry.EventParts{{
				Seq: plain.Seq, Parts: map[audit.Part]audit.Digest{audit.PartSource: newDigest()},
			}})
		},
		"the deletion of a part without a mark": func(tx registry.Tx) error {
			return tx.DeleteEventParts(f.ctx, tenant.ID, []registry.EventParts{eventParts(full, audit.PartText)})
		},
		"the deletion of a part whose mark has no effect": func(tx registry.Tx) error {
			return tx.DeleteEventParts(f.ctx, tenant.ID, []registry.EventParts{target})
		},
		"the deletion of a part that an erasure of another chain names": func(tx registry.Tx) error {
			return tx.DeleteEventParts(f.ctx, tenant.ID, []registry.EventParts{eventParts(full, audit.PartSource)})
		},
		"a deletion from another chain": func(tx registry.Tx) error {
			return tx.DeleteEventParts(f.ctx, other.ID, []registry.EventParts{{Seq: foreign.Seq, Parts: actor.Parts}})
		},
	}
	for name, try := range tries {
		if err := f.tx(try); err == nil {
			f.Errorf("%s is taken", name)
		}
	}
	f.equal(f.event(full.ID), without(full, 3, false, audit.PartActor))
}

func filtersFindNoErased(f *fixture) {
	tenant := minimalTenant("tenant")
	f.insert(tenant)
	full := fullEvent(tenant.ID)
	full.Target.ID = full.Actor.ID
	events := f.append(full, fullEvent(tenant.ID), fullEvent(tenant.ID))
	id := newID()
	f.mark(tenant.ID, id, eventParts(events[0], audit.AllParts...), eventParts(events[1], audit.AllParts...))
	f.erasure(id, tenant.ID)
	for range 2 {
		for name, q := range map[string]registry.AuditQuery{
			"actor": {ActorID: full.Actor.ID}, "target": {TargetID: full.Target.ID},
			"emitter": {EmitterID: full.Emitter.ID}, "correlation": {CorrelationID: full.CorrelationID},
		} {
			for _, group := range []*uuid.UUID{nil, &tenant.ID} {
				q.GroupID, q.Ascending = group, true
				for _, own := range []bool{true, false} { // an event whose emitter was erased was reported all the same
					q := registry.AuditQuery{Own: &own, PageRequest: firstPage(9), Ascending: true}
					for _, e := range f.followed(q) {
						if own != (e.Erasure != nil) {
							f.Errorf("own=%t finds %s", own, show(e))
						}
					}
				}
				for _, limit := range []int{1, 2, 9} {
					q.Limit, q.Position = limit, 0
					f.equalIDs(name, f.followed(q), q, events[2])
				}
			}
		}
		f.commit(func(tx registry.Tx) error {
			return tx.DeleteEventParts(f.ctx, tenant.ID, []registry.EventParts{
				eventParts(events[0], audit.AllParts...), eventParts(events[1], audit.AllParts...),
			})
		})
	}
}

// followed is all that a query finds, page by page, to the end.
func (f *fixture) followed(q registry.AuditQuery) []audit.Event {
	f.Helper()
	var all []audit.Event
	for {
		rows, err := f.store.ListAuditEvents(f.ctx, q)
		f.must(err)
		all = append(all, rows.Items...)
		if q.Position = rows.Examined; len(rows.Items) < q.Limit && !rows.Truncated {
			return all
		}
	}
}

func (f *fixture) equalIDs(name string, got []audit.Event, q registry.AuditQuery, want audit.Event) {
	f.Helper()
	found := 0
	for _, e := range got {
		if e.ID == want.ID {
			found++
		} else if len(e.Erased) > 0 {
			f.Errorf("%s, limit %d: an erased event is found", name, q.Limit)
		}
	}
	driving, narrowing := q.Filters()
	if wanted := registry.MatchesAll(append(driving, narrowing...), &want); wanted != (found == 1) {
		f.Errorf("%s, limit %d: the other event is found %d times", name, q.Limit, found)
	}
}

func fingerprintsGo(f *fixture) {
	one, two := minimalTenant("one"), minimalTenant("two")
	f.insert(one, two)
	key, fingerprint := newDigest(), audit.NewFingerprint([]byte("command"))
	recorded := func(group uuid.UUID, ordinal int) audit.Event {
		e := fullEvent(group)
		e.Idempotency = audit.IdempotencyRecord{Key: key, Fingerprint: fingerprint, Ordinal: ordinal}
		return e
	}
	events := f.append(recorded(one.ID, 0), recorded(two.ID, 1))
	fingerprints := func(want audit.Fingerprint) {
		f.Helper()
		f.commit(func(tx registry.Tx) error {
			earlier, err := tx.ReserveIdempotencyKey(f.ctx, key)
			f.must(err)
			f.equal(len(earlier), 2)
			for _, e := range earlier {
				f.equal(e.Fingerprint, want)
			}
			return nil
		})
	}
	id := newID()
	given := eventParts(events[1], audit.PartSource)
	f.mark(two.ID, id, given)
	f.erasure(id, two.ID)
	f.commit(func(tx registry.Tx) error { // at once
		earlier, err := tx.ReserveIdempotencyKey(f.ctx, key)
		f.must(err)
		f.equal([]audit.Fingerprint{earlier[0].Fingerprint, earlier[1].Fingerprint},
			[]audit.Fingerprint{fingerprint, {}})
		return nil
	})
	f.commit(func(tx registry.Tx) error {
		return tx.DeleteEventParts(f.ctx, two.ID, []registry.EventParts{given})
	})
	fingerprints(audit.Fingerprint{})
}

func erasureOfDeleted(f *fixture) {
	gone := newID()
	e := erasureEvent(newID(), gone)
	f.want(f.insertErr(e), registry.ErrNoParent)
	e.GroupDeleted = true
	got := f.append(e)[0]
	got.GroupDeleted = false
	f.equal(f.event(e.ID), got)
}

func subjectsInRows(f *fixture) {
	tenant, other := minimalTenant("tenant"), minimalTenant("other")
	product := minimalProduct("product")
	key := func(owner uuid.UUID, by string) registry.APIKey {
		k := minimalKey(owner)
		k.CreatedBy = by
		return k
	}
	keys := []registry.APIKey{
		key(tenant.ID, "ada"), key(tenant.ID, "portal on behalf of ada"), key(tenant.ID, "ada on behalf of bob"),
		key(tenant.ID, "bob"), key(other.ID, "ada"), key(tenant.ID, "adam on behalf of bada"),
	}
	keys[3].RevokedAt, keys[3].RevokedBy, keys[3].RevokeReason = later(1), "ada", "ada asked"
	request := minimalRequest(tenant.ID, product.Key)
	request.RequestedBy, request.Message = "ada", "from ada"
	f.insert(tenant, other, product, request)
	for _, k := range keys {
		f.insert(k)
	}
	erase := func(texts, want bool, subjects ...string) {
		f.Helper()
		f.commit(func(tx registry.Tx) error {
			changed, err := tx.EraseSubjects(f.ctx, tenant.ID, subjects, texts, *later(5))
			f.equal(changed, want)
			return err
		})
	}
	erase(true, false, "a", "ad", "eve", registry.ErasedName)
	erase(false, true, "eve", "ada")
	for i := range 3 {
		keys[i].CreatedBy = registry.ErasedName
	}
	keys[3].RevokedBy, request.RequestedBy = registry.ErasedName, registry.ErasedName
	for i := range 4 {
		keys[i].Version, keys[i].UpdatedAt = keys[i].Version+1, *later(5)
	}
	request.UpdatedAt = *later(5)
	check := func() {
		f.Helper()
		for _, k := range keys {
			got, err := f.store.GetAPIKey(f.ctx, k.ID)
			f.must(err)
			f.equal(got, stored(k))
		}
		got, err := f.store.GetCatalogRequest(f.ctx, request.ID)
		f.must(err)
		f.equal(got, stored(request))
	}
	check()
	erase(true, false, "ada")
	erase(true, true, "bob")
	keys[3].CreatedBy, keys[3].Version = registry.ErasedName, keys[3].Version+1
	check()
}

func erasuresExclude(f *fixture) {
	tenant := newID()
	held, err := f.store.LockErasures(f.ctx, tenant)
	f.must(err)
	f.must(held.Check(f.ctx))
	other, err := f.store.LockErasures(f.ctx, uuid.Nil)
	f.must(err)
	other.Release()
	ctx, cancel := context.WithTimeout(f.ctx, moment)
	defer cancel()
	_, err = f.store.LockErasures(ctx, tenant)
	f.want(err, registry.ErrUnavailable)
	committing := f.begin()
	f.must(committing.LockErasureCommit(f.ctx, tenant))
	next := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(f.ctx, 10*time.Second)
		defer cancel()
		lock, err := f.store.LockErasures(ctx, tenant)
		if err == nil {
			lock.Release()
		}
		next <- err
	}()
	held.Release()
	select { // for the commit of the erasure before
	case err := <-next:
		f.Errorf("the lock is there while the erasure before commits: %v", err)
	case <-time.After(moment):
	}
	committing.commit()
	f.must(<-next)
}
