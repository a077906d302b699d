package memory

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// Product implements registry.CatalogReader.
func (r reader) Product(ctx context.Context, key string) (registry.Product, error) {
	return read(ctx, r, func(own bool) (registry.Product, error) {
		p := find(r.db.products, key, own)
		if p == nil {
			return registry.Product{}, registry.ErrNotFound
		}
		return copyProduct(*p), nil
	})
}

// Products implements registry.CatalogReader.
func (r reader) Products(ctx context.Context) ([]registry.Product, error) {
	return read(ctx, r, func(own bool) ([]registry.Product, error) {
		return copies(r.db.catalog.rows, own, copyProduct), nil
	})
}

// Request implements registry.CatalogReader.
func (r reader) Request(ctx context.Context, id uuid.UUID) (registry.CatalogRequest, error) {
	return read(ctx, r, func(own bool) (registry.CatalogRequest, error) {
		found := find(r.db.requests, id, own)
		if found == nil {
			return registry.CatalogRequest{}, registry.ErrNotFound
		}
		return copyRequest(*found), nil
	})
}

// PendingRequests implements registry.CatalogReader.
func (r reader) PendingRequests(ctx context.Context, tenant uuid.UUID) ([]registry.CatalogRequest, error) {
	return read(ctx, r, func(own bool) ([]registry.CatalogRequest, error) {
		t := r.db.tenants[tenant]
		if t == nil {
			return []registry.CatalogRequest{}, nil
		}
		return copies(t.pending.rows, own, copyRequest), nil
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

// InsertRequest implements registry.CatalogWriter.
func (t *tx) InsertRequest(ctx context.Context, v registry.CatalogRequest) error {
	return t.write(ctx, func() error {
		v, err := storedRequest(v)
		if err != nil {
			return err
		}
		owner, isOpen := t.db.tenants[v.TenantID], v.Status == registry.RequestPending
		switch {
		case t.db.requests[v.ID] != nil:
			return registry.ErrDuplicate
		case owner != nil && isOpen && owner.pending.has(&v):
			return registry.ErrRequestPending
		case owner == nil || t.db.products[v.Product] == nil:
			return registry.ErrNoParent
		}
		r := &row[registry.CatalogRequest]{}
		set(t, r, v)
		add(t, t.db.requests, v.ID, r)
		if isOpen {
			owner.pending.insert(t, r)
		}
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

var requestStatuses = []registry.RequestStatus{
	registry.RequestPending, registry.RequestApproved, registry.RequestRejected, registry.RequestCancelled,
}

// storedRequest is a request as its row holds it.
func storedRequest(v registry.CatalogRequest) (registry.CatalogRequest, error) {
	v = copyRequest(v)
	micros(&v.CreatedAt, &v.UpdatedAt, v.DecidedAt)
	switch {
	case !slices.Contains(requestStatuses, v.Status):
		return v, broken("request status")
	case (v.Status == registry.RequestPending) != (v.DecidedAt == nil):
		return v, broken("request decided")
	}
	return v, texts{v.Product, v.Message, v.RequestedBy, v.DecidedBy, v.DecisionReason}.check()
}

func copyRequest(v registry.CatalogRequest) registry.CatalogRequest {
	v.DecidedAt = copyOf(v.DecidedAt)
	return v
}
