package registry

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// KeyState is where a key stands at one instant; it is computed, never stored.
type KeyState string

// The states of a key. One that is in several is in the first of revoked, disabled, expired and active.
const (
	KeyStateActive   KeyState = "active"
	KeyStateDisabled KeyState = "disabled"
	KeyStateExpired  KeyState = "expired"
	KeyStateRevoked  KeyState = "revoked"
)

// StateAt is where the key stands at this instant.
func (k APIKey) StateAt(now time.Time) KeyState {
	switch {
	case k.RevokedAt != nil:
		return KeyStateRevoked
	case k.Disabled:
		return KeyStateDisabled
	case k.ExpiresAt != nil && !now.Before(*k.ExpiresAt):
		return KeyStateExpired
	}
	return KeyStateActive
}

// KeyQuery asks for a page of a tenant's keys. TenantID and Limit are required; a filter that is unset lets everything through, and
// those that are set must all match.
type KeyQuery struct {
	TenantID      uuid.UUID
	Before        uuid.UUID // the next page begins behind this one; the nil UUID: from the newest
	Limit         int
	Product       string // keys that are bound to it
	Environment   Environment
	State         KeyState
	UnusedSince   *time.Time // keys that are older than this and were not used since
	ExpiresBefore *time.Time // keys that end before this, or have ended

	Now     time.Time // of State; a use case sets it
	Examine int       // how many keys are looked at for one page, 0 for all; a use case sets it
}

// maxExamined is how many keys are looked at for one page, so that a tenant with very many revoked ones costs no more than one with
// as many as it may have.
const maxExamined = DefaultMaxKeys

// filtered tells whether there may be keys that do not match.
func (q KeyQuery) filtered() bool {
	return q.Product != "" || q.Environment != "" || q.State != "" || q.UnusedSince != nil || q.ExpiresBefore != nil
}

// Matches tells whether a key is among those asked for.
func (q KeyQuery) Matches(k APIKey) bool {
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

func (q KeyQuery) validate() error {
	var c checks
	if q.Product != "" && !validProductKey(q.Product) {
		c.productKey("product", q.Product)
	}
	if q.Environment != "" {
		c.environment("environment", q.Environment)
	}
	switch q.State {
	case "", KeyStateActive, KeyStateDisabled, KeyStateExpired, KeyStateRevoked:
	default:
		c.add("state", "must be one of active, disabled, expired, revoked")
	}
	for i, v := range c.found {
		c.found[i] = Violation{Parameter: v.Pointer, Message: v.Message}
	}
	return c.err()
}

// KeyPage is a page of keys, newest first.
type KeyPage struct {
	Keys []APIKey
	Next uuid.UUID // the Before of the next page; the nil UUID: this is the last
}

// APIKeys returns a page of a tenant's keys. One that is filtered may be short, or empty, and still have a Next: it examines 10,000
// keys and no more.
func (s *Service) APIKeys(ctx context.Context, by Caller, q KeyQuery) (KeyPage, error) {
	if err := q.validate(); err != nil {
		return KeyPage{}, err
	}
	if _, err := s.Tenant(ctx, by, q.TenantID); err != nil {
		return KeyPage{}, inParameter(err, "tenant_id")
	}
	q.Now = s.clock()
	if q.filtered() {
		q.Examine = maxExamined
	}
	q.UnusedSince, q.ExpiresBefore = microseconds(q.UnusedSince), microseconds(q.ExpiresBefore)
	return s.store.APIKeys(ctx, q)
}
