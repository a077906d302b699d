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

// alike has things of which many are equal, so that all who keep one can point to the same. It forgets: then there are two for a while.
type alike[T any] struct {
	seed maphash.Seed
	last *otter.Cache[uint64, *T] // by a hash of what it is of
}

func newAlike[T any](size int) alike[T] {
	return alike[T]{maphash.MakeSeed(), otter.Must(&otter.Options[uint64, *T]{MaximumSize: size})}
}

// of returns the last one of the same if it is equal to fresh, else fresh, which is the last one from now on.
func (a alike[T]) of(hash uint64, fresh *T) *T {
	if last, found := a.last.GetIfPresent(hash); found && reflect.DeepEqual(last, fresh) {
		return last
	}
	a.last.Set(hash, fresh)
	return fresh
}

// sharing loads the facts of keys, and lets keys share what they have alike.
type sharing struct {
	registry.Store
	holders alike[registry.Holder]
	terms   alike[registry.KeyTerms]
}

func newSharing(inner registry.Store, size int) sharing {
	return sharing{inner, newAlike[registry.Holder](size), newAlike[registry.KeyTerms](size)}
}

func (s sharing) load(ctx context.Context, asked []registry.KeyLookup) (map[registry.KeyLookup]registry.KeyFacts, error) {
	found, err := s.ManyKeyFacts(ctx, asked)
	for lookup, f := range found {
		f.Key.KeyTerms = s.terms.of(s.hashOfTerms(f.Key.KeyTerms), f.Key.KeyTerms)
		f.Holder = s.holders.of(s.hashOfHolder(f.Tenant.ID, cmp.Or(lookup.Product, f.Key.Product)), f.Holder)
		found[lookup] = f
	}
	return found, err
}

func (s sharing) hashOfTerms(t *registry.KeyTerms) uint64 {
	return maphash.Comparable(s.terms.seed, [3]string{string(t.Environment), t.Product, strings.Join(t.Scopes, " ")})
}

func (s sharing) hashOfHolder(tenant uuid.UUID, product string) uint64 {
	return maphash.Comparable(s.holders.seed, struct {
		tenant  uuid.UUID
		product string
	}{tenant, product})
}

// ownLookup is a lookup to be kept: the name of the product is there once, and not a part of somebody's request.
func ownLookup(lookup registry.KeyLookup) registry.KeyLookup {
	lookup.Product = unique.Make(lookup.Product).Value()
	return lookup
}
