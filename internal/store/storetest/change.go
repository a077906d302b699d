package storetest

import (
	"context"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

// Change runs fn in one transaction and publishes what its writes invalidate, as the use cases do. Without the
// publication a store with a cache would answer with what it read before.
func Change(ctx context.Context, store registry.Store, fn func(registry.Tx) error) error {
	return store.Tx(ctx, func(tx registry.Tx) error {
		recording := &recordingTx{Tx: tx}
		if err := fn(recording); err != nil || recording.written.Empty() {
			return err
		}
		return tx.PublishInvalidation(ctx, recording.written)
	})
}

// recordingTx records what its writes invalidate, whether they succeed or not.
type recordingTx struct {
	registry.Tx
	written registry.Invalidation
}

func (r *recordingTx) InsertTenant(ctx context.Context, t registry.Tenant) error {
	r.written.Tenants, r.written.Slugs = append(r.written.Tenants, t.ID), append(r.written.Slugs, t.Slug)
	if t.KeycloakOrgID != "" {
		r.written.Orgs = append(r.written.Orgs, t.KeycloakOrgID)
	}
	return r.Tx.InsertTenant(ctx, t)
}

func (r *recordingTx) UpdateTenant(ctx context.Context, t registry.Tenant) error {
	r.written.Tenants = append(r.written.Tenants, t.ID)
	return r.Tx.UpdateTenant(ctx, t)
}

func (r *recordingTx) InsertProduct(ctx context.Context, p registry.Product) error {
	r.written.Products = append(r.written.Products, p.Key)
	return r.Tx.InsertProduct(ctx, p)
}

func (r *recordingTx) InsertEntitlement(ctx context.Context, e registry.Entitlement) error {
	r.written.Tenants = append(r.written.Tenants, e.TenantID)
	return r.Tx.InsertEntitlement(ctx, e)
}

func (r *recordingTx) InsertAPIKey(ctx context.Context, k registry.APIKey) error {
	r.recordKey(k)
	return r.Tx.InsertAPIKey(ctx, k)
}

func (r *recordingTx) UpdateAPIKey(ctx context.Context, k registry.APIKey) error {
	r.recordKey(k)
	return r.Tx.UpdateAPIKey(ctx, k)
}

func (r *recordingTx) recordKey(k registry.APIKey) {
	r.written.Keys = append(r.written.Keys, k.ID)
	for _, h := range []apikey.Hash{k.Hash, k.PreviousHash} {
		if h != (apikey.Hash{}) {
			r.written.Hashes = append(r.written.Hashes, h)
		}
	}
}

// lookupKey asks for one key as the registry does: a store with a cache answers from the cache.
func lookupKey(ctx context.Context, r registry.Reader, l registry.KeyLookup) (registry.KeyFacts, error) {
	if lookup, cached := r.(registry.Lookup); cached {
		return lookup.KeyFacts(ctx, l, registry.ReadOptions{})
	}
	return registry.GetKeyFacts(ctx, r, l)
}

// lookupTenant asks for one tenant as the registry does: a store with a cache answers from the cache.
func lookupTenant(ctx context.Context, r registry.Reader, slug string) (registry.Tenant, error) {
	if lookup, cached := r.(registry.Lookup); cached {
		return lookup.TenantBySlug(ctx, slug, registry.ReadOptions{})
	}
	return registry.GetTenantBySlug(ctx, r, slug)
}

// lookupOrg asks for the tenant of an organisation as the registry does: a store with a cache answers from the cache.
func lookupOrg(ctx context.Context, r registry.Reader, org string) (registry.Tenant, error) {
	if lookup, cached := r.(registry.Lookup); cached {
		return lookup.TenantByKeycloakOrg(ctx, org, registry.ReadOptions{})
	}
	return r.GetTenantByKeycloakOrg(ctx, org)
}
