package registry

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/audit"
)

// RevokeAPIKey ends a key permanently. Revoking a revoked key changes nothing and leaves no second event. Reason is
// optional.
func (s *Service) RevokeAPIKey(ctx context.Context, by Caller, id uuid.UUID, reason string) (Result[APIKey], error) {
	var c checks
	c.text("reason", reason, MaxText)
	if err := c.parameterErr(); err != nil {
		return Result[APIKey]{}, err
	}
	tenant, err := s.tenantOfAPIKey(ctx, by, id)
	if err != nil {
		return Result[APIKey]{}, err
	}
	by.urgent = true
	return change(ctx, s, by, tenant, func(tx Tx, now time.Time) (*outcome[APIKey], error) {
		t, before, err := lockAPIKey(ctx, tx, by, id)
		if err != nil {
			return nil, err
		}
		if err := by.expectVersion(before.Version, "key"); err != nil {
			return nil, err
		}
		if before.RevokedAt != nil {
			return unchanged(before)
		}
		after := before.revoked(by.createdBy(), reason, now)
		if err := tx.UpdateAPIKey(ctx, after); err != nil {
			return nil, err
		}
		return changed(after, after.event("api_key.revoke", audit.Delete, t, before))
	})
}

func (k APIKey) revoked(by, reason string, now time.Time) APIKey {
	now = later(now, k.UpdatedAt)
	k.RevokedAt, k.RevokedBy, k.RevokeReason, k.UpdatedAt = &now, by, reason, now
	k.Version++
	return k
}

// revokedBySelf is revoked_by of a key that was revoked with its own text.
const revokedBySelf = "self"

// SelfRevoke ends the key with this text or, if it is the text of the previous secret, that secret only. A text that is
// no key, or of a secret that has ended, changes nothing, leaves no event, and is answered alike; ended reports whether
// the call ended a secret. It reads the store, never a cache.
func (s *Service) SelfRevoke(ctx context.Context, by Caller, text string) (ended bool, err error) {
	hash, ok := apikey.Parse(text)
	if !ok {
		return false, nil
	}
	by.Actor, by.Access, by.urgent = audit.Party{}, Access{Tenants: true}, true
	facts, err := GetKeyFacts(ctx, s.store, KeyLookup{Hash: hash})
	if errors.Is(err, ErrNotFound) { // a guess takes no turn and no transaction; it may have been a secret before
		return false, s.store.Confirm(ctx)
	}
	if err != nil {
		return false, err
	}
	made, err := change(ctx, s, by, facts.Tenant.ID, func(tx Tx, now time.Time) (*outcome[APIKey], error) {
		t, before, err := lockAPIKey(ctx, tx, by, facts.Key.ID)
		if err != nil {
			return ignoreNotFound(err)
		}
		after, secret := before.selfRevoked(hash, now)
		if secret == "" {
			return unchanged(before)
		}
		if err := tx.UpdateAPIKey(ctx, after); err != nil {
			return nil, err
		}
		return changed(after, after.selfRevokeEvent(t, before, secret))
	})
	return err == nil && !made.Unchanged, err
}

// selfRevoked is the key after its holder ended one of its secrets, and which secret that was; none if it has ended
// already.
func (k APIKey) selfRevoked(hash apikey.Hash, now time.Time) (APIKey, Secret) {
	switch {
	case k.RevokedAt != nil:
		return k, ""
	case hash == k.Hash:
		return k.revoked(revokedBySelf, "", now), CurrentSecret
	case hash == k.PreviousHash && k.core().previousValid(now):
		now = later(now, k.UpdatedAt)
		k.PreviousEndsAt, k.PreviousEnded, k.UpdatedAt = &now, true, now
		k.Version++
		return k, PreviousSecret
	}
	return k, ""
}

// selfRevokeEvent is anonymous: all that is known of the caller is that it had the key's text.
func (k APIKey) selfRevokeEvent(t Tenant, before APIKey, secret Secret) audit.Event {
	crud := audit.Delete
	if secret == PreviousSecret {
		crud = audit.Update
	}
	e := k.secretEvent("api_key.revoke", crud, t, before)
	e.IsAnonymous = true
	setField(e.Fields, "secret", secret)
	return e
}

// ignoreNotFound makes a missing key an outcome without a change.
func ignoreNotFound(err error) (*outcome[APIKey], error) {
	var refusal *Error
	if errors.Is(err, ErrNotFound) || (errors.As(err, &refusal) && refusal.Kind == NotFound) {
		return unchanged(APIKey{})
	}
	return nil, err
}
