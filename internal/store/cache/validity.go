package cache

import (
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/breakpilot/tenant-registry/internal/apikey"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// slot is where the version of a thing is. Things share slots; each process distributes them its own way.
type slot uint16

// dependencies are the slots of what an answer depends on; one that is not needed repeats another.
type dependencies [4]slot

const (
	slots = 1 << 16
	// pendingChange is what a version has for each change that is under way: more than the clock ever reads.
	pendingChange = 1 << 48
)

// validityStamp is what decides for how long an entry may be answered.
type validityStamp struct {
	at           uint64        // the clock before the statement was sent
	until        time.Duration // since the validity began
	dependencies dependencies
}

// validity decides whether an entry may be answered.
type validity struct {
	off     bool
	lease   time.Duration // 0: permanent
	timeout time.Duration // of a wait for the store
	began   time.Time
	seed    maphash.Seed

	leaseEnd atomic.Int64 // since began
	clock    atomic.Uint64
	floor    atomic.Uint64 // the version of everything

	mu       sync.Mutex // guards writes of versions
	versions [slots]atomic.Uint64
}

func newValidity(o Options) *validity {
	v := &validity{off: o.Off, lease: o.Lease, timeout: o.Timeout, began: time.Now(), seed: maphash.MakeSeed()}
	if o.Lease == 0 {
		v.leaseEnd.Store(math.MaxInt64)
	}
	return v
}

// now is on the monotonic clock.
func (v *validity) now() time.Duration { return time.Since(v.began) }

func (v *validity) leaseValid(now time.Duration) bool {
	return !v.off && int64(now) < v.leaseEnd.Load()
}

func (v *validity) valid(s *validityStamp, now time.Duration) bool {
	return now < s.until && s.at >= v.floor.Load() &&
		s.at >= v.versions[s.dependencies[0]].Load() && s.at >= v.versions[s.dependencies[1]].Load() &&
		s.at >= v.versions[s.dependencies[2]].Load() && s.at >= v.versions[s.dependencies[3]].Load()
}

// renew never shortens the lease.
func (v *validity) renew(sent time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if until := int64(sent.Sub(v.began) + v.lease); v.lease > 0 && until > v.leaseEnd.Load() {
		v.leaseEnd.Store(until)
	}
}

func (v *validity) flush() { v.invalidate(changes{all: true}) }

// changes are what a change may have altered.
type changes struct {
	all   bool // everything
	slots []slot
}

// invalidate makes everything that was asked for until now, and depends on one of these, invalid.
func (v *validity) invalidate(c changes) { v.bump(c, 0) }

// hold is invalidate, and nothing that depends on one of these is valid until release.
func (v *validity) hold(c changes) { v.bump(c, 1) }

// release ends a hold of the same changes; what was asked for meanwhile is invalid, too.
func (v *validity) release(c changes) { v.bump(c, -1) }

func (v *validity) bump(c changes, pending int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	clock := v.clock.Add(1)
	set := func(version *atomic.Uint64) {
		underWay := int64(version.Load()/pendingChange) + pending
		version.Store(uint64(underWay)*pendingChange + clock)
	}
	if c.all {
		set(&v.floor)
	}
	for _, at := range c.slots {
		set(&v.versions[at])
	}
}

// changesOf are the slots of what an invalidation names.
func (v *validity) changesOf(i registry.Invalidation) changes {
	list := make([]slot, 0, len(i.Tenants)+len(i.Keys)+len(i.Hashes)+len(i.Products)+len(i.Slugs)+len(i.Orgs))
	for _, ids := range [][]uuid.UUID{i.Tenants, i.Keys} {
		for _, id := range ids {
			list = append(list, v.slotOfID(id))
		}
	}
	for _, hash := range i.Hashes {
		list = append(list, v.slotOfHash(hash))
	}
	for _, texts := range [][]string{i.Products, i.Slugs, i.Orgs} {
		for _, text := range texts {
			list = append(list, v.slotOfText(text))
		}
	}
	return changes{i.All, list}
}

func (v *validity) slotOfID(id uuid.UUID) slot { return slot(maphash.Bytes(v.seed, id[:])) }

func (v *validity) slotOfHash(h apikey.Hash) slot { return slot(maphash.Bytes(v.seed, h[:])) }

func (v *validity) slotOfText(text string) slot { return slot(maphash.String(v.seed, text)) }
