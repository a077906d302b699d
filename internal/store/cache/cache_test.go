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

// TestKeeps is the control of all tests that count statements: without a change the second answer costs none.
func TestKeeps(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{})
	w.is(true, 1)
	w.is(true, 0)
	w.elsewhere(w.revoke)
	w.is(true, 0) // nobody said so
	if w.good(registry.WithoutCache(t.Context())) {
		t.Error("an answer that must not come from the cache did")
	}
	off := newWorld(t, Options{Off: true})
	off.is(true, 1)
	off.is(true, 1)
}

// TestInvalidations: whatever the cache is told makes it read again.
func TestInvalidations(t *testing.T) {
	t.Parallel()
	for name, tell := range map[string]func(*world){
		"its key":    func(w *world) { w.Touch(w.touchedKey()) },
		"its tenant": func(w *world) { w.Touch(w.touchedTenant()) },
		"everything": func(w *world) { w.Touch(registry.Touched{All: true}) },
		"a flush":    func(w *world) { w.Flush() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, Options{})
			w.is(true, 1)
			w.elsewhere(w.revoke)
			tell(w)
			w.is(false, 1)
			w.is(false, 0)
			w.Touch(registry.Touched{Keys: []uuid.UUID{w.stranger()}})
			w.is(false, 0)
		})
	}
}

// stranger is an id in another place than the key and its tenant.
func (w *world) stranger() uuid.UUID {
	v := w.validity
	for {
		id := uuid.New()
		if p := v.placeOfID(id); p != v.placeOfID(w.key.ID) && p != v.placeOfID(w.tenant.ID) {
			return id
		}
	}
}

// TestInvalidationDuringLoad: what was read before is not kept, also if the load could not know that it is about this tenant; who
// asked before it may hear it, and who asks later may not.
func TestInvalidationDuringLoad(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*world, registry.Tx) error
		tell   func(*world)
	}{
		"a revocation":                      {(*world).revoke, func(w *world) { w.Touch(w.touchedKey()) }},
		"a freeze, the tenant is not known": {(*world).freeze, func(w *world) { w.Touch(w.touchedTenant()) }},
		"a flush":                           {(*world).revoke, func(w *world) { w.Flush() }},
		"a change by this process":          {nil, func(w *world) { w.must(w.Tx(w.Context(), w.revoke)) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, Options{})
			held := w.inner.hold()
			first := w.later()
			old := <-held // has read that the key is good
			w.inner.free()
			if c.change != nil {
				w.elsewhere(func(tx registry.Tx) error { return c.change(w, tx) })
			}
			c.tell(w)
			w.is(false, 1) // it does not wait for the old load, nor hear of it
			close(old.arrive)
			if !<-first {
				t.Error("the old load has read something else")
			}
			w.is(false, 0)
		})
	}
}

// TestLateLoadIsNotKept is TestInvalidationDuringLoad without a read in between.
func TestLateLoadIsNotKept(t *testing.T) {
	t.Parallel()
	for name, tell := range map[string]func(*world){
		"a touch": func(w *world) { w.Touch(w.touchedTenant()) },
		"a flush": func(w *world) { w.Flush() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, Options{})
			held := w.inner.hold()
			first := w.later()
			old := <-held
			w.inner.free()
			w.elsewhere(w.freeze)
			tell(w)
			close(old.arrive)
			<-first
			w.is(false, 1)
		})
	}
}

// TestJoinsOnlyWhatIsNotSent: with all statements under way, whoever asks after a change waits for the next one.
func TestJoinsOnlyWhatIsNotSent(t *testing.T) {
	t.Parallel()
	for name, ctx := range map[string]context.Context{
		"a miss": t.Context(), "no-cache": registry.WithoutCache(t.Context()),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, Options{})
			held := w.inner.hold()
			var old []*statement
			for range statements {
				go w.good(registry.WithoutCache(t.Context()))
				old = append(old, <-held)
			}
			w.elsewhere(w.revoke)
			w.Touch(w.touchedKey())
			said := make(chan bool)
			const many = 20
			for range many {
				go func() { said <- w.good(registry.WithoutCache(ctx)) }()
			}
			waitFor(t, func() bool { return w.waiting() == 1 })
			w.inner.free()
			for _, st := range old {
				close(st.arrive)
			}
			for range many {
				if <-said {
					t.Fatal("an answer from before the change was given to somebody who asked after it")
				}
			}
		})
	}
}

// waiting is how many look-ups wait for a statement that is not sent.
func (w *world) waiting() int {
	b := w.keys.misses
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		return 0
	}
	return len(b.next.keys)
}

