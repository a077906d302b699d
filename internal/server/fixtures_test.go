package server

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// What only the foreign tenant's data holds, and what only the foreign product's.
const (
	tenantCanary  = "c4n4ry"
	productCanary = "g4dg3t"
)

// The products of fixtures.
const (
	ownProduct      = "widgets"        // every tenant of a fixture is entitled to it
	foreignProduct  = "gadgets"        // and to this one
	trialProduct    = "gizmos"         // can be requested, and has a trial
	canaryProduct   = "c4n4ry-private" // a private product that the foreign tenant is entitled to
	pendingProduct  = "asked"          // the tenant of a stage has an open request for it
	trialedProduct  = "tried"          // the tenant of a stage has had its trial
	unknownProduct  = "nothing"        // is not in the catalogue
	foreignTextNote = "note"           // the setting of the foreign product that holds its canary
)

// fixture is one tenant and what belongs to it: the objects that requests name.
type fixture struct {
	tenant  uuid.UUID
	slug    string
	newSlug string // no tenant has it
	key     uuid.UUID
	text    string    // of the key
	bound   string    // the text of another key, which is bound to the foreign product
	event   uuid.UUID // in the tenant's log
}

// fixtures are what the requests of one principal are about.
type fixtures struct {
	n            int64 // no other fixtures have it
	own, foreign fixture
	unknown      fixture   // ids and names that are well formed, and no object has them
	invalid      fixture   // the nil UUID, and a slug that no tenant can have
	platform     uuid.UUID // an event in the platform's log
	org          string    // the organisation of own
}

var fixtureCount atomic.Int64

// insertProducts adds the products that fixtures use to the catalogue.
func insertProducts(api *client) {
	api.t.Helper()
	api.product(ownProduct, nil)
	api.product(foreignProduct, func(p *registry.Product) {
		p.DefaultConfig = registry.Config{foreignTextNote: productCanary}
	})
	api.product(trialProduct, requestableWithTrial)
	api.product(canaryProduct, func(p *registry.Product) { p.Audience, p.Requestable = registry.Private, true })
}

func requestableWithTrial(p *registry.Product) { p.Requestable, p.TrialDays = true, 14 }

// newFixtures makes two tenants in a state of their life, with everything that a tenant can have.
func newFixtures(api *client, status registry.TenantStatus) *fixtures {
	api.t.Helper()
	n := fixtureCount.Add(1)
	fx := &fixtures{n: n, org: fmt.Sprintf("org-own-%d", n)}
	own := newTenant(fmt.Sprintf("own-%d", n), status)
	own.KeycloakOrgID = fx.org
	foreign := newTenant(fmt.Sprintf("%s-%d", tenantCanary, n), status)
	foreign.Name, foreign.Region, foreign.ExternalID = tenantCanary, tenantCanary, tenantCanary
	foreign.KeycloakOrgID, foreign.Metadata =
		fmt.Sprintf("%s-org-%d", tenantCanary, n), map[string]string{tenantCanary: tenantCanary}
	api.tx(func(ctx context.Context, tx registry.Tx) (err error) {
		if fx.own, err = insertFixture(ctx, tx, own, "plain"); err != nil {
			return err
		}
		if fx.foreign, err = insertFixture(ctx, tx, foreign, tenantCanary); err != nil {
			return err
		}
		return tx.InsertEntitlement(ctx, entitlementTo(foreign.ID, canaryProduct))
	})
	events := recordFor(api, map[uuid.UUID]string{own.ID: "plain", foreign.ID: tenantCanary, uuid.Nil: tenantCanary})
	fx.own.event, fx.foreign.event, fx.platform = events[own.ID], events[foreign.ID], events[uuid.Nil]
	fx.unknown = fixture{
		tenant: newID(), slug: fmt.Sprintf("unknown-%d", n), newSlug: fmt.Sprintf("made-%d", n), key: newID(),
		text:  unknownKey,
		bound: unknownKey, event: newID(),
	}
	fx.invalid = fixture{slug: "by-slug", newSlug: fmt.Sprintf("made-too-%d", n), text: unknownKey, bound: unknownKey}
	return fx
}

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

