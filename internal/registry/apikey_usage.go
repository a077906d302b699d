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

	"github.com/breakpilot/tenant-registry/internal/apikey"
)

// APIKeyUse is one use of a key by the secret with this hash.
type APIKeyUse struct {
	ID   uuid.UUID
	Hash apikey.Hash
	At   time.Time
}

// UsageResolution is by how much a use must be later than the stored one to be written. Together with the interval of
// the writes it bounds how old a key's times of use are: 30 seconds.
const UsageResolution = 10 * time.Second

const (
	usageInterval = 20 * time.Second
	usageBatch    = 1000      // in one transaction
	usageCapacity = 1 << 16   // secrets recorded between two writes
	usageShards   = 16        // each with a lock of its own
	usageStep     = 1_000_000 // microseconds: a use of a secret that is later by less is not recorded
)

// UsageRecorder records when keys were used, in memory until Run, Flush or Close writes it to the store. To record a
// use calls no store and waits for none. The memory is bounded: a use for which there is no room is dropped and
// counted. It is safe for concurrent use.
type UsageRecorder struct {
	store   Store
	log     *slog.Logger
	every   time.Duration
	most    int // in one shard
	shards  [usageShards]usageShard
	dropped atomic.Int64
	logged  int64      // how many of the dropped were logged
	writing sync.Mutex // guards logged and the spare maps
}

type usageShard struct {
	mu     sync.Mutex
	newest map[apikey.Hash]lastUse
	spare  map[apikey.Hash]lastUse // empty; it takes the place of newest while that is written
	_      [64]byte                // apart from its neighbour's in the processor's caches
}

type lastUse struct {
	id uuid.UUID
	at int64 // microseconds since 1970
}

// UsageRecorderOptions configure a UsageRecorder; every zero value has a default.
type UsageRecorderOptions struct {
	Every  time.Duration // between two writes; 20 s
	AtMost int           // secrets recorded between two writes; 65,536
	Logger *slog.Logger  // of uses that were dropped or could not be written yet; none
}

// NewUsageRecorder makes one that writes to a store when Run runs.
func NewUsageRecorder(store Store, o UsageRecorderOptions) *UsageRecorder {
	if o.Every == 0 {
		o.Every = usageInterval
	}
	if o.AtMost == 0 {
		o.AtMost = usageCapacity
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	u := &UsageRecorder{store: store, log: o.Logger, every: o.Every, most: max(o.AtMost/usageShards, 1)}
	for i := range u.shards {
		u.shards[i].newest, u.shards[i].spare = map[apikey.Hash]lastUse{}, map[apikey.Hash]lastUse{}
	}
	return u
}

// record records a use. On nil it does nothing.
func (u *UsageRecorder) record(id uuid.UUID, hash apikey.Hash, at time.Time) {
	if u != nil {
		u.put(hash, lastUse{id, at.UnixMicro()}, usageStep)
	}
}

// put records a use of a secret if it is newer than the recorded one by at least step.
func (u *UsageRecorder) put(hash apikey.Hash, use lastUse, step int64) {
	s := &u.shards[hash[0]%usageShards]
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

// Dropped is how many uses were dropped so far.
func (u *UsageRecorder) Dropped() int64 { return u.dropped.Load() }

// Run writes the recorded uses at intervals until ctx ends. What is left then is for Close.
func (u *UsageRecorder) Run(ctx context.Context) {
	tick := time.NewTicker(u.every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			u.write(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// Close writes what is left until ctx ends, and returns of how many secrets the time of use is lost. Run must have
// ended.
func (u *UsageRecorder) Close(ctx context.Context) (lost int) {
	u.write(ctx)
	return u.recorded()
}

// recorded is of how many secrets a use is not written yet.
func (u *UsageRecorder) recorded() (n int) {
	for i := range u.shards {
		s := &u.shards[i]
		s.mu.Lock()
		n += len(s.newest)
		s.mu.Unlock()
	}
	return n
}

// write is Flush; it logs dropped uses, and failures unless ctx is why.
func (u *UsageRecorder) write(ctx context.Context) {
	if err := u.Flush(ctx); err != nil && ctx.Err() == nil {
		u.log.WarnContext(ctx, "the times of use of keys could not be written yet", "error", err)
	}
	u.writing.Lock()
	defer u.writing.Unlock()
	if dropped := u.Dropped(); dropped > u.logged {
		u.log.WarnContext(
			ctx, "uses of keys were not recorded: there were too many at once", "dropped", dropped-u.logged,
		)
		u.logged = dropped
	}
}

// Flush writes the uses that were recorded so far. If the store fails they stay recorded for the next Flush, if there
// is room.
func (u *UsageRecorder) Flush(ctx context.Context) error {
	u.writing.Lock()
	defer u.writing.Unlock()
	uses := u.take()
	slices.SortFunc(uses, func(a, b APIKeyUse) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	for len(uses) > 0 {
		n := min(len(uses), usageBatch)
		err := u.store.Tx(ctx, func(tx Tx) error { return tx.UpdateAPIKeyUsage(ctx, uses[:n]) })
		if err != nil {
			for _, use := range uses {
				u.put(use.Hash, lastUse{use.ID, use.At.UnixMicro()}, 1)
			}
			return err
		}
		uses = uses[n:]
	}
	return nil
}

// take empties the shards. Their maps change places, so that recording a use allocates no new ones.
func (u *UsageRecorder) take() []APIKeyUse {
	var uses []APIKeyUse
	for i := range u.shards {
		s := &u.shards[i]
		s.mu.Lock()
		full := s.newest
		s.newest, s.spare = s.spare, full
		s.mu.Unlock()
		for hash, use := range full {
			uses = append(uses, APIKeyUse{ID: use.id, Hash: hash, At: time.UnixMicro(use.at).UTC()})
		}
		clear(full)
	}
	return uses
}
