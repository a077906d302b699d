package registry

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/timestamp"
	"github.com/breakpilot/tenant-registry/internal/violation"
)

// APIKeyInput is what a caller says of a key to be created. TenantID and Name are required; Environment is Live unless
// given.
type APIKeyInput struct {
	TenantID    uuid.UUID
	Name        string
	Environment apikey.Environment
	Product     string
	Scopes      []string
	ExpiresAt   *time.Time
}

func (in APIKeyInput) validate(now time.Time) error {
	var c checks
	c.line("/name", in.Name, MaxName)
	c.environment("/environment", in.Environment)
	if in.Product != "" {
		c.productKey("/product", in.Product)
	}
	c.scopes("/scopes", in.Scopes)
	c.expiry("/expires_at", in.ExpiresAt, now)
	return c.err()
}

func (c *checks) expiry(pointer string, at *time.Time, now time.Time) {
	if at != nil && (!at.After(now) || at.Year() > timestamp.MaxYear) {
		c.add(pointer, violation.FutureTimestamp)
	}
}

// CreateAPIKey makes a key for a tenant and returns its record and its text, which no one can read again: in a replay
// the text is empty.
func (s *Service) CreateAPIKey(ctx context.Context, by Caller, in APIKeyInput) (Result[APIKeySecret], error) {
	if in.Environment == "" {
		in.Environment = apikey.Live
	}
	in.ExpiresAt = timestamp.TruncateOptional(in.ExpiresAt)
	if err := in.validate(s.validationTime(by)); err != nil {
		return Result[APIKeySecret]{}, err
	}
	command, counting := secretCommand(ctx, by, in.TenantID, in), s.newKeyChange()
	got, err := changeIdempotent(ctx, s, by, command, func(tx Tx, now time.Time) (*outcome[APIKeySecret], error) {
		if err := in.validate(now); err != nil {
			return nil, err
		}
		t, err := s.lockForAPIKey(ctx, tx, by, in, now)
		if err != nil {
			return nil, err
		}
		if err := counting.count(t.ID); err != nil {
			return nil, err
		}
		text := apikey.Generate(in.Environment)
		k := APIKey{
			ID: newID(), TenantID: t.ID, Name: in.Name, Environment: in.Environment, Product: in.Product,
			Scopes: append([]string{}, in.Scopes...), Prefix: apikey.Prefix(text), Hash: apikey.Sum(text),
			ExpiresAt: in.ExpiresAt,
			CreatedBy: by.createdBy(), CreatedAt: now, UpdatedAt: now, Version: 1,
		}
		if err := tx.InsertAPIKey(ctx, k); err != nil {
			return nil, err
		}
		return changed(APIKeySecret{k, text}, k.event("api_key.create", audit.Create, t, APIKey{}))
	})
	counting.settle(err)
	return got, err
}

// lockForAPIKey locks the tenant of a key to be created, and checks that it may have another key and knows the key's
// product.
func (s *Service) lockForAPIKey(ctx context.Context, tx Tx, by Caller, in APIKeyInput, now time.Time) (Tenant, error) {
	t, err := lockUnfrozenTenant(ctx, tx, by, in.TenantID)
	if err != nil {
		return Tenant{}, err
	}
	count, err := tx.CountAPIKeys(ctx, t.ID)
	if err != nil {
		return Tenant{}, err
	}
	if count >= s.maxKeys {
		return Tenant{}, conflict(
			CodeTooManyKeys, "The tenant has %d keys that are not revoked, the most it may have.", count,
		)
	}
	if in.Product != "" {
		_, _, err = knownProduct(ctx, tx, t, in.Product, now)
	}
	return t, err
}

// validationTime is the time to validate a command by before it is known whether it is a replay, which is answered at
// any time.
func (s *Service) validationTime(by Caller) time.Time {
	if by.Idempotency != nil {
		return time.Time{}
	}
	return s.clock()
}

// secretCommand is a command whose result is a key with its text. A replay has no text: it is stored nowhere.
func secretCommand(ctx context.Context, by Caller, tenant uuid.UUID, command any) idempotent[APIKeySecret] {
	return idempotent[APIKeySecret]{tenant, command, func(tx Tx, id uuid.UUID) (APIKeySecret, error) {
		k, err := readAPIKey(ctx, tx, by, id)
		return APIKeySecret{APIKey: k}, err
	}}
}
