package server

import (
	"errors"
	"net/http"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// keyRequest is the body of POST /v1/api-keys.
type keyRequest struct {
	TenantID    wireID     `json:"tenant_id"`
	Name        string     `json:"name"`
	Environment string     `json:"environment"`
	Product     string     `json:"product"`
	Scopes      []wireText `json:"scopes"`
	ExpiresAt   wireTime   `json:"expires_at"`
}

// keyBody is the record of a key.
type keyBody struct {
	ID           uuid.UUID            `json:"id"`
	TenantID     uuid.UUID            `json:"tenant_id"`
	Name         string               `json:"name"`
	Environment  registry.Environment `json:"environment"`
	Product      *string              `json:"product"`
	Scopes       []string             `json:"scopes"`
	Prefix       string               `json:"prefix"`
	Previous     *previousBody        `json:"previous"`
	ExpiresAt    *string              `json:"expires_at"`
	Disabled     bool                 `json:"disabled"`
	LastUsedAt   *string              `json:"last_used_at"`
	RotatedAt    *string              `json:"rotated_at"`
	Version      int64                `json:"version"`
	CreatedBy    string               `json:"created_by"`
	CreatedAt    string               `json:"created_at"`
	UpdatedAt    string               `json:"updated_at"`
	RevokedAt    *string              `json:"revoked_at"`
	RevokedBy    *string              `json:"revoked_by"`
	RevokeReason *string              `json:"revoke_reason"`
}

// previousBody is what is known of the secret before the last rotation.
type previousBody struct {
	EndsAt     string  `json:"ends_at"`
	LastUsedAt *string `json:"last_used_at"`
}

// createdKeyBody is the answer to a creation or a rotation, the only ones that hold a key's text.
type createdKeyBody struct {
	keyBody
	Key    string  `json:"key"`
	Notice *string `json:"notice"` // always null
}

// repeatedKeyBody is that answer when it is given again.
type repeatedKeyBody struct {
	keyBody
	Key    *string `json:"key"` // always null
	Notice string  `json:"notice"`
}

// createdKeyOf shows a key with its text, which is empty if it was shown before.
func createdKeyOf(k registry.APIKey, text string) any {
	if text == "" {
		return repeatedKeyBody{
			keyBody: keyOf(k),
			Notice:  "The key was in the first answer to this Idempotency-Key and is stored nowhere; if that was lost, rotate the key.",
		}
	}
	return createdKeyBody{keyBody: keyOf(k), Key: text}
}

func (s *Server) createAPIKey(c *call) (answer, error) {
	var in keyRequest
	if err := c.decode(&in); err != nil {
		return answer{}, err
	}
	if !in.TenantID.given {
		return answer{}, invalid(registry.Violation{Pointer: "/tenant_id", Message: "is required"})
	}
	k, text, err := s.registry.CreateAPIKey(c.ctx, c.by, registry.NewAPIKey{
		TenantID: in.TenantID.UUID, Name: in.Name, Environment: registry.Environment(in.Environment), Product: in.Product,
		Scopes: textList(in.Scopes), ExpiresAt: in.ExpiresAt.Time,
	})
	return answer{status: http.StatusCreated, body: createdKeyOf(k, text)}, err
}

func (s *Server) apiKeys(c *call) (answer, error) {
	tenant, limit := c.query.requiredID("tenant_id"), c.query.limit()
	list := "api-keys:" + tenant.String()
	before := uuid.Nil
	if position := c.query.cursor(list); position != "" {
		var ok bool
		if before, ok = parseID(position); !ok {
			c.query.badCursor()
		}
	}
	q := registry.KeyQuery{
		Product:     c.query.text("product", registry.MaxID),
		Environment: registry.Environment(c.query.oneOf("environment", "", string(registry.Live), string(registry.Test))),
		State: registry.KeyState(c.query.oneOf("state", "", string(registry.KeyStateActive), string(registry.KeyStateDisabled),
			string(registry.KeyStateExpired), string(registry.KeyStateRevoked))),
		UnusedSince: c.query.optionalTime("unused_since"), ExpiresBefore: c.query.optionalTime("expires_before"),
	}
	if err := c.query.err(); err != nil {
		return answer{}, err
	}
	q.TenantID, q.Before, q.Limit = tenant, before, limit
	got, err := s.registry.APIKeys(c.ctx, c.by, q)
	if err != nil {
		return answer{}, err
	}
	p := page[keyBody]{Items: make([]keyBody, len(got.Keys))}
	for i, k := range got.Keys {
		p.Items[i] = keyOf(k)
	}
	if got.Next != uuid.Nil {
		p.NextCursor = optional(sealCursor(list, got.Next.String()))
	}
	return answer{status: http.StatusOK, body: p}, nil
}

func keyOf(k registry.APIKey) keyBody {
	b := keyBody{
		ID: k.ID, TenantID: k.TenantID, Name: k.Name, Environment: k.Environment, Product: optional(k.Product), Scopes: k.Scopes,
		Prefix: k.Prefix, ExpiresAt: optionalTime(k.ExpiresAt), Disabled: k.Disabled, CreatedBy: k.CreatedBy,
		CreatedAt: registry.FormatTime(k.CreatedAt), UpdatedAt: registry.FormatTime(k.UpdatedAt),
		RevokedAt: optionalTime(k.RevokedAt), RevokedBy: optional(k.RevokedBy), RevokeReason: optional(k.RevokeReason),
		LastUsedAt: optionalTime(k.LastUsedAt), RotatedAt: optionalTime(k.RotatedAt), Version: k.Version,
	}
	if k.PreviousEndsAt != nil {
		b.Previous = &previousBody{EndsAt: registry.FormatTime(*k.PreviousEndsAt), LastUsedAt: optionalTime(k.PreviousUsedAt)}
	}
	return b
}

func (s *Server) revokeAPIKey(c *call) (answer, error) {
	id, err := c.pathID()
	if err == nil {
		err = c.noBody()
	}
	reason := c.query.text("reason", registry.MaxText)
	if err == nil {
		err = c.query.err()
	}
	if err != nil {
		return answer{}, err
	}
	_, err = s.registry.RevokeAPIKey(c.ctx, c.by, id, reason)
	return answer{status: http.StatusNoContent}, err
}

// verifyRequest is the body of POST /v1/internal/api-keys/verify.
type verifyRequest struct {
	Key         *string    `json:"key"`
	Product     string     `json:"product"`
	Scopes      []wireText `json:"scopes"`
	Environment string     `json:"environment"`
}

// verdictBody is the verdict; everything but valid, code and max_age_seconds is null for a key that nobody has.
type verdictBody struct {
	Valid         bool                  `json:"valid"`
	Code          registry.VerifyCode   `json:"code"`
	KeyID         *uuid.UUID            `json:"key_id"`
	Tenant        *verdictTenant        `json:"tenant"`
	Environment   *registry.Environment `json:"environment"`
	Scopes        *[]string             `json:"scopes"`
	Entitlement   *entitlementBody      `json:"entitlement"`
	Secret        *string               `json:"secret"`
	ValidUntil    *string               `json:"valid_until"`
	MaxAgeSeconds int                   `json:"max_age_seconds"`
}

type verdictTenant struct {
	ID     uuid.UUID             `json:"id"`
	Slug   string                `json:"slug"`
	Status registry.TenantStatus `json:"status"`
}

func (s *Server) verify(c *call) (answer, error) {
	var in verifyRequest
	if err := c.decode(&in); err != nil {
		return answer{}, err
	}
	if in.Key == nil {
		return answer{}, invalid(registry.Violation{Pointer: "/key", Message: "is required"})
	}
	v, err := s.registry.Verify(c.ctx, c.by, registry.VerifyQuery{
		Key: *in.Key, Product: in.Product, Scopes: textList(in.Scopes), Environment: registry.Environment(in.Environment),
	})
	if err != nil {
		s.reportDenied(c, err)
	}
	return answer{status: http.StatusOK, body: (*shownVerdict)(&v)}, err
}

// reportDenied reports a product that asked for another one.
func (s *Server) reportDenied(c *call, err error) {
	var refusal *registry.Error
	if errors.As(err, &refusal) && refusal.Kind == registry.Forbidden {
		s.guard.Denied(c.by, exchangeOf(c.r).route, "it is bound to another product")
	}
}

func verdictOf(v registry.Verdict) verdictBody {
	b := verdictBody{Valid: v.Valid(), Code: v.Code, MaxAgeSeconds: v.MaxAgeSeconds}
	if v.KeyID == uuid.Nil {
		return b
	}
	b.KeyID, b.Environment, b.Scopes, b.Secret = &v.KeyID, &v.Environment, &v.Scopes, optional(string(v.Secret))
	b.Tenant = &verdictTenant{ID: v.TenantID, Slug: v.TenantSlug, Status: v.TenantStatus}
	b.ValidUntil = optionalTime(v.ValidUntil)
	if v.Entitlement != nil {
		e := entitlementOf(*v.Entitlement)
		b.Entitlement = &e
	}
	return b
}