func waitFor(t *testing.T, done func() bool) {
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

// TestUnknown: that there is nobody is kept too, until there is somebody.
func TestUnknown(t *testing.T) {
	t.Parallel()
	newcomer := newTenant("newcomer")
	insert := func(tx registry.Tx) error { return tx.InsertTenant(context.Background(), newcomer) }
	for name, create := range map[string]func(*world){
		"here": func(w *world) { w.must(w.Tx(w.Context(), insert)) },
		"elsewhere": func(w *world) {
			w.elsewhere(insert)
			w.Touch(registry.Touched{Tenants: []uuid.UUID{newcomer.ID}, Slugs: []string{"newcomer"}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, Options{})
			for range 3 {
				if _, err := w.TenantBySlug(t.Context(), "newcomer"); !errors.Is(err, registry.ErrNotFound) {
					t.Fatal(err)
				}
			}
			if n := w.inner.statements.Load(); n != 1 {
				t.Errorf("three answers cost %d statements", n)
			}
			create(w)
			if _, err := w.TenantBySlug(t.Context(), "newcomer"); err != nil {
				t.Error(err)
			}
			key := newKey(w.tenant.ID)
			if _, err := w.KeyFacts(t.Context(), key.Hash, ""); !errors.Is(err, registry.ErrNotFound) {
				t.Fatal(err)
			}
			w.must(w.Tx(t.Context(), func(tx registry.Tx) error { return tx.InsertAPIKey(t.Context(), key) }))
			if _, err := w.KeyFacts(t.Context(), key.Hash, ""); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestUnknownIsBounded: however many keys and slugs are invented, what is there stays kept.
func TestUnknownIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{Keys: 10, Slugs: 10, Unknown: 20})
	w.is(true, 1)
	for range 2000 {
		if _, err := w.KeyFacts(t.Context(), newKey(uuid.Nil).Hash, ""); !errors.Is(err, registry.ErrNotFound) {
			t.Fatal(err)
		}
	}
	w.is(true, 0)
	w.keys.absent.CleanUp()
	if n := w.keys.absent.EstimatedSize(); n > 20 {
		t.Errorf("%d answers about nothing are kept", n)
	}
}

// TestLease: without one nothing is answered from what is kept. It runs from when the heartbeat was sent.
func TestLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Lease: time.Second})
		w.is(true, 1)
		w.is(true, 1)
		sent := time.Now()
		time.Sleep(300 * time.Millisecond)
		w.Renew(sent)
		w.is(true, 1)
		w.is(true, 0)
		time.Sleep(699 * time.Millisecond)
		w.Renew(sent.Add(-time.Second)) // heard late: it takes nothing back
		w.is(true, 0)
		w.elsewhere(w.revoke)
		time.Sleep(time.Millisecond)
		w.is(false, 1)
		w.is(false, 1)
		w.Renew(time.Now())
		w.Flush()
		w.is(false, 1)
		w.is(false, 0)
	})
}

// TestKeptForTenMinutes: a change that nobody tells is seen then.
func TestKeptForTenMinutes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		_, err := w.TenantBySlug(t.Context(), "nobody")
		w.is(true, 1)
		w.elsewhere(w.revoke)
		nobody := newTenant("nobody")
		w.elsewhere(func(tx registry.Tx) error { return tx.InsertTenant(t.Context(), nobody) })
		time.Sleep(keep - 1)
		w.is(true, 0)
		if _, again := w.TenantBySlug(t.Context(), "nobody"); again == nil || err == nil {
			t.Error("it was not kept")
		}
		time.Sleep(time.Nanosecond)
		w.is(false, 1)
		if _, err := w.TenantBySlug(t.Context(), "nobody"); err != nil {
			t.Error(err)
		}
	})
}

// TestStorm: a tenant with many keys is one mark, and one publication.
func TestStorm(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{})
	keys := make([]registry.APIKey, 10_000)
	for i := range keys {
		keys[i] = newKey(w.tenant.ID)
		w.elsewhere(func(tx registry.Tx) error { return tx.InsertAPIKey(t.Context(), keys[i]) })
		if _, err := w.KeyFacts(t.Context(), keys[i].Hash, ""); err != nil {
			t.Fatal(err)
		}
	}
	w.must(w.Tx(t.Context(), w.freeze))
	if n := w.inner.published.Load(); n != 1 {
		t.Errorf("%d publications", n)
	}
	if n := w.validity.clock.Load(); n > 4 {
		t.Errorf("%d invalidations", n)
	}
	for _, k := range keys {
		if f, err := w.KeyFacts(t.Context(), k.Hash, ""); err != nil || f.Tenant.Status != registry.StatusFrozen {
			t.Fatalf("a key is as before: %v", err)
		}
	}
}

// TestRefusedTextSpoilsNobody: what a store refuses is not asked together with others.
func TestRefusedTextSpoilsNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{})
	if _, err := w.KeyFacts(t.Context(), w.key.Hash, "a\x00"); err == nil {
		t.Error("a NUL was taken")
	}
	if _, err := w.TenantBySlug(t.Context(), "a\xff"); err == nil {
		t.Error("somebody has a slug that is no text")
	}
	if n := w.inner.statements.Load(); n != 0 {
		t.Errorf("it was asked with others, %d times", n)
	}
}

// TestHit_allocatesNothing: a hit costs no memory, whoever asks.
func TestHit_allocatesNothing(t *testing.T) {
	w := newWorld(t, Options{Lease: time.Hour})
	w.Renew(time.Now())
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	ask := func() {
		_, err := w.KeyFacts(ctx, w.key.Hash, "")
		w.must(err)
		_, err = w.TenantBySlug(ctx, "tenant")
		w.must(err)
	}
	ask()
	before := w.inner.statements.Load()
	if n := testing.AllocsPerRun(1000, ask); n != 0 {
		t.Errorf("two hits allocate %v times", n)
	}
	if n := w.inner.statements.Load(); n != before {
		t.Errorf("they were no hits: %d statements", n-before)
	}
}

func BenchmarkHit(b *testing.B) {
	w := newWorld(b, Options{Lease: time.Hour})
	w.Renew(time.Now())
	ctx := b.Context()
	for b.Loop() {
		if _, err := w.KeyFacts(ctx, w.key.Hash, ""); err != nil {
			b.Fatal(err)
		}
	}
}
