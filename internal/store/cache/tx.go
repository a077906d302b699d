package cache

import (
	"context"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// Tx implements registry.Store. What fn touched is published in its own transaction, and until that has ended, whatever the
// outcome, nothing of it is answered from what is kept.
func (s *Store) Tx(ctx context.Context, fn func(registry.Tx) error) error {
	var held []place
	defer func() { s.validity.release(held) }()
	return s.Store.Tx(ctx, func(tx registry.Tx) error {
		r := &recorder{Tx: tx}
		if err := fn(r); err != nil {
			return err
		}
		if err := r.publish(ctx); err != nil {
			return err
		}
		touched := s.validity.placesOf(r.touched)
		s.validity.hold(touched)
		held = append(held, touched...)
		return nil
	})
}

// recorder is a transaction that notes what its writes touch. A write of a Tx that is not here touches nothing that is kept; a test
// lists them all.
type recorder struct {
	registry.Tx
	touched   registry.Touched
	published bool // all of it
}

// note takes down what a write that succeeded touched.
func (r *recorder) note(err error, touched registry.Touched) error {
	if err != nil {
		return err
	}
	all := &r.touched
	all.Tenants = append(all.Tenants, touched.Tenants...)
	all.Keys = append(all.Keys, touched.Keys...)
	all.Hashes = append(all.Hashes, touched.Hashes...)
	all.Products = append(all.Products, touched.Products...)
	all.Slugs = append(all.Slugs, touched.Slugs...)
	r.published = false
	return nil
}

func (r *recorder) publish(ctx context.Context) error {
	if r.published || r.touched.Empty() {
		return nil
	}
	r.published = true
	return r.Publish(ctx, r.touched)
}

// AuditHead implements registry.AuditWriter. It takes the lock that everybody waits for, so what can be said before is.
func (r *recorder) AuditHead(ctx context.Context, group uuid.UUID) (registry.AuditHead, error) {
	if err := r.publish(ctx); err != nil {
		return registry.AuditHead{}, err
	}
	return r.Tx.AuditHead(ctx, group)
}

// InsertTenant implements registry.TenantWriter.
func (r *recorder) InsertTenant(ctx context.Context, t registry.Tenant) error {
	return r.note(r.Tx.InsertTenant(ctx, t), registry.Touched{Tenants: []uuid.UUID{t.ID}, Slugs: []string{t.Slug}})
}

// UpdateTenant implements registry.TenantWriter.
func (r *recorder) UpdateTenant(ctx context.Context, t registry.Tenant) error {
	return r.note(r.Tx.UpdateTenant(ctx, t), registry.Touched{Tenants: []uuid.UUID{t.ID}})
}

// InsertProduct implements registry.CatalogWriter.
func (r *recorder) InsertProduct(ctx context.Context, p registry.Product) error {
	return r.note(r.Tx.InsertProduct(ctx, p), registry.Touched{Products: []string{p.Key}})
}

// InsertEntitlement implements registry.EntitlementWriter.
func (r *recorder) InsertEntitlement(ctx context.Context, e registry.Entitlement) error {
	return r.note(r.Tx.InsertEntitlement(ctx, e), registry.Touched{Tenants: []uuid.UUID{e.TenantID}})
}

// InsertAPIKey implements registry.APIKeyWriter.
func (r *recorder) InsertAPIKey(ctx context.Context, k registry.APIKey) error {
	return r.note(r.Tx.InsertAPIKey(ctx, k), touchedBy(k))
}

// UpdateAPIKey implements registry.APIKeyWriter.
func (r *recorder) UpdateAPIKey(ctx context.Context, k registry.APIKey) error {
	return r.note(r.Tx.UpdateAPIKey(ctx, k), touchedBy(k))
}

// touchedBy is what a written key touches: its secrets are there now, and another one may have gone.
func touchedBy(k registry.APIKey) registry.Touched {
	touched := registry.Touched{Keys: []uuid.UUID{k.ID}, Hashes: []registry.Hash{k.Hash}}
	if k.PreviousHash != (registry.Hash{}) {
		touched.Hashes = append(touched.Hashes, k.PreviousHash)
	}
	return touched
}
