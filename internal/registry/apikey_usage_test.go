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

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

// usageStore is a store that records the writes of uses, and fails them while down is set.
type usageStore struct {
	registry.Store
	mu     sync.Mutex
	writes [][]registry.APIKeyUse
	down   error
}

type usageTx struct {
	registry.Tx
	s *usageStore
}

func (s *usageStore) Tx(ctx context.Context, fn func(registry.Tx) error) error {
	return s.Store.Tx(ctx, func(tx registry.Tx) error { return fn(usageTx{tx, s}) })
}

func (tx usageTx) UpdateAPIKeyUsage(ctx context.Context, uses []registry.APIKeyUse) error {
	tx.s.mu.Lock()
	defer tx.s.mu.Unlock()
	tx.s.writes = append(tx.s.writes, uses)
	if tx.s.down != nil {
		return tx.s.down
	}
	return tx.Tx.UpdateAPIKeyUsage(ctx, uses)
}

// written are the writes so far.
func (s *usageStore) written() [][]registry.APIKeyUse {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.writes)
}

func (s *usageStore) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = err
}

// usageFixture is a fixture that records uses, with a tenant.
func usageFixture(
	t *testing.T, o registry.UsageRecorderOptions,
) (*fixture, *usageStore, *registry.UsageRecorder, registry.Tenant) {
	t.Helper()
	store := &usageStore{Store: memory.New()}
	uses := registry.NewUsageRecorder(store, o)
	f := fixtureOn(t, store, func(options *registry.Options) { options.Usage = uses })
	return f, store, uses, f.tenant("acme", registry.StatusActive)
}

func (f *fixture) used(id uuid.UUID) (last, previous *time.Time) {
	f.t.Helper()
	k, err := f.s.APIKey(f.ctx, f.by, id)
	f.must(err)
	return k.LastUsedAt, k.PreviousUsedAt
}

func TestUsageRecorder_writesTheNewestUseOfEachSecret(t *testing.T) {
	t.Parallel()
	f, store, uses, acme := usageFixture(t, registry.UsageRecorderOptions{})
	one, first := f.key(registry.APIKeyInput{TenantID: acme.ID})
	rotated, second := f.rotate(one.ID, time.Hour)
	two, other := f.key(registry.APIKeyInput{TenantID: acme.ID})
	never, bad := f.key(registry.APIKeyInput{TenantID: acme.ID})
	_, err := f.s.UpdateAPIKey(f.ctx, f.by, never.ID, registry.APIKeyPatch{Disabled: registry.Set(true)})
	f.must(err)
	events := len(f.log())
	for range 50 {
		f.sleep(time.Second)
		f.verdicts([]string{other, first, bad}, "VALID current", "VALID previous", "DISABLED current")
	}
	f.sleep(time.Second)
	f.verdicts([]string{second}, "VALID current")
	if len(store.written()) != 0 {
		t.Fatalf("verify wrote %d times", len(store.written()))
	}
	f.must(uses.Flush(f.ctx))
	if len(store.written()) != 1 || len(store.written()[0]) != 3 {
		t.Fatalf("151 uses of three secrets were written as %+v", store.written())
	}
	for id, want := range map[uuid.UUID][2]*time.Time{
		one.ID: {at(51 * time.Second), at(50 * time.Second)}, two.ID: {at(50 * time.Second), nil}, never.ID: {nil, nil},
	} {
		last, previous := f.used(id)
		if !sameTime(last, want[0]) || !sameTime(previous, want[1]) {
			t.Errorf("%s was used %v and %v, want %v", id, last, previous, want)
		}
	}
	f.must(uses.Flush(f.ctx))
	k, err := f.s.APIKey(f.ctx, f.by, one.ID)
	f.must(err)
	if len(store.written()) != 1 || len(f.log()) != events || k.Version != rotated.Version ||
		!k.UpdatedAt.Equal(rotated.UpdatedAt) {
		t.Errorf(
			"after %d writes there are %d new events, and the key is %+v", len(store.written()), len(f.log())-events, k,
		)
	}
}

func sameTime(a, b *time.Time) bool { return (a == nil) == (b == nil) && (a == nil || a.Equal(*b)) }

