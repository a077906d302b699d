package registry

import (
	"context"
	"reflect"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/timestamp"
)

// APIKeyPatch is a JSON merge patch of a key. Only ExpiresAt may be null, which removes the expiry.
type APIKeyPatch struct {
	Name      Optional[string]
	Scopes    Optional[[]string]
	ExpiresAt Optional[*time.Time]
	Disabled  Optional[bool]
}

func (p APIKeyPatch) validate() error {
	var c checks
	c.notNull("/name", p.Name.Null)
	c.notNull("/scopes", p.Scopes.Null)
	c.notNull("/disabled", p.Disabled.Null)
	if p.Name.Present && !p.Name.Null {
		c.line("/name", p.Name.Value, MaxName)
	}
	c.scopes("/scopes", p.Scopes.Value)
	return c.err()
}

// validateExpiry refuses an expiry that has passed, unless it is the key's own: a caller that sends back what it has
// read changes nothing.
func (p APIKeyPatch) validateExpiry(k APIKey, now time.Time) error {
	at := p.ExpiresAt.Value
	if at != nil && k.ExpiresAt != nil && at.Equal(*k.ExpiresAt) {
		return nil
	}
	var c checks
	c.expiry("/expires_at", at, now)
	return c.err()
}

// apply is the key with the patch applied.
func (p APIKeyPatch) apply(k APIKey) APIKey {
	p.Name.apply(&k.Name)
	if p.Scopes.Present {
		k.Scopes = append([]string{}, p.Scopes.Value...)
	}
	p.ExpiresAt.apply(&k.ExpiresAt)
	p.Disabled.apply(&k.Disabled)
	return k
}

// UpdateAPIKey patches a key. A patch that changes nothing leaves no event, and the version as it is.
func (s *Service) UpdateAPIKey(ctx context.Context, by Caller, id uuid.UUID, p APIKeyPatch) (Result[APIKey], error) {
	p.ExpiresAt.Value = timestamp.TruncateOptional(p.ExpiresAt.Value)
	if err := p.validate(); err != nil {
		return Result[APIKey]{}, err
	}
	tenant, err := s.tenantOfAPIKey(ctx, by, id)
	if err != nil {
		return Result[APIKey]{}, err
	}
	return change(ctx, s, by, tenant, func(tx Tx, now time.Time) (*outcome[APIKey], error) {
		t, before, err := lockUnrevokedAPIKey(ctx, tx, by, id)
		if err != nil {
			return nil, err
		}
		if err := by.expectVersion(before.Version, "key"); err != nil {
			return nil, err
		}
		if err := p.validateExpiry(before, now); err != nil {
			return nil, err
		}
		after := p.apply(before)
		if reflect.DeepEqual(before.members(), after.members()) {
			return unchanged(before)
		}
		after.UpdatedAt = later(now, before.UpdatedAt)
		after.Version++
		if err := tx.UpdateAPIKey(ctx, after); err != nil {
			return nil, err
		}
		return changed(after, after.event("api_key.update", audit.Update, t, before))
	})
}
