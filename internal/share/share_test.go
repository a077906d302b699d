package share

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func refused(t *testing.T, err error) *Refusal {
	t.Helper()
	var r *Refusal
	if !errors.As(err, &r) {
		t.Fatalf("got %v, want a refusal", err)
	}
	return r
}

// TestShare_caps: each cap refuses what goes beyond it and nothing else, and a release makes room again.
func TestShare_caps(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		caps   Caps
		second Holder
		level  Level // that refuses the second; empty: none does
	}{
		"caller":       {Caps{Caller: 1}, Holder{"a", "x"}, Caller},
		"other caller": {Caps{Caller: 1}, Holder{"b", "x"}, ""},
		"tenant":       {Caps{Tenant: 1}, Holder{"b", "x"}, Tenant},
		"other tenant": {Caps{Tenant: 1}, Holder{"a", "y"}, ""},
		"no tenant":    {Caps{Tenant: 1}, Holder{"b", ""}, ""},
		"all":          {Caps{Total: 1}, Holder{"b", "y"}, All},
		"no cap":       {Caps{}, Holder{"a", "x"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := New("exports", c.caps)
			release, err := s.Take(Holder{"a", "x"}, 1)
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Take(c.second, 1)
			if c.level == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			r := refused(t, err)
			if r.Level != c.level || r.Share != "exports" || r.Cap != 1 || r.RetryAfter < time.Second {
				t.Errorf("refused by %+v, want the level %s", r, c.level)
			}
			release()
			release() // a second time gives nothing back
			if _, err := s.Take(c.second, 1); err != nil {
				t.Errorf("after the release: %v", err)
			}
			if s.InUse() != 1 || s.Refused() != 1 {
				t.Errorf("in use %d, refused %d, want 1 and 1", s.InUse(), s.Refused())
			}
		})
	}
}

// TestShare_weight: what is heavier than a cap is taken alone, and nothing beside it.
func TestShare_weight(t *testing.T) {
	t.Parallel()
	s := New("bytes", Caps{Caller: 10})
	release, err := s.Take(Holder{Caller: "a"}, 25)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Take(Holder{Caller: "a"}, 1)
	refused(t, err)
	release()
	if _, err := s.Take(Holder{Caller: "a"}, 10); err != nil {
		t.Error(err)
	}
}

// TestShare_retryAfter: of what is held it is how long it is held on average; of a rate, when there is room, and then
// there is, and not before.
func TestShare_retryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New("long polls", Caps{Caller: 1})
		for range 100 {
			release, _ := s.Take(Holder{Caller: "a"}, 1)
			time.Sleep(20 * time.Second)
			release()
		}
		_, _ = s.Take(Holder{Caller: "a"}, 1)
		_, err := s.Take(Holder{Caller: "a"}, 1)
		if r := refused(t, err); r.RetryAfter < 19*time.Second || r.RetryAfter > 20*time.Second {
			t.Errorf("Retry-After is %v, want about 20 s", r.RetryAfter)
		}

		rate := NewRate("events", Caps{Caller: 100}, 10*time.Second)
		_, _ = rate.Take(Holder{Caller: "a"}, 100)
		_, err = rate.Take(Holder{Caller: "a"}, 50)
		wait := refused(t, err).RetryAfter
		if wait != 5*time.Second {
			t.Errorf("Retry-After is %v, want 5s", wait)
		}
		time.Sleep(wait - time.Millisecond)
		_, err = rate.Take(Holder{Caller: "a"}, 50)
		refused(t, err)
		time.Sleep(time.Millisecond)
		if _, err := rate.Take(Holder{Caller: "a"}, 50); err != nil {
			t.Error(err)
		}
	})
}

// TestShare_charge: what turns out to cost more than was taken is owed, and refused until it has returned.
func TestShare_charge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rate := NewRate("rows", Caps{Tenant: 1000}, time.Second)
		who := Holder{"a", "x"}
		_, _ = rate.Take(who, 1)
		rate.Charge(who, 10_000)
		_, err := rate.Take(Holder{"b", "x"}, 1)
		if wait := refused(t, err).RetryAfter; wait < 9*time.Second || wait > 10*time.Second {
			t.Errorf("Retry-After is %v, want 9 s and a little", wait)
		}
		if _, err := rate.Take(Holder{"a", "y"}, 1); err != nil {
			t.Errorf("another tenant: %v", err)
		}
		time.Sleep(10 * time.Second)
		if _, err := rate.Take(who, 1); err != nil {
			t.Error(err)
		}
	})
}

