package server

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"
	"golang.org/x/mod/sumdb/note"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/cache"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
	"github.com/breakpilot/tenant-registry/internal/store/postgres"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
)

// TestMain stops the test Postgres, looks for goroutines that were left behind, and holds a whole run to the coverage of openapi.yaml.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(runner(func() int {
		code := postgrestest.Main(m)
		if code == 0 && wholeRun() {
			code = reportUnanswered()
		}
		return code
	}))
}

// runner is a test run as goleak wants it.
type runner func() int

func (r runner) Run() int { return r() }

// wholeRun tells whether every test of this package ran once.
func wholeRun() bool {
	for _, name := range []string{"test.run", "test.skip", "test.fuzz", "test.list", "test.bench"} {
		if flag.Lookup(name).Value.String() != "" {
			return false
		}
	}
	return true
}

// reportUnanswered fails a run in which something that openapi.yaml promises was never answered: it would not be tested.
func reportUnanswered() int {
	missing := theContract().unanswered()
	if len(missing) == 0 {
		return 0
	}
	fmt.Fprintf(os.Stderr, "no test had these answers of openapi.yaml:\n  %s\n", strings.Join(missing, "\n  "))
	return 1
}

// stores are what every test of the API runs on, each behind the cache.
var stores = []struct {
	name string
	open func(*testing.T) (store registry.Store, dsn string)
}{
	{"memory", func(*testing.T) (registry.Store, string) { return cache.New(memory.New(), cache.Options{}), "" }},
	{"postgres", openPostgres},
}

func openPostgres(t *testing.T) (registry.Store, string) {
	t.Helper()
	dsn := postgrestest.New(t)
	store, err := postgres.Open(t.Context(), postgres.Config{
		DSN: dsn, AcquireTimeout: patience, CallTimeout: patience, PingTimeout: patience, MaxConns: 4,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return cache.New(store, cache.Options{}), dsn // nobody else changes this database through a program
}

// patience is what a call may take on a busy test machine.
const patience = 20 * time.Second

// eachStore runs a test of the API once on each store: a fresh one, behind a server of its own on loopback.
func eachStore(t *testing.T, test func(t *testing.T, api *client)) {
	t.Helper()
	eachStoreWith(t, registry.Options{}, test)
}

func eachStoreWith(t *testing.T, o registry.Options, test func(t *testing.T, api *client)) {
	t.Helper()
	t.Parallel()
	for _, s := range stores {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			store, dsn := s.open(t)
			api := newClient(t, store, o)
			api.dsn = dsn
			test(t, api)
		})
	}
}

// The clock of a test begins here.
var start = time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)

// testSigner signs the checkpoints of servers that have a key, and testVerifier verifies them.
var testSigner, testVerifier = newTestKey()

func newTestKey() (note.Signer, note.Verifier) {
	private, public, err := registry.NewSigningKey("test")
	if err != nil {
		panic(err)
	}
	signer, err := registry.NewSigner(private)
	if err != nil {
		panic(err)
	}
	verifier, err := registry.NewVerifier(public)
	if err != nil {
		panic(err)
	}
	return signer, verifier
}

// testVersion is what servers in tests say they are.
const testVersion = "v1.0.0"

// clock stands still until it is moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// sink is a log that can be read while it is written.
type sink struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *sink) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// operator is who calls unless a test says otherwise.
var operator = registry.Caller{
	Actor: registry.Party{ID: "operator", Name: "operator", Type: "operator"}, Scope: registry.Everything,
}

// everyoneIsOperator takes every request for the operator's.
type everyoneIsOperator struct{}

func (everyoneIsOperator) Authenticate(*http.Request) (auth.Principal, error) {
	p := operator.Actor
	return auth.Principal{ID: p.ID, Name: p.Name, Type: p.Type, Roles: []auth.Role{auth.RoleOperator}}, nil
}

// newClient starts a server on a store and returns a client of it. Options without a clock get the client's.
func newClient(t *testing.T, store registry.Store, o registry.Options) *client {
	t.Helper()
	return startServer(t, store, o, Config{})
}

func startServer(t *testing.T, store registry.Store, o registry.Options, c Config) *client {
	t.Helper()
	api := &client{t: t, store: store, clock: &clock{at: start}, log: &sink{}, sent: &record{}}
	if o.Now == nil {
		o.Now = api.clock.now
	}
	o.Version, o.CallTimeout = testVersion, cmp.Or(c.CallTimeout, patience)
	api.registry = registry.New(store, o)
	c.Registry, c.Version = api.registry, testVersion
	c.Logger = slog.New(slog.NewJSONHandler(api.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if c.CallTimeout == 0 {
		c.CallTimeout = patience
	}
	if c.Auth == nil {
		c.Auth = everyoneIsOperator{}
	}
	api.server = New(c)
	web := httptest.NewUnstartedServer(api.server)
	web.Config.DisableGeneralOptionsHandler = true
	web.Config.ErrorLog = slog.NewLogLogger(c.Logger.Handler(), slog.LevelError)
	web.Start()
	api.url = web.URL
	api.http = &http.Client{
		Transport:     &http.Transport{DisableCompression: true},
		Timeout:       2 * patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(func() {
		api.http.CloseIdleConnections()
		web.Close()
	})
	return api
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

// product adds a public product to the catalogue, which no request can do yet; change says how it differs from a plain one.
func (c *client) product(key string, change func(*registry.Product)) registry.Product {
	c.t.Helper()
	p := registry.Product{Key: key, Name: "The " + key, Audience: registry.Public}
	if change != nil {
		change(&p)
	}
	p, err := c.registry.CreateProduct(c.t.Context(), operator, p)
	if err != nil {
		c.t.Fatal(err)
	}
	return p
}

// grant entitles a tenant to a product, which no request can do yet.
func (c *client) grant(tenant uuid.UUID, product string) registry.Entitlement {
	c.t.Helper()
	e, err := c.registry.Grant(c.t.Context(), operator, tenant, product, registry.SourceGrant)
	if err != nil {
		c.t.Fatal(err)
	}
	return e
}

// key creates a key; more are further members of the request.
func (c *client) key(tenant uuid.UUID, more object) createdKeyBody {
	c.t.Helper()
	body := object{"tenant_id": tenant, "name": "a key"}
	for name, value := range more {
		body[name] = value
	}
	return as[createdKeyBody](c.post("/v1/api-keys", body).want(http.StatusCreated))
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
		p := as[page[eventBody]](c.get("/v1/audit?order=asc&limit=100" + cursor).want(http.StatusOK))
		all = append(all, p.Items...)
		if len(p.Items) < 100 {
			return all
		}
		cursor = "&cursor=" + *p.NextCursor
	}
}

// insertRequest opens a request for a product that the tenant could not ask for itself.
func insertRequest(tenant uuid.UUID, product string) func(context.Context, registry.Tx) error {
	return func(ctx context.Context, tx registry.Tx) error {
		return tx.InsertRequest(ctx, registry.CatalogRequest{
			ID: uuid.Must(uuid.NewV7()), TenantID: tenant, Product: product, Status: registry.RequestPending, RequestedBy: "operator",
			CreatedAt: start, UpdatedAt: start,
		})
	}
}
