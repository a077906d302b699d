package registry

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/violation"
)

// Idempotency is a caller's promise that all of its requests with one key are the same command, to have one effect.
type Idempotency struct {
	Key       string // chosen by the caller
	Operation string // what is asked for beside the command itself: the method and the path
}

// EarlierEvent is what a replay needs to know of an event that the first request left. Its Fingerprint is zero if a
// part of it is erased.
type EarlierEvent struct {
	audit.IdempotencyRecord
	ID       uuid.UUID
	Hash     string
	TargetID string
}

// IdempotencyStore finds earlier requests.
type IdempotencyStore interface {
	// ReserveIdempotencyKey takes the lock of an idempotency key until this transaction ends, and returns the events
	// that were written under the key, in the order of Ordinal. It is the first lock a transaction takes.
	ReserveIdempotencyKey(ctx context.Context, key audit.Digest) ([]EarlierEvent, error)
}

var errIdempotencyMismatch = &Error{
	Kind: Mismatch, Code: CodeIdempotencyMismatch, Detail: "The Idempotency-Key was used for another command.",
	Violations: []violation.Violation{{Parameter: "Idempotency-Key", Message: violation.NewKeyPerCall}},
}

var errErasedRequest = conflict(
	CodeErased, "An event of the earlier request with this Idempotency-Key was erased: whether this is the same "+
		"request is no longer known.",
)

// requestRecord is what is known of a request that came with an idempotency key. The zero value is of one that did not.
type requestRecord struct {
	key         audit.Digest // scoped to the caller
	command     []byte
	fingerprint audit.Fingerprint // of the command
}

func (c Caller) requestRecord(command any) requestRecord {
	if c.Idempotency == nil || c.Actor.ID == "" {
		return requestRecord{}
	}
	onBehalfOf := ""
	if c.OnBehalfOf.ID != "" { // the users of a portal choose keys of their own
		onBehalfOf = "\x00" + c.OnBehalfOf.ID
	}
	text, err := json.Marshal(command, json.Deterministic(true), json.FormatNilMapAsNull(true))
	if err != nil { // commands are values of this package
		panic(err)
	}
	text = append([]byte(c.Idempotency.Operation+"\x00"), text...)
	return requestRecord{
		key:         sha256.Sum256([]byte(c.Actor.ID + "\x00" + c.Idempotency.Key + onBehalfOf)),
		command:     text,
		fingerprint: audit.NewFingerprint(text),
	}
}

// given reports whether the request came with an idempotency key.
func (r requestRecord) given() bool { return r.command != nil }

// forEvent is what an event of the request carries.
func (r requestRecord) forEvent(ordinal int) audit.IdempotencyRecord {
	if !r.given() {
		return audit.IdempotencyRecord{}
	}
	return audit.IdempotencyRecord{Key: r.key, Fingerprint: r.fingerprint, Ordinal: ordinal}
}

// replays reports whether the command was carried out before; an error if the key was used for another command, or if
// that cannot be told any more.
func (r requestRecord) replays(earlier []EarlierEvent) (bool, error) {
	erased := func(e EarlierEvent) bool { return e.Fingerprint == audit.Fingerprint{} }
	switch {
	case len(earlier) == 0:
		return false, nil
	case slices.ContainsFunc(earlier, erased):
		return false, errErasedRequest
	case !earlier[0].Fingerprint.Matches(r.command):
		return false, errIdempotencyMismatch
	}
	return true, nil
}

// idempotent is a command that a caller may repeat. replay reads what the command made, by the id of its event's
// target. The caller's rights count as they are now, and an object that is gone is not found.
type idempotent[T any] struct {
	tenant  uuid.UUID // whose turn the command waits for; the nil UUID: none's
	command any
	replay  func(tx Tx, target uuid.UUID) (T, error)
}

// changeIdempotent is change for a command that may come with an idempotency key. The key's lock is the transaction's
// first: of two simultaneous requests the second waits and then finds the event of the first.
func changeIdempotent[T any](
	ctx context.Context, s *Service, by Caller, c idempotent[T], fn func(tx Tx, now time.Time) (*outcome[T], error),
) (Result[T], error) {
	tenant := c.tenant
	record := by.requestRecord(c.command)
	if !record.given() {
		return change(ctx, s, by, tenant, fn)
	}
	reserved := func(tx Tx, now time.Time) (*outcome[T], error) {
		earlier, err := tx.ReserveIdempotencyKey(ctx, record.key)
		if err != nil {
			return nil, err
		}
		replayed, err := record.replays(earlier)
		switch {
		case err != nil:
			return nil, err
		case replayed:
			return replay(tx, c, earlier[0])
		}
		done, err := fn(tx, now)
		if err != nil {
			return nil, err
		}
		for i := range done.events {
			done.events[i].Idempotency = record.forEvent(i)
		}
		return done, nil
	}
	got, err := change(ctx, s, by, tenant, reserved)
	if errors.Is(err, ErrIdempotencyKeyUsed) { // by an append, which takes no lock of the key: now its event is visible
		got, err = change(ctx, s, by, tenant, reserved)
	}
	return got, err
}

func replay[T any](tx Tx, c idempotent[T], first EarlierEvent) (*outcome[T], error) {
	target, err := uuid.Parse(first.TargetID)
	if err != nil { // only a reported event has such a target, and no reported event has the fingerprint of a change
		return nil, err
	}
	value, err := c.replay(tx, target)
	if err != nil {
		return nil, err
	}
	return &outcome[T]{value: value, replayed: true}, nil
}
