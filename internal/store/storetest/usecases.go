package storetest

import (
	"context"
	"slices"
	"time"

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
	"activate":       drawMove((*registry.Service).ActivateTenant),
	"cancel":         drawMove((*registry.Service).CancelTenant),
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
	"verify", "create key", "grant", "trial", "request", "create product", "audit", "create tenant", "record event", "verify", "create key",
	"rotate key", "update key", "use keys", "keys", "request", "trial", "revoke key", "catalog", "entitlements", "keys", "event", "key",
	"self-revoke", "tenant", "tenant by slug", "activate", "cancel",
}

var operator = registry.Caller{
	Actor: registry.Party{ID: "operator", Name: "An operator", Type: "user", Fields: map[string]string{"team": "one"}},
	Scope: registry.Everything, SourceIP: "192.0.2.1", RequestID: "request-1",
}

// draw draws one of a few values, the first ones most often.
func draw[T any](c *comparison, what string, from ...T) T {
	return rapid.SampledFrom(from).Draw(c.T, what)
}

func drawBool(c *comparison, what string) bool { return rapid.Bool().Draw(c.T, what) }

// caller draws on whose behalf a use case runs: an operator, or somebody with less scope.
func (c *comparison) caller() func(s *side) registry.Caller {
	kinds := append(slices.Repeat([]string{"operator"}, 10), "portal", "tenant", "product", "nobody")
	kind := draw(c, "caller", kinds...)
	tenant := c.tenant()
	product := c.name("p")
	return func(s *side) registry.Caller {
		by := registry.Caller{Actor: registry.Party{ID: kind}}
		switch kind {
		case "operator":
			by = operator
		case "portal":
			by.Scope.Tenants = true
		case "tenant":
			by.Scope.Tenant = tenant(s)
		case "product":
			by.Scope.Product = product
		}
		return by
	}
}

func drawCreateTenant(c *comparison) run {
	n := registry.NewTenant{
		Slug: c.name("t"), Name: draw(c, "name", "Acme", "Acme", "Acme", "Ärger & Söhne", "Ärger & Söhne", "Ärger & Söhne", ""),
	}
	if drawBool(c, "more") {
		n.KeycloakOrgID, n.Region, n.ExternalID, n.Metadata = c.name("o"), "eu", "crm-1", map[string]string{"b": "2", "a": ""}
	}
	return func(s *side) (any, error) {
		t, err := s.service.CreateTenant(c.ctx, operator, n)
		if err == nil {
			s.tenants = append(s.tenants, t.ID)
		}
		return t, err
	}
}

