package memory

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// GetTenant implements registry.TenantReader.
func (r reader) GetTenant(ctx context.Context, id uuid.UUID) (registry.Tenant, error) {
	return read(ctx, r, func(own bool) (registry.Tenant, error) { return r.db.tenants[id].read(own) })
}

// GetTenantsBySlug implements registry.TenantReader.
func (r reader) GetTenantsBySlug(ctx context.Context, slugs []string) (map[string]registry.Tenant, error) {
	return read(ctx, r, func(own bool) (map[string]registry.Tenant, error) {
		found := map[string]registry.Tenant{}
		for _, slug := range slugs {
			if t, err := r.db.slugs[slug].read(own); err == nil {
				found[slug] = t
			}
		}
		return found, nil
	})
}

// GetTenantByKeycloakOrg implements registry.TenantReader.
func (r reader) GetTenantByKeycloakOrg(ctx context.Context, org string) (registry.Tenant, error) {
	return read(ctx, r, func(own bool) (registry.Tenant, error) { return r.db.orgs[org].read(own) })
}

// read is a copy of the tenant, or ErrNotFound if t is nil or not visible.
func (t *tenant) read(own bool) (registry.Tenant, error) {
	if t == nil || t.seen(own) == nil {
		return registry.Tenant{}, registry.ErrNotFound
	}
	return copyTenant(*t.seen(own)), nil
}

// LockTenant implements registry.TenantWriter.
func (t *tx) LockTenant(ctx context.Context, id uuid.UUID) (registry.Tenant, error) {
	return lock(ctx, t, func() (registry.Tenant, error) { return t.db.tenants[id].read(true) })
}

// LockTenantsShared implements registry.TenantWriter. No other transaction has a tenant locked while this one has the
// writer slot.
func (t *tx) LockTenantsShared(ctx context.Context, ids []uuid.UUID, _ bool) (map[uuid.UUID]bool, error) {
	return lock(ctx, t, func() (map[uuid.UUID]bool, error) {
		locked := map[uuid.UUID]bool{}
		for _, id := range ids {
			if t.db.tenants[id] != nil {
				locked[id] = true
			}
		}
		return locked, nil
	})
}

// InsertTenant implements registry.TenantWriter.
func (t *tx) InsertTenant(ctx context.Context, v registry.Tenant) error {
	return t.write(ctx, func() error {
		v, err := storedTenant(v)
		if err != nil {
			return err
		}
		switch {
		case t.db.tenants[v.ID] != nil:
			return registry.ErrDuplicate
		case t.db.slugs[v.Slug] != nil:
			return registry.ErrSlugTaken
		case v.KeycloakOrgID != "" && t.db.orgs[v.KeycloakOrgID] != nil:
			return registry.ErrOrgTaken
		}
		entry := newTenant()
		set(t, &entry.row, v)
		add(t, t.db.tenants, v.ID, entry)
		add(t, t.db.slugs, v.Slug, entry)
		if v.KeycloakOrgID != "" {
			add(t, t.db.orgs, v.KeycloakOrgID, entry)
		}
		return nil
	})
}

// UpdateTenant implements registry.TenantWriter.
func (t *tx) UpdateTenant(ctx context.Context, v registry.Tenant) error {
	return t.write(ctx, func() error {
		v, err := storedTenant(v)
		if err != nil {
			return err
		}
		entry := t.db.tenants[v.ID]
		if entry == nil {
			return registry.ErrNotFound
		}
		before := entry.newest()
		v.Slug, v.KeycloakOrgID, v.CreatedAt = before.Slug, before.KeycloakOrgID, before.CreatedAt
		set(t, &entry.row, v)
		return nil
	})
}

var tenantStatuses = []registry.TenantStatus{registry.StatusTrial, registry.StatusActive, registry.StatusFrozen}

// storedTenant is a tenant as its row holds it.
func storedTenant(v registry.Tenant) (registry.Tenant, error) {
	v = copyTenant(v)
	micros(&v.CreatedAt, &v.UpdatedAt, v.ActivatedAt, v.FrozenAt)
	switch {
	case !slices.Contains(tenantStatuses, v.Status):
		return v, broken("tenant status")
	case v.Version < 1:
		return v, broken("tenant version")
	}
	return v, texts{v.Slug, v.Name, v.Region, v.ExternalID, v.KeycloakOrgID}.and(v.Metadata).check()
}

func copyTenant(v registry.Tenant) registry.Tenant {
	v.Metadata = copyStrings(v.Metadata)
	v.ActivatedAt, v.FrozenAt = copyOf(v.ActivatedAt), copyOf(v.FrozenAt)
	return v
}
