package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/violation"
)

// What one transaction appends: it holds the audit lock, for which every change waits. The events of one request are
// not split.
const (
	maxBatch      = 512
	maxBatchBytes = 256 << 10
	batchTimeout  = 10 * time.Second
)

var errCallerGone = fmt.Errorf("%w: the caller no longer waited for the events to be appended", ErrUnavailable)

// appendRequest is one request to append.
type appendRequest struct {
	ctx     context.Context // of its caller
	caller  string          // whose turn it waits for; empty: this service
	events  []audit.Event   // complete but for their places
	sealed  []audit.Sealed  // of each
	bytes   int             // of their texts
	pointer func(int) string
	record  requestRecord
	done    chan struct{} // closed when what follows is settled

	written  []audit.Event
	replayed bool
	alone    bool // it must be committed in a transaction of its own
	err      error
}

func newAppendRequest(
	ctx context.Context, caller string, count int, record requestRecord, pointer func(int) string,
) *appendRequest {
	return &appendRequest{
		ctx: ctx, caller: caller, events: make([]audit.Event, 0, count), sealed: make([]audit.Sealed, 0, count),
		pointer: pointer, record: record, done: make(chan struct{}),
	}
}

// add adds an event, and computes in advance what does not depend on its place.
func (r *appendRequest) add(e audit.Event) {
	e.Idempotency = r.record.forEvent(len(r.events))
	sealed := e.Seal()
	r.events, r.sealed, r.bytes = append(r.events, e), append(r.sealed, sealed), r.bytes+e.Size()
}

// appender commits the append requests of all callers together: one lock and one commit for all that are queued. Each
// is answered after that commit. The callers are served in turn, one request each, so that one who queues many delays
// another by one batch. The zero value is ready.
type appender struct {
	mu      sync.Mutex
	queues  map[string][]*appendRequest // by caller; none is empty
	callers []string                    // of the queues, the one whose turn it is first
	active  bool                        // a batch is being committed; the queues are looked at afterwards
}

// append returns when the request's events are committed or refused, or when ctx ends: then they are committed, if that
// had begun, or not at all. A request that would hold up the others, or that may have failed their transaction, is
// tried again in a transaction of its own.
func (a *appender) append(ctx context.Context, store Store, r *appendRequest) error {
	if batch := a.add(r); batch != nil {
		go a.commit(store, batch)
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		a.leave(r)
		return fmt.Errorf("%w: waited for other events: %w", ErrUnavailable, ctx.Err())
	}
	if !r.alone {
		return r.err
	}
	return r.commitAlone(ctx, store)
}

// add queues a request. If no batch is being committed, it returns the one to commit.
func (a *appender) add(r *appendRequest) []*appendRequest {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.queues == nil {
		a.queues = map[string][]*appendRequest{}
	}
	if a.queues[r.caller] == nil {
		a.callers = append(a.callers, r.caller)
	}
	a.queues[r.caller] = append(a.queues[r.caller], r)
	if a.active {
		return nil
	}
	return a.take()
}

// leave takes a request whose caller waits no more from its queue, so that no more is queued than callers wait for; if
// it is in a batch already it is committed, or not.
func (a *appender) leave(r *appendRequest) {
	a.mu.Lock()
	defer a.mu.Unlock()
	queue := a.queues[r.caller]
	i := slices.Index(queue, r)
	if i < 0 {
		return
	}
	if a.queues[r.caller] = slices.Delete(queue, i, i+1); len(queue) == 1 {
		delete(a.queues, r.caller)
		a.callers = slices.DeleteFunc(a.callers, func(caller string) bool { return caller == r.caller })
	}
}

// commit commits a batch, and then what was queued meanwhile, until there is no more. No caller runs it, so that each
// is answered within its own time.
func (a *appender) commit(store Store, batch []*appendRequest) {
	for batch != nil {
		commitTogether(store, batch)
		batch = a.next()
	}
}

func (a *appender) next() []*appendRequest {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.take()
}

// take takes a batch from the queues, in turn; nil if there are none. It needs the lock.
func (a *appender) take() []*appendRequest {
	var batch []*appendRequest
	for events, bytes := 0, 0; len(a.callers) > 0; {
		caller := a.callers[0]
		queue := a.queues[caller]
		events, bytes = events+len(queue[0].events), bytes+queue[0].bytes
		if len(batch) > 0 && (events > maxBatch || bytes > maxBatchBytes) {
			break
		}
		batch = append(batch, queue[0])
		a.callers = slices.Delete(a.callers, 0, 1)
		if len(queue) == 1 {
			delete(a.queues, caller)
			continue
		}
		a.queues[caller] = slices.Delete(queue, 0, 1)
		a.callers = append(a.callers, caller)
	}
	a.active = batch != nil
	return batch
}

