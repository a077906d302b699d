package storetest

import (
	"testing"

	"github.com/breakpilot/tenant-registry/internal/apikey"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

func apiKeys(t *testing.T, s suite) {
	s.test(t, "come back as they went in", keysComeBack)
	s.test(t, "are counted unless revoked", countKeys)
	s.test(t, "are unique and need their parents", keysAreUnique)
	s.test(t, "update", updateKey)
	s.test(t, "lock", func(f *fixture) {
		tenant := minimalTenant("tenant")
		there := fullKey(tenant.ID, "product")
		f.insert(tenant, minimalProduct("product"), there)
		f.commit(func(tx registry.Tx) error {
			got, err := tx.LockAPIKey(f.ctx, there.ID)
			f.equal(got, stored(there))
			return err
		})
		f.want(
			f.tx(func(tx registry.Tx) error { _, err := tx.LockAPIKey(f.ctx, newID()); return err }),
			registry.ErrNotFound,
		)
	})
	s.test(t, "that break a check", spoiltKeys)
}

func keysComeBack(f *fixture) {
	tenant := minimalTenant("tenant")
	minimal, full, without := minimalKey(tenant.ID), fullKey(tenant.ID, "product"), minimalKey(tenant.ID)
	without.Scopes = nil
	f.insert(tenant, minimalProduct("product"), minimal, full, without)
	without.Scopes = []string{}
	for _, want := range []registry.APIKey{minimal, stored(full), without} {
		got, err := f.store.GetAPIKey(f.ctx, want.ID)
		f.must(err)
		f.equal(got, want)
	}
	got, err := f.keys(tenant.ID, uuid.Nil, 9)
	f.must(err)
	f.equal(got, []registry.APIKey{without, stored(full), minimal})
	_, err = f.store.GetAPIKey(f.ctx, newID())
	f.want(err, registry.ErrNotFound)
}

func countKeys(f *fixture) {
	tenant, other := minimalTenant("tenant"), minimalTenant("other")
	disabled, expired := minimalKey(tenant.ID), minimalKey(tenant.ID)
	disabled.Disabled, expired.ExpiresAt = true, &noon
	f.insert(
		tenant, other, disabled, expired, minimalKey(tenant.ID), revoked(minimalKey(tenant.ID)), minimalKey(other.ID),
	)
	for id, want := range map[uuid.UUID]int{tenant.ID: 3, other.ID: 1, newID(): 0} {
		got, err := f.store.CountAPIKeys(f.ctx, id)
		f.must(err)
		f.equal(got, want)
	}
}

func keysAreUnique(f *fixture) {
	tenant := minimalTenant("tenant")
	first := minimalKey(tenant.ID)
	f.insert(tenant, minimalProduct("product"), first)
	sameID, sameHash := minimalKey(tenant.ID), minimalKey(tenant.ID)
	sameID.ID, sameHash.Hash = first.ID, first.Hash
	f.want(f.insertErr(sameID), registry.ErrDuplicate)
	f.want(f.insertErr(sameHash), registry.ErrDuplicate)
	f.want(f.insertErr(minimalKey(newID())), registry.ErrNoParent)
	f.want(f.insertErr(minimalKey(uuid.Nil)), registry.ErrNoParent)
	f.want(f.insertErr(fullKey(tenant.ID, "unknown")), registry.ErrNoParent)
}

func spoiltKeys(f *fixture) {
	tenant := minimalTenant("tenant")
	good := minimalKey(tenant.ID)
	f.insert(tenant, good)
	for _, spoil := range []func(*registry.APIKey){
		func(k *registry.APIKey) { k.Environment = "" },
		func(k *registry.APIKey) { k.Environment = "prod" },
	} {
		bad := minimalKey(tenant.ID)
		spoil(&bad)
		f.wantFault(f.insertErr(bad))
	}
	for _, spoil := range []func(*registry.APIKey){
		func(k *registry.APIKey) { k.RevokedAt = &noon },
		func(k *registry.APIKey) { k.RevokedBy = "revoker" },
	} {
		bad := minimalKey(tenant.ID)
		spoil(&bad)
		f.wantFault(f.insertErr(bad))
		bad = good
		spoil(&bad)
		f.wantFault(f.tx(func(tx registry.Tx) error { return tx.UpdateAPIKey(f.ctx, bad) }))
	}
}

func revoked(k registry.APIKey) registry.APIKey {
	k.RevokedAt, k.RevokedBy = &noon, "revoker"
	return k
}

func updateKey(f *fixture) {
	tenant, other := minimalTenant("tenant"), minimalTenant("other")
	before, bystander := fullKey(tenant.ID, "product"), fullKey(tenant.ID, "product")
	f.insert(tenant, other, minimalProduct("product"), minimalProduct("another"), before, bystander)
	// Everything is changed, and what must stay is tried to be changed too.
	after := minimalKey(other.ID)
	after.ID, after.Product, after.Prefix, after.CreatedBy, after.Name = before.ID, "another", "x", "x", "after"
	after.UpdatedAt, after.LastUsedAt = *later(9), later(10)
	want := stored(before)
	want.Prefix, want.Hash, want.PreviousHash = "x", after.Hash, apikey.Hash{}
	want.PreviousEndsAt, want.PreviousEnded, want.PreviousUsedAt, want.RotatedAt = nil, false, nil, nil
	want.Name, want.Scopes, want.ExpiresAt, want.Disabled = "after", []string{}, nil, false
	want.UpdatedAt = stored(after).UpdatedAt
	want.RevokedAt, want.RevokedBy, want.RevokeReason, want.Version = nil, "", "", 1
	f.commit(func(tx registry.Tx) error {
		if err := tx.UpdateAPIKey(f.ctx, after); err != nil {
			return err
		}
		got, err := tx.GetAPIKey(f.ctx, after.ID)
		f.equal(got, want)
		return err
	})
	got, err := f.keys(tenant.ID, uuid.Nil, 9)
	f.must(err)
	f.equal(got, []registry.APIKey{stored(bystander), want})
	facts, err := lookupKey(f.ctx, f.store, registry.KeyLookup{Hash: after.Hash})
	f.must(err)
	f.equal(facts, want.Facts(after.Hash, facts.KeyOwner))
	for _, gone := range []apikey.Hash{before.Hash, before.PreviousHash} {
		_, err = lookupKey(f.ctx, f.store, registry.KeyLookup{Hash: gone})
		f.want(err, registry.ErrNotFound)
	}
	f.want(
		f.tx(func(tx registry.Tx) error { return tx.UpdateAPIKey(f.ctx, minimalKey(tenant.ID)) }), registry.ErrNotFound,
	)
	// From unset to set again.
	full := fullKey(tenant.ID, "product")
	full.ID, full.LastUsedAt, full.CreatedAt = before.ID, before.LastUsedAt, before.CreatedAt
	f.commit(func(tx registry.Tx) error { return tx.UpdateAPIKey(f.ctx, full) })
	one, err := f.store.GetAPIKey(f.ctx, before.ID)
	f.must(err)
	f.equal(one, stored(full))
}
