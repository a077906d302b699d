package memory

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

// GetAPIKey implements registry.APIKeyReader.
func (r reader) GetAPIKey(ctx context.Context, id uuid.UUID) (registry.APIKey, error) {
	return read(ctx, r, func(own bool) (registry.APIKey, error) { return r.db.key(id, own) })
}

func (db *tables) key(id uuid.UUID, own bool) (registry.APIKey, error) {
	k := find(db.keys, id, own)
	if k == nil {
		return registry.APIKey{}, registry.ErrNotFound
	}
	return copyKey(*k), nil
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
		t.indexHashes(r, k)
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
		for _, h := range hashesOf(k) {
			if other := t.db.hashes[h]; other != nil && other != r {
				return registry.ErrDuplicate
			}
		}
		before := *r.newest()
		after := k
		after.TenantID, after.Environment, after.Product = before.TenantID, before.Environment, before.Product
		after.CreatedBy, after.CreatedAt, after.LastUsedAt = before.CreatedBy, before.CreatedAt, before.LastUsedAt
		set(t, r, after)
		t.indexHashes(r, before)
		return nil
	})
}

// hashesOf are the hashes that a key is found by.
func hashesOf(k registry.APIKey) []apikey.Hash {
	if k.PreviousHash == (apikey.Hash{}) {
		return []apikey.Hash{k.Hash}
	}
	return []apikey.Hash{k.Hash, k.PreviousHash}
}

// indexHashes enters a row under the hashes that it has now, and removes it from those of the key that it was when the
// transaction is committed: until then other readers find it there.
func (t *tx) indexHashes(r *row[registry.APIKey], before registry.APIKey) {
	index := t.db.hashes
	for _, h := range hashesOf(*r.newest()) {
		if index[h] == nil {
			add(t, index, h, r)
		}
	}
	for _, h := range hashesOf(before) {
		t.record(func() {
			if !slices.Contains(hashesOf(*r.newest()), h) {
				delete(index, h)
			}
		}, func() {})
	}
}

// storedKey is a key as its row holds it.
func storedKey(k registry.APIKey) (registry.APIKey, error) {
	k = copyKey(k)
	micros(
		k.ExpiresAt, &k.CreatedAt, &k.UpdatedAt, k.RevokedAt, k.PreviousEndsAt, k.PreviousUsedAt, k.RotatedAt,
		k.LastUsedAt,
	)
	switch {
	case k.Environment != apikey.Live && k.Environment != apikey.Test:
		return k, broken("key environment")
	case (k.RevokedAt == nil) != (k.RevokedBy == ""):
		return k, broken("key revoked")
	case (k.PreviousHash == apikey.Hash{}) != (k.PreviousEndsAt == nil):
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
