package registry

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/timestamp"
	"github.com/breakpilot/tenant-registry/internal/violation"
)

// APIKeyState is where a key stands at one instant; it is computed, never stored.
type APIKeyState string

// The states of a key. One that is in several is in the first of revoked, disabled, expired and active.
const (
	APIKeyActive   APIKeyState = "active"
	APIKeyDisabled APIKeyState = "disabled"
	APIKeyExpired  APIKeyState = "expired"
	APIKeyRevoked  APIKeyState = "revoked"
)

// StateAt is where the key stands at this instant.
func (k APIKey) StateAt(now time.Time) APIKeyState {
	switch {
	case k.RevokedAt != nil:
		return APIKeyRevoked
	case k.Disabled:
		return APIKeyDisabled
	case k.ExpiresAt != nil && !now.Before(*k.ExpiresAt):
		return APIKeyExpired
	}
	return APIKeyActive
}

// APIKeyQuery asks for a page of a tenant's keys. TenantID and Limit are required; a filter that is unset lets
// everything through, and those that are set must all match.
type APIKeyQuery struct {
	PageRequest
	TenantID      uuid.UUID
	Product       string // keys that are bound to it
	Environment   apikey.Environment
	State         APIKeyState
	UnusedSince   *time.Time // keys that are older than this and were not used since
	ExpiresBefore *time.Time // keys that end before this, or have ended

	// Set by the use case, for the store.
	Position    uuid.UUID // of Cursor: the page begins after this key; the nil UUID: with the newest
	Now         time.Time // for State
	MaxExamined int       // keys examined for one page at most; 0: all
}

// maxExaminedAPIKeys bounds the keys examined for one page, so that a tenant with very many revoked keys costs no more
// than one with as many keys as it may have.
const maxExaminedAPIKeys = DefaultMaxKeys

// filtered reports whether there may be keys that do not match.
func (q APIKeyQuery) filtered() bool {
	return q.Product != "" || q.Environment != "" || q.State != "" || q.UnusedSince != nil || q.ExpiresBefore != nil
}

// Matches reports whether a key passes every filter.
func (q APIKeyQuery) Matches(k APIKey) bool {
	switch {
	case q.Product != "" && q.Product != k.Product,
		q.Environment != "" && q.Environment != k.Environment,
		q.State != "" && q.State != k.StateAt(q.Now),
		q.ExpiresBefore != nil && (k.ExpiresAt == nil || !k.ExpiresAt.Before(*q.ExpiresBefore)):
		return false
	}
	return q.UnusedSince == nil ||
		(k.CreatedAt.Before(*q.UnusedSince) && (k.LastUsedAt == nil || k.LastUsedAt.Before(*q.UnusedSince)))
}

func (q APIKeyQuery) validate() error {
	var c checks
	if q.Product != "" && !validProductKey(q.Product) {
		c.productKey("product", q.Product)
	}
	if q.Environment != "" {
		c.environment("environment", q.Environment)
	}
	switch q.State {
	case "", APIKeyActive, APIKeyDisabled, APIKeyExpired, APIKeyRevoked:
	default:
		c.add("state", violation.OneOf("active", "disabled", "expired", "revoked"))
	}
	return c.parameterErr()
}

// APIKeys returns a page of a tenant's keys, newest first. A filtered page may be short, or empty, and still have a
// Next: 10,000 keys are examined at most.
func (s *Service) APIKeys(ctx context.Context, by Caller, q APIKeyQuery) (Page[APIKey], error) {
	err := q.validate()
	if err == nil {
		q.Position, err = q.cursorID()
	}
	if err != nil {
		return Page[APIKey]{}, err
	}
	if _, err := s.Tenant(ctx, by, q.TenantID); err != nil {
		return Page[APIKey]{}, inParameter(err, "tenant_id")
	}
	q.Now = s.clock()
	if q.filtered() {
		q.MaxExamined = maxExaminedAPIKeys
		done, err := s.takeListRead(by, q.TenantID)
		if err != nil {
			return Page[APIKey]{}, err
		}
		defer done()
	}
	q.UnusedSince, q.ExpiresBefore =
		timestamp.TruncateOptional(q.UnusedSince), timestamp.TruncateOptional(q.ExpiresBefore)
	return s.store.ListAPIKeys(ctx, q)
}
