package cache

import (
	"context"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// Tx implements registry.Store. From the commit of what fn published until the transaction has ended, whatever the
// outcome, nothing that depends on it is answered from the cache.
func (s *Store) Tx(ctx context.Context, fn func(registry.Tx) error) error {
	var held []changes
	defer func() {
		for _, c := range held {
			s.validity.release(c)
		}
	}()
	return s.Store.Tx(ctx, func(tx registry.Tx) error {
		p := &publishingTx{Tx: tx}
		if err := fn(p); err != nil {
			return err
		}
		for _, i := range p.published {
			c := s.validity.changesOf(i)
			s.validity.hold(c)
			held = append(held, c)
		}
		return nil
	})
}

// publishingTx is a transaction that remembers which invalidations it published.
type publishingTx struct {
	registry.Tx
	published []registry.Invalidation
}

// PublishInvalidation implements registry.InvalidationWriter.
func (p *publishingTx) PublishInvalidation(ctx context.Context, i registry.Invalidation) error {
	if err := p.Tx.PublishInvalidation(ctx, i); err != nil {
		return err
	}
	p.published = append(p.published, i)
	return nil
}

// Invalidate implements postgres.Invalidator: what is named was changed by another process.
func (s *Store) Invalidate(i registry.Invalidation) {
	s.validity.invalidate(s.validity.changesOf(i))
}
