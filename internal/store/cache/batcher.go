package cache

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// batcher merges what is asked for at the same time into few calls of load. A caller gets the answer of a call that
// began after it asked. A single question with no call under way is a call of its own, at once.
type batcher[K comparable, V any] struct {
	load  func(ctx context.Context, keys []K) (map[K]V, error)
	limit int // of calls at a time

	mu      sync.Mutex
	running int
	next    *batch[K, V] // collects questions until its call begins; nil: there are none
}

// batch is one call. What it found may be read when done is closed.
type batch[K comparable, V any] struct {
	ctx   context.Context // of the first caller; it does not end with theirs
	keys  map[K]struct{}
	done  chan struct{}
	found map[K]V
	err   error
	errs  map[K]error // of keys that were asked for alone, after a failure of all
}

// get returns when there is an answer or ctx ends. If the call fails because the store is unavailable, all of its
// callers get the error; otherwise each key is asked for alone.
func (b *batcher[K, V]) get(ctx context.Context, key K) (none V, err error) {
	joined := b.join(ctx, key)
	select {
	case <-joined.done:
	case <-ctx.Done():
		return none, unanswered(ctx)
	}
	if err := joined.errorFor(key); err != nil {
		return none, err
	}
	value, exists := joined.found[key]
	if !exists {
		return none, registry.ErrNotFound
	}
	return value, nil
}

func (b *batch[K, V]) errorFor(key K) error {
	if b.err != nil {
		return b.err
	}
	return b.errs[key]
}

func (b *batcher[K, V]) join(ctx context.Context, key K) *batch[K, V] {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = &batch[K, V]{ctx: context.WithoutCancel(ctx), keys: map[K]struct{}{}, done: make(chan struct{})}
	}
	joined := b.next
	joined.keys[key] = struct{}{}
	if b.running < b.limit {
		b.running++
		b.next = nil
		go b.run(joined)
	}
	return joined
}

// run makes one call after the other until no question has come meanwhile.
func (b *batcher[K, V]) run(now *batch[K, V]) {
	for now != nil {
		now.found, now.err = b.call(now.ctx, slices.Collect(maps.Keys(now.keys)))
		if len(now.keys) > 1 && now.err != nil && !errors.Is(now.err, registry.ErrUnavailable) {
			b.callEach(now)
		}
		close(now.done)
		now = b.take()
	}
}

func (b *batcher[K, V]) take() *batch[K, V] {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.next
	b.next = nil
	if now == nil {
		b.running--
	}
	return now
}

// callEach asks again for each key alone, so that one that cannot be answered harms no other.
func (b *batcher[K, V]) callEach(now *batch[K, V]) {
	now.found, now.err, now.errs = map[K]V{}, nil, map[K]error{}
	for key := range now.keys {
		found, err := b.call(now.ctx, []K{key})
		if err != nil {
			now.errs[key] = err
			continue
		}
		maps.Copy(now.found, found)
	}
}

// call returns a panic as an error: it runs in a goroutine of its own, and callers wait for it.
func (b *batcher[K, V]) call(ctx context.Context, keys []K) (found map[K]V, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("cache: panic in the store: %v", fault)
		}
	}()
	return b.load(ctx, keys)
}
