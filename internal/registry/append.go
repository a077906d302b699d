package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
)

// MaxBulk is how many events a caller may report at once.
const MaxBulk = 100

const (
	maxBatch     = 512 // events in one transaction; a request that is begun is not split
	batchTimeout = 10 * time.Second
)

// RecordEvent appends an event that a caller reports. GroupID is a tenant's id or the nil UUID; Created may lie in the past or the
// future and is now if zero; id, place, hashes and Received are set here. Of an event that was appended before, under the same
// idempotency key, only ID and Hash are set.
func (s *Service) RecordEvent(ctx context.Context, by Caller, e AuditEvent) (AuditEvent, error) {
	written, err := s.record(ctx, by, []AuditEvent{e}, func(int) string { return "" })
	if err != nil {
		return AuditEvent{}, err
	}
	return written[0], nil
}

// RecordEvents is RecordEvent for 1 to MaxBulk events, all of them or none.
func (s *Service) RecordEvents(ctx context.Context, by Caller, events []AuditEvent) ([]AuditEvent, error) {
	if len(events) == 0 || len(events) > MaxBulk {
		return nil, invalidMembers(Violation{Pointer: "/events", Message: fmt.Sprintf("must have 1 to %d events", MaxBulk)})
	}
	return s.record(ctx, by, events, func(i int) string { return "/events/" + strconv.Itoa(i) })
}

// record appends events; at is where in the request each of them stands.
func (s *Service) record(ctx context.Context, by Caller, events []AuditEvent, at func(int) string) ([]AuditEvent, error) {
	var faults []Violation
	for i, e := range events {
		for _, fault := range e.Violations() {
			fault.Pointer = at(i) + fault.Pointer
			faults = append(faults, fault)
		}
	}
	if faults != nil {
		return nil, invalidMembers(faults...)
	}
	r := &appending{at: at, mark: by.mark(events), done: make(chan struct{}), events: make([]AuditEvent, 0, len(events))}
	for i, e := range events {
		e = s.reported(e, by)
		if e.Once = r.mark; e.Once != (OnceMark{}) {
			e.Once.Ordinal = i
		}
		r.add(e)
	}
	if err := s.appender.append(ctx, s.store, r); err != nil {
		return nil, err
	}
	for _, e := range r.events {
		s.tail.wake(e.GroupID)
	}
	if by.Idempotency != nil {
		by.Idempotency.Repeated = r.repeated
	}
	return r.written, nil
}

// appending is one request to append.
type appending struct {
	events []AuditEvent // with all but what their places give them
	sealed []sealed     // of each
	at     func(int) string
	mark   OnceMark
	done   chan struct{} // closed when what follows is settled

	written  []AuditEvent
	repeated bool
	alone    bool // it must go into a transaction of its own
	err      error
}

// add takes an event, and does beforehand what need not be done while others wait.
func (r *appending) add(e AuditEvent) {
	e.Hash = e.retracedHash()
	r.events, r.sealed = append(r.events, e), append(r.sealed, e.seal(""))
}

// appender puts the requests of all callers who wait into one transaction: one lock, one commit. Each is answered after that commit.
// The zero value is ready.
type appender struct {
	mu      sync.Mutex
	waiting []*appending
	busy    bool // somebody is committing, and looks for those who wait afterwards
}

// append returns when the request's events are committed or refused. A request that would hold up the others, or that may have spoilt
// their transaction, is tried again in one of its own.
func (a *appender) append(ctx context.Context, store Store, r *appending) error {
	a.mu.Lock()
	a.waiting = append(a.waiting, r)
	leads := !a.busy
	a.busy = true
	a.mu.Unlock()
	if leads {
		a.commitNext(ctx, store)
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		return fmt.Errorf("%w: waited for other events: %w", ErrUnavailable, ctx.Err())
	}
	if !r.alone {
		return r.err
	}
	return r.commitAlone(ctx, store)
}

// commitNext commits what waits, and leaves what came meanwhile to a goroutine: nobody works for others after being answered.
func (a *appender) commitNext(ctx context.Context, store Store) {
	a.mu.Lock()
	count, events := 0, 0
	for count < len(a.waiting) && (count == 0 || events+len(a.waiting[count].events) <= maxBatch) {
		events += len(a.waiting[count].events)
		count++
	}
	batch := slices.Clone(a.waiting[:count])
	a.waiting = slices.Delete(a.waiting, 0, count)
	a.mu.Unlock()
	commitTogether(ctx, store, batch)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.busy = len(a.waiting) > 0; a.busy {
		go a.commitNext(context.WithoutCancel(ctx), store)
	}
}

// commitTogether settles all requests of a batch. If their transaction fails by anything but the store's being unavailable, each of them
// goes alone, so that only the one whose fault it is fails.
func commitTogether(ctx context.Context, store Store, batch []*appending) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), batchTimeout)
	defer cancel()
	err := guarded(func() error {
		return store.Tx(ctx, func(tx Tx) error {
			held, err := tx.HoldTenants(ctx, groupsOf(batch))
			if err != nil {
				return err
			}
			return appendAll(ctx, tx, batch, held)
		})
	})
	for _, r := range batch {
		if err != nil {
			r.written, r.err, r.alone = nil, err, !errors.Is(err, ErrUnavailable)
		}
		close(r.done)
	}
}

