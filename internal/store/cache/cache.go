// Package cache keeps what verify and by-slug read from a registry.Store, so that asking again costs no statement. Only data is
// kept, never a verdict, so what the clock decides is exact.
//
// # What is never answered
//
// An answer that is older than a change, to somebody who asks after that change was answered by this process: from before the
// commit until the change has ended, whatever its outcome, everything it touched is read from the store; what was read before is dead.
//
// An answer that is older than a change that another process made, later than the lease after it. An Invalidator's calls come from
// whoever hears the others (see postgres.Store.Listen). As long as it has renewed the lease within Options.Lease, everything that was
// committed before the instant given was heard; when it has not, everything is read from the store.
//
// # How
//
// Nothing is looked up to be invalidated. A clock counts invalidations; each thing that can change has a mark, which is the clock's
// reading when it last did, in one of 65,536 places that it shares with others. What is kept knows what it depends on, and the
// clock's reading before its statement was sent: it is good if none of the marks is later. So a load during which something was
// invalidated is dead on arrival, also when it did not know yet what it would depend on; a tenant with ten thousand keys is one
// mark; and a neighbour in one place is merely read again.
//
// Misses are merged. Those that come while statements are under way wait for the next one, and join it only until it is sent.
//
// Keys point to what they have alike: one copy of their tenant with its entitlements to a product, and one of their scopes.
package cache

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// Options are what a Store can be told; every zero value has a default.
type Options struct {
	// Off: nothing is kept. Misses are still merged, and changes published, for others may keep what they read.
	Off bool
	// Lease is for how long after its renewal what is kept may be answered. 0: for ever, for a store that nobody else writes to.
	Lease time.Duration
	Keys  int // answers about keys that are kept at most; 1,000,000
	Slugs int // answers about slugs that are kept at most; 100,000
	// Unknown is how many answers that there is no such key, and as many that there is no such tenant, are kept at most; 10,000. They
	// have a place of their own, so that they cannot push out the others.
	Unknown int
}

const (
	defaultKeys    = 1_000_000
	defaultSlugs   = 100_000
	defaultUnknown = 10_000
	// keep is for how long anything is kept: rows that are changed by hand, in SQL, tell nobody. A million keys that are asked for again
	// and again are as many loads in that time.
	keep = 10 * time.Minute
	// statements is how many are under way for misses of one kind at a time; what comes meanwhile goes together into the next one.
	statements = 2
)

func (o Options) withDefaults() Options {
	for value, otherwise := range map[*int]int{&o.Keys: defaultKeys, &o.Slugs: defaultSlugs, &o.Unknown: defaultUnknown} {
		if *value == 0 {
			*value = otherwise
		}
	}
	return o
}

// Store is a registry.Store that keeps what KeyFacts and TenantBySlug return. What is reached from their answers through maps, slices
// and pointers is shared: it is for reading only. It is safe for concurrent use.
type Store struct {
	registry.Store
	validity *validity
	keys     *shelf[registry.KeyLookup, registry.KeyFacts]
	slugs    *shelf[string, registry.Tenant]
}

var _ registry.Store = (*Store)(nil)

// New puts a cache in front of a store. All changes of this process must go through it.
func New(inner registry.Store, o Options) *Store {
	o = o.withDefaults()
	v := newValidity(o)
	return &Store{
		Store:    inner,
		validity: v,
		keys: newShelf(v, o.Keys, o.Unknown, source[registry.KeyLookup, registry.KeyFacts]{
			load: newSharing(inner, o.Slugs).load, needs: keyNeeds, needsIfAbsent: unknownKeyNeeds, own: ownLookup,
		}),
		slugs: newShelf(v, o.Slugs, o.Unknown, source[string, registry.Tenant]{
			load: inner.ManyTenantsBySlug, needs: slugNeeds, needsIfAbsent: unknownSlugNeeds, own: strings.Clone,
		}),
	}
}

// KeyFacts implements registry.APIKeyReader.
func (s *Store) KeyFacts(ctx context.Context, hash registry.Hash, product string) (registry.KeyFacts, error) {
	facts, err := s.keys.get(ctx, registry.KeyLookup{Hash: hash, Product: product})
	if errors.Is(err, errPass) {
		return s.Store.KeyFacts(ctx, hash, product)
	}
	return facts, err
}

// TenantBySlug implements registry.TenantReader.
func (s *Store) TenantBySlug(ctx context.Context, slug string) (registry.Tenant, error) {
	t, err := s.slugs.get(ctx, slug)
	if errors.Is(err, errPass) {
		return s.Store.TenantBySlug(ctx, slug)
	}
	return t, err
}

// Touch implements postgres.Invalidator: what is named was changed by somebody.
func (s *Store) Touch(touched registry.Touched) {
	if touched.All {
		s.validity.flush()
		return
	}
	s.validity.touch(s.validity.placesOf(touched))
}

// Flush implements postgres.Invalidator: anything may have been changed.
func (s *Store) Flush() { s.validity.flush() }

// Renew implements postgres.Invalidator: all that was committed before sent has been heard. The lease runs from then.
func (s *Store) Renew(sent time.Time) { s.validity.renew(sent) }

// Keeping tells whether answers come from what is kept: the lease runs, and the cache is on.
func (s *Store) Keeping() bool { return s.validity.keeping(s.validity.now()) }

// keyNeeds is what a key's facts depend on: the key, its tenant with all that it is entitled to, and the product in question.
func keyNeeds(v *validity, lookup registry.KeyLookup, f registry.KeyFacts) needs {
	key := v.placeOfID(f.Key.ID)
	all := needs{key, v.placeOfID(f.Tenant.ID), key, key}
	for i, product := range []string{lookup.Product, f.Key.Product} {
		if product != "" {
			all[2+i] = v.placeOfText(product)
		}
	}
	return all
}

func unknownKeyNeeds(v *validity, lookup registry.KeyLookup) needs {
	p := v.placeOfHash(lookup.Hash)
	return needs{p, p, p, p}
}

func slugNeeds(v *validity, slug string, t registry.Tenant) needs {
	p, id := v.placeOfText(slug), v.placeOfID(t.ID)
	return needs{p, id, id, id}
}

func unknownSlugNeeds(v *validity, slug string) needs {
	p := v.placeOfText(slug)
	return needs{p, p, p, p}
}

// plain tells a text that no store refuses: one that is refused must not spoil the statement of others.
func plain(text string) bool { return utf8.ValidString(text) && strings.IndexByte(text, 0) < 0 }

// errPass says that a question is not one for a shared statement.
var errPass = errors.New("cache: ask the store")

// waited is what somebody hears whose context ended before the answer came.
func waited(ctx context.Context) error {
	return fmt.Errorf("%w: waited for a statement: %w", registry.ErrUnavailable, ctx.Err())
}
