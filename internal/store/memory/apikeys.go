package memory

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

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
func (r reader) APIKeys(ctx context.Context, q registry.KeyQuery) (registry.KeyPage, error) {
	if err := (texts{q.Product, string(q.Environment), string(q.State)}).check(); err != nil {
		return registry.KeyPage{}, err
	}
	return read(ctx, r, func(own bool) (registry.KeyPage, error) {
		page := registry.KeyPage{Keys: []registry.APIKey{}}
		t := r.db.tenants[q.TenantID]
		if t == nil || q.Limit < 1 {
			return page, nil
		}
		older := t.keys.rows
		if q.Before != uuid.Nil {
			older = older[:t.keys.place(&registry.APIKey{ID: q.Before})]
		}
		examined, last := 0, uuid.Nil
		for _, k := range slices.Backward(older) {
			v := k.seen(own)
			if v == nil {
				continue
			}
			if q.Examine > 0 && examined == q.Examine {
				page.Next = last
				break
			}
			examined, last = examined+1, v.ID
			if !q.Matches(*v) {
				continue
			}
			if len(page.Keys) == q.Limit {
				page.Next = page.Keys[q.Limit-1].ID
				break
			}
			page.Keys = append(page.Keys, copyKey(*v))
		}
		return page, nil
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
	if k == nil || !slices.Contains(hashesOf(*k), lookup.Hash) { // it had this hash, or will have
		return registry.KeyFacts{}, registry.ErrNotFound
	}
	owner := db.tenants[k.TenantID]
	t, err := owner.read(own)
	if err != nil {
		return registry.KeyFacts{}, err
	}
	return copyKey(*k).Facts(lookup.Hash, &registry.Holder{
		Tenant: t, Entitlements: copies(owner.sources(cmp.Or(lookup.Product, k.Product)), own, copyEntitlement),
	}), nil
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

// TouchAPIKeys implements registry.APIKeyWriter.
func (t *tx) TouchAPIKeys(ctx context.Context, uses []registry.KeyUse) error {
	return t.write(ctx, func() error {
		newest := map[uuid.UUID]*touched{}
		for _, use := range uses {
			r := t.db.keys[use.ID]
			if r == nil {
				continue
			}
			if newest[use.ID] == nil {
				newest[use.ID] = &touched{}
			}
			at := use.At.UTC().Truncate(time.Microsecond)
			newest[use.ID].at = later(newest[use.ID].at, at)
			if use.Hash == r.newest().PreviousHash {
				newest[use.ID].previous = later(newest[use.ID].previous, at)
			}
		}
		for id, used := range newest {
			r := t.db.keys[id]
			k := copyKey(*r.newest())
			k.LastUsedAt, k.PreviousUsedAt = worth(k.LastUsedAt, used.at), worth(k.PreviousUsedAt, used.previous)
			set(t, r, k)
		}
		return nil
	})
}

// touched is when a key was used last, and when by its previous secret; nil if it was not.
type touched struct{ at, previous *time.Time }

func later(a *time.Time, b time.Time) *time.Time {
	if a == nil || b.After(*a) {
		return &b
	}
	return a
}

// worth is the time of use to be stored: a new one counts if it is later by registry.UseGrain.
func worth(stored, used *time.Time) *time.Time {
	if used == nil || (stored != nil && used.Before(stored.Add(registry.UseGrain))) {
		return stored
	}
	return used
}

// hashesOf are the hashes that a key is found by.
func hashesOf(k registry.APIKey) []registry.Hash {
	if k.PreviousHash == (registry.Hash{}) {
		return []registry.Hash{k.Hash}
	}
	return []registry.Hash{k.Hash, k.PreviousHash}
}

// indexHashes enters a row under the hashes that it has now, and takes it out from under those of the key that it was when the
// transaction is committed: until then others find it there.
func (t *tx) indexHashes(r *row[registry.APIKey], before registry.APIKey) {
	index := t.db.hashes
	for _, h := range hashesOf(*r.newest()) {
		if index[h] == nil {
			add(t, index, h, r)
		}
	}
	for _, h := range hashesOf(before) {
		t.note(func() {
			if !slices.Contains(hashesOf(*r.newest()), h) {
				delete(index, h)
			}
		}, func() {})
	}
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
