package registry

import (
	"context"
	"net/netip"
	"strconv"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/timestamp"
	"github.com/breakpilot/tenant-registry/internal/violation"
)

// MaxBulk is how many events a caller may report at once.
const MaxBulk = 100

// component is the author of this service's own events; no other author may use the name.
const component = "tenant-registry"

// AuditWriter appends to the audit log.
type AuditWriter interface {
	// LockAuditLog takes the audit lock, which no other transaction gets before this one has ended, and returns where
	// the log and some groups' chains stand, and the events that were written under some idempotency keys. It is the
	// last lock a transaction takes.
	LockAuditLog(ctx context.Context, groups []uuid.UUID, keys []audit.Digest) (AuditHeads, error)
	// LockForAppend is TenantWriter.LockTenantsShared and then LockAuditLog in one call, for a transaction that does
	// nothing between them.
	LockForAppend(ctx context.Context, tenants []uuid.UUID, skipLocked bool, groups []uuid.UUID, keys []audit.Digest,
	) (locked map[uuid.UUID]bool, heads AuditHeads, err error)
	// InsertAuditEvents appends events under the audit lock. ErrNoParent if the group of one is a tenant that does not
	// exist, ErrDuplicate if its id exists or its place is not the next one (its pos the log's, its seq its group's,
	// and PrevChainHash the hash of the group's head), ErrIdempotencyKeyUsed if its idempotency record exists. It is
	// the last write of a transaction; such an error may also be that of the next call, or of Tx.
	InsertAuditEvents(ctx context.Context, events []audit.Event) error
}

// AuditHeads is where the log stands, and some chains of it.
type AuditHeads struct {
	Pos    int64                         // of the newest event of the whole log; 0 if there is none
	Chains map[uuid.UUID]audit.ChainHead // of the groups that were asked for
	// by idempotency key, of the keys that were asked for and used; in the order of Ordinal
	Earlier map[audit.Digest][]EarlierEvent
}

// place gives an event the next place in the log and in its chain.
func (h *AuditHeads) place(e audit.Event, s audit.Sealed) audit.Event {
	e = e.After(h.Chains[e.GroupID], s)
	e.Pos = h.Pos + 1
	h.Pos, h.Chains[e.GroupID] = e.Pos, audit.ChainHead{Seq: e.Seq, Hash: e.ChainHash}
	return e
}

// appendEvents gives events their places and hashes and writes them. It is the last step of a transaction.
func appendEvents(ctx context.Context, tx AuditWriter, events []audit.Event) error {
	sealed, groups := make([]audit.Sealed, len(events)), make([]uuid.UUID, len(events))
	for i := range events {
		sealed[i], groups[i] = events[i].Seal(), events[i].GroupID
	}
	heads, err := tx.LockAuditLog(ctx, groups, nil)
	if err != nil {
		return err
	}
	for i, e := range events {
		events[i] = heads.place(e, sealed[i])
	}
	return tx.InsertAuditEvents(ctx, events)
}

// RecordEvent appends an event that a caller reports. GroupID is a tenant's id or the nil UUID; Created may lie in the
// past or the future and is now if zero; id, place, hashes and Received are set here. Of a replayed event only ID and
// Hash are set.
func (s *Service) RecordEvent(ctx context.Context, by Caller, e audit.Event) (Result[audit.Event], error) {
	got, err := s.record(ctx, by, []audit.Event{e}, func(int) string { return "" })
	if err != nil {
		return Result[audit.Event]{}, err
	}
	return Result[audit.Event]{Value: got.Value[0], Replayed: got.Replayed}, nil
}

// RecordEvents is RecordEvent for 1 to MaxBulk events, all of them or none.
func (s *Service) RecordEvents(ctx context.Context, by Caller, events []audit.Event) (Result[[]audit.Event], error) {
	if len(events) == 0 || len(events) > MaxBulk {
		return Result[[]audit.Event]{}, invalidMembers(violation.Violation{
			Pointer: "/events", Message: violation.Count(MaxBulk, "events"),
		})
	}
	return s.record(ctx, by, events, func(i int) string { return "/events/" + strconv.Itoa(i) })
}

