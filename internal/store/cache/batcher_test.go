package cache

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// TestBatcher_failures: an error, or a panic, of one statement is the answer of all its callers, and is not cached.
func TestBatcher_failures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fail func() error
		is   func(error) bool
	}{
		"unavailable": {
			func() error { return registry.ErrUnavailable },
			func(err error) bool { return errors.Is(err, registry.ErrUnavailable) },
		},
		"a panic": {
			func() error { panic("in the store") },
			func(err error) bool { return err != nil && strings.Contains(err.Error(), "panic") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, Options{})
			f.failWith(c.fail)
			failed := make(chan error)
			for range 10 {
				go func() {
					_, err := f.lookup(f.key.Hash)
					failed <- err
				}()
			}
			for range 10 {
				if err := <-failed; !c.is(err) {
					t.Errorf("a caller got %v", err)
				}
			}
			f.failWith(nil)
			f.wantGood(true, 1)
		})
	}
}

// TestBatcher_oneKeyFails: a key that cannot be read fails alone. The control is that all were asked for together.
func TestBatcher_oneKeyFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("the row cannot be read")
	began, answer := make(chan struct{}, 10), make(chan struct{})
	together := 0
	b := &batcher[string, int]{limit: 1, load: func(_ context.Context, keys []string) (map[string]int, error) {
		began <- struct{}{}
		<-answer
		together = max(together, len(keys))
		found := map[string]int{}
		for _, key := range keys {
			if key == "broken" {
				return nil, broken
			}
			if key != "unknown" {
				found[key] = len(key)
			}
		}
		return found, nil
	}}
	got := map[string]chan error{}
	ask := func(key string) {
		got[key] = make(chan error, 1)
		go func(to chan error) {
			value, err := b.get(t.Context(), key)
			if err == nil && value != len(key) {
				err = fmt.Errorf("the value is %d", value)
			}
			to <- err
		}(got[key])
	}
	ask("first")
	<-began
	for _, key := range []string{"broken", "good", "unknown"} {
		ask(key)
	}
	testkit.Eventually(t, "the others wait for the next call", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.next != nil && len(b.next.keys) == 3
	})
	close(answer)
	for key, want := range map[string]error{
		"first": nil, "good": nil, "unknown": registry.ErrNotFound, "broken": broken,
	} {
		if err := <-got[key]; !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", key, err, want)
		}
	}
	if together != 3 {
		t.Errorf("%d keys were asked for together, want 3", together)
	}
}

// TestBatcher_firstCallerLeaves: the statement goes on for the other callers, and is cached.
func TestBatcher_firstCallerLeaves(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	held := f.hold()
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := f.KeyFacts(ctx, registry.KeyLookup{Hash: f.key.Hash}, registry.ReadOptions{})
		left <- err
	}()
	st := <-held
	leave()
	if err := <-left; !errors.Is(err, registry.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("the caller that left got %v", err)
	}
	f.free()
	close(st.arrive)
	eventually(t, func() bool { return f.keys.found.EstimatedSize() == 1 })
	f.wantGood(true, 0)
}

// TestBatcher_singleQuestion: two callers that ask for different things do not wait for each other.
func TestBatcher_singleQuestion(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	held := f.hold()
	first := f.inBackground(registry.ReadOptions{})
	st := <-held
	f.free()
	if _, err := f.lookup(apikey.Hash{1}); !errors.Is(err, registry.ErrNotFound) {
		t.Error(err)
	}
	close(st.arrive)
	<-first
}

// TestBatcher_merges: what is asked for while statements are under way is one statement.
func TestBatcher_merges(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	const many = 50
	answers := make(chan error, maxStatements+many)
	ask := func(hash apikey.Hash) {
		_, err := f.lookup(hash)
		answers <- err
	}
	held := f.hold()
	var old []*statement
	for i := range maxStatements {
		go ask(apikey.Hash{1, byte(i)})
		old = append(old, <-held)
	}
	for i := range many {
		go ask(apikey.Hash{2, byte(i)})
	}
	eventually(t, func() bool { return f.pending() == many })
	f.free()
	for _, st := range old {
		close(st.arrive)
	}
	for range maxStatements + many {
		if err := <-answers; !errors.Is(err, registry.ErrNotFound) {
			t.Error(err)
		}
	}
	if n := f.sent.Load(); n != maxStatements+1 {
		t.Errorf("%d misses cost %d statements", many, n-maxStatements)
	}
}

// TestBatcher_joinsOnlyWhatIsNotSent: with all statements under way, a caller that asks after a change waits for the
// next one.
func TestBatcher_joinsOnlyWhatIsNotSent(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]registry.ReadOptions{"a miss": {}, "fresh": fresh} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, Options{})
			held := f.hold()
			var sent []*statement
			var before, after []chan bool
			for range maxStatements {
				before = append(before, f.inBackground(fresh))
				sent = append(sent, <-held)
			}
			f.writeElsewhere(f.revoke)
			f.Invalidate(f.keyInvalidation())
			for range 20 {
				after = append(after, f.inBackground(o))
			}
			eventually(t, func() bool { return f.pending() == 1 })
			f.free()
			for _, st := range sent {
				close(st.arrive)
			}
			for _, answer := range before {
				<-answer // of before the change or after it, and in any case before the test ends
			}
			for _, answer := range after {
				if <-answer {
					t.Error("a caller that asked after the change got an answer from before it")
				}
			}
		})
	}
}

// TestBatcher_textThatStoresRefuse: what a store refuses is not asked together with others.
func TestBatcher_textThatStoresRefuse(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	var batched int64
	f.keys.misses.load = func(context.Context, []registry.KeyLookup) (map[registry.KeyLookup]registry.KeyFacts, error) {
		batched++
		return nil, nil
	}
	f.slugs.misses.load = func(context.Context, []string) (map[string]registry.Tenant, error) {
		batched++
		return nil, nil
	}
	l := registry.KeyLookup{Hash: f.key.Hash, Product: "a\x00"}
	if _, err := f.KeyFacts(t.Context(), l, registry.ReadOptions{}); err == nil {
		t.Error("a NUL was accepted")
	}
	if _, err := f.slug("a\xff"); err == nil {
		t.Error("a tenant has a slug that is no text")
	}
	if batched != 0 {
		t.Errorf("it was asked with others, %d times", batched)
	}
}
