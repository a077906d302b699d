package server

import (
	"net/http"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
	"github.com/breakpilot/tenant-registry/internal/timestamp"
)

// productBody is a product, and for_tenant what the tenant that was asked about can do with it.
type productBody struct {
	Key            string            `json:"key"`
	Name           string            `json:"name"`
	Description    string            `json:"description"`
	Audience       registry.Audience `json:"audience"`
	Requestable    bool              `json:"requestable"`
	TrialDays      *int              `json:"trial_days"`
	DefaultLimits  registry.Limits   `json:"default_limits"`
	DefaultConfig  registry.Config   `json:"default_config"`
	AvailableFrom  *string           `json:"available_from"`
	AvailableUntil *string           `json:"available_until"`
	CreatedAt      string            `json:"created_at"`
	UpdatedAt      string            `json:"updated_at"`
	ForTenant      *offerBody        `json:"for_tenant"`
}

type offerBody struct {
	State      registry.ProductState `json:"state"`
	CanTrial   bool                  `json:"can_trial"`
	CanRequest bool                  `json:"can_request"`
}

func (s *Server) catalog(c *call) (web.Response, error) {
	tenant, limit := c.Query.UUID("tenant_id"), c.Query.Limit()
	list := "catalog:" + scopeName(tenant)
	r := registry.PageRequest{Cursor: c.Query.Cursor(list), Limit: limit}
	if err := c.Query.Err(); err != nil {
		return web.Response{}, err
	}
	page, err := s.registry.Catalog(c.Ctx, c.by, tenant, r)
	if err != nil {
		return web.Response{}, err
	}
	return web.Response{Status: http.StatusOK, CacheControl: web.Cacheable, Body: pageOf(page, list, productOf)}, nil
}

func productOf(item registry.CatalogItem) productBody {
	p := item.Product
	b := productBody{
		Key: p.Key, Name: p.Name, Description: p.Description, Audience: p.Audience, Requestable: p.Requestable,
		DefaultLimits: p.DefaultLimits, DefaultConfig: p.DefaultConfig,
		AvailableFrom: optionalTime(p.AvailableFrom), AvailableUntil: optionalTime(p.AvailableUntil),
		CreatedAt: timestamp.Format(p.CreatedAt), UpdatedAt: timestamp.Format(p.UpdatedAt),
	}
	if p.TrialDays > 0 {
		b.TrialDays = &p.TrialDays
	}
	if o := item.ForTenant; o != nil {
		b.ForTenant = &offerBody{State: o.State, CanTrial: o.CanTrial, CanRequest: o.CanRequest}
	}
	return b
}
