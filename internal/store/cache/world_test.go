package cache

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

// inner is a store whose statements and commits can be held up, and are counted.
type inner struct {
	registry.Store
	statements atomic.Int64
	published  atomic.Int64

	mu       sync.Mutex
	held     chan *statement // takes the next statements, if not nil
	fail     func() error    // instead of an answer
	commits  func()          // when a transaction was committed, before Tx returns
	afterAll error           // what Tx returns after a commit
}

// statement has read, and its answer is on the way until it is let go.
type statement struct{ arrive chan struct{} }

func (s *inner) hold() chan *statement {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = make(chan *statement, 100)
	return s.held
}

func (s *inner) free() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = nil
}

// under counts a statement, and holds up its answer if that is asked for; it ends with ctx, as all do.
func under[T any](ctx context.Context, s *inner, read func() (T, error)) (T, error) {
	s.statements.Add(1)
	got, err := read()
	s.mu.Lock()
	held, fail := s.held, s.fail
	s.mu.Unlock()
	if fail != nil {
		return got, fail()
	}
	if held != nil {
		st := &statement{arrive: make(chan struct{})}
		held <- st
		<-st.arrive
		err = errors.Join(err, ctx.Err())
	}
	return got, err
}

func (s *inner) ManyKeyFacts(ctx context.Context, asked []registry.KeyLookup) (map[registry.KeyLookup]registry.KeyFacts, error) {
	return under(ctx, s, func() (map[registry.KeyLookup]registry.KeyFacts, error) { return s.Store.ManyKeyFacts(ctx, asked) })
}

func (s *inner) ManyTenantsBySlug(ctx context.Context, slugs []string) (map[string]registry.Tenant, error) {
	return under(ctx, s, func() (map[string]registry.Tenant, error) { return s.Store.ManyTenantsBySlug(ctx, slugs) })
}

func (s *inner) Tx(ctx context.Context, fn func(registry.Tx) error) error {
	err := s.Store.Tx(ctx, func(tx registry.Tx) error { return fn(countingTx{tx, s}) })
	if err != nil {
		return err
	}
	if s.commits != nil {
		s.commits()
	}
	return s.afterAll
}

type countingTx struct {
	registry.Tx
	of *inner
}

func (tx countingTx) Publish(ctx context.Context, touched registry.Touched) error {
	tx.of.published.Add(1)
	return tx.Tx.Publish(ctx, touched)
}

// world is a cache, what is behind it, and a tenant with a key.
type world struct {
	testing.TB
	*Store
	inner  *inner
	tenant registry.Tenant
	key    registry.APIKey
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newWorld(t testing.TB, o Options) *world {
	t.Helper()
	w := &world{TB: t, inner: &inner{Store: memory.New()}, tenant: newTenant("tenant")}
	w.Store = New(w.inner, o)
	w.key = newKey(w.tenant.ID)
	w.elsewhere(func(tx registry.Tx) error { return tx.InsertTenant(t.Context(), w.tenant) })
	w.elsewhere(func(tx registry.Tx) error { return tx.InsertAPIKey(t.Context(), w.key) })
	return w
}

func newTenant(slug string) registry.Tenant {
	return registry.Tenant{
		ID: uuid.Must(uuid.NewV7()), Slug: slug, Name: "n", Status: registry.StatusActive, Metadata: map[string]string{}, Version: 1,
		CreatedAt: noon, UpdatedAt: noon,
	}
}

func newKey(tenant uuid.UUID) registry.APIKey {
	k := registry.APIKey{
		ID: uuid.Must(uuid.NewV7()), TenantID: tenant, Name: "n", Environment: registry.Live, Scopes: []string{"a"}, Prefix: "bp_live_abcd",
		CreatedBy: "tester", CreatedAt: noon, UpdatedAt: noon, Version: 1,
	}
	_, _ = rand.Read(k.Hash[:])
	return k
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// elsewhere changes the store as another process does: the cache does not know.
func (w *world) elsewhere(fn func(registry.Tx) error) {
	w.Helper()
	w.must(w.inner.Store.Tx(w.Context(), fn))
}

// revoke writes that the key is revoked; freeze that the tenant is frozen.
func (w *world) revoke(tx registry.Tx) error {
	revoked := w.key
	revoked.RevokedAt, revoked.RevokedBy = &noon, "tester"
	return tx.UpdateAPIKey(w.Context(), revoked)
}

func (w *world) freeze(tx registry.Tx) error {
	frozen := w.tenant
	frozen.Status = registry.StatusFrozen
	return tx.UpdateTenant(w.Context(), frozen)
}

// good reads the key through the cache and tells whether it is neither revoked nor its tenant frozen.
func (w *world) good(ctx context.Context) bool {
	f, err := w.KeyFacts(ctx, w.key.Hash, "")
	if err != nil {
		w.Error(err)
		return false
	}
	return f.Key.RevokedAt == nil && f.Tenant.Status != registry.StatusFrozen
}

// later is what good says in a goroutine of its own.
func (w *world) later() chan bool {
	said := make(chan bool, 1)
	go func() { said <- w.good(w.Context()) }()
	return said
}

// is checks what good says, and how many statements it cost.
func (w *world) is(good bool, statements int64) {
	w.Helper()
	before := w.inner.statements.Load()
	if got := w.good(w.Context()); got != good {
		w.Errorf("the key is good: %v, want %v", got, good)
	}
	if n := w.inner.statements.Load() - before; n != statements {
		w.Errorf("it cost %d statements, want %d", n, statements)
	}
}

func (w *world) touchedKey() registry.Touched { return registry.Touched{Keys: []uuid.UUID{w.key.ID}} }

func (w *world) touchedTenant() registry.Touched {
	return registry.Touched{Tenants: []uuid.UUID{w.tenant.ID}}
}
