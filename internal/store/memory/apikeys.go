package memory

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// APIKey implements registry.APIKeyReader.
func (r reader) APIKey(ctx context.Context, id uuid.UUID) (registry.APIKey, error) {
	return read(ctx, r, func(own bool) (registry.APIKey, error) { return r.db.key(id, own) })
}

func (db *tables) key(id uuid.UUID, own bool) (registry.APIKey, error) {
	k := find(db.keys, id, own)
	if k == nil {
		return registry.APIKey{}, registry.ErrNotFound
	}
	return copyKey(*k), nil
}

// APIKeys implements registry.APIKeyReader.
func (r reader) APIKeys(ctx context.Context, tenant, before uuid.UUID, limit int) ([]registry.APIKey, error) {
	return read(ctx, r, func(own bool) ([]registry.APIKey, error) {
		got := []registry.APIKey{}
		t := r.db.tenants[tenant]
		if t == nil {
			return got, nil
		}
		older := t.keys.rows
		if before != uuid.Nil {
			older = older[:t.keys.place(&registry.APIKey{ID: before})]
		}
		for _, k := range slices.Backward(older) {
			if len(got) >= limit {
				break
			}
			if v := k.seen(own); v != nil {
				got = append(got, copyKey(*v))
			}
		}
		return got, nil
	})
}

// CountAPIKeys implements registry.APIKeyReader.
func (r reader) CountAPIKeys(ctx context.Context, tenant uuid.UUID) (int, error) {
	return read(ctx, r, func(own bool) (int, error) {
		count := 0
		t := r.db.tenants[tenant]
		if t == nil {
			return count, nil
		}
		for _, k := range t.keys.rows {
			if v := k.seen(own); v != nil && v.RevokedAt == nil {
				count++
			}
		}
		return count, nil
	})
}

// KeyFacts implements registry.APIKeyReader.
func (r reader) KeyFacts(ctx context.Context, hash registry.Hash, product string) (registry.KeyFacts, error) {
	if err := (texts{product}).check(); err != nil {
		return registry.KeyFacts{}, err
	}
	return read(ctx, r, func(own bool) (registry.KeyFacts, error) {
		return r.db.facts(registry.KeyLookup{Hash: hash, Product: product}, own)
	})
}

// ManyKeyFacts implements registry.APIKeyReader.
func (r reader) ManyKeyFacts(ctx context.Context, asked []registry.KeyLookup) (map[registry.KeyLookup]registry.KeyFacts, error) {
	for _, lookup := range asked {
		if err := (texts{lookup.Product}).check(); err != nil {
			return nil, err
		}
	}
	return read(ctx, r, func(own bool) (map[registry.KeyLookup]registry.KeyFacts, error) {
		found := map[registry.KeyLookup]registry.KeyFacts{}
		for _, lookup := range asked {
			facts, err := r.db.facts(lookup, own)
			switch {
			case err == nil:
				found[lookup] = facts
			case !errors.Is(err, registry.ErrNotFound):
				return nil, err
			}
		}
		return found, nil
	})
}

func (db *tables) facts(lookup registry.KeyLookup, own bool) (registry.KeyFacts, error) {
	k := find(db.hashes, lookup.Hash, own)
	if k == nil {
		return registry.KeyFacts{}, registry.ErrNotFound
	}
	owner := db.tenants[k.TenantID]
	t, err := owner.read(own)
	if err != nil {
		return registry.KeyFacts{}, err
	}
	return registry.KeyFacts{
		Previous: k.Hash != lookup.Hash, Key: copyKey(*k), Tenant: t,
		Entitlements: copies(owner.sources(cmp.Or(lookup.Product, k.Product)), own, copyEntitlement),
	}, nil
}

// LockAPIKey implements registry.APIKeyWriter.
func (t *tx) LockAPIKey(ctx context.Context, id uuid.UUID) (registry.APIKey, error) {
	return lock(ctx, t, func() (registry.APIKey, error) { return t.db.key(id, true) })
}

// InsertAPIKey implements registry.APIKeyWriter.
func (t *tx) InsertAPIKey(ctx context.Context, k registry.APIKey) error {
	return t.write(ctx, func() error {
		k, err := storedKey(k)
		if err != nil {
			return err
		}
		owner := t.db.tenants[k.TenantID]
		switch {
		case t.db.keys[k.ID] != nil || t.db.hashes[k.Hash] != nil || t.db.hashes[k.PreviousHash] != nil:
			return registry.ErrDuplicate
		case owner == nil || (k.Product != "" && t.db.products[k.Product] == nil):
			return registry.ErrNoParent
		}
		r := &row[registry.APIKey]{}
		set(t, r, k)
		add(t, t.db.keys, k.ID, r)
		add(t, t.db.hashes, k.Hash, r)
		if k.PreviousHash != (registry.Hash{}) {
			add(t, t.db.hashes, k.PreviousHash, r)
		}
		owner.keys.insert(t, r)
		return nil
	})
}

// UpdateAPIKey implements registry.APIKeyWriter.
func (t *tx) UpdateAPIKey(ctx context.Context, k registry.APIKey) error {
	return t.write(ctx, func() error {
		k, err := storedKey(k)
		if err != nil {
			return err
		}
		r := t.db.keys[k.ID]
		if r == nil {
			return registry.ErrNotFound
		}
		after := *r.newest()
		after.Name, after.Scopes, after.ExpiresAt, after.Disabled = k.Name, k.Scopes, k.ExpiresAt, k.Disabled
		after.RevokedAt, after.RevokedBy, after.RevokeReason, after.UpdatedAt = k.RevokedAt, k.RevokedBy, k.RevokeReason, k.UpdatedAt
		after.Version = k.Version
		set(t, r, after)
		return nil
	})
}

// storedKey is a key as its row holds it.
func storedKey(k registry.APIKey) (registry.APIKey, error) {
	k = copyKey(k)
	micros(k.ExpiresAt, &k.CreatedAt, &k.UpdatedAt, k.RevokedAt, k.PreviousEndsAt, k.PreviousUsedAt, k.RotatedAt, k.LastUsedAt)
	switch {
	case k.Environment != registry.Live && k.Environment != registry.Test:
		return k, broken("key environment")
	case (k.RevokedAt == nil) != (k.RevokedBy == ""):
		return k, broken("key revoked")
	case (k.PreviousHash == registry.Hash{}) != (k.PreviousEndsAt == nil):
		return k, broken("key previous")
	case k.Version < 1:
		return k, broken("key version")
	}
	return k, append(texts{k.Name, k.Product, k.Prefix, k.CreatedBy, k.RevokedBy, k.RevokeReason}, k.Scopes...).check()
}

func copyKey(k registry.APIKey) registry.APIKey {
	k.Scopes = append([]string{}, k.Scopes...)
	k.ExpiresAt, k.RevokedAt = copyOf(k.ExpiresAt), copyOf(k.RevokedAt)
	k.PreviousEndsAt, k.PreviousUsedAt = copyOf(k.PreviousEndsAt), copyOf(k.PreviousUsedAt)
	k.RotatedAt, k.LastUsedAt = copyOf(k.RotatedAt), copyOf(k.LastUsedAt)
	return k
}
