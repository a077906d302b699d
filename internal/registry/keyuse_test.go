package registry_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

// touched is a store that counts the writes of uses, and fails them while down is set.
type touched struct {
	registry.Store
	mu     sync.Mutex
	writes [][]registry.KeyUse
	down   error
}

type touchedTx struct {
	registry.Tx
	s *touched
}

func (s *touched) Tx(ctx context.Context, fn func(registry.Tx) error) error {
	return s.Store.Tx(ctx, func(tx registry.Tx) error { return fn(touchedTx{tx, s}) })
}

func (tx touchedTx) TouchAPIKeys(ctx context.Context, uses []registry.KeyUse) error {
	tx.s.mu.Lock()
	defer tx.s.mu.Unlock()
	tx.s.writes = append(tx.s.writes, uses)
	if tx.s.down != nil {
		return tx.s.down
	}
	return tx.Tx.TouchAPIKeys(ctx, uses)
}

// written are the writes so far.
func (s *touched) written() [][]registry.KeyUse {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.writes)
}

func (s *touched) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = err
}

// usedWorld is a world that notes uses, with a tenant.
func usedWorld(t *testing.T, o registry.KeyUsesOptions) (*world, *touched, *registry.KeyUses, registry.Tenant) {
	t.Helper()
	store := &touched{Store: memory.New()}
	uses := registry.NewKeyUses(store, o)
	w := worldOn(t, store, func(options *registry.Options) { options.Uses = uses })
	return w, store, uses, w.tenant("acme", registry.StatusActive)
}

func (w *world) used(id uuid.UUID) (last, previous *time.Time) {
	w.t.Helper()
	k, err := w.s.APIKey(w.ctx, w.by, id)
	w.must(err)
	return k.LastUsedAt, k.PreviousUsedAt
}

func TestKeyUses_batched(t *testing.T) {
	t.Parallel()
	w, store, uses, acme := usedWorld(t, registry.KeyUsesOptions{})
	one, first := w.key(registry.NewAPIKey{TenantID: acme.ID})
	rotated, second := w.rotate(one.ID, time.Hour)
	two, other := w.key(registry.NewAPIKey{TenantID: acme.ID})
	never, bad := w.key(registry.NewAPIKey{TenantID: acme.ID})
	_, err := w.s.UpdateAPIKey(w.ctx, w.by, never.ID, registry.KeyChange{Disabled: new(true)})
	w.must(err)
	events := len(w.log())
	for range 50 {
		w.sleep(time.Second)
		w.verdicts([]string{other, first, bad}, "VALID current", "VALID previous", "DISABLED current")
	}
	w.sleep(time.Second)
	w.verdicts([]string{second}, "VALID current")
	if len(store.written()) != 0 {
		t.Fatalf("verify wrote %d times", len(store.written()))
	}
	w.must(uses.Flush(w.ctx))
	if len(store.written()) != 1 || len(store.written()[0]) != 3 {
		t.Fatalf("151 uses of three secrets were written as %+v", store.written())
	}
	for id, want := range map[uuid.UUID][2]*time.Time{
		one.ID: {at(51 * time.Second), at(50 * time.Second)}, two.ID: {at(50 * time.Second), nil}, never.ID: {nil, nil},
	} {
		last, previous := w.used(id)
		if !sameTime(last, want[0]) || !sameTime(previous, want[1]) {
			t.Errorf("%s was used %v and %v, want %v", id, last, previous, want)
		}
	}
	w.must(uses.Flush(w.ctx))
	k, err := w.s.APIKey(w.ctx, w.by, one.ID)
	w.must(err)
	if len(store.written()) != 1 || len(w.log()) != events || k.Version != rotated.Version || !k.UpdatedAt.Equal(rotated.UpdatedAt) {
		t.Errorf("after %d writes there are %d new events, and the key is %+v", len(store.written()), len(w.log())-events, k)
	}
}

func sameTime(a, b *time.Time) bool { return (a == nil) == (b == nil) && (a == nil || a.Equal(*b)) }

