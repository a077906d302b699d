package server

import (
	"net/http"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/timestamp"
)

func TestCatalogRequest_isMadeOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x, y := api.activeTenant("globex").ID, api.tenant("initech").ID
		api.product("product", requestable)
		body := about(x, "product")
		body["message"] = "For us.\nSoon."
		first := as[requestBody](api.post("/v1/catalog/request", body).want(http.StatusCreated))
		now := timestamp.Format(start)
		wantEqual(t, "the request", first, requestBody{
			ID: first.ID, TenantID: x, Product: "product", Status: registry.RequestPending,
			Message:     new("For us.\nSoon."),
			RequestedBy: "operator", CreatedAt: now, UpdatedAt: now,
		})
		api.clock.advance(time.Hour)
		body["message"] = "again"
		wantEqual(
			t, "the repeated request", as[requestBody](api.post("/v1/catalog/request", body).want(http.StatusOK)),
			first,
		)
		other := as[requestBody](api.post("/v1/catalog/request", about(y, "product")).want(http.StatusCreated))
		if other.ID == first.ID || other.Message != nil {
			t.Errorf("another tenant's request is %+v", other)
		}
	})
}

func TestCatalogRequest_refusesBadInput(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x, frozen := api.activeTenant("globex").ID, api.frozenTenant("initech").ID
		api.product("requestable", requestable)
		api.product("entitled", requestable)
		api.product("plain", nil)
		api.product("private", private)
		api.product("gone", func(p *registry.Product) { p.Requestable, p.AvailableUntil = true, new(start) })
		api.grant(x, "entitled")
		refused(api, "/v1/catalog/request", []refusal{
			{about(unknownID, "requestable"), "tenant_not_found", "/tenant_id"},
			{about(x, "unknown"), "product_not_found", "/product"},
			{about(x, "private"), "product_not_found", "/product"},
			{about(x, "gone"), "product_not_found", "/product"},
			{about(frozen, "requestable"), "tenant_frozen", "/tenant_id"},
			{about(x, "entitled"), "already_entitled", "/product"},
			{about(x, "plain"), "not_requestable", "/product"},
			{object{"product": "plain"}, "invalid_request", "/tenant_id"},
			{object{"tenant_id": x}, "invalid_request", "/product"},
			{about(x, "requests"), "invalid_request", "/product"},
			{about(x, "No Key"), "invalid_request", "/product"},
		})
	})
}
