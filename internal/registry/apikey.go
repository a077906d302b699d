package registry

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"hash/crc32"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Environment is what a key is for.
type Environment string

// The environments of a key; its text says which.
const (
	Live Environment = "live"
	Test Environment = "test"
)

// Hash is the SHA-256 of a key's whole text: all that is ever stored of it.
type Hash [sha256.Size]byte

// APIKey is the record of a key. The key's text is in no field of it.
type APIKey struct {
	ID          uuid.UUID
	TenantID    uuid.UUID
	Name        string
	Environment Environment
	Product     string // the only product it is good for; empty: any
	Scopes      []string
	Prefix      string // the first 12 characters of the text, for people to tell keys apart
	Hash        Hash
	// PreviousHash is of the secret before the last rotation, which is good until PreviousEndsAt; zero if there is none.
	PreviousHash   Hash
	PreviousEndsAt *time.Time
	PreviousUsedAt *time.Time // about when that secret was last good for something
	RotatedAt      *time.Time
	ExpiresAt      *time.Time
	Disabled       bool
	LastUsedAt     *time.Time // about when the key was last good for something, by either secret
	Version        int64      // counts the changes of everything but the times of use
	CreatedBy      string     // the actor's id
	CreatedAt      time.Time
	UpdatedAt      time.Time
	RevokedAt      *time.Time
	RevokedBy      string
	RevokeReason   string
}

// NewAPIKey is what a caller says of a key to be created. TenantID and Name are required; Environment is Live unless given.
type NewAPIKey struct {
	TenantID    uuid.UUID
	Name        string
	Environment Environment
	Product     string
	Scopes      []string
	ExpiresAt   *time.Time
}

func (n NewAPIKey) validate(now time.Time) error {
	var c checks
	c.line("/name", n.Name, MaxName)
	c.environment("/environment", n.Environment)
	if n.Product != "" {
		c.productKey("/product", n.Product)
	}
	c.scopes("/scopes", n.Scopes)
	c.expiry("/expires_at", n.ExpiresAt, now)
	return c.err()
}

// earliest is the time to judge a command by before it is known whether it is a repeat, which is answered whatever time it is.
func (s *Service) earliest(by Caller) time.Time {
	if by.Idempotency != nil {
		return time.Time{}
	}
	return s.clock()
}

func (c *checks) expiry(pointer string, at *time.Time, now time.Time) {
	if at != nil && (!at.After(now) || at.Year() > maxYear) {
		c.add(pointer, "must be in the future, and before the year 10000")
	}
}

// maxYear is the last that RFC 3339 can write.
const maxYear = 9999

// CreateAPIKey makes a key for a tenant and returns its record and its text, which nobody can ever read again: to a repeated request
// the text is empty.
func (s *Service) CreateAPIKey(ctx context.Context, by Caller, n NewAPIKey) (APIKey, string, error) {
	if n.Environment == "" {
		n.Environment = Live
	}
	n.ExpiresAt = microseconds(n.ExpiresAt)
	if err := n.validate(s.earliest(by)); err != nil {
		return APIKey{}, "", err
	}
	text := newKeyText(n.Environment)
	again := func(tx Tx, id uuid.UUID) (APIKey, error) {
		text = "" // nobody has it any more
		return readAPIKey(ctx, tx, by, id)
	}
	k, err := changeOnce(ctx, s, by, once[APIKey]{n, again}, func(tx Tx, now time.Time) (APIKey, AuditEvent, error) {
		if err := n.validate(now); err != nil {
			return APIKey{}, AuditEvent{}, err
		}
		t, err := lockLivingTenant(ctx, tx, by, n.TenantID)
		if err != nil {
			return APIKey{}, AuditEvent{}, err
		}
		count, err := tx.CountAPIKeys(ctx, t.ID)
		if err != nil {
			return APIKey{}, AuditEvent{}, err
		}
		if count >= s.maxKeys {
			return APIKey{}, AuditEvent{}, conflict(CodeTooManyKeys, "The tenant has %d keys that are not revoked, the most it may have.", count)
		}
		if n.Product != "" {
			if _, _, err := knownProduct(ctx, tx, t, n.Product, now); err != nil {
				return APIKey{}, AuditEvent{}, err
			}
		}
		k := APIKey{
			ID: newID(), TenantID: t.ID, Name: n.Name, Environment: n.Environment, Product: n.Product, Scopes: n.Scopes,
			Prefix: text[:12], Hash: sha256.Sum256([]byte(text)), ExpiresAt: n.ExpiresAt, CreatedBy: by.author(), CreatedAt: now, UpdatedAt: now,
			Version: 1,
		}
		if k.Scopes == nil {
			k.Scopes = []string{}
		}
		return k, k.event("api_key.create", Create, t, APIKey{}), tx.InsertAPIKey(ctx, k)
	})
	if err != nil {
		return APIKey{}, "", err
	}
	return k, text, nil
}

// APIKey reads the record of a key.
func (s *Service) APIKey(ctx context.Context, by Caller, id uuid.UUID) (APIKey, error) {
	return readAPIKey(ctx, s.store, by, id)
}

// readAPIKey reads the record of a key by its id.
func readAPIKey(ctx context.Context, from Reader, by Caller, id uuid.UUID) (APIKey, error) {
	k, err := from.APIKey(ctx, id)
	if err == nil && !by.Scope.tenant(k.TenantID) {
		err = ErrNotFound
	}
	if err != nil {
		return APIKey{}, refuse(err, unknownKey)
	}
	return k, nil
}