// record appends events; pointer is where in the request each of them is.
func (s *Service) record(
	ctx context.Context, by Caller, events []audit.Event, pointer func(int) string,
) (Result[[]audit.Event], error) {
	var found []violation.Violation
	for i, e := range events {
		for _, v := range EventViolations(e) {
			v.Pointer = pointer(i) + v.Pointer
			found = append(found, v)
		}
	}
	if found != nil {
		return Result[[]audit.Event]{}, invalidMembers(found...)
	}
	if err := s.checkGroups(ctx, by, events, pointer); err != nil {
		return Result[[]audit.Event]{}, err
	}
	s.shares.events.Charge(by.holder(), int64(len(events)))
	r := newAppendRequest(ctx, by.Actor.ID, len(events), by.requestRecord(events), pointer)
	for _, e := range events {
		r.add(s.reported(e, by))
	}
	if err := s.appender.append(ctx, s.store, r); err != nil {
		return Result[[]audit.Event]{}, err
	}
	for _, e := range r.events {
		s.follower.wake(e.GroupID)
	}
	return Result[[]audit.Event]{Value: r.written, Replayed: r.replayed}, nil
}

// checkGroups refuses events for a log that the caller may not report to: the platform's, unless it is an operator,
// and, of a caller bound to a product, that of a tenant which never had anything of it. Such a tenant is answered as
// one that does not exist.
func (s *Service) checkGroups(
	ctx context.Context, by Caller, events []audit.Event, pointer func(int) string,
) error {
	if by.Access.Operator {
		return nil
	}
	var found []violation.Violation
	for i, e := range events {
		if e.GroupID == uuid.Nil {
			found = append(found, violation.Violation{
				Pointer: pointer(i) + "/group", Message: violation.PlatformReports,
			})
		}
	}
	switch {
	case found != nil:
		return invalidMembers(found...)
	case by.Access.Tenants || by.Access.Reports:
		return nil
	}
	known, err := s.products.tenantsOf(ctx, s.store, by.Access.Product, events)
	if err != nil {
		return err
	}
	for i, e := range events {
		if !known[e.GroupID] {
			found = append(found, unknownGroup(pointer(i)))
		}
	}
	return unknownGroups(found)
}

func unknownGroup(pointer string) violation.Violation {
	return violation.Violation{Pointer: pointer + "/group/id", Message: violation.TenantID}
}

// unknownGroups is the refusal of events whose groups do not exist; nil if all do.
func unknownGroups(found []violation.Violation) error {
	if found == nil {
		return nil
	}
	return &Error{
		Kind: Invalid, Code: CodeInvalid, Detail: "The request names a tenant that does not exist.", Violations: found,
	}
}

// reported completes an event that a caller reports.
func (s *Service) reported(e audit.Event, by Caller) audit.Event {
	e.ID, e.Received = newID(), s.clock()
	e.Emitter, e.OnBehalfOf = audit.Named{ID: by.Actor.ID, Name: by.Actor.Name}, by.OnBehalfOf
	e.Hash, e.SentGroupID = e.RetracedHash(), "" // of what the caller sent
	e.Created = timestamp.Truncate(e.Created)
	if e.Created.IsZero() {
		e.Created = e.Received
	}
	if e.CorrelationID == "" {
		e.CorrelationID = by.RequestID
	}
	if addr, err := netip.ParseAddr(e.SourceIP); err == nil {
		e.SourceIP = addr.String()
	}
	return e
}

// appendOwnEvents appends events of this service that belong to no change, all of them or none. They are in no caller's
// share.
func (s *Service) appendOwnEvents(ctx context.Context, events ...audit.Event) error {
	r := newAppendRequest(ctx, "", len(events), requestRecord{}, func(int) string { return "" })
	for _, e := range events {
		r.add(e)
	}
	if err := s.appender.append(ctx, s.store, r); err != nil {
		return err
	}
	for _, e := range events {
		s.follower.wake(e.GroupID)
	}
	return nil
}
