package cache_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/apikey"

	"github.com/anishathalye/porcupine"
	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/cache"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
	"github.com/breakpilot/tenant-registry/internal/store/postgres"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/internal/store/storetest"
)

var operations = flag.Int("operations", 6000, "how many operations TestLinearizable checks in all")

const (
	clients     = 6   // at once, on one subject
	perHistory  = 120 // operations on one subject
	subjects    = 4   // at a time
	writeOneIn  = 5
	checkWithin = 2 * time.Minute
)

// state is the state of a subject, which is one key and its tenant.
type state struct{ created, revoked, frozen bool }

// operation is a write of some of that, or a read of all (verify) or of the tenant alone (by slug).
type operation struct {
	name string
	on   bool // what revoke and freeze set
}

// model is a subject as a single value that all clients write and read one after the other.
var model = porcupine.Model{
	Init: func() any { return state{} },
	Step: func(before, in, out any) (bool, any) {
		fits, after := step(before.(state), in.(operation), out.(state))
		return fits, after
	},
}

func step(s state, in operation, out state) (fits bool, after state) {
	switch in.name {
	case "create":
		s.created = true
	case "revoke":
		if s.created {
			s.revoked = in.on
		}
		return out.created == s.created, s // whether it was there
	case "freeze":
		s.frozen = in.on
	case "verify":
		if !s.created {
			return out == state{}, s
		}
		return out == s, s
	case "by slug":
		return out.frozen == s.frozen, s
	}
	return true, s
}

// setups are one or two replicas, in whose histories there must be no violation, or must be one.
var setups = map[string]struct {
	open     func(*testing.T) (writes []registry.Store, reads []*cache.Store)
	read     func() registry.ReadOptions
	violates bool
}{
	"one replica, in memory": {func(*testing.T) (writes []registry.Store, reads []*cache.Store) {
		one := cache.New(memory.New(), cache.Options{Keys: 3, Slugs: 3, Unknown: 3}) // much is read again
		return []registry.Store{one}, []*cache.Store{one}
	}, sometimesFresh, false},
	"one replica, on Postgres": {func(t *testing.T) (writes []registry.Store, reads []*cache.Store) {
		one := cache.New(openStore(t, postgrestest.New(t)), cache.Options{})
		return []registry.Store{one}, []*cache.Store{one}
	}, sometimesFresh, false},
	"two replicas, fresh reads":           {twoReplicas, alwaysFresh, false},
	"control: two replicas, cached reads": {twoReplicas, neverFresh, true},
	"control: a cache without invalidations": {func(*testing.T) (writes []registry.Store, reads []*cache.Store) {
		inner := memory.New()
		return []registry.Store{inner}, []*cache.Store{cache.New(inner, cache.Options{})}
	}, neverFresh, true},
}

func twoReplicas(t *testing.T) (writes []registry.Store, reads []*cache.Store) {
	dsn := postgrestest.New(t)
	one, other := listening(t, dsn), listening(t, dsn)
	return []registry.Store{one, other}, []*cache.Store{one, other}
}

func neverFresh() registry.ReadOptions { return registry.ReadOptions{} }

func alwaysFresh() registry.ReadOptions { return registry.ReadOptions{Fresh: true} }

func sometimesFresh() registry.ReadOptions { return registry.ReadOptions{Fresh: rand.N(8) == 0} }

// TestLinearizable: what is written and read at the same time, through one cache, or through two with fresh reads, is
// as if it were done one after the other; controls: two with cached reads, and a cache without invalidations.
func TestLinearizable(t *testing.T) {
	t.Parallel()
	for name, c := range setups {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			writes, reads := c.open(t)
			share := *operations / 3
			if c.violates {
				share = 2000
			}
			histories := runHistories(t, writes, reads, c.read, share/perHistory+1)
			violations := 0
			for _, h := range histories {
				switch porcupine.CheckOperationsTimeout(model, h, checkWithin) {
				case porcupine.Illegal:
					violations++
				case porcupine.Unknown:
					t.Error("a history was not decided in time")
				}
			}
			t.Logf("%d histories of %d operations, %d are not linearizable", len(histories), perHistory, violations)
			if violations > 0 != c.violates {
				t.Errorf("%d of %d histories are not linearizable", violations, len(histories))
			}
		})
	}
}