var unknownKey = map[error]*Error{ErrNotFound: notFound(CodeAPIKeyNotFound, "API key")}

// lockKey locks a key's tenant, which may be frozen, and then the key.
func lockKey(ctx context.Context, tx Tx, by Caller, id uuid.UUID) (Tenant, APIKey, error) {
	found, err := tx.APIKey(ctx, id)
	if err == nil && !by.Scope.tenant(found.TenantID) {
		err = ErrNotFound
	}
	if err != nil {
		return Tenant{}, APIKey{}, refuse(err, unknownKey)
	}
	t, err := tx.LockTenant(ctx, found.TenantID)
	if err != nil { // a tenant that is gone took its keys along
		return Tenant{}, APIKey{}, refuse(err, unknownKey)
	}
	k, err := tx.LockAPIKey(ctx, id)
	return t, k, refuse(err, unknownKey)
}

// lockLivingKey is lockKey for what a revoked key does not take.
func lockLivingKey(ctx context.Context, tx Tx, by Caller, id uuid.UUID) (Tenant, APIKey, error) {
	t, k, err := lockKey(ctx, tx, by, id)
	if err == nil && k.RevokedAt != nil {
		err = conflict(CodeAPIKeyRevoked, "The key is revoked, for good.")
	}
	return t, k, err
}

// RevokeAPIKey ends a key for good. Revoking one that is revoked changes nothing and leaves no second event. Reason is optional.
func (s *Service) RevokeAPIKey(ctx context.Context, by Caller, id uuid.UUID, reason string) (APIKey, error) {
	var c checks
	c.text("", reason, MaxText)
	for i := range c.found {
		c.found[i] = Violation{Parameter: "reason", Message: c.found[i].Message}
	}
	if err := c.err(); err != nil {
		return APIKey{}, err
	}
	return change(ctx, s, by, func(tx Tx, now time.Time) (APIKey, AuditEvent, error) {
		t, before, err := lockKey(ctx, tx, by, id)
		if err != nil {
			return APIKey{}, AuditEvent{}, err
		}
		if before.RevokedAt != nil {
			return before, AuditEvent{}, errUnchanged
		}
		after := before.revoked(by.author(), reason, now)
		return after, after.event("api_key.revoke", Delete, t, before), tx.UpdateAPIKey(ctx, after)
	})
}

func (k APIKey) revoked(by, reason string, now time.Time) APIKey {
	k.RevokedAt, k.RevokedBy, k.RevokeReason, k.UpdatedAt = &now, by, reason, now
	k.Version++
	return k
}

func (k APIKey) event(action string, crud CRUD, t Tenant, before APIKey) AuditEvent {
	return AuditEvent{
		GroupID: t.ID, GroupName: t.Name, Action: action, CRUD: crud, Target: Party{ID: k.ID.String(), Name: k.Prefix, Type: "api_key"},
		Fields: diff(before.members(), k.members()),
	}
}

func (k APIKey) members() map[string]any {
	return map[string]any{
		"name": k.Name, "environment": k.Environment, "product": k.Product, "scopes": k.Scopes, "expires_at": k.ExpiresAt,
		"disabled": k.Disabled, "revoked_at": k.RevokedAt, "revoke_reason": k.RevokeReason,
	}
}

// A key's text: "bp_", the environment, "_", 43 random characters of base62 (256 bits), and 6 more that are the CRC-32 (IEEE) of
// everything before them. A scanner finds such texts, and a typing error or an invention costs no look-up.
const (
	base62       = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	secretLength = 43
	sumLength    = 6
	prefixLength = len("bp_live_")
	keyLength    = prefixLength + secretLength + sumLength
)

func newKeyText(env Environment) string {
	var b strings.Builder
	b.WriteString("bp_" + string(env) + "_")
	random := make([]byte, 64)
	for b.Len() < prefixLength+secretLength {
		_, _ = rand.Read(random) // never fails: it would end the program
		for _, r := range random {
			// 248 = 4 × 62: what is above would make the first characters of the alphabet likelier.
			if r < 248 && b.Len() < prefixLength+secretLength {
				b.WriteByte(base62[r%62])
			}
		}
	}
	return b.String() + keySum(b.String())
}

// keySum is the checksum of what comes before it, in base62, padded on the left.
func keySum(s string) string {
	sum := sumOf([]byte(s))
	return string(sum[:])
}

func sumOf(text []byte) [sumLength]byte {
	n := crc32.ChecksumIEEE(text)
	var sum [sumLength]byte
	for i := sumLength - 1; i >= 0; i-- {
		sum[i] = base62[n%62]
		n /= 62
	}
	return sum
}

// ParseKey returns the hash to look a key's text up by. It is false for a text that no key can have, whoever wrote it.
func ParseKey(text string) (Hash, bool) {
	if len(text) != keyLength {
		return Hash{}, false
	}
	if prefix := text[:prefixLength]; prefix != "bp_live_" && prefix != "bp_test_" {
		return Hash{}, false
	}
	if strings.Trim(text[prefixLength:], base62) != "" {
		return Hash{}, false
	}
	key := []byte(text) // once for both sums
	if sumOf(key[:keyLength-sumLength]) != [sumLength]byte(key[keyLength-sumLength:]) {
		return Hash{}, false
	}
	return sha256.Sum256(key), true
}