// Uses that the store did not take are written later, or newer ones of the same secret.
func TestUsageRecorder_failedWritesAreRepeated(t *testing.T) {
	t.Parallel()
	f, store, uses, acme := usageFixture(t, registry.UsageRecorderOptions{})
	one, text := f.key(registry.APIKeyInput{TenantID: acme.ID})
	two, other := f.key(registry.APIKeyInput{TenantID: acme.ID})
	f.verdicts([]string{text, other}, "VALID current", "VALID current")
	store.fail(registry.ErrUnavailable)
	for range 3 {
		if err := uses.Flush(f.ctx); !errors.Is(err, registry.ErrUnavailable) {
			t.Fatalf("the failure is answered by %v", err)
		}
	}
	f.sleep(time.Minute)
	f.verdicts([]string{text}, "VALID current")
	store.fail(nil)
	f.must(uses.Flush(f.ctx))
	first, _ := f.used(one.ID)
	second, _ := f.used(two.ID)
	if !sameTime(first, at(time.Minute)) || !sameTime(second, at(0)) || uses.Dropped() != 0 {
		t.Errorf("used %v and %v, %d dropped", first, second, uses.Dropped())
	}
}

func TestUsageRecorder_isBounded(t *testing.T) {
	t.Parallel()
	const room, keys = 32, 200
	f, store, uses, acme := usageFixture(t, registry.UsageRecorderOptions{AtMost: room})
	var texts []string
	for range keys {
		_, text := f.key(registry.APIKeyInput{TenantID: acme.ID})
		texts = append(texts, text)
	}
	for _, text := range texts {
		f.verdict(text)
	}
	store.fail(registry.ErrUnavailable)
	_ = uses.Flush(f.ctx)
	first := len(store.written()[0])
	for _, text := range texts { // no more room than before, for what is new
		f.verdict(text)
	}
	store.fail(nil)
	f.must(uses.Flush(f.ctx))
	if second := len(store.written()[1]); first > room || second > room || first == 0 || second < first {
		t.Errorf("%d, then %d uses were recorded where there is room for %d", first, second, room)
	}
	if dropped := uses.Dropped(); dropped < 2*(keys-room)-1 || dropped > 2*keys {
		t.Errorf("%d were dropped of %d", dropped, 2*keys)
	}
}

// Run writes every 20 seconds, and Close what is left.
func TestUsageRecorder_writesEveryTwentySeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, store, uses, acme := usageFixture(t, registry.UsageRecorderOptions{})
		k, text := f.key(registry.APIKeyInput{TenantID: acme.ID})
		ctx, stop := context.WithCancel(f.ctx)
		ended := make(chan struct{})
		go func() {
			uses.Run(ctx)
			close(ended)
		}()
		f.verdict(text)
		time.Sleep(19 * time.Second)
		synctest.Wait()
		if n := len(store.written()); n != 0 {
			t.Errorf("%d writes after 19 s", n)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if last, _ := f.used(k.ID); len(store.written()) != 1 || !sameTime(last, at(0)) {
			t.Errorf("%d writes after 20 s, used %v", len(store.written()), last)
		}
		f.sleep(time.Minute)
		f.verdict(text)
		stop()
		<-ended
		if lost := uses.Close(f.ctx); lost != 0 {
			t.Errorf("%d are lost", lost)
		}
		if last, _ := f.used(k.ID); len(store.written()) != 2 || !sameTime(last, at(time.Minute)) {
			t.Errorf("%d writes in the end, used %v", len(store.written()), last)
		}
	})
}

// Close counts what the store does not take in time.
func TestUsageRecorder_closeCountsWhatIsLost(t *testing.T) {
	t.Parallel()
	f, store, uses, acme := usageFixture(t, registry.UsageRecorderOptions{})
	for range 3 {
		_, text := f.key(registry.APIKeyInput{TenantID: acme.ID})
		f.verdict(text)
	}
	store.fail(registry.ErrUnavailable)
	if lost := uses.Close(f.ctx); lost != 3 {
		t.Errorf("%d are lost, want 3", lost)
	}
	store.fail(nil) // the control
	if lost := uses.Close(f.ctx); lost != 0 {
		t.Errorf("%d are lost, want none", lost)
	}
}

// To record a use allocates nothing after the maps have grown.
func TestUsageRecorder_allocatesNothing(t *testing.T) {
	f, _, _, acme := usageFixture(t, registry.UsageRecorderOptions{})
	k, text := f.key(registry.APIKeyInput{TenantID: acme.ID})
	hash, _ := apikey.Parse(text)
	uses := registry.NewUsageRecorder(f.store, registry.UsageRecorderOptions{})
	now := noon
	if n := testing.AllocsPerRun(1000, func() {
		now = now.Add(2 * time.Second)
		registry.RecordUse(uses, k.ID, hash, now)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkUsageRecorder_record(b *testing.B) {
	uses := registry.NewUsageRecorder(memory.New(), registry.UsageRecorderOptions{})
	id, hash, now := uuid.New(), apikey.Hash{1}, time.Now()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			registry.RecordUse(uses, id, hash, now)
		}
	})
}
