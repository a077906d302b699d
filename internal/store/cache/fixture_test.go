package cache

import (
	"crypto/rand"
	"iter"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
	"github.com/breakpilot/tenant-registry/internal/store/storetest"
	"github.com/breakpilot/tenant-registry/internal/store/storetest/faultstore"
)

// statements counts the statements that the cache sends, holds up their answers, and lets them fail.
type statements struct {
	sent      atomic.Int64
	published atomic.Int64

	mu          sync.Mutex
	held        chan *statement // takes the next statements; nil: none is held up
	fail        func() error    // instead of an answer
	afterCommit func() error    // after each commit; its error is what the transaction answers
}

// statement was read, and its answer is held up until arrive is closed.
type statement struct{ arrive chan struct{} }

func (s *statements) hold() chan *statement {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = make(chan *statement, 100)
	return s.held
}

func (s *statements) free() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = nil
}

func (s *statements) failWith(fail func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
}

// before is asked by the store of the fixture before each call.
func (s *statements) before(call string) error {
	s.mu.Lock()
	fail, committed := s.fail, s.afterCommit
	s.mu.Unlock()
	switch {
	case call == "GetKeyFacts", call == "GetTenantsBySlug", call == "GetTenantByKeycloakOrg":
		s.sent.Add(1)
		if fail != nil {
			return fail()
		}
	case call == "Tx.PublishInvalidation":
		s.published.Add(1)
	case call == "Commit" && committed != nil:
		return committed()
	}
	return nil
}

// after is asked by the store of the fixture with the answer of each call.
func (s *statements) after(call string) error {
	s.mu.Lock()
	held := s.held
	s.mu.Unlock()
	if held != nil && (call == "GetKeyFacts" || call == "GetTenantsBySlug") {
		st := &statement{arrive: make(chan struct{})}
		held <- st
		<-st.arrive
	}
	return nil
}

// fixture is a cache on a store in memory, with a tenant and a key.
type fixture struct {
	testing.TB
	*Store
	memory *memory.Store
	statements
	tenant registry.Tenant
	key    registry.APIKey
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newFixture(t testing.TB, o Options) *fixture {
	t.Helper()
	f := &fixture{TB: t, memory: memory.New(), tenant: newTenant("tenant")}
	f.Store = New(faultstore.New(f.memory, f.before, faultstore.After(f.after)), o)
	f.key = newKey(f.tenant.ID)
	f.writeElsewhere(func(tx registry.Tx) error { return tx.InsertTenant(t.Context(), f.tenant) })
	f.writeElsewhere(func(tx registry.Tx) error { return tx.InsertAPIKey(t.Context(), f.key) })
	return f
}

func newTenant(slug string) registry.Tenant {
	return registry.Tenant{
		ID: uuid.Must(uuid.NewV7()), Slug: slug, Name: "n", Status: registry.StatusActive,
		Metadata: map[string]string{}, Version: 1,
		CreatedAt: noon, UpdatedAt: noon,
	}
}

func newKey(tenant uuid.UUID) registry.APIKey {
	k := registry.APIKey{
		ID: uuid.Must(uuid.NewV7()), TenantID: tenant, Name: "n", Environment: apikey.Live, Scopes: []string{"a"},
		Prefix:    "bp_live_abcd",
		CreatedBy: "tester", CreatedAt: noon, UpdatedAt: noon, Version: 1,
	}
	_, _ = rand.Read(k.Hash[:])
	return k
}

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// write changes the store through the cache, and publishes what the writes invalidate.
func (f *fixture) write(fn func(registry.Tx) error) error {
	return storetest.Change(f.Context(), f.Store, fn)
}

// writeElsewhere changes the store as another process does: the cache does not know.
func (f *fixture) writeElsewhere(fn func(registry.Tx) error) {
	f.Helper()
	f.must(f.memory.Tx(f.Context(), fn))
}

// revoke writes that the key is revoked; freeze that the tenant is frozen.
func (f *fixture) revoke(tx registry.Tx) error {
	revoked := f.key
	revoked.RevokedAt, revoked.RevokedBy = &noon, "tester"
	return tx.UpdateAPIKey(f.Context(), revoked)
}

func (f *fixture) freeze(tx registry.Tx) error {
	frozen := f.tenant
	frozen.Status = registry.StatusFrozen
	return tx.UpdateTenant(f.Context(), frozen)
}

// lookup asks the cache for a key.
func (f *fixture) lookup(hash apikey.Hash) (registry.KeyFacts, error) {
	return f.KeyFacts(f.Context(), registry.KeyLookup{Hash: hash}, registry.ReadOptions{})
}

// slug asks the cache for a tenant.
func (f *fixture) slug(slug string) (registry.Tenant, error) {
	return f.TenantBySlug(f.Context(), slug, registry.ReadOptions{})
}

// good reads the key through the cache and reports whether neither it is revoked nor its tenant frozen.
func (f *fixture) good(o registry.ReadOptions) bool {
	facts, err := f.KeyFacts(f.Context(), registry.KeyLookup{Hash: f.key.Hash}, o)
	if err != nil {
		f.Error(err)
		return false
	}
	return facts.Key.RevokedAt == nil && facts.Tenant.Status != registry.StatusFrozen
}

// inBackground is good in a goroutine of its own, whose answer the test must receive: good uses the test, which must
// not have ended.
func (f *fixture) inBackground(o registry.ReadOptions) chan bool {
	answer := make(chan bool, 1)
	go func() { answer <- f.good(o) }()
	return answer
}

// wantGood checks whether the key is good, and how many statements the answer cost.
func (f *fixture) wantGood(good bool, statements int64) {
	f.Helper()
	before := f.sent.Load()
	if got := f.good(registry.ReadOptions{}); got != good {
		f.Errorf("the key is good: %v, want %v", got, good)
	}
	if n := f.sent.Load() - before; n != statements {
		f.Errorf("it cost %d statements, want %d", n, statements)
	}
}

// pending is how many look-ups wait for a statement that is not sent.
func (f *fixture) pending() int {
	b := f.keys.misses
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		return 0
	}
	return len(b.next.keys)
}

func (f *fixture) keyInvalidation() registry.Invalidation {
	return registry.Invalidation{Keys: []uuid.UUID{f.key.ID}}
}

func (f *fixture) tenantInvalidation() registry.Invalidation {
	return registry.Invalidation{Tenants: []uuid.UUID{f.tenant.ID}}
}

// atOnce calls fn for all items, some at a time, so that their misses are merged into few statements.
func atOnce[T any](items iter.Seq[T], fn func(T)) {
	next := make(chan T)
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for item := range next {
				fn(item)
			}
		})
	}
	for item := range items {
		next <- item
	}
	close(next)
	all.Wait()
}

func eventually(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for over := time.After(20 * time.Second); !done(); {
		select {
		case <-tick.C:
		case <-over:
			t.Fatal("it does not happen")
		}
	}
}

var fresh = registry.ReadOptions{Fresh: true}
