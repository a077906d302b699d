package server

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

type named struct{}

func newDeadline(parent context.Context, in time.Duration) *deadline {
	return &deadline{Context: context.WithValue(parent, named{}, "value"), at: time.Now().Add(in)}
}

// ends asserts that a context has ended, by this error.
func ends(t *testing.T, what string, ctx context.Context, want error) {
	t.Helper()
	select {
	case <-ctx.Done():
	default:
		t.Errorf("%s: it is not done", what)
	}
	if got := ctx.Err(); !errors.Is(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// TestDeadline compares it with what context.WithTimeout makes, in every way in which one ends.
func TestDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for what, c := range map[string]struct {
			do   func(leave context.CancelFunc, d *deadline)
			want error
		}{
			"nothing":      {func(context.CancelFunc, *deadline) {}, nil},
			"its time":     {func(context.CancelFunc, *deadline) { time.Sleep(time.Second) }, context.DeadlineExceeded},
			"its parent's": {func(leave context.CancelFunc, _ *deadline) { leave() }, context.Canceled},
			"stop":         {func(_ context.CancelFunc, d *deadline) { d.stop() }, context.Canceled},
		} {
			for _, waited := range []bool{false, true} {
				parent, leave := context.WithCancel(t.Context())
				d := newDeadline(parent, time.Second)
				var child context.Context = d
				if waited {
					var cancel context.CancelFunc
					child, cancel = context.WithCancel(d)
					defer cancel()
				}
				c.do(leave, d)
				synctest.Wait()
				if got := d.Err(); !errors.Is(got, c.want) {
					t.Errorf("after %s, waited for %t: %v", what, waited, got)
				}
				if c.want != nil {
					ends(t, what, d, c.want)
					ends(t, what+", of its child", child, c.want)
				}
				if d.Value(named{}) != "value" || child.Value(named{}) != "value" {
					t.Errorf("after %s a value is lost", what)
				}
				d.stop()
				leave()
			}
		}
	})
}

func TestDeadline_isTheEarlierOne(t *testing.T) {
	t.Parallel()
	parent, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	early, _ := parent.Deadline()
	if at, ok := newDeadline(parent, time.Hour).Deadline(); !ok || !at.Equal(early) {
		t.Errorf("it ends at %v, %t, and its parent at %v", at, ok, early)
	}
	d := newDeadline(parent, time.Second)
	if at, ok := d.Deadline(); !ok || !at.Equal(d.at) {
		t.Errorf("it ends at %v, %t, want %v", at, ok, d.at)
	}
}

// TestDeadline_startsNothingUnlessWaitedFor: for an answer that is at hand there is no timer.
func TestDeadline_startsNothingUnlessWaitedFor(t *testing.T) {
	t.Parallel()
	d := newDeadline(t.Context(), time.Hour)
	if d.Err() != nil || d.Value(named{}) != "value" || d.begun.Load() != nil {
		t.Errorf("%v, and begun %v", d.Err(), d.begun.Load())
	}
	if child := context.WithoutCancel(d); child.Done() != nil || d.begun.Load() != nil {
		t.Error("what outlives it started its timer")
	}
	done := make(chan (<-chan struct{}))
	for range 8 {
		go func() { done <- d.Done() }()
	}
	first := <-done
	for range 7 {
		if <-done != first {
			t.Error("two who wait wait for two things")
		}
	}
	d.stop()
	ends(t, "stop", d, context.Canceled)
}
