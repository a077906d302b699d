package registry

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
)

// erasing is one run of EraseEvents.
type erasing struct {
	*Service
	by      Caller
	in      ErasureInput
	id      uuid.UUID // of the event
	deleted bool      // the tenant is
	lock    ErasureLock
	record  requestRecord
}

// check refuses a chain that does not exist, or of which this cannot be erased.
func (x *erasing) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, x.callTimeout)
	defer cancel()
	if err := x.knownGroup(ctx, x.in.GroupID); err != nil {
		return pathTenant(err)
	}
	switch _, err := x.store.GetTenant(ctx, x.in.GroupID); {
	case x.in.GroupID == uuid.Nil:
	case errors.Is(err, ErrNotFound):
		x.deleted = true
	case err != nil:
		return err
	}
	if x.in.everything() && !x.deleted {
		return errLivingTenant
	}
	// The subjects are in no fingerprint: it would stay, and could be guessed from. See repeat.
	x.record = x.by.requestRecord(ErasureInput{
		GroupID: x.in.GroupID, Reason: x.in.Reason, IncludeFields: x.in.IncludeFields,
	})
	return nil
}

// pathTenant is a refusal of knownGroup for a tenant that the path names.
func pathTenant(err error) error {
	var refusal *Error
	if errors.As(err, &refusal) {
		return notFound(CodeTenantNotFound, "tenant")
	}
	return err
}

func (x *erasing) run(ctx context.Context) (Result[Erasure], error) {
	earlier, err := x.earlier(ctx)
	if err != nil {
		return Result[Erasure]{}, err
	}
	if earlier != nil {
		return x.repeat(ctx, *earlier)
	}
	var set audit.ErasureSet
	seq, err := x.walk(ctx, 0, func(e *audit.Event) (mark, remove digests, err error) {
		mark = x.in.parts(e)
		set.Add(e.Seq, mark)
		return mark, undeleted(e), nil
	})
	if err != nil {
		return Result[Erasure]{}, err
	}
	event, changed, err := x.commit(ctx, seq, &set)
	if err != nil || event == nil {
		return Result[Erasure]{Unchanged: !changed}, err
	}
	x.follower.wake(x.in.GroupID)
	if err := x.remove(ctx, event); err != nil {
		return Result[Erasure]{}, err
	}
	return Result[Erasure]{Value: erasureOf(event)}, nil
}

func erasureOf(event *audit.Event) Erasure {
	return Erasure{EventID: &event.ID, Events: event.Erasure.Events, Parts: event.Erasure.Parts}
}

// earlier is the event of an earlier request with the same idempotency key; nil: there is none.
func (x *erasing) earlier(ctx context.Context) (*audit.Event, error) {
	if !x.record.given() {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, x.callTimeout)
	defer cancel()
	var found *audit.Event
	err := txOrConfirm(ctx, x.store, func(tx Tx) error {
		earlier, err := tx.ReserveIdempotencyKey(ctx, x.record.key)
		if err != nil {
			return err
		}
		found = nil
		replayed, err := x.record.replays(earlier)
		switch {
		case err != nil:
			return err
		case !replayed:
			return errNothingWritten
		}
		e, err := tx.GetAuditEvent(ctx, earlier[0].ID)
		if err != nil {
			return err
		}
		found = &e
		return errNothingWritten
	})
	return found, err
}

// repeat completes an earlier erasure. It took every part of its subjects that was in the chain before its event: if
// one of this request's subjects has such a part, the request is another one.
func (x *erasing) repeat(ctx context.Context, event audit.Event) (Result[Erasure], error) {
	_, err := x.walk(ctx, 0, func(e *audit.Event) (mark, remove digests, err error) {
		if e.Seq < event.Seq && len(x.in.parts(e)) > 0 {
			err = errIdempotencyMismatch
		}
		return nil, undeleted(e), err
	})
	if err != nil {
		return Result[Erasure]{}, err
	}
	return Result[Erasure]{Value: erasureOf(&event), Replayed: true}, nil
}

// remove deletes what an erasure took.
func (x *erasing) remove(ctx context.Context, event *audit.Event) error {
	_, err := x.walk(ctx, event.Erasure.First-1, func(e *audit.Event) (mark, remove digests, err error) {
		return nil, undeleted(e), nil
	})
	return err
}

// walk visits the chain's events after a seq, page by page, marks and deletes what visit returns, and returns the seq
// of the last event.
func (x *erasing) walk(
	ctx context.Context, after int64, visit func(e *audit.Event) (mark, remove digests, err error),
) (int64, error) {
	for {
		if x.follower.ended() {
			return 0, errDrainingErasure
		}
		visited, last, err := x.step(ctx, after, visit)
		if err != nil || visited < erasePage {
			return last, err
		}
		after = last
	}
}