func newTenant(slug string, status registry.TenantStatus) registry.Tenant {
	t := registry.Tenant{
		ID: newID(), Slug: slug, Name: "The " + slug, Status: status, Metadata: map[string]string{}, Version: 1,
		CreatedAt: start, UpdatedAt: start,
	}
	if status != registry.StatusTrial {
		t.ActivatedAt = &start
	}
	if status == registry.StatusFrozen {
		t.FrozenAt = &start
	}
	return t
}

// insertFixture writes a tenant with two entitlements and two keys, whose names are text.
func insertFixture(ctx context.Context, tx registry.Tx, t registry.Tenant, text string) (fixture, error) {
	if err := tx.InsertTenant(ctx, t); err != nil {
		return fixture{}, err
	}
	for _, product := range []string{ownProduct, foreignProduct} {
		if err := tx.InsertEntitlement(ctx, entitlementTo(t.ID, product)); err != nil {
			return fixture{}, err
		}
	}
	bound, boundText := newAPIKey(t.ID, text)
	bound.Product = foreignProduct
	key, keyText := newAPIKey(t.ID, text)
	for _, k := range []registry.APIKey{bound, key} {
		if err := tx.InsertAPIKey(ctx, k); err != nil {
			return fixture{}, err
		}
	}
	return fixture{
		tenant: t.ID, slug: t.Slug, newSlug: t.Slug + "-new", key: key.ID, text: keyText, bound: boundText,
	}, nil
}

// entitlementTo is what a grant makes.
func entitlementTo(tenant uuid.UUID, product string) registry.Entitlement {
	e := registry.Entitlement{
		ID: newID(), TenantID: tenant, Product: product, Source: registry.SourceGrant, StartsAt: start,
		Limits: registry.Limits{},
		Config: registry.Config{}, CreatedAt: start, UpdatedAt: start,
	}
	if product == foreignProduct {
		e.Config[foreignTextNote] = productCanary
	}
	return e
}

func newAPIKey(tenant uuid.UUID, name string) (registry.APIKey, string) {
	text := apikey.Generate(apikey.Live)
	return registry.APIKey{
		ID: newID(), TenantID: tenant, Name: name, Environment: apikey.Live, Scopes: []string{},
		Prefix: apikey.Prefix(text),
		Hash:   apikey.Sum(text), CreatedBy: "operator", CreatedAt: start, UpdatedAt: start, Version: 1,
	}, text
}

// recordFor reports an event in each of the groups, which holds a text wherever an event can, and returns their ids.
func recordFor(api *client, texts map[uuid.UUID]string) map[uuid.UUID]uuid.UUID {
	api.t.Helper()
	var events []audit.Event
	for group, text := range texts {
		events = append(events, audit.Event{
			Action: "document.share", CRUD: audit.Update, GroupID: group, Actor: audit.Party{ID: text, Name: text},
			Target: audit.Party{ID: text}, Fields: map[string]string{text: text}, CorrelationID: text,
		})
	}
	recorded, err := testkit.Value(api.registry.RecordEvents(api.t.Context(), operatorCaller, events))
	if err != nil {
		api.t.Fatal(err)
	}
	ids := map[uuid.UUID]uuid.UUID{}
	for _, e := range recorded {
		ids[e.GroupID] = e.ID
	}
	return ids
}

// state is all that can be read of both tenants.
func (fx *fixtures) state(api *client) string {
	api.t.Helper()
	return stateOf(api, fx.own.tenant) + stateOf(api, fx.foreign.tenant)
}

