package cache

import (
	"context"
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
}

// get returns when there is an answer or ctx ends. If the call fails, all of its callers get the error.
func (b *batcher[K, V]) get(ctx context.Context, key K) (none V, err error) {
	joined := b.join(ctx, key)
	select {
	case <-joined.done:
	case <-ctx.Done():
		return none, unanswered(ctx)
	}
	if joined.err != nil {
		return none, joined.err
	}
	value, exists := joined.found[key]
	if !exists {
		return none, registry.ErrNotFound
	}
	return value, nil
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
		now.found, now.err = b.call(now)
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

// call returns a panic as an error: it runs in a goroutine of its own, and callers wait for it.
func (b *batcher[K, V]) call(now *batch[K, V]) (found map[K]V, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("cache: panic in the store: %v", fault)
		}
	}()
	return b.load(now.ctx, slices.Collect(maps.Keys(now.keys)))
}
