package cache

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// TestEntries_cached is the control of all tests that count statements: without a change the second answer costs none.
func TestEntries_cached(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	f.wantGood(true, 1)
	f.wantGood(true, 0)
	f.writeElsewhere(f.revoke)
	f.wantGood(true, 0) // the change was not published
	if f.good(fresh) {
		t.Error("a fresh answer came from the cache")
	}
	off := newFixture(t, Options{Off: true})
	off.wantGood(true, 1)
	off.wantGood(true, 1)
}

// TestEntries_unknown: that a key or a tenant does not exist is cached too, until it is created.
func TestEntries_unknown(t *testing.T) {
	t.Parallel()
	newcomer := newTenant("newcomer")
	insert := func(tx registry.Tx) error { return tx.InsertTenant(context.Background(), newcomer) }
	for name, create := range map[string]func(*fixture){
		"created here": func(f *fixture) { f.must(f.write(insert)) },
		"created elsewhere": func(f *fixture) {
			f.writeElsewhere(insert)
			f.Invalidate(registry.Invalidation{Tenants: []uuid.UUID{newcomer.ID}, Slugs: []string{"newcomer"}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, Options{})
			for range 3 {
				if _, err := f.slug("newcomer"); !errors.Is(err, registry.ErrNotFound) {
					t.Fatal(err)
				}
			}
			if n := f.sent.Load(); n != 1 {
				t.Errorf("three answers cost %d statements", n)
			}
			create(f)
			if _, err := f.slug("newcomer"); err != nil {
				t.Error(err)
			}
			key := newKey(f.tenant.ID)
			if _, err := f.lookup(key.Hash); !errors.Is(err, registry.ErrNotFound) {
				t.Fatal(err)
			}
			f.must(f.write(func(tx registry.Tx) error { return tx.InsertAPIKey(t.Context(), key) }))
			if _, err := f.lookup(key.Hash); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestEntries_organisations: whose tenant an organisation is is cached, also that it is none's, until that changes.
func TestEntries_organisations(t *testing.T) {
	t.Parallel()
	newcomer := newTenant("newcomer")
	newcomer.KeycloakOrgID = "an organisation"
	insert := func(tx registry.Tx) error { return tx.InsertTenant(context.Background(), newcomer) }
	for name, create := range map[string]func(*fixture){
		"created here": func(f *fixture) { f.must(f.write(insert)) },
		"created elsewhere": func(f *fixture) {
			f.writeElsewhere(insert)
			f.Invalidate(registry.Invalidation{Tenants: []uuid.UUID{newcomer.ID}, Orgs: []string{"an organisation"}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, Options{})
			ask := func() (registry.Tenant, error) {
				return f.TenantByKeycloakOrg(t.Context(), "an organisation", registry.ReadOptions{})
			}
			for range 3 {
				if _, err := ask(); !errors.Is(err, registry.ErrNotFound) {
					t.Fatal(err)
				}
			}
			create(f)
			for range 3 {
				if got, err := ask(); err != nil || got.ID != newcomer.ID {
					t.Errorf("%v, %v", got.ID, err)
				}
			}
			if n := f.sent.Load(); n != 2 {
				t.Errorf("six answers cost %d statements, want 2", n)
			}
			f.writeElsewhere(func(tx registry.Tx) error {
				changed := newcomer
				changed.Status = registry.StatusFrozen
				return tx.UpdateTenant(context.Background(), changed)
			})
			f.Invalidate(registry.Invalidation{Tenants: []uuid.UUID{newcomer.ID}})
			if got, err := ask(); err != nil || got.Status != registry.StatusFrozen {
				t.Errorf("after a change elsewhere: %v, %v", got.Status, err)
			}
		})
	}
}

// TestEntries_unknownBounded: however many unknown keys are asked for, those that exist stay cached.
func TestEntries_unknownBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{Keys: 10, Slugs: 10, Unknown: 20})
	f.wantGood(true, 1)
	for range 2000 {
		if _, err := f.lookup(newKey(uuid.Nil).Hash); !errors.Is(err, registry.ErrNotFound) {
			t.Fatal(err)
		}
	}
	f.wantGood(true, 0)
	f.keys.missing.CleanUp()
	if n := f.keys.missing.EstimatedSize(); n > 20 {
		t.Errorf("%d unknown keys are cached", n)
	}
}

// TestEntries_maxAge: a change that is not published is seen after ten minutes.
func TestEntries_maxAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Options{})
		_, err := f.slug("late")
		f.wantGood(true, 1)
		f.writeElsewhere(f.revoke)
		late := newTenant("late")
		f.writeElsewhere(func(tx registry.Tx) error { return tx.InsertTenant(t.Context(), late) })
		time.Sleep(maxEntryAge - 1)
		f.wantGood(true, 0)
		if _, again := f.slug("late"); again == nil || err == nil {
			t.Error("it was not cached")
		}
		time.Sleep(time.Nanosecond)
		f.wantGood(false, 1)
		if _, err := f.slug("late"); err != nil {
			t.Error(err)
		}
	})
}

// TestEntries_hitAllocatesNothing: a hit costs no memory, whatever the context.
func TestEntries_hitAllocatesNothing(t *testing.T) {
	f := newFixture(t, Options{Lease: time.Hour})
	f.Renew(time.Now())
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	ask := func() {
		_, err := f.KeyFacts(ctx, registry.KeyLookup{Hash: f.key.Hash}, registry.ReadOptions{})
		f.must(err)
		_, err = f.TenantBySlug(ctx, "tenant", registry.ReadOptions{})
		f.must(err)
	}
	ask()
	before := f.sent.Load()
	if n := testing.AllocsPerRun(1000, ask); n != 0 {
		t.Errorf("two hits allocate %v times", n)
	}
	if n := f.sent.Load(); n != before {
		t.Errorf("they were no hits: %d statements", n-before)
	}
}

func BenchmarkHit(b *testing.B) {
	f := newFixture(b, Options{Lease: time.Hour})
	f.Renew(time.Now())
	ctx := b.Context()
	for b.Loop() {
		if _, err := f.KeyFacts(ctx, registry.KeyLookup{Hash: f.key.Hash}, registry.ReadOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