// step is one page of walk, within the time of one call.
func (x *erasing) step(
	ctx context.Context, after int64, visit func(e *audit.Event) (mark, remove digests, err error),
) (visited int, last int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, x.callTimeout)
	defer cancel()
	if err := x.lock.Check(ctx); err != nil {
		return 0, 0, err
	}
	events, err := x.page(ctx, x.store, after)
	if err != nil {
		return 0, 0, err
	}
	var marks, removals []EventParts
	for i := range events {
		mark, remove, err := visit(&events[i])
		if err != nil {
			return 0, 0, err
		}
		if after = events[i].Seq; len(mark) > 0 {
			marks = append(marks, EventParts{after, mark})
		}
		if len(remove) > 0 {
			removals = append(removals, EventParts{after, remove})
		}
	}
	if len(marks)+len(removals) == 0 {
		return len(events), after, nil
	}
	err = x.store.Tx(ctx, func(tx Tx) error {
		if err := x.mark(ctx, tx, marks); err != nil || len(removals) == 0 {
			return err
		}
		return tx.DeleteEventParts(ctx, x.in.GroupID, removals)
	})
	return len(events), after, err
}

func (x *erasing) mark(ctx context.Context, tx Tx, marks []EventParts) error {
	if len(marks) == 0 {
		return nil
	}
	return tx.MarkEventParts(ctx, x.in.GroupID, x.id, marks)
}

// page reads the chain's events after a seq.
func (x *erasing) page(ctx context.Context, from AuditReader, after int64) ([]audit.Event, error) {
	rows, err := from.ListAuditEvents(ctx, AuditQuery{
		GroupID: &x.in.GroupID, Ascending: true, Position: after, PageRequest: PageRequest{Limit: erasePage},
	})
	return rows.Items, err
}

var errDrainingErasure = fmt.Errorf("%w: the service drains: a repeat completes the erasure", ErrUnavailable)

// commit erases the subjects in the tenant's rows, marks what was appended after a seq, and appends the event, in one
// transaction. Without it the marks have no effect. The event is nil if nothing was marked.
func (x *erasing) commit(
	ctx context.Context, seq int64, set *audit.ErasureSet,
) (event *audit.Event, changed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, x.callTimeout)
	defer cancel()
	err = txOrConfirm(ctx, x.store, func(tx Tx) error {
		event, changed = nil, false
		if err := tx.LockErasureCommit(ctx, x.in.GroupID); err != nil {
			return err
		}
		if err := x.lock.Check(ctx); err != nil {
			return err
		}
		invalidating := &invalidationRecorder{Tx: tx}
		e, err := x.lockRows(ctx, invalidating, &changed)
		if err != nil {
			return err
		}
		if err := invalidating.publish(ctx); err != nil {
			return err
		}
		heads, err := tx.LockAuditLog(ctx, []uuid.UUID{x.in.GroupID}, nil)
		if err != nil {
			return err
		}
		all, err := x.markRest(ctx, tx, seq, set.Clone())
		switch {
		case err != nil:
			return err
		case all == nil && changed:
			return nil
		case all == nil:
			return errNothingWritten
		}
		e.Erasure = all
		sealed := e.Seal()
		placed := heads.place(e, sealed)
		event, changed = &placed, true
		return tx.InsertAuditEvents(ctx, []audit.Event{placed})
	})
	return event, changed, err
}

// lockRows takes the locks that come before that of the log, erases the subjects in the tenant's rows, and returns the
// event but for what it records.
func (x *erasing) lockRows(ctx context.Context, tx Tx, changed *bool) (audit.Event, error) {
	if x.record.given() {
		earlier, err := tx.ReserveIdempotencyKey(ctx, x.record.key)
		if err == nil && len(earlier) > 0 { // by another command: this one's lock keeps out its own repeats
			err = errIdempotencyMismatch
		}
		if err != nil {
			return audit.Event{}, err
		}
	}
	now := x.clock()
	e := audit.Event{
		GroupID: x.in.GroupID, Action: actionErase, CRUD: audit.Delete, Description: x.in.Reason,
		GroupDeleted: x.deleted,
	}
	if x.in.GroupID != uuid.Nil && !x.deleted {
		t, err := lockTenant(ctx, tx, x.by, x.in.GroupID)
		if err != nil {
			return audit.Event{}, err
		}
		e.GroupName = t.Name
		if *changed, err = tx.EraseSubjects(ctx, t.ID, x.in.Subjects, x.in.IncludeFields, now); err != nil {
			return audit.Event{}, err
		}
	}
	e = x.own(e, x.by, now)
	e.ID, e.Idempotency = x.id, x.record.forEvent(0)
	return e, nil
}

// markRest marks, under the audit lock, what was appended after a seq, and returns all that is marked; nil: nothing.
func (x *erasing) markRest(
	ctx context.Context, tx Tx, seq int64, set *audit.ErasureSet,
) (*audit.Erasure, error) {
	for {
		events, err := x.page(ctx, tx, seq)
		if err != nil {
			return nil, err
		}
		var marks []EventParts
		for i := range events {
			seq = events[i].Seq
			if mark := x.in.parts(&events[i]); len(mark) > 0 {
				set.Add(seq, mark)
				marks = append(marks, EventParts{seq, mark})
			}
		}
		if err := x.mark(ctx, tx, marks); err != nil {
			return nil, err
		}
		if len(events) < erasePage {
			return set.Erasure(), nil
		}
	}
}
