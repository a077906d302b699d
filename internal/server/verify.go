package server

import (
	"net/http"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
	"github.com/breakpilot/tenant-registry/internal/violation"
)

// verifyRequest is the body of POST /v1/internal/api-keys/verify.
type verifyRequest struct {
	Key         *string    `json:"key"`
	Product     string     `json:"product"`
	Scopes      []web.Text `json:"scopes"`
	Environment string     `json:"environment"`
}

// verdictBody is the verdict; everything but valid, code and max_age_seconds is null for a key that does not exist.
type verdictBody struct {
	Valid         bool                `json:"valid"`
	Code          registry.VerifyCode `json:"code"`
	KeyID         *uuid.UUID          `json:"key_id"`
	Tenant        *verdictTenant      `json:"tenant"`
	Environment   *apikey.Environment `json:"environment"`
	Scopes        *[]string           `json:"scopes"`
	Entitlement   *entitlementBody    `json:"entitlement"`
	Secret        *string             `json:"secret"`
	ValidUntil    *string             `json:"valid_until"`
	MaxAgeSeconds int                 `json:"max_age_seconds"`
}

type verdictTenant struct {
	ID     uuid.UUID             `json:"id"`
	Slug   string                `json:"slug"`
	Status registry.TenantStatus `json:"status"`
}

func (s *Server) verify(c *call) (web.Response, error) {
	var in verifyRequest
	if err := c.Decode(&in); err != nil {
		return web.Response{}, err
	}
	if in.Key == nil {
		return web.Response{}, web.Invalid(violation.Violation{Pointer: "/key", Message: violation.Required})
	}
	v, err := s.registry.Verify(c.Ctx, c.by, registry.VerifyQuery{
		Key: *in.Key, Product: in.Product, Scopes: web.Strings(in.Scopes),
		Environment: apikey.Environment(in.Environment),
	}, c.read)
	return web.Response{Status: http.StatusOK, Body: (*shownVerdict)(&v)}, err
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

// shownVerdict is verdictBody, appended.
type shownVerdict registry.Verdict

func (v *shownVerdict) General() any { return verdictOf(registry.Verdict(*v)) }

func (v *shownVerdict) AppendJSON(j *web.JSON) {
	j.Bool(`{"valid":`, v.Code == registry.Valid)
	j.String(`,"code":`, string(v.Code))
	if v.KeyID == uuid.Nil {
		j.Raw(`,"key_id":null,"tenant":null,"environment":null,"scopes":null`)
		j.Raw(`,"entitlement":null,"secret":null,"valid_until":null`)
	} else {
		j.UUID(`,"key_id":`, v.KeyID)
		j.UUID(`,"tenant":{"id":`, v.TenantID)
		j.String(`,"slug":`, v.TenantSlug)
		j.String(`,"status":`, string(v.TenantStatus))
		j.String(`},"environment":`, string(v.Environment))
		j.Strings(`,"scopes":`, v.Scopes)
		j.Raw(`,"entitlement":`)
		appendEntitlement(j, v.Entitlement)
		j.String(`,"secret":`, string(v.Secret))
		j.TimeOrNull(`,"valid_until":`, v.ValidUntil)
	}
	j.Int(`,"max_age_seconds":`, int64(v.MaxAgeSeconds))
	j.Raw("}")
}

// DecodePlain implements web.PlainDecoder.
func (in *verifyRequest) DecodePlain(text string) bool {
	var got verifyRequest
	var product, environment bool // were there
	p := web.NewPlainJSON(text)
	ok := p.Object(func(name string) bool {
		var first bool
		switch name {
		case "key":
			first = got.Key == nil
			key := p.String()
			got.Key = &key
		case "product":
			first, product = !product, true
			got.Product = p.String()
		case "scopes":
			first = got.Scopes == nil
			got.Scopes = p.Strings()
		case "environment":
			first, environment = !environment, true
			got.Environment = p.String()
		}
		return first
	})
	if ok {
		*in = got
	}
	return ok
}