// What the store does not take is written later, unless something newer is.
func TestKeyUses_storeFails(t *testing.T) {
	t.Parallel()
	w, store, uses, acme := usedWorld(t, registry.KeyUsesOptions{})
	one, text := w.key(registry.NewAPIKey{TenantID: acme.ID})
	two, other := w.key(registry.NewAPIKey{TenantID: acme.ID})
	w.verdicts([]string{text, other}, "VALID current", "VALID current")
	store.fail(registry.ErrUnavailable)
	for range 3 {
		if err := uses.Flush(w.ctx); !errors.Is(err, registry.ErrUnavailable) {
			t.Fatalf("the failure is answered by %v", err)
		}
	}
	w.sleep(time.Minute)
	w.verdicts([]string{text}, "VALID current")
	store.fail(nil)
	w.must(uses.Flush(w.ctx))
	first, _ := w.used(one.ID)
	second, _ := w.used(two.ID)
	if !sameTime(first, at(time.Minute)) || !sameTime(second, at(0)) || uses.Dropped() != 0 {
		t.Errorf("used %v and %v, %d dropped", first, second, uses.Dropped())
	}
}

func TestKeyUses_bounded(t *testing.T) {
	t.Parallel()
	const room, keys = 32, 200
	w, store, uses, acme := usedWorld(t, registry.KeyUsesOptions{AtMost: room})
	var texts []string
	for range keys {
		_, text := w.key(registry.NewAPIKey{TenantID: acme.ID})
		texts = append(texts, text)
	}
	for _, text := range texts {
		w.verdict(text)
	}
	store.fail(registry.ErrUnavailable)
	_ = uses.Flush(w.ctx)
	kept := len(store.written()[0])
	for _, text := range texts { // no more room than before, for what is new
		w.verdict(text)
	}
	store.fail(nil)
	w.must(uses.Flush(w.ctx))
	if again := len(store.written()[1]); kept > room || again > room || kept == 0 || again < kept {
		t.Errorf("%d, then %d were kept where there is room for %d", kept, again, room)
	}
	if dropped := uses.Dropped(); dropped < 2*(keys-room)-1 || dropped > 2*keys {
		t.Errorf("%d were dropped of %d", dropped, 2*keys)
	}
}

// Run writes every 20 seconds, and once more when it ends.
func TestKeyUses_run(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, store, uses, acme := usedWorld(t, registry.KeyUsesOptions{})
		k, text := w.key(registry.NewAPIKey{TenantID: acme.ID})
		ctx, stop := context.WithCancel(w.ctx)
		ended := make(chan struct{})
		go func() {
			uses.Run(ctx)
			close(ended)
		}()
		w.verdict(text)
		time.Sleep(19 * time.Second)
		synctest.Wait()
		if n := len(store.written()); n != 0 {
			t.Errorf("%d writes after 19 s", n)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if last, _ := w.used(k.ID); len(store.written()) != 1 || !sameTime(last, at(0)) {
			t.Errorf("%d writes after 20 s, used %v", len(store.written()), last)
		}
		w.sleep(time.Minute)
		w.verdict(text)
		stop()
		<-ended
		if last, _ := w.used(k.ID); len(store.written()) != 2 || !sameTime(last, at(time.Minute)) {
			t.Errorf("%d writes in the end, used %v", len(store.written()), last)
		}
	})
}

// To note a use allocates nothing, once the tables have grown.
func TestKeyUses_costsNoAllocation(t *testing.T) {
	w, _, _, acme := usedWorld(t, registry.KeyUsesOptions{})
	k, text := w.key(registry.NewAPIKey{TenantID: acme.ID})
	hash, _ := registry.ParseKey(text)
	uses := registry.NewKeyUses(w.store, registry.KeyUsesOptions{})
	now := noon
	if n := testing.AllocsPerRun(1000, func() {
		now = now.Add(2 * time.Second)
		registry.NoteUse(uses, k.ID, hash, now)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkKeyUses_note(b *testing.B) {
	uses := registry.NewKeyUses(memory.New(), registry.KeyUsesOptions{})
	id, hash, now := uuid.New(), registry.Hash{1}, time.Now()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			registry.NoteUse(uses, id, hash, now)
		}
	})
}
