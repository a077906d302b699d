package server

import (
	"net/http"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
	"github.com/breakpilot/tenant-registry/internal/violation"
)

// keyRequest is the body of POST /v1/api-keys.
type keyRequest struct {
	TenantID    web.UUID   `json:"tenant_id"`
	Name        string     `json:"name"`
	Environment string     `json:"environment"`
	Product     string     `json:"product"`
	Scopes      []web.Text `json:"scopes"`
	ExpiresAt   web.Time   `json:"expires_at"`
}

// secretBody is the answer to a creation or a rotation, the only ones that hold a key's text.
type secretBody struct {
	keyBody
	Key    string  `json:"key"`
	Notice *string `json:"notice"` // always null
}

// replayedSecretBody is that answer when it is replayed.
type replayedSecretBody struct {
	keyBody
	Key    *string `json:"key"` // always null
	Notice string  `json:"notice"`
}

// secretOf shows a key with its text.
func secretOf(k registry.APIKeySecret) any {
	if k.Text == "" {
		return replayedSecretBody{
			keyBody: keyOf(k.APIKey),
			Notice: "The key was in the first answer to this Idempotency-Key and is stored nowhere; if that was " +
				"lost, rotate the key.",
		}
	}
	return secretBody{keyBody: keyOf(k.APIKey), Key: k.Text}
}

func (s *Server) createAPIKey(c *call) (web.Response, error) {
	var in keyRequest
	if err := c.Decode(&in); err != nil {
		return web.Response{}, err
	}
	if !in.TenantID.Present {
		return web.Response{}, web.Invalid(violation.Violation{Pointer: "/tenant_id", Message: violation.Required})
	}
	got, err := s.registry.CreateAPIKey(c.Ctx, c.by, registry.APIKeyInput{
		TenantID: in.TenantID.UUID, Name: in.Name, Environment: apikey.Environment(in.Environment), Product: in.Product,
		Scopes: web.Strings(in.Scopes), ExpiresAt: in.ExpiresAt.Time,
	})
	a := keyAnswer(got.Value.APIKey)
	a.Status, a.Location = http.StatusCreated, "/v1/api-keys/"+got.Value.ID.String()
	a.Body, a.Replayed = secretOf(got.Value), got.Replayed
	return a, err
}
