package cache

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// TestFailuresAreHeardByAll: an error, or a panic, of one statement is everybody's who waits for it, and nothing is kept of it.
func TestFailuresAreHeardByAll(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fail func() error
		is   func(error) bool
	}{
		"unavailable": {func() error { return registry.ErrUnavailable }, func(err error) bool { return errors.Is(err, registry.ErrUnavailable) }},
		"a panic":     {func() error { panic("in the store") }, func(err error) bool { return err != nil && strings.Contains(err.Error(), "panic") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, Options{})
			w.inner.fail = c.fail
			failed := make(chan error)
			for range 10 {
				go func() {
					_, err := w.KeyFacts(t.Context(), w.key.Hash, "")
					failed <- err
				}()
			}
			for range 10 {
				if err := <-failed; !c.is(err) {
					t.Errorf("somebody heard %v", err)
				}
			}
			w.inner.mu.Lock()
			w.inner.fail = nil
			w.inner.mu.Unlock()
			w.is(true, 1)
		})
	}
}

// TestLeavingHarmsNobody: who asked first may leave; the statement goes on for the others, and is kept.
func TestLeavingHarmsNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{})
	held := w.inner.hold()
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := w.KeyFacts(ctx, w.key.Hash, "")
		left <- err
	}()
	st := <-held
	leave()
	if err := <-left; !errors.Is(err, registry.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("who left heard %v", err)
	}
	w.inner.free()
	close(st.arrive)
	waitFor(t, func() bool { return w.keys.there.EstimatedSize() == 1 })
	w.is(true, 0)
}

// TestLoneMissGoesAtOnce: two that ask for different things do not wait for each other.
func TestLoneMissGoesAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{})
	held := w.inner.hold()
	first := w.later()
	st := <-held
	w.inner.free()
	if _, err := w.KeyFacts(t.Context(), registry.Hash{1}, ""); !errors.Is(err, registry.ErrNotFound) {
		t.Error(err)
	}
	close(st.arrive)
	<-first
}

// TestMissesAreMerged: what is asked for while statements are under way is one statement.
func TestMissesAreMerged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{})
	held := w.inner.hold()
	var old []*statement
	for i := range statements {
		go func() { _, _ = w.KeyFacts(t.Context(), registry.Hash{1, byte(i)}, "") }()
		old = append(old, <-held)
	}
	const many = 50
	heard := make(chan error)
	for i := range many {
		go func() {
			_, err := w.KeyFacts(t.Context(), registry.Hash{2, byte(i)}, "")
			heard <- err
		}()
	}
	waitFor(t, func() bool { return w.waiting() == many })
	w.inner.free()
	for _, st := range old {
		close(st.arrive)
	}
	for range many {
		if err := <-heard; !errors.Is(err, registry.ErrNotFound) {
			t.Error(err)
		}
	}
	if n := w.inner.statements.Load(); n != statements+1 {
		t.Errorf("%d misses cost %d statements", many, n-statements)
	}
}
