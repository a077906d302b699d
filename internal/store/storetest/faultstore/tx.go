package faultstore

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

// tx decorates a registry.Tx.
type tx struct {
	reader
	inner registry.Tx
}

var _ registry.Tx = (*tx)(nil)

func (t *tx) LockTenant(ctx context.Context, id uuid.UUID) (registry.Tenant, error) {
	return call(ctx, t.h, "Tx.LockTenant", func() (registry.Tenant, error) { return t.inner.LockTenant(ctx, id) })
}

func (t *tx) LockTenantsShared(ctx context.Context, ids []uuid.UUID, skipLocked bool) (map[uuid.UUID]bool, error) {
	return call(ctx, t.h, "Tx.LockTenantsShared", func() (map[uuid.UUID]bool, error) {
		return t.inner.LockTenantsShared(ctx, ids, skipLocked)
	})
}

func (t *tx) InsertTenant(ctx context.Context, v registry.Tenant) error {
	return write(ctx, t.h, "Tx.InsertTenant", func() error { return t.inner.InsertTenant(ctx, v) })
}

func (t *tx) UpdateTenant(ctx context.Context, v registry.Tenant) error {
	return write(ctx, t.h, "Tx.UpdateTenant", func() error { return t.inner.UpdateTenant(ctx, v) })
}

func (t *tx) InsertProduct(ctx context.Context, p registry.Product) error {
	return write(ctx, t.h, "Tx.InsertProduct", func() error { return t.inner.InsertProduct(ctx, p) })
}

func (t *tx) InsertCatalogRequest(ctx context.Context, r registry.CatalogRequest) error {
	return write(ctx, t.h, "Tx.InsertCatalogRequest", func() error { return t.inner.InsertCatalogRequest(ctx, r) })
}

func (t *tx) InsertEntitlement(ctx context.Context, e registry.Entitlement) error {
	return write(ctx, t.h, "Tx.InsertEntitlement", func() error { return t.inner.InsertEntitlement(ctx, e) })
}

func (t *tx) LockAPIKey(ctx context.Context, id uuid.UUID) (registry.APIKey, error) {
	return call(ctx, t.h, "Tx.LockAPIKey", func() (registry.APIKey, error) { return t.inner.LockAPIKey(ctx, id) })
}

func (t *tx) InsertAPIKey(ctx context.Context, k registry.APIKey) error {
	return write(ctx, t.h, "Tx.InsertAPIKey", func() error { return t.inner.InsertAPIKey(ctx, k) })
}

func (t *tx) UpdateAPIKey(ctx context.Context, k registry.APIKey) error {
	return write(ctx, t.h, "Tx.UpdateAPIKey", func() error { return t.inner.UpdateAPIKey(ctx, k) })
}

func (t *tx) UpdateAPIKeyUsage(ctx context.Context, uses []registry.APIKeyUse) error {
	return write(ctx, t.h, "Tx.UpdateAPIKeyUsage", func() error { return t.inner.UpdateAPIKeyUsage(ctx, uses) })
}

func (t *tx) ReserveIdempotencyKey(ctx context.Context, key audit.Digest) ([]registry.EarlierEvent, error) {
	return call(ctx, t.h, "Tx.ReserveIdempotencyKey", func() ([]registry.EarlierEvent, error) {
		return t.inner.ReserveIdempotencyKey(ctx, key)
	})
}

func (t *tx) PublishInvalidation(ctx context.Context, i registry.Invalidation) error {
	return write(ctx, t.h, "Tx.PublishInvalidation", func() error { return t.inner.PublishInvalidation(ctx, i) })
}

func (t *tx) LockAuditLog(ctx context.Context, groups []uuid.UUID, keys []audit.Digest) (registry.AuditHeads, error) {
	return call(
		ctx, t.h, "Tx.LockAuditLog",
		func() (registry.AuditHeads, error) { return t.inner.LockAuditLog(ctx, groups, keys) },
	)
}

func (t *tx) MarkEventParts(ctx context.Context, group, erasure uuid.UUID, parts []registry.EventParts) error {
	return write(ctx, t.h, "Tx.MarkEventParts", func() error {
		return t.inner.MarkEventParts(ctx, group, erasure, parts)
	})
}

func (t *tx) LockErasureCommit(ctx context.Context, group uuid.UUID) error {
	return write(ctx, t.h, "Tx.LockErasureCommit", func() error { return t.inner.LockErasureCommit(ctx, group) })
}

func (t *tx) DeleteEventParts(ctx context.Context, group uuid.UUID, parts []registry.EventParts) error {
	return write(ctx, t.h, "Tx.DeleteEventParts", func() error { return t.inner.DeleteEventParts(ctx, group, parts) })
}

func (t *tx) EraseSubjects(
	ctx context.Context, tenant uuid.UUID, subjects []string, texts bool, now time.Time,
) (bool, error) {
	return call(ctx, t.h, "Tx.EraseSubjects", func() (bool, error) {
		return t.inner.EraseSubjects(ctx, tenant, subjects, texts, now)
	})
}

func (t *tx) LockForAppend(
	ctx context.Context, tenants []uuid.UUID, skipLocked bool, groups []uuid.UUID, keys []audit.Digest,
) (locked map[uuid.UUID]bool, heads registry.AuditHeads, err error) {
	heads, err = call(ctx, t.h, "Tx.LockForAppend", func() (heads registry.AuditHeads, err error) {
		locked, heads, err = t.inner.LockForAppend(ctx, tenants, skipLocked, groups, keys)
		return heads, err
	})
	return locked, heads, err
}

func (t *tx) InsertAuditEvents(ctx context.Context, events []audit.Event) error {
	return write(ctx, t.h, "Tx.InsertAuditEvents", func() error { return t.inner.InsertAuditEvents(ctx, events) })
}
