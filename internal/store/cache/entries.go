package cache

import (
	"context"

	"github.com/maypok86/otter/v2"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// source is where answers of one kind come from, and what they depend on.
type source[K comparable, V any] struct {
	load                  func(ctx context.Context, keys []K) (map[K]V, error) // one statement
	dependencies          func(*validity, K, V) dependencies
	dependenciesIfMissing func(*validity, K) dependencies
	clone                 func(K) K // a copy to store: the caller's may be a part of something large
}

// entries caches the answers of one kind. Otter only bounds how many: validity is decided here, and loads are our own.
type entries[K comparable, V any] struct {
	*validity
	source[K, V]
	found   *otter.Cache[K, entry[V]]
	missing *otter.Cache[K, validityStamp]
	misses  *batcher[K, V]
}

type entry[V any] struct {
	validityStamp
	value V
}

func newEntries[K comparable, V any](v *validity, size, unknown int, from source[K, V]) *entries[K, V] {
	s := &entries[K, V]{
		validity: v, source: from,
		found:   otter.Must(&otter.Options[K, entry[V]]{MaximumSize: size}),
		missing: otter.Must(&otter.Options[K, validityStamp]{MaximumSize: unknown}),
	}
	s.misses = &batcher[K, V]{load: s.fetch, limit: maxStatements}
	return s
}

// get returns a valid entry, unless a fresh answer is asked for, and otherwise what a statement returns that is sent
// from now on.
func (s *entries[K, V]) get(ctx context.Context, key K, o registry.ReadOptions) (none V, err error) {
	if err := ctx.Err(); err != nil {
		return none, err
	}
	if now := s.now(); !o.Fresh && s.leaseValid(now) {
		if e, found := s.found.GetIfPresent(key); found && s.valid(&e.validityStamp, now) {
			return e.value, nil
		}
		if stamp, found := s.missing.GetIfPresent(key); found && s.valid(&stamp, now) {
			return none, registry.ErrNotFound
		}
	}
	if !s.shareable(key) {
		return none, errNotShareable
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return s.misses.get(ctx, key)
}

func (*entries[K, V]) shareable(key K) bool {
	switch key := any(key).(type) {
	case string:
		return shareable(key)
	case registry.KeyLookup:
		return shareable(key.Product)
	}
	return true
}

// fetch asks the store and caches its answers. No caller joins any more: all that wait for it asked before the clock is
// read.
func (s *entries[K, V]) fetch(ctx context.Context, keys []K) (map[K]V, error) {
	at := s.clock.Load()
	found, err := s.load(ctx, keys)
	if err != nil {
		return nil, err
	}
	now := s.now()
	for _, key := range keys {
		value, exists := found[key]
		stamp := validityStamp{at: at, until: now + maxEntryAge}
		if exists {
			stamp.dependencies = s.dependencies(s.validity, key, value)
		} else {
			stamp.dependencies = s.dependenciesIfMissing(s.validity, key)
		}
		switch {
		case !s.leaseValid(now) || !s.valid(&stamp, now):
		case exists:
			s.found.Set(s.clone(key), entry[V]{stamp, value})
		default:
			s.missing.Set(s.clone(key), stamp)
		}
	}
	return found, nil
}