// listening is a replica that receives the changes of others.
func listening(t *testing.T, dsn string) *cache.Store {
	t.Helper()
	store := openStore(t, dsn)
	cached := cache.New(store, cache.Options{Lease: time.Second})
	must(t, store.Listen(postgres.Direct{}, cached))
	for over := time.Now().Add(patience); !cached.LeaseValid(); {
		if time.Now().After(over) {
			t.Fatal("it receives nothing")
		}
		<-time.After(time.Millisecond)
	}
	return cached
}

func runHistories(
	t *testing.T, writes []registry.Store, reads []*cache.Store, read func() registry.ReadOptions, n int,
) [][]porcupine.Operation {
	t.Helper()
	histories := make([][]porcupine.Operation, n)
	next := make(chan int)
	var running sync.WaitGroup
	for range subjects {
		running.Go(func() {
			for i := range next {
				s := &subject{T: t, writes: writes, reads: reads, read: read, began: time.Now()}
				histories[i] = s.history(fmt.Sprintf("tenant-%d", i))
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	running.Wait()
	return histories
}

// subject is one tenant and its key, and what is done to them.
type subject struct {
	*testing.T
	writes []registry.Store
	reads  []*cache.Store
	read   func() registry.ReadOptions
	began  time.Time
	tenant registry.Tenant
	key    registry.APIKey
}

func (s *subject) history(slug string) []porcupine.Operation {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s.tenant = registry.Tenant{
		ID: uuid.Must(uuid.NewV7()), Slug: slug, Name: "n", Status: registry.StatusActive,
		Metadata: map[string]string{}, Version: 1,
		CreatedAt: now, UpdatedAt: now,
	}
	id := uuid.Must(uuid.NewV7())
	s.key = registry.APIKey{
		ID: id, TenantID: s.tenant.ID, Name: "n", Environment: apikey.Live, Scopes: []string{}, Prefix: "bp_live_abcd",
		Hash: apikey.Hash(append(id[:], id[:]...)), CreatedBy: "tester", CreatedAt: now, UpdatedAt: now, Version: 1,
	}
	s.check(
		storetest.Change(
			s.Context(), s.writes[0], func(tx registry.Tx) error { return tx.InsertTenant(s.Context(), s.tenant) },
		),
	)
	var (
		mu   sync.Mutex
		done []porcupine.Operation
		all  sync.WaitGroup
	)
	for client := range clients {
		all.Go(func() {
			for i := range perHistory / clients {
				in := operation{name: []string{"verify", "verify", "verify", "by slug"}[rand.N(4)]}
				switch {
				case client == 0 && i == 2:
					in = operation{name: "create"}
				case rand.N(writeOneIn) == 0:
					in = operation{[]string{"revoke", "freeze"}[rand.N(2)], rand.N(2) == 0}
				}
				call := time.Since(s.began)
				out := s.do(in)
				op := porcupine.Operation{
					ClientId: client,
					Input:    in,
					Call:     int64(call),
					Output:   out,
					Return:   int64(time.Since(s.began)),
				}
				mu.Lock()
				done = append(done, op)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return done
}

func (s *subject) do(in operation) (out state) {
	write, read := s.writes[rand.N(len(s.writes))], s.reads[rand.N(len(s.reads))]
	ctx := s.Context()
	switch in.name {
	case "create":
		s.check(storetest.Change(ctx, write, func(tx registry.Tx) error { return tx.InsertAPIKey(ctx, s.key) }))
	case "revoke":
		k := s.key
		if in.on {
			k.RevokedAt, k.RevokedBy = &k.CreatedAt, "tester"
		}
		out.created = s.found(
			storetest.Change(ctx, write, func(tx registry.Tx) error { return tx.UpdateAPIKey(ctx, k) }),
		)
	case "freeze":
		frozen := s.tenant
		if in.on {
			frozen.Status = registry.StatusFrozen
		}
		s.check(storetest.Change(ctx, write, func(tx registry.Tx) error { return tx.UpdateTenant(ctx, frozen) }))
	case "verify":
		f, err := read.KeyFacts(ctx, registry.KeyLookup{Hash: s.key.Hash}, s.read())
		if s.found(err) {
			out = state{true, f.Key.RevokedAt != nil, f.Tenant.Status == registry.StatusFrozen}
		}
	case "by slug":
		tenant, err := read.TenantBySlug(ctx, s.tenant.Slug, s.read())
		s.check(err)
		out.frozen = tenant.Status == registry.StatusFrozen
	}
	return out
}

func (s *subject) found(err error) bool {
	if errors.Is(err, registry.ErrNotFound) {
		return false
	}
	s.check(err)
	return true
}

func (s *subject) check(err error) {
	if err != nil {
		s.Error(err)
	}
}