// TestShare_forgets: a share remembers those that have something, and no others.
func TestShare_forgets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, rate := New("held", Caps{2, 2, 0}), NewRate("rate", Caps{2, 2, 0}, time.Second)
		for i := range 50_000 {
			who := Holder{fmt.Sprint("caller ", i), fmt.Sprint("tenant ", i)}
			release, err := s.Take(who, 1)
			if err != nil {
				t.Fatal(err)
			}
			release()
			if _, err := rate.Take(who, 1); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if n := len(s.callers.byName) + len(s.tenants.byName); n != 0 {
			t.Errorf("%d accounts are left of what is released", n)
		}
		if n := len(rate.callers.byName); n > 2*firstSweep {
			t.Errorf("%d accounts are left of a rate", n)
		}
	})
}

// TestShare_concurrent: what is held never exceeds a cap, however many take and release at the same time.
func TestShare_concurrent(t *testing.T) {
	t.Parallel()
	s := New("exports", Caps{Caller: 2, Total: 5})
	var held, taken atomic.Int64
	var all sync.WaitGroup
	for i := range 16 {
		who := Holder{Caller: fmt.Sprint(i % 4)}
		all.Go(func() {
			for range 2000 {
				release, err := s.Take(who, 1)
				if err != nil {
					continue
				}
				if n := held.Add(1); n > 5 {
					t.Errorf("%d are held", n)
				}
				taken.Add(1)
				held.Add(-1)
				release()
			}
		})
	}
	all.Wait()
	if s.InUse() != 0 || taken.Load() == 0 {
		t.Errorf("in use %d after all was released, taken %d", s.InUse(), taken.Load())
	}
}

func TestShare_nil(t *testing.T) {
	t.Parallel()
	var s *Share
	release, err := s.Take(Holder{"a", "x"}, 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	release()
	s.Charge(Holder{}, 1)
}

func TestParseCaps(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Caps{"2/4/8": {2, 4, 8}, "0/0/0": {}, "0/0/1024": {Total: 1024}} {
		if got, err := ParseCaps(text); err != nil || got != want || got.String() != text {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "2", "2/4", "2/4/8/16", "2/-1/8", "a/b/c", "2/4/", "2 / 4 / 8", "1.5/2/3"} {
		if got, err := ParseCaps(text); err == nil {
			t.Errorf("%q is %v, want an error", text, got)
		}
	}
}

// TestTurns: those of one name go on one after the other, in the order in which they came; another name waits for none.
func TestTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var turns Turns
		first, err := turns.Wait(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		var order []int
		for i := range 3 {
			go func() {
				done, err := turns.Wait(t.Context(), "x")
				if err != nil {
					t.Error(err)
				}
				order = append(order, i)
				done()
			}()
			synctest.Wait()
		}
		other, err := turns.Wait(t.Context(), "y")
		if err != nil {
			t.Fatal(err)
		}
		other()
		ctx, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		if _, err := turns.Wait(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who waits too long gets %v", err)
		}
		if len(order) != 0 {
			t.Errorf("%v went on while another had its turn", order)
		}
		first()
		synctest.Wait()
		if fmt.Sprint(order) != "[0 1 2]" {
			t.Errorf("the order is %v", order)
		}
		if len(turns.queues) != 0 {
			t.Errorf("%d names are left", len(turns.queues))
		}
	})
}

// TestTurns_leaving: one that gives up at the instant of its turn passes it on.
func TestTurns_leaving(t *testing.T) {
	t.Parallel()
	var turns Turns
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 500 {
				ctx, leave := context.WithCancel(t.Context())
				if (i+j)%2 == 0 {
					go leave()
				}
				if done, err := turns.Wait(ctx, "x"); err == nil {
					done()
				}
				leave()
			}
		})
	}
	all.Wait()
	done, err := turns.Wait(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	done()
	if len(turns.queues) != 0 {
		t.Error("a turn was never ended")
	}
}
