// Package cache caches what verify, by-slug and the look-up of a caller's own tenant read from a registry.Store, so
// that a repeated read costs no statement. Only data is cached, never a verdict, so what the clock decides is exact.
//
// # Guarantees
//
// A caller that asks after a change was answered by this process never gets an answer older than that change: from
// before the commit until the change has ended, whatever its outcome, everything it invalidates is read from the store,
// and what was cached before is invalid.
//
// A change that another process made is answered within the lease. The calls of Invalidate, Flush and Renew come from
// the listener that receives the changes of other processes (see postgres.Store.Listen). While the lease runs,
// everything that was committed before the instant of its last renewal has been received; otherwise everything is read
// from the store.
//
// # Mechanism
//
// To invalidate looks up no entry. A clock counts invalidations. Each thing that can change has a version, which is the
// clock's reading when it last did, in one of 65,536 slots that it shares with others. An entry holds the slots of its
// dependencies and the clock's reading before its statement was sent: it is valid if none of their versions is later.
// So a load during which something was invalidated is invalid on arrival, also when it did not know yet what it would
// depend on; a tenant with ten thousand keys is one version; and an entry that merely shares a slot is read again.
//
// Misses are merged. Those that come while statements are under way wait for the next statement, and join it only until
// it is sent.
//
// Keys share what is equal: one copy of their tenant with its entitlements to a product, and one of their terms.
package cache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// Options configure a Store; every zero value has a default.
type Options struct {
	// Off: nothing is cached. Misses are still merged.
	Off bool
	// Lease is for how long after its renewal entries may be answered. 0: permanently, for a store that no other
	// process writes to.
	Lease time.Duration
	Keys  int // entries of keys at most; 1,000,000
	Slugs int // entries of slugs at most, and of organisations; 100,000
	// Timeout bounds the wait for the store; 5 s. What is cached waits for nothing, so a caller needs no deadline.
	Timeout time.Duration
	// Unknown is how many entries say that there is no such key, and as many that there is no such tenant, at most;
	// 10,000. They are bounded apart, so that they cannot evict the others.
	Unknown int
}

const (
	defaultKeys    = 1_000_000
	defaultSlugs   = 100_000
	defaultUnknown = 10_000
	defaultTimeout = 5 * time.Second
	// maxEntryAge bounds the age of an entry: rows that are changed by SQL publish nothing. A million keys that are
	// asked for again and again are as many loads in that time.
	maxEntryAge = 10 * time.Minute
	// maxStatements is how many statements are under way for misses of one kind; what is asked for meanwhile joins the
	// next one.
	maxStatements = 2
)

func (o Options) withDefaults() Options {
	o.Keys, o.Slugs = cmp.Or(o.Keys, defaultKeys), cmp.Or(o.Slugs, defaultSlugs)
	o.Unknown, o.Timeout = cmp.Or(o.Unknown, defaultUnknown), cmp.Or(o.Timeout, defaultTimeout)
	return o
}

// Store is a registry.Store and a registry.Lookup, which it answers from the cache. It is safe for concurrent use.
type Store struct {
	registry.Store
	validity *validity
	keys     *entries[registry.KeyLookup, registry.KeyFacts]
	slugs    *entries[string, registry.Tenant]
	orgs     *entries[string, registry.Tenant]
}

var (
	_ registry.Store  = (*Store)(nil)
	_ registry.Lookup = (*Store)(nil)
)

// New puts a cache in front of a store. All changes of this process must go through it, and must publish what they
// invalidate.
func New(inner registry.Store, o Options) *Store {
	o = o.withDefaults()
	v := newValidity(o)
	return &Store{
		Store:    inner,
		validity: v,
		keys: newEntries(v, o.Keys, o.Unknown, source[registry.KeyLookup, registry.KeyFacts]{
			load: newInterningLoader(inner, o.Slugs).load, dependencies: keyDependencies,
			dependenciesIfMissing: unknownKeyDependencies, clone: cloneLookup,
		}),
		slugs: newEntries(v, o.Slugs, o.Unknown, source[string, registry.Tenant]{
			load: inner.GetTenantsBySlug, dependencies: nameDependencies,
			dependenciesIfMissing: unknownNameDependencies,
			clone:                 strings.Clone,
		}),
		orgs: newEntries(v, o.Slugs, o.Unknown, source[string, registry.Tenant]{
			load: tenantsByOrg(inner), dependencies: nameDependencies,
			dependenciesIfMissing: unknownNameDependencies,
			clone:                 strings.Clone,
		}),
	}
}

