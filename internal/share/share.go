// Package share divides what all callers use together, so that the greed of one is not the outage of another. It knows
// nothing of HTTP and nothing of tenants but their names.
//
// A Share has a cap for each caller, for each tenant and for all together. What goes beyond a cap is refused at once,
// never queued. There are two kinds. Of a share that is held, such as the exports that run, what was taken returns when
// it is released. Of a rate, such as events a second, it returns with time. Turns is the one thing that waits: those
// that would wait for the same tenant's lock anyway do so in turn, each tenant for itself.
package share

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Caps bound what is taken of a share: at the same time, or of a rate within its period. 0: no cap.
type Caps struct{ Caller, Tenant, Total int64 }

// String is the caps as ParseCaps reads them.
func (c Caps) String() string { return fmt.Sprintf("%d/%d/%d", c.Caller, c.Tenant, c.Total) }

// ParseCaps reads "caller/tenant/all", three whole numbers of at least 0.
func ParseCaps(text string) (Caps, error) {
	var c Caps
	parts := strings.Split(text, "/")
	into := []*int64{&c.Caller, &c.Tenant, &c.Total}
	if len(parts) != len(into) {
		return Caps{}, fmt.Errorf("must be three numbers, caller/tenant/all")
	}
	for i, part := range parts {
		n, err := strconv.ParseInt(part, 10, 64)
		if err != nil || n < 0 {
			return Caps{}, fmt.Errorf("must be three numbers of at least 0, caller/tenant/all")
		}
		*into[i] = n
	}
	return c, nil
}

// Holder is who takes of a share. An empty name is counted by no cap of its kind.
type Holder struct{ Caller, Tenant string }

// Level says whose cap a Refusal is about.
type Level string

// The levels, in the order in which they are checked.
const (
	Caller Level = "caller"
	Tenant Level = "tenant"
	All    Level = "all callers"
)

// Refusal is the error of Take. Nothing was taken.
type Refusal struct {
	Share string
	Level Level
	Cap   int64
	// RetryAfter is when there is room again: of a rate exactly, unless others take it first; of what is held, as long
	// as it was held on average.
	RetryAfter time.Duration
}

// Error names the share and the cap.
func (r *Refusal) Error() string {
	return fmt.Sprintf("share %s: the cap of %d for %s is reached", r.Share, r.Cap, r.Level)
}

// Share is one shared resource. It is safe for concurrent use. A nil Share has no caps.
type Share struct {
	name   string
	caps   Caps
	period time.Duration // of a rate; 0: what is taken is held until it is released
	now    func() time.Time

	mu               sync.Mutex
	total            account
	callers, tenants accounts
	held             time.Duration // how long what was released had been held, on average
	refused          int64
}

// New makes a Share of which what is taken is held until it is released.
func New(name string, caps Caps) *Share {
	return &Share{name: name, caps: caps, now: time.Now, callers: newAccounts(), tenants: newAccounts()}
}

// NewRate makes a Share of which what is taken returns evenly: a whole cap within the period.
func NewRate(name string, caps Caps, period time.Duration) *Share {
	s := New(name, caps)
	s.period = period
	return s
}

// Take takes a weight, or refuses at once with a *Refusal. release gives back what is held, at its first call; of a
// rate it does nothing. A weight over a cap is taken if nothing else is, so that no cap shuts a request out.
func (s *Share) Take(h Holder, weight int64) (release func(), err error) {
	if s == nil {
		return func() {}, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	accounts := s.accountsOf(h, now)
	for _, a := range accounts {
		if refusal := s.refusal(a, weight); refusal != nil {
			s.refused++
			return nil, refusal
		}
	}
	s.add(accounts, weight)
	if s.period > 0 {
		return func() {}, nil
	}
	return s.releaser(h, weight, now), nil
}

// Charge takes of a rate what Take could not know yet. It refuses nothing: who is over a cap afterwards is refused
// until that has returned. A negative weight gives back what turned out not to be needed.
func (s *Share) Charge(h Holder, weight int64) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(s.accountsOf(h, s.now()), weight)
}

// Name is what refusals call it.
func (s *Share) Name() string { return s.name }

// InUse is the weight that is taken now.
func (s *Share) InUse() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(s.total.at(s.now(), s.caps.Total, s.period))
}

// Refused is how often Take has refused.
func (s *Share) Refused() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused
}

// capped is an account with its cap, as of now.
type capped struct {
	*account
	level Level
	cap   int64
}

// accountsOf are the accounts that count for a holder, brought up to now. It needs the lock.
func (s *Share) accountsOf(h Holder, now time.Time) []capped {
	all := make([]capped, 0, 3)
	for _, of := range []struct {
		in    *accounts
		name  string
		level Level
		cap   int64
	}{{&s.callers, h.Caller, Caller, s.caps.Caller}, {&s.tenants, h.Tenant, Tenant, s.caps.Tenant}} {
		if of.name != "" && of.cap > 0 {
			all = append(all, capped{of.in.get(of.name, now, of.cap, s.period), of.level, of.cap})
		}
	}
	s.total.at(now, s.caps.Total, s.period)
	return append(all, capped{&s.total, All, s.caps.Total})
}

func (s *Share) refusal(a capped, weight int64) *Refusal {
	over := a.taken + float64(weight) - float64(a.cap)
	if a.cap == 0 || over <= 0 || a.taken <= 0 {
		return nil
	}
	r := &Refusal{Share: s.name, Level: a.level, Cap: a.cap, RetryAfter: s.held}
	if s.period > 0 {
		r.RetryAfter = time.Duration(min(over, a.taken) / float64(a.cap) * float64(s.period))
	}
	r.RetryAfter = max(r.RetryAfter, time.Second)
	return r
}

func (s *Share) add(to []capped, weight int64) {
	for _, a := range to {
		a.taken += float64(weight)
	}
}

// releaser gives a weight back one time, and notes how long it was held.
func (s *Share) releaser(h Holder, weight int64, since time.Time) func() {
	released := false
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if released {
			return
		}
		released = true
		now := s.now()
		s.add(s.accountsOf(h, now), -weight)
		s.callers.drop(h.Caller)
		s.tenants.drop(h.Tenant)
		const weightOfLast = 8 // in the average: 1/8
		s.held += (now.Sub(since) - s.held) / weightOfLast
	}
}
