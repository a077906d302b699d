package server

import (
	"net/http"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
	"github.com/breakpilot/tenant-registry/internal/timestamp"
)

// keyBody is the record of a key.
type keyBody struct {
	ID           uuid.UUID          `json:"id"`
	TenantID     uuid.UUID          `json:"tenant_id"`
	Name         string             `json:"name"`
	Environment  apikey.Environment `json:"environment"`
	Product      *string            `json:"product"`
	Scopes       []string           `json:"scopes"`
	Prefix       string             `json:"prefix"`
	Previous     *previousBody      `json:"previous"`
	ExpiresAt    *string            `json:"expires_at"`
	Disabled     bool               `json:"disabled"`
	LastUsedAt   *string            `json:"last_used_at"`
	RotatedAt    *string            `json:"rotated_at"`
	Version      int64              `json:"version"`
	CreatedBy    string             `json:"created_by"`
	CreatedAt    string             `json:"created_at"`
	UpdatedAt    string             `json:"updated_at"`
	RevokedAt    *string            `json:"revoked_at"`
	RevokedBy    *string            `json:"revoked_by"`
	RevokeReason *string            `json:"revoke_reason"`
}

// previousBody is what is known of the secret before the last rotation.
type previousBody struct {
	EndsAt     string  `json:"ends_at"`
	LastUsedAt *string `json:"last_used_at"`
}

func keyOf(k registry.APIKey) keyBody {
	b := keyBody{
		ID: k.ID, TenantID: k.TenantID, Name: k.Name, Environment: k.Environment, Product: optional(k.Product),
		Scopes: k.Scopes,
		Prefix: k.Prefix, ExpiresAt: optionalTime(k.ExpiresAt), Disabled: k.Disabled, CreatedBy: k.CreatedBy,
		CreatedAt: timestamp.Format(k.CreatedAt), UpdatedAt: timestamp.Format(k.UpdatedAt),
		RevokedAt: optionalTime(k.RevokedAt), RevokedBy: optional(k.RevokedBy), RevokeReason: optional(k.RevokeReason),
		LastUsedAt: optionalTime(k.LastUsedAt), RotatedAt: optionalTime(k.RotatedAt), Version: k.Version,
	}
	if k.PreviousEndsAt != nil {
		b.Previous = &previousBody{
			EndsAt: timestamp.Format(*k.PreviousEndsAt), LastUsedAt: optionalTime(k.PreviousUsedAt),
		}
	}
	return b
}

func (s *Server) apiKey(c *call) (web.Response, error) {
	id, err := c.PathID()
	if err != nil {
		return web.Response{}, err
	}
	k, err := s.registry.APIKey(c.Ctx, c.by, id)
	return keyAnswer(k), err
}

func keyAnswer(k registry.APIKey) web.Response {
	tagged := k
	tagged.LastUsedAt, tagged.PreviousUsedAt = nil, nil // they change in the background
	return web.Response{
		Status: http.StatusOK, Entity: &web.Entity{ID: k.ID, Version: k.Version}, Body: keyOf(k), Tagged: keyOf(tagged),
	}
}
