package memory

import (
	"bytes"
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// GetCatalogRequest implements registry.CatalogReader.
func (r reader) GetCatalogRequest(ctx context.Context, id uuid.UUID) (registry.CatalogRequest, error) {
	return read(ctx, r, func(own bool) (registry.CatalogRequest, error) {
		found := find(r.db.requests, id, own)
		if found == nil {
			return registry.CatalogRequest{}, registry.ErrNotFound
		}
		return copyRequest(*found), nil
	})
}

// ListPendingCatalogRequests implements registry.CatalogReader.
func (r reader) ListPendingCatalogRequests(ctx context.Context, tenant uuid.UUID) ([]registry.CatalogRequest, error) {
	return read(ctx, r, func(own bool) ([]registry.CatalogRequest, error) {
		t := r.db.tenants[tenant]
		if t == nil {
			return []registry.CatalogRequest{}, nil
		}
		return copies(t.pending.rows, own, copyRequest), nil
	})
}

// ListCatalogRequests implements registry.CatalogReader.
func (r reader) ListCatalogRequests(
	ctx context.Context, tenant, after uuid.UUID, limit int,
) ([]registry.CatalogRequest, error) {
	return read(ctx, r, func(own bool) ([]registry.CatalogRequest, error) {
		found := []registry.CatalogRequest{}
		for _, row := range r.db.requests {
			if v := row.seen(own); v != nil && v.TenantID == tenant && bytes.Compare(v.ID[:], after[:]) > 0 {
				found = append(found, copyRequest(*v))
			}
		}
		slices.SortFunc(found, func(a, b registry.CatalogRequest) int { return bytes.Compare(a.ID[:], b.ID[:]) })
		return found[:min(len(found), limit)], nil
	})
}

// InsertCatalogRequest implements registry.CatalogWriter.
func (t *tx) InsertCatalogRequest(ctx context.Context, v registry.CatalogRequest) error {
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
