package registry

import (
	"context"
	"crypto/sha256"
	"errors"
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

// EarlierEvent is what a replay needs to know of an event that the first request left.
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

// idempotencyRecord is what the events of a command carry: the key, scoped to the caller, and the request's
// fingerprint.
func (c Caller) idempotencyRecord(command any) audit.IdempotencyRecord {
	if c.Idempotency == nil || c.Actor.ID == "" {
		return audit.IdempotencyRecord{}
	}
	onBehalfOf := ""
	if c.OnBehalfOf.ID != "" { // the users of a portal choose keys of their own
		onBehalfOf = "\x00" + c.OnBehalfOf.ID
	}
	text, err := json.Marshal(command, json.Deterministic(true), json.FormatNilMapAsNull(true))
	if err != nil { // commands are values of this package
		panic(err)
	}
	return audit.IdempotencyRecord{
		Key:         sha256.Sum256([]byte(c.Actor.ID + "\x00" + c.Idempotency.Key + onBehalfOf)),
		Fingerprint: sha256.Sum256([]byte(c.Idempotency.Operation + "\x00" + string(text))),
	}
}

// replays reports whether the command was carried out before; an error if the key was used for another command.
func replays(record audit.IdempotencyRecord, earlier []EarlierEvent) (bool, error) {
	if len(earlier) > 0 && earlier[0].Fingerprint != record.Fingerprint {
		return false, errIdempotencyMismatch
	}
	return len(earlier) > 0, nil
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
	record := by.idempotencyRecord(c.command)
	if record == (audit.IdempotencyRecord{}) {
		return change(ctx, s, by, tenant, fn)
	}
	reserved := func(tx Tx, now time.Time) (*outcome[T], error) {
		earlier, err := tx.ReserveIdempotencyKey(ctx, record.Key)
		if err != nil {
			return nil, err
		}
		replayed, err := replays(record, earlier)
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
			done.events[i].Idempotency = record
			done.events[i].Idempotency.Ordinal = i
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
