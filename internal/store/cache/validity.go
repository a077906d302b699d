package cache

import (
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// place is where the mark of a thing is. Things share places; each process has its own distribution.
type place uint16

// needs are the places of what an answer depends on; one that is not needed repeats another.
type needs [4]place

const (
	places = 1 << 16
	// change is what a mark has for each change that is under way: more than the clock ever reads.
	change = 1 << 48
)

// stamp says for how long an answer may be given.
type stamp struct {
	at    uint64        // the clock before the statement was sent
	until time.Duration // since the validity began
	needs needs
}

// validity decides whether an answer that is kept may be given.
type validity struct {
	off   bool
	lease time.Duration // 0: for ever
	began time.Time
	seed  maphash.Seed

	leased atomic.Int64 // until when, since began
	clock  atomic.Uint64
	floor  atomic.Uint64 // the clock at the last flush

	mu    sync.Mutex // of whoever writes marks
	marks [places]atomic.Uint64
}

func newValidity(o Options) *validity {
	v := &validity{off: o.Off, lease: o.Lease, began: time.Now(), seed: maphash.MakeSeed()}
	if o.Lease == 0 {
		v.leased.Store(math.MaxInt64)
	}
	return v
}

// now is on the monotonic clock.
func (v *validity) now() time.Duration { return time.Since(v.began) }

func (v *validity) keeping(now time.Duration) bool {
	return !v.off && int64(now) < v.leased.Load()
}

func (v *validity) good(s *stamp, now time.Duration) bool {
	return now < s.until && s.at >= v.floor.Load() &&
		s.at >= v.marks[s.needs[0]].Load() && s.at >= v.marks[s.needs[1]].Load() &&
		s.at >= v.marks[s.needs[2]].Load() && s.at >= v.marks[s.needs[3]].Load()
}

// renew never shortens the lease.
func (v *validity) renew(sent time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if until := int64(sent.Sub(v.began) + v.lease); v.lease > 0 && until > v.leased.Load() {
		v.leased.Store(until)
	}
}

func (v *validity) flush() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.floor.Store(v.clock.Add(1))
}

// touch makes everything that was asked for until now, and depends on one of these, bad.
func (v *validity) touch(touched []place) { v.mark(touched, 0) }

// hold is touch, and nothing that depends on one of these is good until release.
func (v *validity) hold(touched []place) { v.mark(touched, 1) }

// release ends a hold of the same places; what was asked for meanwhile is bad, too.
func (v *validity) release(touched []place) { v.mark(touched, -1) }

func (v *validity) mark(touched []place, changes int64) {
	if len(touched) == 0 {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	clock := v.clock.Add(1)
	for _, p := range touched {
		underWay := int64(v.marks[p].Load()/change) + changes
		v.marks[p].Store(uint64(underWay)*change + clock)
	}
}

func (v *validity) placesOf(t registry.Touched) []place {
	list := make([]place, 0, len(t.Tenants)+len(t.Keys)+len(t.Hashes)+len(t.Products)+len(t.Slugs))
	for _, ids := range [][]uuid.UUID{t.Tenants, t.Keys} {
		for _, id := range ids {
			list = append(list, v.placeOfID(id))
		}
	}
	for _, hash := range t.Hashes {
		list = append(list, v.placeOfHash(hash))
	}
	for _, texts := range [][]string{t.Products, t.Slugs} {
		for _, text := range texts {
			list = append(list, v.placeOfText(text))
		}
	}
	return list
}

func (v *validity) placeOfID(id uuid.UUID) place { return place(maphash.Bytes(v.seed, id[:])) }

func (v *validity) placeOfHash(h registry.Hash) place { return place(maphash.Bytes(v.seed, h[:])) }

func (v *validity) placeOfText(text string) place { return place(maphash.String(v.seed, text)) }
