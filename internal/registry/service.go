package registry

import (
	"cmp"
	"context"
	"time"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"

	"github.com/breakpilot/tenant-registry/internal/timestamp"
)

// Service holds the use cases. It is safe for concurrent use.
type Service struct {
	store   Store
	lookup  Lookup
	now     func() time.Time
	maxKeys int
	version string

	callTimeout time.Duration
	signer      note.Signer
	follower    *follower
	appender    appender
	usage       *UsageRecorder
	security    *SecurityLog
	shares      *shares
	products    productTenants
}

// Options configure a Service; every zero value has a default.
type Options struct {
	Now     func() time.Time // the clock; time.Now
	MaxKeys int              // unrevoked API keys per tenant; 10,000
	Version string           // of the program, recorded in the events it writes; empty
	// CallTimeout bounds each store call of a use case that makes many of them (Follow, Export); 5 s.
	CallTimeout time.Duration
	Signer      note.Signer    // signs checkpoints of the audit log; nil: there are no checkpoints
	Usage       *UsageRecorder // records when keys were used; nil: nothing does
	Shares      *ShareCaps     // of what callers share on this replica; DefaultShareCaps
	Security    *SecurityLog   // records security events, from New until its Close; nil: nothing does
}

// DefaultMaxKeys is how many unrevoked API keys a tenant may have unless Options say otherwise.
const DefaultMaxKeys = 10_000

// New makes a Service on a store. A store that is a Lookup as well, as a cache is, answers the look-ups.
func New(store Store, o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	timeout := cmp.Or(o.CallTimeout, 5*time.Second)
	lookup, ok := store.(Lookup)
	if !ok {
		lookup = uncached{store, timeout}
	}
	caps := DefaultShareCaps()
	if o.Shares != nil {
		caps = *o.Shares
	}
	s := &Service{
		shares: newShares(caps), products: newProductTenants(),
		store: store, lookup: lookup, now: o.Now, maxKeys: cmp.Or(o.MaxKeys, DefaultMaxKeys), version: o.Version,
		callTimeout: timeout, signer: o.Signer, usage: o.Usage, security: o.Security,
		follower: newFollower(store, timeout),
	}
	s.security.start(s)
	return s
}

// Ping reports what the store is, and fails unless it can be read.
func (s *Service) Ping(ctx context.Context) (StoreStatus, error) { return s.store.Ping(ctx) }

// clock is the time as both stores can hold it: UTC, in whole microseconds.
func (s *Service) clock() time.Time { return timestamp.Truncate(s.now()) }

// newID makes an id whose order is the order of creation (UUIDv7).
func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }
