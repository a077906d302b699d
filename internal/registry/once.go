package registry

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
)

// Idempotency is a caller's word that all of its requests with one key are the same command, to be carried out once.
type Idempotency struct {
	Key       string // chosen by the caller
	Operation string // what is asked for, beside the command itself: the method and the path
	Repeated  bool   // set by the use case: an earlier request had the effect, and the answer shows what became of it
}

// OnceMark ties an event to the idempotency key of the request that it belongs to. It is neither exported nor hashed.
type OnceMark struct {
	Key     Hash // of the caller and its key; zero: the request had none
	Print   Hash // of the command
	Ordinal int  // among the events of the request, from 0
}

// MarkedEvent is what a repeated request needs to know of an event that the first one left.
type MarkedEvent struct {
	OnceMark
	ID       uuid.UUID
	Hash     string
	TargetID string
}

var mismatch = &Error{
	Kind: Mismatch, Code: CodeIdempotencyMismatch, Detail: "The Idempotency-Key was used for another command.",
	Violations: []Violation{{Parameter: "Idempotency-Key", Message: "must be a new one for every command"}},
}

// mark is what the events of a command carry.
func (c Caller) mark(command any) OnceMark {
	if c.Idempotency == nil || c.Actor.ID == "" {
		return OnceMark{}
	}
	text, err := json.Marshal(command, json.Deterministic(true), json.FormatNilMapAsNull(true))
	if err != nil { // commands are values of this package
		panic(err)
	}
	return OnceMark{
		Key:   sha256.Sum256([]byte(c.Actor.ID + "\x00" + c.Idempotency.Key)),
		Print: sha256.Sum256([]byte(c.Idempotency.Operation + "\x00" + string(text))),
	}
}

// isRepeat tells whether the command of this mark was carried out before; if another command was, that is an error.
func (m OnceMark) isRepeat(earlier []MarkedEvent) (bool, error) {
	if len(earlier) > 0 && earlier[0].Print != m.Print {
		return false, mismatch
	}
	return len(earlier) > 0, nil
}

// once is what makes a change one that a caller may repeat: the command, and how to read what it made, by the id of its event's
// target. For the reading the caller's rights count as they are now, and what is gone is not found.
type once[T any] struct {
	command any
	again   func(tx Tx, target uuid.UUID) (T, error)
}

// changeOnce is change for a command that may come with an idempotency key. The key's lock is the transaction's first: of two
// simultaneous requests the second waits, and then sees what the first one did.
func changeOnce[T any](
	ctx context.Context, s *Service, by Caller, command once[T], fn func(tx Tx, now time.Time) (T, AuditEvent, error),
) (T, error) {
	mark := by.mark(command.command)
	if mark == (OnceMark{}) {
		return change(ctx, s, by, fn)
	}
	marked := func(tx Tx, now time.Time) (T, AuditEvent, error) {
		by.Idempotency.Repeated = false
		var none T
		earlier, err := tx.Claim(ctx, mark.Key)
		if err != nil {
			return none, AuditEvent{}, err
		}
		repeat, err := mark.isRepeat(earlier)
		switch {
		case err != nil:
			return none, AuditEvent{}, err
		case !repeat:
			got, event, err := fn(tx, now)
			event.Once = mark
			return got, event, err
		}
		by.Idempotency.Repeated = true
		target, err := uuid.Parse(earlier[0].TargetID)
		if err != nil { // a reported event: nothing but the same command could have its print
			return none, AuditEvent{}, err
		}
		got, err := command.again(tx, target)
		if err == nil {
			err = errUnchanged
		}
		return got, AuditEvent{}, err
	}
	got, err := change(ctx, s, by, marked)
	if errors.Is(err, ErrKeyUsed) { // by an appended event, which takes no lock of the key: now it can be seen
		got, err = change(ctx, s, by, marked)
	}
	return got, err
}
