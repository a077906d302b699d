package memory

import (
	"context"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// GetProduct implements registry.CatalogReader.
func (r reader) GetProduct(ctx context.Context, key string) (registry.Product, error) {
	return read(ctx, r, func(own bool) (registry.Product, error) {
		p := find(r.db.products, key, own)
		if p == nil {
			return registry.Product{}, registry.ErrNotFound
		}
		return copyProduct(*p), nil
	})
}

// ListProducts implements registry.CatalogReader.
func (r reader) ListProducts(ctx context.Context) ([]registry.Product, error) {
	return read(ctx, r, func(own bool) ([]registry.Product, error) {
		return copies(r.db.catalog.rows, own, copyProduct), nil
	})
}

// InsertProduct implements registry.CatalogWriter.
func (t *tx) InsertProduct(ctx context.Context, p registry.Product) error {
	return t.write(ctx, func() error {
		p, err := storedProduct(p)
		if err != nil {
			return err
		}
		if t.db.products[p.Key] != nil {
			return registry.ErrDuplicate
		}
		r := &row[registry.Product]{}
		set(t, r, p)
		add(t, t.db.products, p.Key, r)
		t.db.catalog.insert(t, r)
		return nil
	})
}

// storedProduct is a product as its row holds it.
func storedProduct(p registry.Product) (registry.Product, error) {
	config, err := parsed(p.DefaultConfig)
	if err != nil {
		return p, err
	}
	p.DefaultConfig = config
	p = copyProduct(p)
	micros(&p.CreatedAt, &p.UpdatedAt, p.AvailableFrom, p.AvailableUntil)
	switch {
	case p.Audience != registry.Public && p.Audience != registry.Private:
		return p, broken("product audience")
	case p.TrialDays < 0 || p.TrialDays > 3650:
		return p, broken("product trial days")
	}
	return p, texts{p.Key, p.Name, p.Description}.andLimits(p.DefaultLimits).check()
}

func copyProduct(p registry.Product) registry.Product {
	p.DefaultLimits, p.DefaultConfig = copyLimits(p.DefaultLimits), copyConfig(p.DefaultConfig)
	p.AvailableFrom, p.AvailableUntil = copyOf(p.AvailableFrom), copyOf(p.AvailableUntil)
	return p
}
