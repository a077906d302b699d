package server

import (
	"cmp"
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

	"go.uber.org/goleak"
	"golang.org/x/mod/sumdb/note"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/share"
	"github.com/breakpilot/tenant-registry/internal/store/cache"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// TestMain stops the test Postgres, looks for goroutines that were left behind, and holds a whole run to the coverage
// of openapi.yaml.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(runner(func() int {
		code := postgrestest.Main(runner(func() int {
			defer databases.close()
			return m.Run()
		}))
		if code == 0 && wholeRun() {
			code = reportUnanswered()
		}
		return code
	}))
}

// runner is a test run as goleak wants it.
type runner func() int

func (r runner) Run() int { return r() }

// wholeRun reports whether every test of this package ran.
func wholeRun() bool {
	for _, name := range []string{"test.run", "test.skip", "test.fuzz", "test.list", "test.bench"} {
		if flag.Lookup(name).Value.String() != "" {
			return false
		}
	}
	return true
}

// reportUnanswered fails a run in which something that openapi.yaml promises was never answered: it would not be
// tested.
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
	d := databases.lend(t)
	return cache.New(d.store, cache.Options{}), d.dsn // no other program changes this database
}

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
	private, public, err := audit.GenerateKey("test")
	if err != nil {
		panic(err)
	}
	signer, err := audit.NewSigner(private)
	if err != nil {
		panic(err)
	}
	verifier, err := audit.NewVerifier(public)
	if err != nil {
		panic(err)
	}
	return signer, verifier
}

// testVersion is what servers in tests say they are.
const testVersion = "v1.0.0"

// testPace is that of self-revoke, unless a test is about it.
const testPace = time.Millisecond

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

// operator is the caller unless a test uses another.
var operatorCaller = registry.Caller{
	Actor: audit.Party{ID: "operator", Name: "operator", Type: "operator"}, Access: registry.FullAccess,
}

// everyoneIsOperator authenticates every request as the operator.
type everyoneIsOperator struct{}

func (everyoneIsOperator) Authenticate(*http.Request) (auth.Principal, error) {
	p := operatorCaller.Actor
	return auth.Principal{ID: p.ID, Name: p.Name, Type: p.Type, Roles: []auth.Role{auth.RoleOperator}}, nil
}

// newClient starts a server on a store and returns a client of it. Options without a clock get the client's.
func newClient(t *testing.T, store registry.Store, o registry.Options) *client {
	t.Helper()
	return startServer(t, store, o, Config{})
}

func startServer(t *testing.T, store registry.Store, o registry.Options, c Config) *client {
	t.Helper()
	api := &client{t: t, store: store, clock: &clock{at: start}, log: &testkit.Output{}, trace: newTrace(t)}
	if o.Now == nil {
		o.Now = api.clock.now
	}
	if o.Shares == nil { // one caller does all that a test does
		caps := registry.DefaultShareCaps()
		caps.Events, caps.Erasures = share.Caps{}, share.Caps{Total: 100}
		o.Shares = &caps
	}
	o.Version, o.CallTimeout = testVersion, cmp.Or(c.CallTimeout, patience)
	api.registry = registry.New(store, o)
	c.Registry, c.Version, c.Docs = api.registry, testVersion, true
	c.SelfRevokePace = cmp.Or(c.SelfRevokePace, testPace)
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
