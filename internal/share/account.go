package share

import "time"

// account is what one name has taken.
type account struct {
	taken float64
	when  time.Time // of a rate: as of when
}

// at brings the account up to now and returns what is taken: of a rate the cap returns within the period.
func (a *account) at(now time.Time, limit int64, period time.Duration) float64 {
	switch {
	case period > 0 && limit == 0: // without a cap nothing is counted
		a.taken = 0
	case period > 0:
		returned := float64(limit) * float64(now.Sub(a.when)) / float64(period)
		a.taken, a.when = max(0, a.taken-max(0, returned)), now
	}
	return a.taken
}

// accounts are those of callers, or of tenants, that have taken anything: an account at zero is forgotten, so that
// there are no more than what is held, or has not returned.
type accounts struct {
	byName map[string]*account
	sweep  int // at so many, those at zero are looked for
}

const firstSweep = 1024

func newAccounts() accounts { return accounts{byName: map[string]*account{}, sweep: firstSweep} }

func (all *accounts) get(name string, now time.Time, limit int64, period time.Duration) *account {
	a := all.byName[name]
	if a == nil {
		all.forget(now, limit, period)
		a = &account{when: now}
		all.byName[name] = a
	}
	a.at(now, limit, period)
	return a
}

// drop forgets an account at zero.
func (all *accounts) drop(name string) {
	if a := all.byName[name]; a != nil && a.taken <= 0 {
		delete(all.byName, name)
	}
}

// forget looks for accounts at zero each time that their number has doubled.
func (all *accounts) forget(now time.Time, limit int64, period time.Duration) {
	if len(all.byName) < all.sweep {
		return
	}
	for name, a := range all.byName {
		if a.at(now, limit, period) <= 0 {
			delete(all.byName, name)
		}
	}
	all.sweep = max(firstSweep, 2*len(all.byName))
}