// guarded makes an error of a panic, which would leave those who wait for this batch, and all who come later, waiting. Each of them tries
// alone then, and panics where somebody above it knows what to do.
func guarded(fn func() error) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("panic while events were appended: %v", fault)
		}
	}()
	return fn()
}

// commitAlone waits for whoever has the tenant locked, which a batch does not.
func (r *appending) commitAlone(ctx context.Context, store Store) error {
	try := func() error {
		return store.Tx(ctx, func(tx Tx) error {
			if r.mark != (OnceMark{}) {
				if _, err := tx.Claim(ctx, r.mark.Key); err != nil {
					return err
				}
			}
			held := map[uuid.UUID]bool{}
			for _, id := range groupsOf([]*appending{r}) {
				switch err := tx.HoldTenant(ctx, id); {
				case err == nil:
					held[id] = true
				case !errors.Is(err, ErrNotFound):
					return err
				}
			}
			return appendAll(ctx, tx, []*appending{r}, held)
		})
	}
	err := try()
	if errors.Is(err, ErrKeyUsed) { // by a batch of another replica, which takes no lock of the key: now it can be seen
		err = try()
	}
	if err != nil {
		return err
	}
	return r.err
}

// groupsOf lists the tenants that the events are of, in the order of their ids.
func groupsOf(batch []*appending) []uuid.UUID {
	groups := map[uuid.UUID]bool{}
	for _, r := range batch {
		for _, e := range r.events {
			groups[e.GroupID] = true
		}
	}
	delete(groups, uuid.Nil)
	return slices.SortedFunc(maps.Keys(groups), func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
}

// appendAll takes the audit lock and gives each request its answer: its events' places, what an earlier request had, or a refusal. held
// has the tenants that exist, true for those that this transaction keeps from being deleted.
func appendAll(ctx context.Context, tx Tx, batch []*appending, held map[uuid.UUID]bool) error {
	groups, keys, count := groupsOf(batch), []Hash{}, 0
	for _, r := range batch {
		count += len(r.events)
		r.written, r.err, r.alone, r.repeated = nil, nil, false, false
		if r.mark != (OnceMark{}) {
			keys = append(keys, r.mark.Key)
		}
	}
	heads, err := tx.AuditHeads(ctx, append(groups, uuid.Nil), keys)
	if err != nil {
		return err
	}
	placed := make([]AuditEvent, 0, count)
	for _, r := range batch {
		if r.settled(heads.Marked[r.mark.Key], held) {
			continue
		}
		r.written = r.events // which have a place from now on; if the transaction is run again, another one
		for i := range r.events {
			e := &r.events[i]
			*e = heads.place(*e, r.sealed[i])
			if r.mark != (OnceMark{}) { // the same key may come again in this batch
				heads.Marked[r.mark.Key] = append(heads.Marked[r.mark.Key], MarkedEvent{OnceMark: e.Once, ID: e.ID, Hash: e.Hash})
			}
		}
		placed = append(placed, r.written...)
	}
	if len(placed) == 0 {
		return nil
	}
	return tx.InsertEvents(ctx, placed)
}

// settled answers a request that appends nothing now.
func (r *appending) settled(earlier []MarkedEvent, held map[uuid.UUID]bool) bool {
	repeat, err := r.mark.isRepeat(earlier)
	if err != nil {
		r.err = err
		return true
	}
	if repeat {
		r.repeated = true
		for _, m := range earlier {
			r.written = append(r.written, AuditEvent{ID: m.ID, Hash: m.Hash})
		}
		return true
	}
	var unknown []Violation
	for i, e := range r.events {
		switch mine, exists := held[e.GroupID]; {
		case e.GroupID == uuid.Nil:
		case !exists:
			unknown = append(unknown, Violation{Pointer: r.at(i) + "/group/id", Message: "must be the id of a tenant"})
		case !mine:
			r.alone = true
		}
	}
	if unknown != nil {
		r.err, r.alone = &Error{
			Kind: Invalid, Code: CodeInvalid, Detail: "The request names a tenant that does not exist.", Violations: unknown,
		}, false
	}
	return unknown != nil || r.alone
}

// AuditHeads is where the log stands, and some chains of it.
type AuditHeads struct {
	Pos    int64                   // of the newest event of the whole log; 0 if there is none
	Chains map[uuid.UUID]ChainHead // of the groups that were asked for
	Marked map[Hash][]MarkedEvent  // by the idempotency keys that were asked for, those that were used; in the order of Ordinal
}

// place gives an event the next place in the log and in its chain.
func (h *AuditHeads) place(e AuditEvent, s sealed) AuditEvent {
	head := h.Chains[e.GroupID]
	e = e.behind(AuditHead{Pos: h.Pos, Seq: head.Seq, ChainHash: head.Hash}, s)
	h.Pos, h.Chains[e.GroupID] = e.Pos, ChainHead{Seq: e.Seq, Hash: e.ChainHash}
	return e
}
