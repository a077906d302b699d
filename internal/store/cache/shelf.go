package cache

import (
	"context"

	"github.com/maypok86/otter/v2"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// source is where answers of one kind come from, and what they depend on.
type source[K comparable, V any] struct {
	load          func(ctx context.Context, keys []K) (map[K]V, error) // one statement; what is not there is not in it
	needs         func(*validity, K, V) needs
	needsIfAbsent func(*validity, K) needs
	own           func(K) K // a copy that may be kept: what was asked with may be a part of something large
}

// shelf keeps the answers of one kind. Otter only bounds how many: what is good is decided here, and loads are our own.
type shelf[K comparable, V any] struct {
	*validity
	source[K, V]
	there  *otter.Cache[K, answer[V]]
	absent *otter.Cache[K, stamp]
	misses *batcher[K, V]
}

type answer[V any] struct {
	stamp
	value V
}

func newShelf[K comparable, V any](v *validity, size, unknown int, from source[K, V]) *shelf[K, V] {
	s := &shelf[K, V]{
		validity: v, source: from,
		there:  otter.Must(&otter.Options[K, answer[V]]{MaximumSize: size}),
		absent: otter.Must(&otter.Options[K, stamp]{MaximumSize: unknown}),
	}
	s.misses = &batcher[K, V]{load: s.fetch, limit: statements}
	return s
}

// get returns what is kept if it may, and else what a statement says that is sent from now on.
func (s *shelf[K, V]) get(ctx context.Context, key K) (none V, err error) {
	if err := ctx.Err(); err != nil {
		return none, err
	}
	if now := s.now(); s.keeping(now) && registry.MayCache(ctx) {
		if a, found := s.there.GetIfPresent(key); found && s.good(&a.stamp, now) {
			return a.value, nil
		}
		if a, found := s.absent.GetIfPresent(key); found && s.good(&a, now) {
			return none, registry.ErrNotFound
		}
	}
	if !s.plain(key) {
		return none, errPass
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
func (s *shelf[K, V]) fetch(ctx context.Context, keys []K) (map[K]V, error) {
	at := s.clock.Load()
	found, err := s.load(ctx, keys)
	if err != nil {
		return nil, err
	}
	now := s.now()
	for _, key := range keys {
		value, there := found[key]
		if !there {
			if as := (stamp{at, now + keep, s.needsIfAbsent(s.validity, key)}); s.keeping(now) && s.good(&as, now) {
				s.absent.Set(s.own(key), as)
			}
			continue
		}
		if as := (stamp{at, now + keep, s.needs(s.validity, key, value)}); s.keeping(now) && s.good(&as, now) {
			s.there.Set(s.own(key), answer[V]{as, value})
		}
	}
	return found, nil
}