// tenantsByOrg reads the tenants of some organisations one by one: few users come at the same instant.
func tenantsByOrg(from registry.TenantReader) func(context.Context, []string) (map[string]registry.Tenant, error) {
	return func(ctx context.Context, orgs []string) (map[string]registry.Tenant, error) {
		found := map[string]registry.Tenant{}
		for _, org := range orgs {
			t, err := from.GetTenantByKeycloakOrg(ctx, org)
			switch {
			case err == nil:
				found[org] = t
			case !errors.Is(err, registry.ErrNotFound):
				return nil, err
			}
		}
		return found, nil
	}
}

// KeyFacts implements registry.Lookup.
func (s *Store) KeyFacts(ctx context.Context, l registry.KeyLookup, o registry.ReadOptions) (registry.KeyFacts, error) {
	facts, err := s.keys.get(ctx, l, o)
	if errors.Is(err, errNotShareable) {
		return registry.GetKeyFacts(ctx, s.Store, l)
	}
	return facts, err
}

// TenantBySlug implements registry.Lookup.
func (s *Store) TenantBySlug(ctx context.Context, slug string, o registry.ReadOptions) (registry.Tenant, error) {
	t, err := s.slugs.get(ctx, slug, o)
	if errors.Is(err, errNotShareable) {
		return registry.GetTenantBySlug(ctx, s.Store, slug)
	}
	return t, err
}

// TenantByKeycloakOrg implements registry.Lookup.
func (s *Store) TenantByKeycloakOrg(
	ctx context.Context, org string, o registry.ReadOptions,
) (registry.Tenant, error) {
	t, err := s.orgs.get(ctx, org, o)
	if errors.Is(err, errNotShareable) {
		return s.Store.GetTenantByKeycloakOrg(ctx, org)
	}
	return t, err
}

// Flush implements postgres.Invalidator: anything may have been changed.
func (s *Store) Flush() { s.validity.flush() }

// Renew implements postgres.Invalidator: everything that was committed before sent has been received. The lease runs
// from then.
func (s *Store) Renew(sent time.Time) { s.validity.renew(sent) }

// LeaseValid reports whether entries are answered: the lease runs, and the cache is on.
func (s *Store) LeaseValid() bool { return s.validity.leaseValid(s.validity.now()) }

// keyDependencies is what a key's facts depend on: the key, its tenant with all that it is entitled to, and the product
// in question.
func keyDependencies(v *validity, lookup registry.KeyLookup, f registry.KeyFacts) dependencies {
	key := v.slotOfID(f.Key.ID)
	all := dependencies{key, v.slotOfID(f.Tenant.ID), key, key}
	for i, product := range []string{lookup.Product, f.Key.Product} {
		if product != "" {
			all[2+i] = v.slotOfText(product)
		}
	}
	return all
}

func unknownKeyDependencies(v *validity, lookup registry.KeyLookup) dependencies {
	p := v.slotOfHash(lookup.Hash)
	return dependencies{p, p, p, p}
}

// nameDependencies is what the tenant depends on that has a name: a slug, or an organisation.
func nameDependencies(v *validity, name string, t registry.Tenant) dependencies {
	p, id := v.slotOfText(name), v.slotOfID(t.ID)
	return dependencies{p, id, id, id}
}

func unknownNameDependencies(v *validity, name string) dependencies {
	p := v.slotOfText(name)
	return dependencies{p, p, p, p}
}

// shareable reports whether no store refuses a text: one that is refused would fail a statement that others share.
func shareable(text string) bool { return utf8.ValidString(text) && strings.IndexByte(text, 0) < 0 }

// errNotShareable: the question cannot join a shared statement.
var errNotShareable = errors.New("cache: ask the store")

// unanswered is the error of a caller whose context ended before the answer came.
func unanswered(ctx context.Context) error {
	return fmt.Errorf("%w: waited for a statement: %w", registry.ErrUnavailable, ctx.Err())
}
