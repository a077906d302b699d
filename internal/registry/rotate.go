package registry

import (
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"time"

	"github.com/google/uuid"
)

// For how many seconds the old secret stays good after a rotation.
const (
	DefaultOverlap = 24 * 60 * 60
	MaxOverlap     = 30 * 24 * 60 * 60
)

// RotateAPIKey gives a key a new secret and returns its record and its new text, which nobody can ever read again. The old secret
// stays good for overlap seconds (nil: DefaultOverlap). A rotation while the previous secret is good replaces the current one
// only, and the previous one keeps its end, so that a lost answer harms nobody; with an overlap of 0 every old secret ends at once.
func (s *Service) RotateAPIKey(ctx context.Context, by Caller, id uuid.UUID, overlap *int64) (APIKey, string, error) {
	seconds := int64(DefaultOverlap)
	if overlap != nil {
		seconds = *overlap
	}
	if seconds < 0 || seconds > MaxOverlap {
		var c checks
		c.add("/overlap_seconds", "must be a whole number from 0 to %d", MaxOverlap)
		return APIKey{}, "", c.err()
	}
	var text string
	again := func(tx Tx, id uuid.UUID) (APIKey, error) {
		text = "" // nobody has it any more
		return readAPIKey(ctx, tx, by, id)
	}
	k, err := changeOnce(ctx, s, by, once[APIKey]{[]any{id, seconds}, again}, func(tx Tx, now time.Time) (APIKey, AuditEvent, error) {
		t, before, err := lockLivingKey(ctx, tx, by, id)
		if err != nil {
			return APIKey{}, AuditEvent{}, err
		}
		text = newKeyText(before.Environment)
		after := before.rotated(text, time.Duration(seconds)*time.Second, now)
		return after, after.secretEvent("api_key.rotate", Update, t, before), tx.UpdateAPIKey(ctx, after)
	})
	if err != nil {
		return APIKey{}, "", err
	}
	return k, text, nil
}

func (k APIKey) rotated(text string, overlap time.Duration, now time.Time) APIKey {
	if overlap == 0 || !k.core().previousLives(now) {
		ends := now.Add(overlap)
		k.PreviousHash, k.PreviousEndsAt, k.PreviousUsedAt = k.Hash, &ends, k.currentUsedAt()
	}
	k.Hash, k.Prefix, k.RotatedAt, k.UpdatedAt = sha256.Sum256([]byte(text)), text[:12], &now, now
	k.Version++
	return k
}

// currentUsedAt is when the current secret was used last; nil if it was not, or if that is not known because the previous one was used later.
func (k APIKey) currentUsedAt() *time.Time {
	if k.LastUsedAt != nil && (k.PreviousUsedAt == nil || k.LastUsedAt.After(*k.PreviousUsedAt)) {
		return k.LastUsedAt
	}
	return nil
}

// secretEvent is event with what changed about the secrets, of which it holds nothing but the prefix that everybody may see.
func (k APIKey) secretEvent(action string, crud CRUD, t Tenant, before APIKey) AuditEvent {
	secrets := func(k APIKey) map[string]any {
		return map[string]any{"prefix": k.Prefix, "previous_ends_at": k.PreviousEndsAt}
	}
	e := k.event(action, crud, t, before)
	maps.Copy(e.Fields, diff(secrets(before), secrets(k)))
	return e
}

// holder is what a record says revoked a key whose holder did.
const holder = "self"

// SelfRevoke ends a key for whoever holds its text, or, if that is of the previous secret, this secret only. What is no key, or has
// ended, changes nothing, leaves no event, and is answered like everything else. It asks the store itself, never a cache.
func (s *Service) SelfRevoke(ctx context.Context, by Caller, text string) error {
	hash, ok := ParseKey(text)
	if !ok {
		return nil
	}
	by.Actor, by.Scope = Party{}, Scope{Tenants: true}
	_, err := change(ctx, s, by, func(tx Tx, now time.Time) (APIKey, AuditEvent, error) {
		facts, err := tx.KeyFacts(ctx, hash, "")
		if err != nil {
			return APIKey{}, AuditEvent{}, goneIsUnchanged(err)
		}
		t, before, err := lockKey(ctx, tx, by, facts.Key.ID)
		if err != nil {
			return APIKey{}, AuditEvent{}, goneIsUnchanged(err)
		}
		after, secret, crud := before, CurrentSecret, Delete
		switch {
		case before.RevokedAt != nil:
			return before, AuditEvent{}, errUnchanged
		case hash == before.Hash:
			after = before.revoked(holder, "", now)
		case hash == before.PreviousHash && before.core().previousLives(now):
			secret, crud = PreviousSecret, Update
			after.PreviousEndsAt, after.UpdatedAt = &now, now
			after.Version++
		default:
			return before, AuditEvent{}, errUnchanged
		}
		e := after.secretEvent("api_key.revoke", crud, t, before)
		e.IsAnonymous = true
		setField(e.Fields, "secret", secret)
		return after, e, tx.UpdateAPIKey(ctx, after)
	})
	return err
}

// goneIsUnchanged makes of a key that is not there one that there is nothing to do about.
func goneIsUnchanged(err error) error {
	var refusal *Error
	if errors.Is(err, ErrNotFound) || (errors.As(err, &refusal) && refusal.Kind == NotFound) {
		return errUnchanged
	}
	return err
}