// stateOf is all that the store has of a tenant.
func stateOf(api *client, tenant uuid.UUID) string {
	api.t.Helper()
	var all string
	for _, get := range []func(context.Context, uuid.UUID) (any, error){
		func(ctx context.Context, id uuid.UUID) (any, error) { return api.store.GetTenant(ctx, id) },
		func(ctx context.Context, id uuid.UUID) (any, error) { return api.store.ListEntitlements(ctx, id) },
		func(ctx context.Context, id uuid.UUID) (any, error) {
			return api.store.ListPendingCatalogRequests(ctx, id)
		},
		func(ctx context.Context, id uuid.UUID) (any, error) {
			return api.store.ListAPIKeys(ctx, registry.APIKeyQuery{
				TenantID: id, PageRequest: registry.PageRequest{Limit: 100},
			})
		},
		func(ctx context.Context, id uuid.UUID) (any, error) {
			return api.store.ListAuditEvents(ctx, registry.AuditQuery{
				GroupID: &id, PageRequest: registry.PageRequest{Limit: 100},
			})
		},
	} {
		got, err := get(api.t.Context(), tenant)
		if err != nil {
			api.t.Fatal(err)
		}
		all += string(mustJSON(got)) + "\n"
	}
	return all
}

// stage is a fixture, with what a change of it can be refused for.
type stage struct {
	fixture
	trial, active, frozen uuid.UUID // other tenants
	revoked               uuid.UUID // a key of the fixture's tenant
}

// insertStageProducts adds the products that stages use to the catalogue.
func insertStageProducts(api *client) {
	api.t.Helper()
	insertProducts(api)
	api.product(pendingProduct, requestableWithTrial)
	api.product(trialedProduct, requestableWithTrial)
}

// newStage makes a stage whose tenant is in a state of its life.
func newStage(api *client, status registry.TenantStatus) stage {
	api.t.Helper()
	n := fixtureCount.Add(1)
	var s stage
	others := []registry.Tenant{
		newTenant(fmt.Sprintf("trial-%d", n), registry.StatusTrial),
		newTenant(fmt.Sprintf("active-%d", n), registry.StatusActive),
		newTenant(fmt.Sprintf("frozen-%d", n), registry.StatusFrozen),
	}
	s.trial, s.active, s.frozen = others[0].ID, others[1].ID, others[2].ID
	tried := entitlementTo(uuid.Nil, trialedProduct)
	ends := start.Add(14 * 24 * time.Hour)
	tried.Source, tried.EndsAt = registry.SourceTrial, &ends
	api.tx(func(ctx context.Context, tx registry.Tx) (err error) {
		if s.fixture, err = insertFixture(ctx, tx, newTenant(fmt.Sprintf("stage-%d", n), status), "a key"); err != nil {
			return err
		}
		revoked, _ := newAPIKey(s.tenant, "revoked")
		revoked.RevokedAt, revoked.RevokedBy = &start, "operator"
		tried.TenantID = s.tenant
		s.revoked = revoked.ID
		for _, insert := range []func() error{
			func() error { return tx.InsertTenant(ctx, others[0]) },
			func() error { return tx.InsertTenant(ctx, others[1]) },
			func() error { return tx.InsertTenant(ctx, others[2]) },
			func() error { return tx.InsertAPIKey(ctx, revoked) },
			func() error { return tx.InsertEntitlement(ctx, tried) },
			func() error { return insertRequest(s.tenant, pendingProduct)(ctx, tx) },
		} {
			if err := insert(); err != nil {
				return err
			}
		}
		return nil
	})
	s.event = recordFor(api, map[uuid.UUID]string{s.tenant: "staged"})[s.tenant]
	return s
}

