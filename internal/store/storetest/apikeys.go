package storetest

import (
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

func apiKeys(t *testing.T, s suite) {
	s.test(t, "come back as they went in", keysComeBack)
	s.test(t, "page from the newest to the oldest", pageOfKeys)
	s.test(t, "are counted unless revoked", countKeys)
	s.test(t, "are unique and need their parents", keysAreUnique)
	s.test(t, "update", updateKey)
	s.test(t, "page through what matches", pageOfMatches)
	s.test(t, "change secrets", changeSecrets)
	s.test(t, "change secrets, and do not", secretsRolledBack)
	s.test(t, "are touched", touchKeys)
	s.test(t, "that are locked are not waited for", touchBesideLock)
	s.test(t, "lock", func(w *world) {
		tenant := minimalTenant("tenant")
		there := fullKey(tenant.ID, "product")
		w.insert(tenant, minimalProduct("product"), there)
		w.commit(func(tx registry.Tx) error {
			got, err := tx.LockAPIKey(w.ctx, there.ID)
			w.equal(got, kept(there))
			return err
		})
		w.want(w.tx(func(tx registry.Tx) error { _, err := tx.LockAPIKey(w.ctx, newID()); return err }), registry.ErrNotFound)
	})
	s.test(t, "that break a check", spoiltKeys)
}

// keys reads a page of a tenant's keys without its position.
func (w *world) keys(tenant, before uuid.UUID, limit int) ([]registry.APIKey, error) {
	page, err := w.store.APIKeys(w.ctx, registry.KeyQuery{TenantID: tenant, Before: before, Limit: limit})
	return page.Keys, err
}

func keysComeBack(w *world) {
	tenant := minimalTenant("tenant")
	minimal, full, without := minimalKey(tenant.ID), fullKey(tenant.ID, "product"), minimalKey(tenant.ID)
	without.Scopes = nil
	w.insert(tenant, minimalProduct("product"), minimal, full, without)
	without.Scopes = []string{}
	for _, want := range []registry.APIKey{minimal, kept(full), without} {
		got, err := w.store.APIKey(w.ctx, want.ID)
		w.must(err)
		w.equal(got, want)
	}
	got, err := w.keys(tenant.ID, uuid.Nil, 9)
	w.must(err)
	w.equal(got, []registry.APIKey{without, kept(full), minimal})
	_, err = w.store.APIKey(w.ctx, newID())
	w.want(err, registry.ErrNotFound)
}

func countKeys(w *world) {
	tenant, other := minimalTenant("tenant"), minimalTenant("other")
	disabled, expired := minimalKey(tenant.ID), minimalKey(tenant.ID)
	disabled.Disabled, expired.ExpiresAt = true, &noon
	w.insert(tenant, other, disabled, expired, minimalKey(tenant.ID), revoked(minimalKey(tenant.ID)), minimalKey(other.ID))
	for id, want := range map[uuid.UUID]int{tenant.ID: 3, other.ID: 1, newID(): 0} {
		got, err := w.store.CountAPIKeys(w.ctx, id)
		w.must(err)
		w.equal(got, want)
	}
}

func keysAreUnique(w *world) {
	tenant := minimalTenant("tenant")
	first := minimalKey(tenant.ID)
	w.insert(tenant, minimalProduct("product"), first)
	sameID, sameHash := minimalKey(tenant.ID), minimalKey(tenant.ID)
	sameID.ID, sameHash.Hash = first.ID, first.Hash
	w.want(w.insertErr(sameID), registry.ErrDuplicate)
	w.want(w.insertErr(sameHash), registry.ErrDuplicate)
	w.want(w.insertErr(minimalKey(newID())), registry.ErrNoParent)
	w.want(w.insertErr(minimalKey(uuid.Nil)), registry.ErrNoParent)
	w.want(w.insertErr(fullKey(tenant.ID, "unknown")), registry.ErrNoParent)
}

func spoiltKeys(w *world) {
	tenant := minimalTenant("tenant")
	good := minimalKey(tenant.ID)
	w.insert(tenant, good)
	for _, spoil := range []func(*registry.APIKey){
		func(k *registry.APIKey) { k.Environment = "" },
		func(k *registry.APIKey) { k.Environment = "prod" },
	} {
		bad := minimalKey(tenant.ID)
		spoil(&bad)
		w.wantFault(w.insertErr(bad))
	}
	for _, spoil := range []func(*registry.APIKey){
		func(k *registry.APIKey) { k.RevokedAt = &noon },
		func(k *registry.APIKey) { k.RevokedBy = "somebody" },
	} {
		bad := minimalKey(tenant.ID)
		spoil(&bad)
		w.wantFault(w.insertErr(bad))
		bad = good
		spoil(&bad)
		w.wantFault(w.tx(func(tx registry.Tx) error { return tx.UpdateAPIKey(w.ctx, bad) }))
	}
}

func revoked(k registry.APIKey) registry.APIKey {
	k.RevokedAt, k.RevokedBy = &noon, "somebody"
	return k
}

func pageOfKeys(w *world) {
	tenant, other := minimalTenant("tenant"), minimalTenant("other")
	w.insert(tenant, other)
	var keys, foreign []registry.APIKey
	for range 7 {
		keys, foreign = append(keys, minimalKey(tenant.ID)), append(foreign, minimalKey(other.ID))
	}
	keys[3] = revoked(keys[3])
	for _, i := range []int{4, 0, 6, 2, 1, 5, 3} {
		w.insert(keys[i], foreign[i])
	}
	slices.Reverse(keys)
	for _, limit := range []int{1, 3, 7, 8} {
		var got []registry.APIKey
		for before := uuid.Nil; ; before = got[len(got)-1].ID {
			page, err := w.keys(tenant.ID, before, limit)
			w.must(err)
			if len(page) > limit {
				w.Errorf("%d keys with limit %d", len(page), limit)
			}
			if got = append(got, page...); len(page) == 0 || len(got) > len(keys) {
				w.equal(page, []registry.APIKey{})
				break
			}
		}
		w.equal(got, keys)
	}
	// The position need not be a key of the tenant's.
	got, err := w.keys(tenant.ID, foreign[2].ID, 9)
	w.must(err)
	w.equal(got, keys[4:])
	for id, limit := range map[uuid.UUID]int{tenant.ID: 0, newID(): 9} {
		got, err = w.keys(id, uuid.Nil, limit)
		w.must(err)
		w.equal(got, []registry.APIKey{})
	}
}

func updateKey(w *world) {
	tenant, other := minimalTenant("tenant"), minimalTenant("other")
	before, bystander := fullKey(tenant.ID, "product"), fullKey(tenant.ID, "product")
	w.insert(tenant, other, minimalProduct("product"), minimalProduct("another"), before, bystander)
	// Everything is changed, and what must stay is tried to be changed too.
	after := minimalKey(other.ID)
	after.ID, after.Product, after.Prefix, after.CreatedBy, after.Name, after.UpdatedAt = before.ID, "another", "x", "x", "after", *later(9)
	after.LastUsedAt = later(10)
	want := kept(before)
	want.Prefix, want.Hash, want.PreviousHash, want.PreviousEndsAt, want.PreviousUsedAt, want.RotatedAt = "x", after.Hash, registry.Hash{}, nil, nil, nil
	want.Name, want.Scopes, want.ExpiresAt, want.Disabled, want.UpdatedAt = "after", []string{}, nil, false, kept(after).UpdatedAt
	want.RevokedAt, want.RevokedBy, want.RevokeReason, want.Version = nil, "", "", 1
	w.commit(func(tx registry.Tx) error {
		if err := tx.UpdateAPIKey(w.ctx, after); err != nil {
			return err
		}
		got, err := tx.APIKey(w.ctx, after.ID)
		w.equal(got, want)
		return err
	})
	got, err := w.keys(tenant.ID, uuid.Nil, 9)
	w.must(err)
	w.equal(got, []registry.APIKey{kept(bystander), want})
	facts, err := w.store.KeyFacts(w.ctx, after.Hash, "")
	w.must(err)
	w.equal(facts, want.Facts(after.Hash, facts.Holder))
	for _, gone := range []registry.Hash{before.Hash, before.PreviousHash} {
		_, err = w.store.KeyFacts(w.ctx, gone, "")
		w.want(err, registry.ErrNotFound)
	}
	w.want(w.tx(func(tx registry.Tx) error { return tx.UpdateAPIKey(w.ctx, minimalKey(tenant.ID)) }), registry.ErrNotFound)
	// From unset to set again.
	full := fullKey(tenant.ID, "product")
	full.ID, full.LastUsedAt, full.CreatedAt = before.ID, before.LastUsedAt, before.CreatedAt
	w.commit(func(tx registry.Tx) error { return tx.UpdateAPIKey(w.ctx, full) })
	one, err := w.store.APIKey(w.ctx, before.ID)
	w.must(err)
	w.equal(one, kept(full))
}
