package registry

import (
	"context"
	"maps"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/violation"
)

// For how many seconds the old secret stays valid after a rotation.
const (
	DefaultOverlap = 24 * 60 * 60
	MaxOverlap     = 30 * 24 * 60 * 60
)

// RotateAPIKey gives a key a new secret and returns its record and its new text, which no one can read again. The old
// secret stays valid for overlap seconds (nil: DefaultOverlap). A rotation while the previous secret is valid replaces
// the current one only, and the previous one keeps its end, so that a lost answer harms no one; with an overlap of 0
// every old secret ends at once.
func (s *Service) RotateAPIKey(
	ctx context.Context, by Caller, id uuid.UUID, overlap *int64,
) (Result[APIKeySecret], error) {
	seconds := int64(DefaultOverlap)
	if overlap != nil {
		seconds = *overlap
	}
	if seconds < 0 || seconds > MaxOverlap {
		var c checks
		c.add("/overlap_seconds", violation.Range(0, MaxOverlap))
		return Result[APIKeySecret]{}, c.err()
	}
	tenant, err := s.tenantOfAPIKey(ctx, by, id)
	if err != nil {
		return Result[APIKeySecret]{}, err
	}
	command, counting := secretCommand(ctx, by, tenant, []any{id, seconds}), s.newKeyChange()
	got, err := changeIdempotent(ctx, s, by, command, func(tx Tx, now time.Time) (*outcome[APIKeySecret], error) {
		t, before, err := lockUnrevokedAPIKey(ctx, tx, by, id)
		if err != nil {
			return nil, err
		}
		if err := by.expectVersion(before.Version, "key"); err != nil {
			return nil, err
		}
		if err := counting.count(t.ID); err != nil {
			return nil, err
		}
		text := apikey.Generate(before.Environment)
		after := before.rotated(text, time.Duration(seconds)*time.Second, now)
		if err := tx.UpdateAPIKey(ctx, after); err != nil {
			return nil, err
		}
		return changed(APIKeySecret{after, text}, after.secretEvent("api_key.rotate", audit.Update, t, before))
	})
	counting.settle(err)
	return got, err
}

func (k APIKey) rotated(text string, overlap time.Duration, now time.Time) APIKey {
	replaces := overlap == 0 || !k.core().previousValid(now)
	now = later(now, k.UpdatedAt)
	if replaces {
		ends := now.Add(overlap)
		k.PreviousHash, k.PreviousEndsAt, k.PreviousEnded = k.Hash, &ends, overlap == 0
		k.PreviousUsedAt = k.currentUsedAt()
	}
	k.Hash, k.Prefix, k.RotatedAt, k.UpdatedAt = apikey.Sum(text), apikey.Prefix(text), &now, now
	k.Version++
	return k
}

// currentUsedAt is when the current secret was used last; nil if it was not, or if that is unknown because the previous
// one was used later.
func (k APIKey) currentUsedAt() *time.Time {
	if k.LastUsedAt != nil && (k.PreviousUsedAt == nil || k.LastUsedAt.After(*k.PreviousUsedAt)) {
		return k.LastUsedAt
	}
	return nil
}

// secretEvent is event with what changed about the secrets, of which it holds nothing but the prefix.
func (k APIKey) secretEvent(action string, crud audit.CRUD, t Tenant, before APIKey) audit.Event {
	secrets := func(k APIKey) map[string]any {
		return map[string]any{"prefix": k.Prefix, "previous_ends_at": k.PreviousEndsAt}
	}
	e := k.event(action, crud, t, before)
	maps.Copy(e.Fields, diff(secrets(before), secrets(k)))
	return e
}
