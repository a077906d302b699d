package registry

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/violation"
)

// MaxErasureSubjects is how many subjects one erasure has at most.
const MaxErasureSubjects = 100

// everySubject stands for all subjects of a deleted tenant's chain.
const everySubject = "*"

const actionErase = "audit.erase"

// ErasedName is what stands in a tenant's rows in the place of a subject that was erased.
const ErasedName = "erased"

const minNamed = 4 // characters of a subject that a reason is searched for

const erasePage = 200 // events that are read, and marked or deleted, at a time

// ErasureStore takes from the log, and from a tenant's rows, what names a person.
type ErasureStore interface {
	// LockErasures waits until no other erasure of a group's chain runs on this store, and no transaction that has
	// called LockErasureCommit, and holds that lock until it is released, or the process ends. ErrUnavailable if it
	// cannot be had in time.
	LockErasures(ctx context.Context, group uuid.UUID) (ErasureLock, error)
}

// ErasureLock is the lock of a chain's erasures.
type ErasureLock interface {
	// Check returns an error if the lock was lost.
	Check(ctx context.Context) error
	Release()
}

// ErasureWriter writes what an erasure changes.
type ErasureWriter interface {
	// MarkEventParts marks parts of a chain's events for the erasure whose event will have this id. A mark has no
	// effect before that event is committed: from then on every reader sees the part as erased, by the event's seq. A
	// part that was marked for another event which is not written is marked anew. It is an error if the event of the
	// id is written, if the event has no such part, or if the part is erased.
	MarkEventParts(ctx context.Context, group, erasure uuid.UUID, parts []EventParts) error
	// LockErasureCommit keeps LockErasures of the chain waiting until this transaction has ended, however long its
	// commit takes: until then it is unknown which marks have effect. It comes before every other lock of the
	// transaction.
	LockErasureCommit(ctx context.Context, group uuid.UUID) error
	// DeleteEventParts deletes value and salt of parts that are erased, stores their digests instead, and deletes the
	// fingerprints of the requests that their events belong to. A part that is deleted already is left alone. It is an
	// error if a part is not erased.
	DeleteEventParts(ctx context.Context, group uuid.UUID, parts []EventParts) error
	// EraseSubjects puts ErasedName in the place of subjects in created_by and revoked_by of a tenant's keys and in
	// requested_by and decided_by of its requests, also where one acted on behalf of the other. With texts the revoke
	// reason, the message and the decision reason beside them are removed, too. A key that is changed has a new
	// version. It reports whether a row was changed.
	EraseSubjects(ctx context.Context, tenant uuid.UUID, subjects []string, texts bool, now time.Time) (bool, error)
}

// EventParts are parts of one event of a chain, with their digests.
type EventParts struct {
	Seq   int64
	Parts map[audit.Part]audit.Digest
}

type digests = map[audit.Part]audit.Digest

// ErasureInput asks for an erasure of one chain: a tenant's, or the platform's for the nil UUID.
type ErasureInput struct {
	GroupID uuid.UUID
	// ids of actors, targets and emitters; or one "*": all of a deleted tenant's chain
	Subjects      []string
	Reason        string // recorded, so it must not name the subject; required
	IncludeFields bool   // the fields of events that a subject did, and texts in the tenant's rows
}

// Erasure is what an erasure took.
type Erasure struct {
	EventID       *uuid.UUID // nil: there was nothing to take, and no event is left
	Events, Parts int64
}

func (in ErasureInput) validate() error {
	var c checks
	reason := strings.ToLower(in.Reason)
	if n := len(in.Subjects); n == 0 || n > MaxErasureSubjects {
		c.add("/subjects", violation.Count(MaxErasureSubjects, "subjects"))
	}
	for i, subject := range in.Subjects[:min(len(in.Subjects), MaxErasureSubjects)] {
		pointer := "/subjects/" + strconv.Itoa(i)
		switch {
		case subject == "":
			c.add(pointer, violation.Required)
		case !utf8.ValidString(subject) || utf8.RuneCountInString(subject) > MaxID:
			c.add(pointer, violation.Length(MaxID))
		case subject == everySubject && len(in.Subjects) > 1:
			c.add(pointer, violation.NotCombinable("another subject"))
		case utf8.RuneCountInString(subject) >= minNamed && strings.Contains(reason, strings.ToLower(subject)):
			c.add("/reason", violation.NamesSubject)
		}
	}
	if in.Reason == "" {
		c.add("/reason", violation.Required)
	}
	c.text("/reason", in.Reason, MaxText)
	return c.err()
}

// everything reports whether all of a deleted tenant's chain goes.
func (in ErasureInput) everything() bool { return slices.Contains(in.Subjects, everySubject) }

// parts are the parts of an event that the erasure takes, with their digests. Retraced's hash goes with each part that
// it was computed of: it has no salt.
func (in ErasureInput) parts(e *audit.Event) digests {
	var take []audit.Part
	names := func(id string) bool { return id != "" && slices.Contains(in.Subjects, id) }
	if in.everything() {
		if e.Erasure == nil {
			take = audit.AllParts
		}
	} else {
		if names(e.Actor.ID) || names(e.OnBehalfOf.ID) {
			take = append(take, audit.PartActor, audit.PartOnBehalfOf, audit.PartSource, audit.PartText,
				audit.PartMetadata, audit.PartHash)
			if in.IncludeFields {
				take = append(take, audit.PartFields)
			}
		}
		if names(e.Target.ID) {
			take = append(take, audit.PartTarget, audit.PartFields, audit.PartHash)
		}
		if names(e.Emitter.ID) {
			take = append(take, audit.PartEmitter)
		}
	}
	var found digests
	for _, p := range take {
		if _, erased := e.Erased[p]; !erased && e.Has(p) {
			if found == nil {
				found = digests{}
			}
			found[p] = e.DigestOf(p)
		}
	}
	return found
}

// undeleted are the parts of an event that an earlier erasure took and did not delete.
func undeleted(e *audit.Event) digests {
	var found digests
	for p, erased := range e.Erased {
		if !erased.Deleted {
			if found == nil {
				found = digests{}
			}
			found[p] = erased.Digest
		}
	}
	return found
}

var errLivingTenant = conflict(
	CodeTenantNotDeleted, "The subject * requires a deleted tenant: list the ids of subjects instead.",
).in("/subjects/0")

// EraseEvents takes from one chain the parts of its events that name subjects, and their names from the tenant's rows:
// as ErasureInput.parts says, it answers when that is complete. An event in the same chain records how much was taken,
// and neither who nor what, so the chain verifies as before. An interrupted erasure is completed by a repeat, and by
// any other of that chain. Its Result is Unchanged if there was nothing to take.
func (s *Service) EraseEvents(ctx context.Context, by Caller, in ErasureInput) (Result[Erasure], error) {
	if !by.Access.Operator {
		return Result[Erasure]{}, notFound(CodeTenantNotFound, "tenant")
	}
	if err := in.validate(); err != nil {
		return Result[Erasure]{}, err
	}
	release, err := s.shares.erasures.Take(by.holder(), 1)
	if err != nil {
		return Result[Erasure]{}, err
	}
	defer release()
	x := &erasing{Service: s, by: by, in: in, id: newID()}
	if err := x.check(ctx); err != nil {
		return Result[Erasure]{}, err
	}
	locking, cancel := context.WithTimeout(ctx, s.callTimeout)
	defer cancel()
	if x.lock, err = s.store.LockErasures(locking, in.GroupID); err != nil {
		return Result[Erasure]{}, err
	}
	defer x.lock.Release()
	return x.run(ctx)
}
