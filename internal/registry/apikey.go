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
	ID           uuid.UUID
	TenantID     uuid.UUID
	Name         string
	Environment  Environment
	Product      string // the only product it is good for; empty: any
	Scopes       []string
	Prefix       string // the first 12 characters of the text, for people to tell keys apart
	Hash         Hash
	ExpiresAt    *time.Time
	Disabled     bool
	CreatedBy    string // the actor's id
	CreatedAt    time.Time
	UpdatedAt    time.Time
	RevokedAt    *time.Time
	RevokedBy    string
	RevokeReason string
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
	if n.ExpiresAt != nil && (!n.ExpiresAt.After(now) || n.ExpiresAt.Year() > maxYear) {
		c.add("/expires_at", "must be in the future, and before the year 10000")
	}
	return c.err()
}

// maxYear is the last that RFC 3339 can write.
const maxYear = 9999

// CreateAPIKey makes a key for a tenant and returns its record and its text, which nobody can ever read again.
func (s *Service) CreateAPIKey(ctx context.Context, by Caller, n NewAPIKey) (APIKey, string, error) {
	if n.Environment == "" {
		n.Environment = Live
	}
	n.ExpiresAt = microseconds(n.ExpiresAt)
	if err := n.validate(s.clock()); err != nil {
		return APIKey{}, "", err
	}
	text := newKeyText(n.Environment)
	k, err := change(ctx, s, by, func(tx Tx, now time.Time) (APIKey, AuditEvent, error) {
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
	unknown := map[error]*Error{ErrNotFound: notFound(CodeAPIKeyNotFound, "API key")}
	return change(ctx, s, by, func(tx Tx, now time.Time) (APIKey, AuditEvent, error) {
		found, err := tx.APIKey(ctx, id)
		if err != nil {
			return APIKey{}, AuditEvent{}, refuse(err, unknown)
		}
		if !by.Scope.tenant(found.TenantID) {
			return APIKey{}, AuditEvent{}, notFound(CodeAPIKeyNotFound, "API key")
		}
		t, err := tx.LockTenant(ctx, found.TenantID)
		if err != nil { // a tenant that is gone took its keys along
			return APIKey{}, AuditEvent{}, refuse(err, unknown)
		}
		before, err := tx.LockAPIKey(ctx, id)
		if err != nil {
			return APIKey{}, AuditEvent{}, refuse(err, unknown)
		}
		if before.RevokedAt != nil {
			return before, AuditEvent{}, errUnchanged
		}
		after := before
		after.RevokedAt, after.RevokedBy, after.RevokeReason, after.UpdatedAt = &now, by.author(), reason, now
		return after, after.event("api_key.revoke", Delete, t, before), tx.UpdateAPIKey(ctx, after)
	})
}

// APIKeys returns up to limit keys of a tenant, newest first, that are older than before (the nil UUID: from the newest), and
// whether there are more.
func (s *Service) APIKeys(ctx context.Context, by Caller, tenant, before uuid.UUID, limit int) ([]APIKey, bool, error) {
	if _, err := s.Tenant(ctx, by, tenant); err != nil {
		return nil, false, inParameter(err, "tenant_id")
	}
	keys, err := s.store.APIKeys(ctx, tenant, before, limit+1)
	if err != nil {
		return nil, false, err
	}
	if len(keys) > limit {
		return keys[:limit], true, nil
	}
	return keys, false, nil
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
