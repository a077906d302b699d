package cache

import (
	"cmp"
	"context"
	"hash/maphash"
	"reflect"
	"strings"
	"unique"

	"github.com/google/uuid"
	"github.com/maypok86/otter/v2"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// interned holds one copy of each of many equal values, so that entries can share it. Its size is bounded: a value that
// was evicted is interned anew, and until the old entries are gone there are two copies.
type interned[T any] struct {
	seed    maphash.Seed
	entries *otter.Cache[uint64, *T] // by a hash of what the value is about
}

func newInterned[T any](size int) interned[T] {
	return interned[T]{maphash.MakeSeed(), otter.Must(&otter.Options[uint64, *T]{MaximumSize: size})}
}

// intern returns the interned value of this hash if it equals fresh, and otherwise fresh, which is interned from now
// on.
func (i interned[T]) intern(hash uint64, fresh *T) *T {
	if last, found := i.entries.GetIfPresent(hash); found && reflect.DeepEqual(last, fresh) {
		return last
	}
	i.entries.Set(hash, fresh)
	return fresh
}

// interningLoader loads the facts of keys, and lets keys share their owner and their terms.
type interningLoader struct {
	registry.Store
	owners interned[registry.KeyOwner]
	terms  interned[registry.KeyTerms]
}

func newInterningLoader(inner registry.Store, size int) interningLoader {
	return interningLoader{inner, newInterned[registry.KeyOwner](size), newInterned[registry.KeyTerms](size)}
}

func (l interningLoader) load(
	ctx context.Context, lookups []registry.KeyLookup,
) (map[registry.KeyLookup]registry.KeyFacts, error) {
	found, err := l.GetKeyFacts(ctx, lookups)
	for lookup, f := range found {
		f.Key.KeyTerms = l.terms.intern(l.hashOfTerms(f.Key.KeyTerms), f.Key.KeyTerms)
		f.KeyOwner = l.owners.intern(l.hashOfOwner(f.Tenant.ID, cmp.Or(lookup.Product, f.Key.Product)), f.KeyOwner)
		found[lookup] = f
	}
	return found, err
}

func (l interningLoader) hashOfTerms(t *registry.KeyTerms) uint64 {
	return maphash.Comparable(l.terms.seed, [3]string{string(t.Environment), t.Product, strings.Join(t.Scopes, " ")})
}

func (l interningLoader) hashOfOwner(tenant uuid.UUID, product string) uint64 {
	return maphash.Comparable(l.owners.seed, struct {
		tenant  uuid.UUID
		product string
	}{tenant, product})
}

// cloneLookup is a look-up to store: the product's key is interned, and not a part of the caller's request.
func cloneLookup(lookup registry.KeyLookup) registry.KeyLookup {
	lookup.Product = unique.Make(lookup.Product).Value()
	return lookup
}
