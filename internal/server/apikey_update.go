package server

import (
	"time"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
)

// keyPatch is the body of PATCH /v1/api-keys/{id}.
type keyPatch struct {
	Name      web.Member[string]      `json:"name"`
	Scopes    web.Member[[]web.Text]  `json:"scopes"`
	ExpiresAt web.Removable[web.Time] `json:"expires_at"`
	Disabled  web.Member[bool]        `json:"disabled"`
}

func (s *Server) updateAPIKey(c *call) (web.Response, error) {
	id, err := c.PathID()
	if err != nil {
		return web.Response{}, err
	}
	var in keyPatch
	if err := c.Decode(&in); err != nil {
		return web.Response{}, err
	}
	got, err := s.registry.UpdateAPIKey(c.Ctx, c.by, id, registry.APIKeyPatch{
		Name: registry.Optional[string](in.Name), Disabled: registry.Optional[bool](in.Disabled),
		Scopes: registry.Optional[[]string]{Present: in.Scopes.Present, Value: web.Strings(in.Scopes.Value)},
		ExpiresAt: registry.Optional[*time.Time]{
			Present: in.ExpiresAt.Present, Null: in.ExpiresAt.Null, Value: in.ExpiresAt.Value.Time,
		},
	})
	return keyAnswer(got.Value), err
}
