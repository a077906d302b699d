package storetest

import (
	"context"
	"slices"
	"time"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/audit"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// run runs a use case on one side.
type run func(s *side) (any, error)

// useCases draw what a use case is given, once, and return how to run it on a side.
var useCases = map[string]func(c *comparison) run{
	"create tenant":  drawCreateTenant,
	"create product": drawCreateProduct,
	"activate":       drawTransition((*registry.Service).ActivateTenant),
	"cancel":         drawTransition((*registry.Service).CancelTenant),
	"tenant":         drawTenant,
	"tenant by slug": drawBySlug,
	"request":        drawRequest,
	"trial":          drawTrial,
	"grant":          drawGrant,
	"create key":     drawCreateKey,
	"revoke key":     drawRevoke,
	"verify":         drawVerify,
	"rotate key":     drawRotate,
	"update key":     drawUpdateKey,
	"self-revoke":    drawSelfRevoke,
	"use keys":       drawUses,
	"key":            drawKey,
	"record event":   drawRecord,
	"event":          drawEvent,
	"entitlements":   drawEntitlements,
	"catalog":        drawCatalog,
	"keys":           drawKeys,
	"audit":          drawAudit,
}

// mix has every use case. rapid draws the first ones most often, and goes back to them to make a sequence simpler.
var mix = []string{
	"verify", "create key", "grant", "trial", "request", "create product", "audit", "create tenant", "record event",
	"verify", "create key",
	"rotate key", "update key", "use keys", "keys", "request", "trial", "revoke key", "catalog", "entitlements", "keys",
	"event", "key",
	"self-revoke", "tenant", "tenant by slug", "activate", "cancel",
}

var operator = registry.Caller{
	Actor:  audit.Party{ID: "operator", Name: "An operator", Type: "user", Fields: map[string]string{"team": "one"}},
	Access: registry.FullAccess, SourceIP: "192.0.2.1", RequestID: "request-1",
}

// draw draws one of a few values, the first ones most often.
func draw[T any](c *comparison, what string, from ...T) T {
	return rapid.SampledFrom(from).Draw(c.T, what)
}

func drawBool(c *comparison, what string) bool { return rapid.Bool().Draw(c.T, what) }

// caller draws on whose behalf a use case runs: an operator, or a caller with less access.
func (c *comparison) caller() func(s *side) registry.Caller {
	kinds := append(slices.Repeat([]string{"operator"}, 10), "portal", "tenant", "product", "no access")
	kind := draw(c, "caller", kinds...)
	tenant := c.tenant()
	product := c.name("p")
	return func(s *side) registry.Caller {
		by := registry.Caller{Actor: audit.Party{ID: kind}}
		switch kind {
		case "operator":
			by = operator
		case "portal":
			by.Access.Tenants = true
		case "tenant":
			by.Access.Tenant = tenant(s)
		case "product":
			by.Access.Product = product
		}
		return by
	}
}

func drawCreateTenant(c *comparison) run {
	n := registry.TenantInput{
		Slug: c.name("t"),
		Name: draw(c, "name", "Acme", "Acme", "Acme", "Ärger & Söhne", "Ärger & Söhne", "Ärger & Söhne", ""),
	}
	if drawBool(c, "more") {
		n.KeycloakOrgID, n.Region, n.ExternalID, n.Metadata = c.name("o"), "eu", "crm-1", map[string]string{
			"b": "2",
			"a": "",
		}
	}
	return func(s *side) (any, error) {
		created, err := s.service.CreateTenant(c.ctx, operator, n)
		if err == nil {
			s.tenants = append(s.tenants, created.Value.ID)
		}
		return created, err
	}
}

func drawCreateProduct(c *comparison) run {
	p := registry.Product{
		Key: c.name("p"), Name: "A product",
		Audience:    draw(c, "audience", registry.Public, registry.Public, registry.Private),
		Requestable: drawBool(c, "requestable"), TrialDays: draw(c, "trial days", 14, 1, 14, 0, 14, -1),
	}
	if drawBool(c, "more") {
		from, until := c.now.Add(-time.Hour), c.now.Add(300*24*time.Hour)
		p.Description, p.AvailableFrom, p.AvailableUntil = "Two\nlines", &from, &until
		p.DefaultLimits = registry.Limits{"seats": new(int64(5)), "unlimited": nil}
		p.DefaultConfig = registry.Config{"n": 1.5, "list": []any{"x", nil, map[string]any{"y": true}}}
	}
	return func(s *side) (any, error) { return s.service.CreateProduct(c.ctx, operator, p) }
}

type transition func(
	*registry.Service, context.Context, registry.Caller, uuid.UUID,
) (registry.Result[registry.Tenant], error)

func drawTransition(to transition) func(c *comparison) run {
	return func(c *comparison) run {
		tenant := c.tenant()
		return func(s *side) (any, error) { return to(s.service, c.ctx, operator, tenant(s)) }
	}
}

func drawTenant(c *comparison) run {
	by, tenant := c.caller(), c.tenant()
	return func(s *side) (any, error) { return s.service.Tenant(c.ctx, by(s), tenant(s)) }
}

func drawBySlug(c *comparison) run {
	by, slug, o := c.caller(), c.name("t"), c.readOptions()
	return func(s *side) (any, error) { return s.service.TenantBySlug(c.ctx, by(s), slug, o) }
}

// readOptions asks for a fresh answer now and then.
func (c *comparison) readOptions() registry.ReadOptions {
	return registry.ReadOptions{Fresh: draw(c, "fresh", false, false, false, true)}
}

func (c *comparison) requestInput() func(s *side) registry.CatalogRequestInput {
	tenant := c.tenant()
	in := registry.CatalogRequestInput{Product: c.name("p"), Message: draw(c, "message", "", "Please.\nSoon.")}
	return func(s *side) registry.CatalogRequestInput {
		in.TenantID = tenant(s)
		return in
	}
}

func drawRequest(c *comparison) run {
	by, in := c.caller(), c.requestInput()
	return func(s *side) (any, error) { return s.service.RequestProduct(c.ctx, by(s), in(s)) }
}

func drawTrial(c *comparison) run {
	by, in := c.caller(), c.requestInput()
	return func(s *side) (any, error) { return s.service.StartTrial(c.ctx, by(s), in(s)) }
}

func drawGrant(c *comparison) run {
	in := c.requestInput()
	source := draw(c, "source", registry.SourceGrant, registry.SourcePlan, registry.SourceTrial, "gift")
	return func(s *side) (any, error) {
		r := in(s)
		return s.service.Grant(c.ctx, operator, r.TenantID, r.Product, source)
	}
}

func drawCreateKey(c *comparison) run {
	by, tenant := c.caller(), c.tenant()
	n := registry.APIKeyInput{Name: "A key"}
	if drawBool(c, "more") {
		expires := c.now.Add(draw[time.Duration](c, "expires", time.Microsecond, 48*time.Hour))
		n.Environment, n.Product, n.Scopes, n.ExpiresAt = apikey.Test, c.name("p"), []string{
			"b:read",
			"a:write",
		}, &expires
	}
	return func(s *side) (any, error) {
		n.TenantID = tenant(s)
		created, err := s.service.CreateAPIKey(c.ctx, by(s), n)
		if err == nil {
			s.keys = append(s.keys, created.Value.ID)
		}
		return s.withoutSecret(created), err
	}
}

// withoutSecret is a result without the text of the secret, which is the side's own; the side remembers it.
func (s *side) withoutSecret(r registry.Result[registry.APIKeySecret]) registry.Result[registry.APIKeySecret] {
	if r.Value.Text != "" {
		s.secrets = append(s.secrets, r.Value.Text)
		r.Value.Text = "a secret"
	}
	return r
}

func drawRevoke(c *comparison) run {
	by, i := c.caller(), c.one(len(c.sides[0].keys), "key")
	return func(s *side) (any, error) {
		return s.service.RevokeAPIKey(c.ctx, by(s), nth(s.keys, i, unknown), "lost")
	}
}

// noKey is the text of a key that does not exist; its checksum is right.
const noKey = "bp_test_00000000000000000000000000000000000000000000R30v6"

func drawVerify(c *comparison) run {
	by, i := c.caller(), c.one(len(c.sides[0].secrets), "secret")
	q := registry.VerifyQuery{
		Environment: draw[apikey.Environment](c, "environment", "", "", apikey.Live, apikey.Test),
		Scopes:      draw(c, "scopes", nil, []string{"a:write"}, []string{"a:read"}),
	}
	if drawBool(c, "for a product") {
		q.Product = c.name("p")
	}
	o := c.readOptions()
	return func(s *side) (any, error) {
		q.Key = nth(s.secrets, i, noKey)
		return s.service.Verify(c.ctx, by(s), q, o)
	}
}

func drawRecord(c *comparison) run {
	by, tenant := c.caller(), c.tenant()
	e := audit.Event{
		Action: draw(c, "action", actions...), CRUD: audit.Update,
		Actor:     audit.Party{ID: draw(c, "actor", actors...), Fields: map[string]string{}},
		IsFailure: drawBool(c, "failure"),
		Created:   c.now.Add(draw(c, "created", 0*time.Hour, -time.Hour, time.Hour)),
	}
	if drawBool(c, "more") {
		e.Target = audit.Party{ID: "thing", Type: "x", Fields: map[string]string{"a": "b"}}
		e.Fields, e.Metadata, e.CorrelationID, e.SourceIP = map[string]string{}, map[string]string{
			"k": "v",
		}, "c-1", "2001:DB8::1"
	}
	ofPlatform := drawBool(c, "of the platform")
	return func(s *side) (any, error) {
		if !ofPlatform {
			e.GroupID = tenant(s)
		}
		written, err := s.service.RecordEvent(c.ctx, by(s), e)
		if err == nil {
			s.events = append(s.events, written.Value.ID)
			written.Value.Pos -= s.start
		}
		return written, err
	}
}

var (
	actions = []string{"doc.read", "doc.write", "doc", "tenant.create"}
	actors  = []string{"u-1", "u-2"}
)

func drawEvent(c *comparison) run {
	by, i := c.caller(), c.one(len(c.sides[0].events), "event")
	return func(s *side) (any, error) {
		e, err := s.service.Event(c.ctx, by(s), nth(s.events, i, unknown))
		e.Pos -= s.start
		return e, err
	}
}

func (c *comparison) limit() int { return rapid.IntRange(1, 3).Draw(c.T, "limit") }

func drawEntitlements(c *comparison) run {
	by, tenant, from := c.caller(), c.tenant(), firstPage(c.limit())
	if drawBool(c, "second page") {
		from.Cursor = c.name("p")
	}
	return func(s *side) (any, error) { return s.service.Entitlements(c.ctx, by(s), tenant(s), from) }
}

func drawCatalog(c *comparison) run {
	by, tenant, from := c.caller(), c.tenant(), registry.PageRequest{Cursor: c.before("p"), Limit: c.limit()}
	forTenant := drawBool(c, "for a tenant")
	return func(s *side) (any, error) {
		if !forTenant {
			return s.service.Catalog(c.ctx, by(s), nil, from)
		}
		return s.service.Catalog(c.ctx, by(s), new(tenant(s)), from)
	}
}

func drawKeys(c *comparison) run {
	by, tenant, i := c.caller(), c.tenant(), c.one(len(c.sides[0].keys), "before")
	q := registry.APIKeyQuery{PageRequest: firstPage(c.limit())}
	q.State = draw(
		c, "state", "", "", registry.APIKeyActive, registry.APIKeyDisabled, registry.APIKeyExpired,
		registry.APIKeyRevoked,
	)
	q.Environment = draw(c, "environment", "", "", apikey.Live, apikey.Test)
	if drawBool(c, "of a product") {
		q.Product = c.name("p")
	}
	instant := func(what string) *time.Time {
		if !drawBool(c, what) {
			return nil
		}
		return new(c.now.Add(draw[time.Duration](c, "at", 0, -time.Second, -time.Hour, 50*time.Hour)))
	}
	q.UnusedSince, q.ExpiresBefore = instant("unused since"), instant("expires before")
	return func(s *side) (any, error) {
		q.TenantID, q.Cursor = tenant(s), ""
		if i < len(s.keys) {
			q.Cursor = s.keys[i].String()
		}
		return s.service.APIKeys(c.ctx, by(s), q)
	}
}

func drawRotate(c *comparison) run {
	by, i := c.caller(), c.one(len(c.sides[0].keys), "key")
	overlap := draw(c, "overlap", nil, new(int64(3600)), new(int64(0)), new(int64(30*24*3600)), new(int64(-1)))
	return func(s *side) (any, error) {
		rotated, err := s.service.RotateAPIKey(c.ctx, by(s), nth(s.keys, i, unknown), overlap)
		return s.withoutSecret(rotated), err
	}
}

func drawUpdateKey(c *comparison) run {
	by, i := c.caller(), c.one(len(c.sides[0].keys), "key")
	patch := registry.APIKeyPatch{}
	expected := draw(c, "expected versions", nil, nil, []int64{1}, []int64{})
	if drawBool(c, "no expiry") {
		patch.ExpiresAt = registry.Null[*time.Time]()
	}
	if drawBool(c, "name") {
		patch.Name = registry.Set(draw(c, "name", "A key", "Ä", ""))
	}
	if drawBool(c, "scopes") {
		patch.Scopes = registry.Set(draw(c, "scopes", []string{}, []string{"a:write"}, []string{"b"}))
	}
	if drawBool(c, "disabled") {
		patch.Disabled = registry.Set(drawBool(c, "to"))
	}
	if !patch.ExpiresAt.Present && drawBool(c, "expires") {
		patch.ExpiresAt = registry.Set(new(c.now.Add(draw[time.Duration](c, "in", time.Hour, 40*24*time.Hour, 0))))
	}
	return func(s *side) (any, error) {
		caller := by(s)
		caller.ExpectedVersions = expected
		return s.service.UpdateAPIKey(c.ctx, caller, nth(s.keys, i, unknown), patch)
	}
}

func drawSelfRevoke(c *comparison) run {
	i := c.one(len(c.sides[0].secrets), "secret")
	return func(s *side) (any, error) {
		return s.service.SelfRevoke(c.ctx, registry.Caller{SourceIP: "192.0.2.9"}, nth(s.secrets, i, noKey))
	}
}

// drawUses verifies with some secrets and writes their times of use.
func drawUses(c *comparison) run {
	secrets := rapid.SliceOfN(rapid.IntRange(0, len(c.sides[0].secrets)), 1, 3).Draw(c.T, "secrets")
	return func(s *side) (any, error) {
		for _, i := range secrets {
			q := registry.VerifyQuery{Key: nth(s.secrets, i, noKey)}
			if _, err := s.service.Verify(c.ctx, operator, q, registry.ReadOptions{}); err != nil {
				return nil, err
			}
		}
		return nil, s.usage.Flush(c.ctx)
	}
}

func drawKey(c *comparison) run {
	by, i := c.caller(), c.one(len(c.sides[0].keys), "key")
	return func(s *side) (any, error) { return s.service.APIKey(c.ctx, by(s), nth(s.keys, i, unknown)) }
}

func drawAudit(c *comparison) run {
	by, tenant := c.caller(), c.tenant()
	q := registry.AuditQuery{
		Ascending: drawBool(c, "ascending"), PageRequest: firstPage(c.limit()),
		Position:      int64(rapid.IntRange(0, 5).Draw(c.T, "position")),
		Action:        draw(c, "action", append([]string{""}, actions...)...),
		Area:          draw(c, "area", "", "doc", "api_key"),
		ActorID:       draw(c, "actor", "", "u-1", "operator"),
		TargetID:      draw(c, "target", "", "", "thing"),
		CorrelationID: draw(c, "correlation", "", "", "c-1", "request-1"),
		IsFailure:     draw[*bool](c, "failure", nil, nil, new(true), new(false)),
		CRUD:          draw[audit.CRUD](c, "crud", "", "", audit.Create, audit.Update),
		CreatedFrom:   draw(c, "created from", time.Time{}, time.Time{}, c.now, c.now.Add(-time.Hour)),
		CreatedBefore: draw(c, "created before", time.Time{}, time.Time{}, c.now, c.now.Add(-time.Hour)),
		MaxExamined:   draw(c, "max examined", 0, 0, 1, 3),
	}
	whole := drawBool(c, "the whole log")
	return func(s *side) (any, error) {
		if !whole {
			q.GroupID = new(tenant(s))
		}
		return s.audit(c, by(s), q)
	}
}