// commitTogether settles all requests of a batch. If their transaction fails by anything but an unavailable store, each
// request is committed alone, so that only the one that caused the failure fails.
func commitTogether(store Store, batch []*appendRequest) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(batch[0].ctx), batchTimeout)
	defer cancel()
	err := recoverToError(func() error {
		return txOrConfirm(ctx, store, func(tx Tx) error { return appendAll(ctx, tx, batch, true) })
	})
	for _, r := range batch {
		if err != nil {
			r.written, r.err, r.alone = nil, err, !errors.Is(err, ErrUnavailable)
		}
		close(r.done)
	}
}

// recoverToError makes a panic an error: otherwise the requests of this batch, and all later ones, would never be
// answered. Each request is then committed alone, and panics where its own handler recovers.
func recoverToError(fn func() error) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("panic while events were appended: %v", fault)
		}
	}()
	return fn()
}

// commitAlone waits for a transaction that has the tenant locked, which a batch does not.
func (r *appendRequest) commitAlone(ctx context.Context, store Store) error {
	commit := func() error {
		return txOrConfirm(ctx, store, func(tx Tx) error {
			if r.record.given() {
				if _, err := tx.ReserveIdempotencyKey(ctx, r.record.key); err != nil {
					return err
				}
			}
			return appendAll(ctx, tx, []*appendRequest{r}, false)
		})
	}
	err := commit()
	// by a batch of another replica, which takes no lock of the key: now it is visible
	if errors.Is(err, ErrIdempotencyKeyUsed) {
		err = commit()
	}
	if err != nil {
		return err
	}
	return r.err
}

// tenantsOf lists the tenants of the events, in the order of their ids.
func tenantsOf(batch []*appendRequest) []uuid.UUID {
	groups := map[uuid.UUID]bool{}
	for _, r := range batch {
		for _, e := range r.events {
			groups[e.GroupID] = true
		}
	}
	delete(groups, uuid.Nil)
	return slices.SortedFunc(maps.Keys(groups), func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
}

// appendAll locks the tenants, with skipLocked those that no other transaction has locked, then takes the audit lock
// and settles each request: its events' places, a replay, or a refusal. errNothingWritten if no event got a place.
func appendAll(ctx context.Context, tx Tx, batch []*appendRequest, skipLocked bool) error {
	groups, keys, count := tenantsOf(batch), []audit.Digest{}, 0
	for _, r := range batch {
		count += len(r.events)
		r.written, r.err, r.alone, r.replayed = nil, nil, false, false
		if r.record.given() {
			keys = append(keys, r.record.key)
		}
	}
	locked, heads, err := tx.LockForAppend(ctx, groups, skipLocked, append(slices.Clone(groups), uuid.Nil), keys)
	if err != nil {
		return err
	}
	placed := make([]audit.Event, 0, count)
	for _, r := range batch {
		if r.ctx.Err() != nil {
			r.err = errCallerGone
			continue
		}
		if r.settled(heads.Earlier[r.record.key], locked) {
			continue
		}
		r.written = r.events // which have a place from now on; another one if the transaction is run again
		for i := range r.events {
			e := &r.events[i]
			*e = heads.place(*e, r.sealed[i])
			if r.record.given() { // the same key may come again in this batch
				earlier := EarlierEvent{IdempotencyRecord: e.Idempotency, ID: e.ID, Hash: e.Hash}
				heads.Earlier[r.record.key] = append(heads.Earlier[r.record.key], earlier)
			}
		}
		placed = append(placed, r.written...)
	}
	if len(placed) == 0 {
		return errNothingWritten
	}
	return tx.InsertAuditEvents(ctx, placed)
}

// settled answers a request that appends nothing now, and reports whether it did.
func (r *appendRequest) settled(earlier []EarlierEvent, locked map[uuid.UUID]bool) bool {
	replayed, err := r.record.replays(earlier)
	if err != nil {
		r.err = err
		return true
	}
	if replayed {
		r.replayed = true
		for _, e := range earlier {
			r.written = append(r.written, audit.Event{ID: e.ID, Hash: e.Hash})
		}
		return true
	}
	var unknown []violation.Violation
	for i, e := range r.events {
		switch held, exists := locked[e.GroupID]; {
		case e.GroupID == uuid.Nil:
		case !exists:
			unknown = append(unknown, unknownGroup(r.pointer(i)))
		case !held:
			r.alone = true
		}
	}
	if unknown != nil {
		r.err, r.alone = unknownGroups(unknown), false
	}
	return unknown != nil || r.alone
}
