package memory

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// GetKeyFacts implements registry.APIKeyReader.
func (r reader) GetKeyFacts(
	ctx context.Context, lookups []registry.KeyLookup,
) (map[registry.KeyLookup]registry.KeyFacts, error) {
	for _, lookup := range lookups {
		if err := (texts{lookup.Product}).check(); err != nil {
			return nil, err
		}
	}
	return read(ctx, r, func(own bool) (map[registry.KeyLookup]registry.KeyFacts, error) {
		found := map[registry.KeyLookup]registry.KeyFacts{}
		for _, lookup := range lookups {
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
	return copyKey(*k).Facts(lookup.Hash, &registry.KeyOwner{
		Tenant: t, Entitlements: copies(owner.sources(cmp.Or(lookup.Product, k.Product)), own, copyEntitlement),
	}), nil
}
