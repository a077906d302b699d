package registry

import (
	"context"
	"reflect"
	"slices"
	"time"

	"github.com/google/uuid"
)

// KeyChange is what a caller wants to be different about a key. What is nil stays as it is.
type KeyChange struct {
	Name      *string
	Scopes    []string // empty and not nil: none
	ExpiresAt *time.Time
	NoExpiry  bool // there is to be none; ExpiresAt must be nil
	Disabled  *bool
	// IfVersion are the versions of the key that the caller means; nil: any.
	IfVersion []int64
}

func (c KeyChange) validate(now time.Time) error {
	var found checks
	if c.Name != nil {
		found.line("/name", *c.Name, MaxName)
	}
	found.scopes("/scopes", c.Scopes)
	found.expiry("/expires_at", c.ExpiresAt, now)
	return found.err()
}

// of is the key with the change made.
func (c KeyChange) of(k APIKey) APIKey {
	if c.Name != nil {
		k.Name = *c.Name
	}
	if c.Scopes != nil {
		k.Scopes = c.Scopes
	}
	if c.ExpiresAt != nil || c.NoExpiry {
		k.ExpiresAt = c.ExpiresAt
	}
	if c.Disabled != nil {
		k.Disabled = *c.Disabled
	}
	return k
}

// UpdateAPIKey changes a key. What changes nothing leaves no event and the version as it is.
func (s *Service) UpdateAPIKey(ctx context.Context, by Caller, id uuid.UUID, c KeyChange) (APIKey, error) {
	c.ExpiresAt = microseconds(c.ExpiresAt)
	if err := c.validate(s.clock()); err != nil {
		return APIKey{}, err
	}
	return change(ctx, s, by, func(tx Tx, now time.Time) (APIKey, AuditEvent, error) {
		t, before, err := lockLivingKey(ctx, tx, by, id)
		if err != nil {
			return APIKey{}, AuditEvent{}, err
		}
		if c.IfVersion != nil && !slices.Contains(c.IfVersion, before.Version) {
			return APIKey{}, AuditEvent{}, &Error{
				Kind: Outdated, Code: CodePrecondition, Detail: "The key is not in the version that If-Match names.",
			}
		}
		after := c.of(before)
		if reflect.DeepEqual(before.members(), after.members()) {
			return before, AuditEvent{}, errUnchanged
		}
		after.UpdatedAt = now
		after.Version++
		return after, after.event("api_key.update", Update, t, before), tx.UpdateAPIKey(ctx, after)
	})
}
