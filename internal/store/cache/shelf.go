package cache

import (
	"context"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// source is where answers of one kind come from, and what they depend on.
type source[K comparable, V any] struct {
	load          func(ctx context.Context, keys []K) (map[K]V, error) // one statement; what is not there is not in it
	needs         func(*validity, K, V) needs
	needsIfAbsent func(*validity, K) needs
}

// shelf keeps the answers of one kind. Otter only bounds how many: what is good is decided here, and loads are our own.
type shelf[K comparable, V any] struct {
	*validity
	source[K, V]
	there  *otter.Cache[K, *answer[V]]
	absent *otter.Cache[K, *stamp]
	misses *batcher[K, V]
}

type answer[V any] struct {
	stamp
	value V
}

func newShelf[K comparable, V any](v *validity, size, unknown int, from source[K, V]) *shelf[K, V] {
	s := &shelf[K, V]{
		validity: v, source: from,
		there:  otter.Must(&otter.Options[K, *answer[V]]{MaximumSize: size}),
		absent: otter.Must(&otter.Options[K, *stamp]{MaximumSize: unknown}),
	}
	s.misses = &batcher[K, V]{load: s.fetch, limit: statements}
	return s
}

// get returns what is kept if it may, and else what a statement says that is sent from now on.
func (s *shelf[K, V]) get(ctx context.Context, key K) (*V, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if now := s.now(); s.keeping(now) && registry.MayCache(ctx) {
		if a, found := s.there.GetIfPresent(key); found && s.good(&a.stamp, now) {
			return &a.value, nil
		}
		if a, found := s.absent.GetIfPresent(key); found && s.good(a, now) {
			return nil, registry.ErrNotFound
		}
	}
	if !s.plain(key) {
		return nil, errPass
	}
	return s.misses.get(ctx, key)
}

func (*shelf[K, V]) plain(key K) bool {
	switch key := any(key).(type) {
	case string:
		return plain(key)
	case registry.KeyLookup:
		return plain(key.Product)
	}
	return true
}

// fetch asks the store and keeps what it says. Nobody joins any more: whoever waits for it has asked before the clock is read.
func (s *shelf[K, V]) fetch(ctx context.Context, keys []K) (map[K]*V, error) {
	at := s.clock.Load()
	found, err := s.load(ctx, keys)
	if err != nil {
		return nil, err
	}
	now := s.now()
	values := make(map[K]*V, len(found))
	for _, key := range keys {
		value, there := found[key]
		if !there {
			s.keepAbsent(key, stamp{at, now + keep, s.needsIfAbsent(s.validity, key)}, now)
			continue
		}
		a := &answer[V]{stamp{at, now + keep, s.needs(s.validity, key, value)}, value}
		values[key] = &a.value
		if s.keeping(now) && s.good(&a.stamp, now) {
			s.there.Set(key, a)
		}
	}
	return values, nil
}

func (s *shelf[K, V]) keepAbsent(key K, as stamp, now time.Duration) {
	if s.keeping(now) && s.good(&as, now) {
		s.absent.Set(key, &as)
	}
}
