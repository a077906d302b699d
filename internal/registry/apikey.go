package registry

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/audit"
)

// APIKey is the record of a key. The key's text is in no field of it.
type APIKey struct {
	ID          uuid.UUID
	TenantID    uuid.UUID
	Name        string
	Environment apikey.Environment
	Product     string // the only product it is good for; empty: any
	Scopes      []string
	Prefix      string // the first 12 characters of the text, by which people distinguish keys
	Hash        apikey.Hash
	// PreviousHash is of the secret before the last rotation, which is good until PreviousEndsAt; zero if there is
	// none.
	PreviousHash   apikey.Hash
	PreviousEndsAt *time.Time
	PreviousEnded  bool       // it was ended at once, whatever the clock says
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

// APIKeySecret is a key and its text, which is returned once and stored nowhere.
type APIKeySecret struct {
	APIKey
	Text string // empty in a replay
}

// APIKeyReader reads API keys.
type APIKeyReader interface {
	// GetAPIKey returns ErrNotFound if there is no key with this id.
	GetAPIKey(ctx context.Context, id uuid.UUID) (APIKey, error)
	// ListAPIKeys examines the keys of q.TenantID that are older than q.Position (the nil UUID: from the newest),
	// q.MaxExamined of them at most (0: all), and returns up to q.Limit that q.Matches, newest first. Next is the id of
	// the last one returned if more of those examined match, else of the last one examined if there are older ones,
	// else empty.
	ListAPIKeys(ctx context.Context, q APIKeyQuery) (Page[APIKey], error)
	// CountAPIKeys counts a tenant's keys that are not revoked.
	CountAPIKeys(ctx context.Context, tenant uuid.UUID) (int, error)
	// GetKeyFacts returns, as of one instant, for each look-up whose hash is that of a key's secret: the key, its
	// tenant, and the tenant's entitlements to the product. It costs little more than one look-up.
	GetKeyFacts(ctx context.Context, lookups []KeyLookup) (map[KeyLookup]KeyFacts, error)
}

// APIKeyWriter writes API keys.
type APIKeyWriter interface {
	// LockAPIKey reads a key and keeps others from changing it until this transaction ends. ErrNotFound if there is
	// none.
	LockAPIKey(ctx context.Context, id uuid.UUID) (APIKey, error)
	// InsertAPIKey returns ErrDuplicate if the id or one of the hashes exists, ErrNoParent if the tenant or the product
	// does not.
	InsertAPIKey(ctx context.Context, k APIKey) error
	// UpdateAPIKey replaces what can change (name, scopes, prefix, both hashes and what belongs to them, expiry,
	// disabled, revocation, version, rotated_at, updated_at) of the key with this id, and returns ErrNotFound if there
	// is none, ErrDuplicate if another key has one of the hashes. LastUsedAt stays. A hash that the key no longer has
	// finds nothing from the commit on.
	UpdateAPIKey(ctx context.Context, k APIKey) error
	// UpdateAPIKeyUsage records when keys were used: LastUsedAt, and PreviousUsedAt for a use of the previous secret.
	// The latest of what is stored and what is given counts; a time that is later by less than UsageResolution may be
	// ignored. A key that does not exist is skipped, and so is one that another transaction has locked, where keys are
	// locked one by one: this waits for no lock.
	UpdateAPIKeyUsage(ctx context.Context, uses []APIKeyUse) error
}

// APIKey reads the record of a key.
func (s *Service) APIKey(ctx context.Context, by Caller, id uuid.UUID) (APIKey, error) {
	return readAPIKey(ctx, s.store, by, id)
}

// readAPIKey reads the record of a key by its id.
func readAPIKey(ctx context.Context, from Reader, by Caller, id uuid.UUID) (APIKey, error) {
	k, err := from.GetAPIKey(ctx, id)
	if err == nil && !by.Access.tenant(k.TenantID) {
		err = ErrNotFound
	}
	if err != nil {
		return APIKey{}, refuse(err, unknownKey)
	}
	return k, nil
}

// tenantOfAPIKey is whose turn a change of a key waits for. A key that the caller does not reach has none: the change
// itself says so.
func (s *Service) tenantOfAPIKey(ctx context.Context, by Caller, id uuid.UUID) (uuid.UUID, error) {
	if !by.Access.Tenants {
		return by.Access.Tenant, nil
	}
	k, err := s.store.GetAPIKey(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return uuid.Nil, nil
	}
	return k.TenantID, err
}

var unknownKey = map[error]*Error{ErrNotFound: notFound(CodeAPIKeyNotFound, "API key")}

// lockAPIKey locks a key's tenant, which may be frozen, and then the key.
func lockAPIKey(ctx context.Context, tx Tx, by Caller, id uuid.UUID) (Tenant, APIKey, error) {
	found, err := tx.GetAPIKey(ctx, id)
	if err == nil && !by.Access.tenant(found.TenantID) {
		err = ErrNotFound
	}
	if err != nil {
		return Tenant{}, APIKey{}, refuse(err, unknownKey)
	}
	t, err := tx.LockTenant(ctx, found.TenantID)
	if err != nil { // the keys of a deleted tenant are deleted, too
		return Tenant{}, APIKey{}, refuse(err, unknownKey)
	}
	k, err := tx.LockAPIKey(ctx, id)
	return t, k, refuse(err, unknownKey)
}

// lockUnrevokedAPIKey is lockAPIKey for a change that a revoked key refuses.
func lockUnrevokedAPIKey(ctx context.Context, tx Tx, by Caller, id uuid.UUID) (Tenant, APIKey, error) {
	t, k, err := lockAPIKey(ctx, tx, by, id)
	if err == nil && k.RevokedAt != nil {
		err = conflict(CodeAPIKeyRevoked, "The key is revoked, permanently.")
	}
	return t, k, err
}

func (k APIKey) event(action string, crud audit.CRUD, t Tenant, before APIKey) audit.Event {
	return audit.Event{
		GroupID: t.ID, GroupName: t.Name, Action: action, CRUD: crud,
		Target: audit.Party{ID: k.ID.String(), Name: k.Prefix, Type: "api_key"},
		Fields: diff(before.members(), k.members()),
	}
}

func (k APIKey) members() map[string]any {
	return map[string]any{
		"name": k.Name, "environment": k.Environment, "product": k.Product, "scopes": k.Scopes,
		"expires_at": k.ExpiresAt,
		"disabled":   k.Disabled, "revoked_at": k.RevokedAt, "revoke_reason": k.RevokeReason,
	}
}
