package server

import (
	"context"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// faulty is a store whose methods fail as a test says. fault is asked before each call, by the method's name; nil lets the call through.
type faulty struct {
	registry.Store
	fault func(method string) error
}

// read asks for a fault and else calls the store.
func read[T any](f faulty, method string, call func() (T, error)) (T, error) {
	if err := f.fault(method); err != nil {
		var none T
		return none, err
	}
	return call()
}

func (f faulty) Tenant(ctx context.Context, id uuid.UUID) (registry.Tenant, error) {
	return read(f, "Tenant", func() (registry.Tenant, error) { return f.Store.Tenant(ctx, id) })
}

func (f faulty) TenantBySlug(ctx context.Context, slug string) (registry.Tenant, error) {
	return read(f, "TenantBySlug", func() (registry.Tenant, error) { return f.Store.TenantBySlug(ctx, slug) })
}

func (f faulty) TenantByOrg(ctx context.Context, org string) (registry.Tenant, error) {
	return read(f, "TenantByOrg", func() (registry.Tenant, error) { return f.Store.TenantByOrg(ctx, org) })
}

func (f faulty) Product(ctx context.Context, key string) (registry.Product, error) {
	return read(f, "Product", func() (registry.Product, error) { return f.Store.Product(ctx, key) })
}

func (f faulty) Products(ctx context.Context) ([]registry.Product, error) {
	return read(f, "Products", func() ([]registry.Product, error) { return f.Store.Products(ctx) })
}

func (f faulty) PendingRequests(ctx context.Context, tenant uuid.UUID) ([]registry.CatalogRequest, error) {
	return read(f, "PendingRequests", func() ([]registry.CatalogRequest, error) { return f.Store.PendingRequests(ctx, tenant) })
}

func (f faulty) Entitlements(ctx context.Context, tenant uuid.UUID) ([]registry.Entitlement, error) {
	return read(f, "Entitlements", func() ([]registry.Entitlement, error) { return f.Store.Entitlements(ctx, tenant) })
}

func (f faulty) APIKey(ctx context.Context, id uuid.UUID) (registry.APIKey, error) {
	return read(f, "APIKey", func() (registry.APIKey, error) { return f.Store.APIKey(ctx, id) })
}

func (f faulty) APIKeys(ctx context.Context, q registry.KeyQuery) (registry.KeyPage, error) {
	return read(f, "APIKeys", func() (registry.KeyPage, error) { return f.Store.APIKeys(ctx, q) })
}

func (f faulty) CountAPIKeys(ctx context.Context, tenant uuid.UUID) (int, error) {
	return read(f, "CountAPIKeys", func() (int, error) { return f.Store.CountAPIKeys(ctx, tenant) })
}

func (f faulty) KeyFacts(ctx context.Context, hash registry.Hash, product string) (registry.KeyFacts, error) {
	return read(f, "KeyFacts", func() (registry.KeyFacts, error) { return f.Store.KeyFacts(ctx, hash, product) })
}

func (f faulty) Event(ctx context.Context, id uuid.UUID) (registry.AuditEvent, error) {
	return read(f, "Event", func() (registry.AuditEvent, error) { return f.Store.Event(ctx, id) })
}

func (f faulty) Events(ctx context.Context, q registry.AuditQuery) (registry.AuditRows, error) {
	return read(f, "Events", func() (registry.AuditRows, error) { return f.Store.Events(ctx, q) })
}

func (f faulty) NewestPos(ctx context.Context) (int64, error) {
	return read(f, "NewestPos", func() (int64, error) { return f.Store.NewestPos(ctx) })
}

func (f faulty) AuditChain(ctx context.Context, group uuid.UUID) (registry.ChainHead, error) {
	return read(f, "AuditChain", func() (registry.ChainHead, error) { return f.Store.AuditChain(ctx, group) })
}

func (f faulty) Ping(ctx context.Context) (registry.StoreStatus, error) {
	return read(f, "Ping", func() (registry.StoreStatus, error) { return f.Store.Ping(ctx) })
}

func (f faulty) Tx(ctx context.Context, fn func(registry.Tx) error) error {
	if err := f.fault("Tx"); err != nil {
		return err
	}
	err := f.Store.Tx(ctx, func(tx registry.Tx) error { return fn(faultyTx{tx, f}) })
	if err == nil {
		err = f.fault("commit")
	}
	return err
}

// faultyTx fails where the event is written, which is the last thing a change does.
type faultyTx struct {
	registry.Tx
	f faulty
}

func (t faultyTx) InsertEvent(ctx context.Context, e registry.AuditEvent) error {
	if err := t.f.fault("InsertEvent"); err != nil {
		return err
	}
	return t.Tx.InsertEvent(ctx, e)
}

func (t faultyTx) Tenant(ctx context.Context, id uuid.UUID) (registry.Tenant, error) {
	if err := t.f.fault("Tx.Tenant"); err != nil {
		return registry.Tenant{}, err
	}
	return t.Tx.Tenant(ctx, id)
}

func (t faultyTx) InsertEvents(ctx context.Context, events []registry.AuditEvent) error {
	if err := t.f.fault("InsertEvent"); err != nil {
		return err
	}
	return t.Tx.InsertEvents(ctx, events)
}