func drawCreateProduct(c *comparison) run {
	p := registry.Product{
		Key: c.name("p"), Name: "A product", Audience: draw(c, "audience", registry.Public, registry.Public, registry.Private),
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

type move func(*registry.Service, context.Context, registry.Caller, uuid.UUID) (registry.Tenant, error)

func drawMove(to move) func(c *comparison) run {
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
	by, slug := c.caller(), c.name("t")
	return func(s *side) (any, error) { return s.service.TenantBySlug(c.ctx, by(s), slug) }
}

func (c *comparison) wish() func(s *side) registry.ProductWish {
	tenant := c.tenant()
	w := registry.ProductWish{Product: c.name("p"), Message: draw(c, "message", "", "Please.\nSoon.")}
	return func(s *side) registry.ProductWish {
		w.TenantID = tenant(s)
		return w
	}
}

func drawRequest(c *comparison) run {
	by, wish := c.caller(), c.wish()
	return func(s *side) (any, error) {
		r, created, err := s.service.RequestProduct(c.ctx, by(s), wish(s))
		return []any{r, created}, err
	}
}

func drawTrial(c *comparison) run {
	by, wish := c.caller(), c.wish()
	return func(s *side) (any, error) { return s.service.StartTrial(c.ctx, by(s), wish(s)) }
}

func drawGrant(c *comparison) run {
	wish := c.wish()
	source := draw(c, "source", registry.SourceGrant, registry.SourcePlan, registry.SourceTrial, "gift")
	return func(s *side) (any, error) {
		w := wish(s)
		return s.service.Grant(c.ctx, operator, w.TenantID, w.Product, source)
	}
}

func drawCreateKey(c *comparison) run {
	by, tenant := c.caller(), c.tenant()
	n := registry.NewAPIKey{Name: "A key"}
	if drawBool(c, "more") {
		expires := c.now.Add(draw[time.Duration](c, "expires", time.Microsecond, 48*time.Hour))
		n.Environment, n.Product, n.Scopes, n.ExpiresAt = registry.Test, c.name("p"), []string{"b:read", "a:write"}, &expires
	}
	return func(s *side) (any, error) {
		n.TenantID = tenant(s)
		k, secret, err := s.service.CreateAPIKey(c.ctx, by(s), n)
		if err == nil {
			s.keys, s.secrets = append(s.keys, k.ID), append(s.secrets, secret)
		}
		return k, err
	}
}

func drawRevoke(c *comparison) run {
	by, i := c.caller(), c.one(len(c.sides[0].keys), "key")
	return func(s *side) (any, error) {
		return s.service.RevokeAPIKey(c.ctx, by(s), nth(s.keys, i, unknown), "lost")
	}
}

// noKey is the text of a key that nobody has: its checksum is right.
const noKey = "bp_test_00000000000000000000000000000000000000000000R30v6"

func drawVerify(c *comparison) run {
	by, i := c.caller(), c.one(len(c.sides[0].secrets), "secret")
	q := registry.VerifyQuery{
		Environment: draw[registry.Environment](c, "environment", "", "", registry.Live, registry.Test),
		Scopes:      draw(c, "scopes", nil, []string{"a:write"}, []string{"a:read"}),
	}
	if drawBool(c, "for a product") {
		q.Product = c.name("p")
	}
	return func(s *side) (any, error) {
		q.Key = nth(s.secrets, i, noKey)
		return s.service.Verify(c.ctx, by(s), q)
	}
}

func drawRecord(c *comparison) run {
	by, tenant := c.caller(), c.tenant()
	e := registry.AuditEvent{
		Action: draw(c, "action", actions...), CRUD: registry.Update,
		Actor:     registry.Party{ID: draw(c, "actor", actors...), Fields: map[string]string{}},
		IsFailure: drawBool(c, "failure"),
		Created:   c.now.Add(draw(c, "created", 0*time.Hour, -time.Hour, time.Hour)),
	}
	if drawBool(c, "more") {
		e.Target = registry.Party{ID: "thing", Type: "x", Fields: map[string]string{"a": "b"}}
		e.Fields, e.Metadata, e.CorrelationID, e.SourceIP = map[string]string{}, map[string]string{"k": "v"}, "c-1", "2001:DB8::1"
	}
	ofPlatform := drawBool(c, "of the platform")
	return func(s *side) (any, error) {
		if !ofPlatform {
			e.GroupID = tenant(s)
		}
		written, err := s.service.RecordEvent(c.ctx, by(s), e)
		if err == nil {
			s.events = append(s.events, written.ID)
			written.Pos -= s.start
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
	by, tenant, from := c.caller(), c.tenant(), registry.Start{Limit: c.limit()}
	if drawBool(c, "second page") {
		from.After = c.name("p")
	}
	return func(s *side) (any, error) { return pageOf(s.service.Entitlements(c.ctx, by(s), tenant(s), from)) }
}

func drawCatalog(c *comparison) run {
	by, tenant, from := c.caller(), c.tenant(), registry.Start{After: c.before("p"), Limit: c.limit()}
	forTenant := drawBool(c, "for a tenant")
	return func(s *side) (any, error) {
		if !forTenant {
			return pageOf(s.service.Catalog(c.ctx, by(s), nil, from))
		}
		return pageOf(s.service.Catalog(c.ctx, by(s), new(tenant(s)), from))
	}
}

func drawKeys(c *comparison) run {
	by, tenant, i := c.caller(), c.tenant(), c.one(len(c.sides[0].keys), "before")
	q := registry.KeyQuery{Limit: c.limit()}
	q.State = draw(c, "state", "", "", registry.KeyStateActive, registry.KeyStateDisabled, registry.KeyStateExpired, registry.KeyStateRevoked)
	q.Environment = draw(c, "environment", "", "", registry.Live, registry.Test)
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
		q.TenantID, q.Before = tenant(s), nth(s.keys, i, uuid.Nil)
		return s.service.APIKeys(c.ctx, by(s), q)
	}
}

func drawRotate(c *comparison) run {
	by, i := c.caller(), c.one(len(c.sides[0].keys), "key")
	overlap := draw(c, "overlap", nil, new(int64(3600)), new(int64(0)), new(int64(30*24*3600)), new(int64(-1)))
	return func(s *side) (any, error) {
		k, secret, err := s.service.RotateAPIKey(c.ctx, by(s), nth(s.keys, i, unknown), overlap)
		if err == nil {
			s.secrets = append(s.secrets, secret)
		}
		return k, err
	}
}

func drawUpdateKey(c *comparison) run {
	by, i := c.caller(), c.one(len(c.sides[0].keys), "key")
	change := registry.KeyChange{NoExpiry: drawBool(c, "no expiry"), IfVersion: draw(c, "if version", nil, nil, []int64{1}, []int64{})}
	if drawBool(c, "name") {
		change.Name = new(draw(c, "name", "A key", "Ä", ""))
	}
	if drawBool(c, "scopes") {
		change.Scopes = draw(c, "scopes", []string{}, []string{"a:write"}, []string{"b"})
	}
	if drawBool(c, "disabled") {
		change.Disabled = new(drawBool(c, "to"))
	}
	if !change.NoExpiry && drawBool(c, "expires") {
		change.ExpiresAt = new(c.now.Add(draw[time.Duration](c, "in", time.Hour, 40*24*time.Hour, 0)))
	}
	return func(s *side) (any, error) {
		return s.service.UpdateAPIKey(c.ctx, by(s), nth(s.keys, i, unknown), change)
	}
}

func drawSelfRevoke(c *comparison) run {
	i := c.one(len(c.sides[0].secrets), "secret")
	return func(s *side) (any, error) {
		return nil, s.service.SelfRevoke(c.ctx, registry.Caller{SourceIP: "192.0.2.9"}, nth(s.secrets, i, noKey))
	}
}

// drawUses verifies with some secrets and writes their times of use.
func drawUses(c *comparison) run {
	secrets := rapid.SliceOfN(rapid.IntRange(0, len(c.sides[0].secrets)), 1, 3).Draw(c.T, "secrets")
	return func(s *side) (any, error) {
		for _, i := range secrets {
			if _, err := s.service.Verify(c.ctx, operator, registry.VerifyQuery{Key: nth(s.secrets, i, noKey)}); err != nil {
				return nil, err
			}
		}
		return nil, s.uses.Flush(c.ctx)
	}
}

func drawKey(c *comparison) run {
	by, i := c.caller(), c.one(len(c.sides[0].keys), "key")
	return func(s *side) (any, error) { return s.service.APIKey(c.ctx, by(s), nth(s.keys, i, unknown)) }
}

func drawAudit(c *comparison) run {
	by, tenant := c.caller(), c.tenant()
	q := registry.AuditQuery{
		Ascending: drawBool(c, "ascending"), Limit: c.limit(), After: int64(rapid.IntRange(0, 5).Draw(c.T, "after")),
		Action:        draw(c, "action", append([]string{""}, actions...)...),
		Area:          draw(c, "area", "", "doc", "api_key"),
		ActorID:       draw(c, "actor", "", "u-1", "operator"),
		TargetID:      draw(c, "target", "", "", "thing"),
		CorrelationID: draw(c, "correlation", "", "", "c-1", "request-1"),
		IsFailure:     draw[*bool](c, "failure", nil, nil, new(true), new(false)),
		CRUD:          draw[registry.CRUD](c, "crud", "", "", registry.Create, registry.Update),
		CreatedFrom:   draw(c, "created from", time.Time{}, time.Time{}, c.now, c.now.Add(-time.Hour)),
		CreatedBefore: draw(c, "created before", time.Time{}, time.Time{}, c.now, c.now.Add(-time.Hour)),
		Examine:       draw(c, "examine", 0, 0, 1, 3),
	}
	whole := drawBool(c, "the whole log")
	return func(s *side) (any, error) {
		if !whole {
			q.GroupID = new(tenant(s))
		}
		return s.audit(c, by(s), q)
	}
}