// logLength is how many events there are.
func (c *client) logLength() int64 {
	c.t.Helper()
	n, err := c.store.GetNewestPosition(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// newest is the last event of the log.
func (c *client) newest() eventBody {
	c.t.Helper()
	return as[web.Page[eventBody]](c.get("/v1/audit?limit=1").want(http.StatusOK)).Items[0]
}

// seeded fills the store with the sample data, as of the clock, and returns the text of acme's live key.
func (c *client) seeded() string {
	c.t.Helper()
	sample, err := registry.Seed(c.t.Context(), c.store, registry.Options{Now: c.clock.now, Version: testVersion})
	if err != nil {
		c.t.Fatal(err)
	}
	return sample.LiveKey
}

// tenant creates a tenant in state trial.
func (c *client) tenant(slug string) tenantBody {
	c.t.Helper()
	return as[tenantBody](c.post("/v1/tenants", object{"slug": slug, "name": "The " + slug}).want(http.StatusCreated))
}

// activeTenant creates a tenant and activates it.
func (c *client) activeTenant(slug string) tenantBody {
	c.t.Helper()
	return as[tenantBody](c.post(join("/v1/tenants", c.tenant(slug).ID, "activate"), nil).want(http.StatusOK))
}

// frozenTenant creates a tenant, activates and cancels it.
func (c *client) frozenTenant(slug string) tenantBody {
	c.t.Helper()
	return c.freeze(c.activeTenant(slug).ID)
}

// freeze cancels an active tenant.
func (c *client) freeze(id uuid.UUID) tenantBody {
	c.t.Helper()
	return as[tenantBody](c.post(join("/v1/tenants", id, "cancel"), nil).want(http.StatusOK))
}

// product adds a public product to the catalogue, which no request can do yet; change says how it differs from a plain
// one.
func (c *client) product(key string, change func(*registry.Product)) registry.Product {
	c.t.Helper()
	p := registry.Product{Key: key, Name: "The " + key, Audience: registry.Public}
	if change != nil {
		change(&p)
	}
	p, err := testkit.Value(c.registry.CreateProduct(c.t.Context(), operatorCaller, p))
	if err != nil {
		c.t.Fatal(err)
	}
	return p
}

// grant entitles a tenant to a product, which no request can do yet.
func (c *client) grant(tenant uuid.UUID, product string) registry.Entitlement {
	c.t.Helper()
	e, err := testkit.Value(c.registry.Grant(c.t.Context(), operatorCaller, tenant, product, registry.SourceGrant))
	if err != nil {
		c.t.Fatal(err)
	}
	return e
}

// key creates a key; more are further members of the request.
func (c *client) key(tenant uuid.UUID, more object) secretBody {
	c.t.Helper()
	body := object{"tenant_id": tenant, "name": "a key"}
	for name, value := range more {
		body[name] = value
	}
	return as[secretBody](c.post("/v1/api-keys", body).want(http.StatusCreated))
}

// tx runs fn in one transaction of the store, for what no use case does yet.
func (c *client) tx(fn func(context.Context, registry.Tx) error) {
	c.t.Helper()
	ctx := c.t.Context()
	if err := c.store.Tx(ctx, func(tx registry.Tx) error { return fn(ctx, tx) }); err != nil {
		c.t.Fatal(err)
	}
}

// events reads the whole audit log, oldest first.
func (c *client) events() []eventBody {
	c.t.Helper()
	var all []eventBody
	for cursor := ""; ; {
		p := as[web.Page[eventBody]](c.get("/v1/audit?order=asc&limit=100" + cursor).want(http.StatusOK))
		all = append(all, p.Items...)
		if len(p.Items) < 100 {
			return all
		}
		cursor = "&cursor=" + *p.NextCursor
	}
}

// own makes a tenant whose organisation is org.
func (c *client) own(slug, org string) tenantBody {
	c.t.Helper()
	return as[tenantBody](
		c.post("/v1/tenants", object{
			"slug": slug, "name": "The " + slug, "keycloak_org_id": org,
		}).want(http.StatusCreated),
	)
}

// insertRequest opens a request for a product that the tenant could not ask for itself.
func insertRequest(tenant uuid.UUID, product string) func(context.Context, registry.Tx) error {
	return func(ctx context.Context, tx registry.Tx) error {
		return tx.InsertCatalogRequest(ctx, registry.CatalogRequest{
			ID: uuid.Must(uuid.NewV7()), TenantID: tenant, Product: product, Status: registry.RequestPending,
			RequestedBy: "operator",
			CreatedAt:   start, UpdatedAt: start,
		})
	}
}

// unknownID is the id of no tenant, key or event.
var unknownID = uuid.MustParse("01900000-0000-7000-8000-0000000000ff")

// unknownKey is well formed, and no tenant has it.
var unknownKey = "bp_test_" + strings.Repeat("0", 43) + "0R30v6"
