package registry

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/timestamp"
)

// Result is what came of a command.
type Result[T any] struct {
	Value     T    // the object as it is now
	Replayed  bool // an earlier request with the same idempotency key had the effect
	Unchanged bool // there was nothing to do: nothing was written, no event was left
}

// outcome is what a use case has done in its transaction.
type outcome[T any] struct {
	value    T
	events   []audit.Event // empty: nothing was written
	replayed bool
}

// changed is the outcome of a use case that wrote something: the object as it is now, and the event of the change.
func changed[T any](value T, event audit.Event) (*outcome[T], error) {
	return &outcome[T]{value: value, events: []audit.Event{event}}, nil
}

// unchanged is the outcome of a use case that found nothing to do.
func unchanged[T any](value T) (*outcome[T], error) { return &outcome[T]{value: value}, nil }

// change runs fn and writes its events in one transaction: both are committed or neither is. The steps have one order:
// fn locks and writes rows; the invalidation is published; the events are appended under the audit lock, which all
// changes share and which is therefore held for one insert and the commit only. fn may run more than once. The changes
// of one tenant run in turn; the nil UUID is no tenant's.
func change[T any](
	ctx context.Context, s *Service, by Caller, tenant uuid.UUID, fn func(tx Tx, now time.Time) (*outcome[T], error),
) (Result[T], error) {
	endTurn, err := s.takeTurn(ctx, by, tenant)
	if err != nil {
		return Result[T]{}, err
	}
	defer endTurn()
	var result Result[T]
	var left []audit.Event
	err = txOrConfirm(ctx, s.store, func(tx Tx) error {
		now := s.clock()
		invalidating := &invalidationRecorder{Tx: tx}
		done, err := fn(invalidating, now)
		if err != nil {
			return err
		}
		result = Result[T]{
			Value: done.value, Replayed: done.replayed, Unchanged: !done.replayed && len(done.events) == 0,
		}
		left = done.events
		if len(done.events) == 0 && invalidating.recorded.Empty() {
			return errNothingWritten
		}
		if err := invalidating.publish(ctx); err != nil || len(done.events) == 0 {
			return err
		}
		return s.appendOwn(ctx, tx, by, now, done.events)
	})
	if err != nil {
		return Result[T]{}, err
	}
	for _, e := range left {
		s.follower.wake(e.GroupID)
	}
	return result, nil
}

// errNothingWritten is what a transaction returns that found nothing to do.
var errNothingWritten = errors.New("nothing was written")

// txOrConfirm runs a transaction. If it wrote nothing, its answer reports an earlier change, which may be one that no
// standby has confirmed: it is rolled back, and everything before it confirmed.
func txOrConfirm(ctx context.Context, store Store, fn func(tx Tx) error) error {
	err := store.Tx(ctx, fn)
	if errors.Is(err, errNothingWritten) {
		err = store.Confirm(ctx)
	}
	return err
}

// later is the time of a change of a row that was changed last at stored: a row's times never go backwards, although
// the clocks of the replicas differ.
func later(now, stored time.Time) time.Time {
	if now.Before(stored) {
		return stored
	}
	return now
}

// appendOwn completes events of this service and appends them. It is the last step of a transaction.
func (s *Service) appendOwn(ctx context.Context, tx Tx, by Caller, now time.Time, events []audit.Event) error {
	written := make([]audit.Event, len(events))
	for i, e := range events {
		written[i] = s.own(e, by, now)
	}
	return appendEvents(ctx, tx, written)
}

// operatorName is the name of an actor of the platform in a tenant's chain.
const operatorName = "operator"

// own completes an event of this service: who, when, from where.
func (s *Service) own(e audit.Event, by Caller, now time.Time) audit.Event {
	e.ID, e.Created, e.Received = newID(), now, now
	e.Component, e.Version = component, s.version
	if e.Actor.ID == "" {
		e.Actor = by.Actor
	}
	e.SourceIP, e.CorrelationID = by.SourceIP, by.RequestID
	if by.Access.Operator && e.GroupID != uuid.Nil { // the tenant is told the id, to ask about
		e.Actor.Name, e.SourceIP = operatorName, ""
	}
	e.OnBehalfOf = by.OnBehalfOf
	return e
}

// maxFieldValue bounds what one changed member adds to its event, so that no event can make its own change fail.
const maxFieldValue = 1024

// diff lists the members that differ as before.name and after.name with JSON text. A member that is unset has no entry,
// and a value of more than maxFieldValue bytes is replaced by its SHA-256.
func diff(before, after map[string]any) map[string]string {
	fields := map[string]string{}
	for name := range after {
		if reflect.DeepEqual(before[name], after[name]) {
			continue
		}
		setField(fields, "before."+name, before[name])
		setField(fields, "after."+name, after[name])
	}
	return fields
}

func setField(fields map[string]string, name string, value any) {
	if v := reflect.ValueOf(value); !v.IsValid() || (v.IsZero() && v.Kind() != reflect.Bool) ||
		(isList(v) && v.Len() == 0) {
		return
	}
	switch at := value.(type) {
	case time.Time:
		value = timestamp.Format(at)
	case *time.Time:
		value = timestamp.Format(*at)
	}
	text, err := json.Marshal(value, json.Deterministic(true))
	if err != nil { // the domain's own types always marshal
		panic(err)
	}
	if len(text) > maxFieldValue {
		text = fmt.Appendf(nil, "sha256:%x", sha256.Sum256(text))
	}
	fields[name] = string(text)
}

func isList(v reflect.Value) bool {
	return slices.Contains([]reflect.Kind{reflect.Map, reflect.Slice}, v.Kind())
}
