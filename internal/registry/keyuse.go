package registry

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// KeyUse is one use of a key by the secret with this hash.
type KeyUse struct {
	ID   uuid.UUID
	Hash Hash
	At   time.Time
}

// UseGrain is how much later than the stored one a use must be to be worth a write. Together with how often uses are written it is how late
// a key's times of use are at most: 30 seconds.
const UseGrain = 10 * time.Second

const (
	usesEvery  = 20 * time.Second
	usesAtOnce = 1000      // in one transaction
	usesAtMost = 1 << 16   // secrets that are remembered between two writes
	useShards  = 16        // each with a lock of its own
	useStep    = 1_000_000 // microseconds between two uses of one secret that are told apart here
	lastWrite  = 5 * time.Second
)

// KeyUses remembers when keys were used until Run has told the store. To note a use costs no call of the store, waits for none, and
// is bounded: what finds no room is dropped and counted. It is safe for concurrent use.
type KeyUses struct {
	store   Store
	log     *slog.Logger
	every   time.Duration
	most    int // in one shard
	shards  [useShards]useShard
	dropped atomic.Int64
	told    int64      // how many of the dropped the log knows of
	writing sync.Mutex // guards told and the spare maps
}

type useShard struct {
	mu     sync.Mutex
	newest map[Hash]noted
	spare  map[Hash]noted // empty; it takes the place of newest while that is written
	_      [64]byte       // apart from its neighbour's in the processor's caches
}

type noted struct {
	id uuid.UUID
	at int64 // microseconds since 1970
}

// KeyUsesOptions are what KeyUses can be told; every zero value has a default.
type KeyUsesOptions struct {
	Every  time.Duration // between two writes; 20 s
	AtMost int           // secrets remembered between two writes; 65,536
	Logger *slog.Logger  // of what was dropped or could not be written yet; nowhere
}

// NewKeyUses makes one that writes to a store when Run runs.
func NewKeyUses(store Store, o KeyUsesOptions) *KeyUses {
	if o.Every == 0 {
		o.Every = usesEvery
	}
	if o.AtMost == 0 {
		o.AtMost = usesAtMost
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	u := &KeyUses{store: store, log: o.Logger, every: o.Every, most: max(o.AtMost/useShards, 1)}
	for i := range u.shards {
		u.shards[i].newest, u.shards[i].spare = map[Hash]noted{}, map[Hash]noted{}
	}
	return u
}

// note remembers a use. On nil it does nothing.
func (u *KeyUses) note(id uuid.UUID, hash Hash, at time.Time) {
	if u != nil {
		u.put(hash, noted{id, at.UnixMicro()}, useStep)
	}
}

// put keeps the newest use of a secret, unless it is newer by less than step.
func (u *KeyUses) put(hash Hash, use noted, step int64) {
	s := &u.shards[hash[0]%useShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	last, known := s.newest[hash]
	switch {
	case known && use.at < last.at+step:
	case !known && len(s.newest) >= u.most:
		u.dropped.Add(1)
	default:
		s.newest[hash] = use
	}
}

// Dropped is how many uses found no room so far.
func (u *KeyUses) Dropped() int64 { return u.dropped.Load() }

// Run writes now and then until ctx ends, and then what is left, which takes at most five seconds.
func (u *KeyUses) Run(ctx context.Context) {
	tick := time.NewTicker(u.every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			u.write(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWrite)
			defer cancel()
			u.write(last)
			return
		}
	}
}

// write is Flush with its troubles told in the log.
func (u *KeyUses) write(ctx context.Context) {
	if err := u.Flush(ctx); err != nil {
		u.log.WarnContext(ctx, "the times of use of keys could not be written yet", "error", err)
	}
	u.writing.Lock()
	defer u.writing.Unlock()
	if dropped := u.Dropped(); dropped > u.told {
		u.log.WarnContext(ctx, "uses of keys were not recorded: there were too many at once", "dropped", dropped-u.told)
		u.told = dropped
	}
}

// Flush writes what was noted so far. What the store does not take is kept for the next time, if there is room.
func (u *KeyUses) Flush(ctx context.Context) error {
	u.writing.Lock()
	defer u.writing.Unlock()
	uses := u.take()
	slices.SortFunc(uses, func(a, b KeyUse) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	for len(uses) > 0 {
		n := min(len(uses), usesAtOnce)
		err := u.store.Tx(ctx, func(tx Tx) error { return tx.TouchAPIKeys(ctx, uses[:n]) })
		if err != nil {
			for _, use := range uses {
				u.put(use.Hash, noted{use.ID, use.At.UnixMicro()}, 1)
			}
			return err
		}
		uses = uses[n:]
	}
	return nil
}

// take empties the shards. Their maps change places, so that those who note uses make no new ones.
func (u *KeyUses) take() []KeyUse {
	var uses []KeyUse
	for i := range u.shards {
		s := &u.shards[i]
		s.mu.Lock()
		full := s.newest
		s.newest, s.spare = s.spare, full
		s.mu.Unlock()
		for hash, use := range full {
			uses = append(uses, KeyUse{ID: use.id, Hash: hash, At: time.UnixMicro(use.at).UTC()})
		}
		clear(full)
	}
	return uses
}
