package storetest

import (
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

func tenants(t *testing.T, s suite) {
	s.test(t, "come back as they went in", tenantsComeBack)
	s.test(t, "that are not there", missingTenants)
	s.test(t, "are unique", tenantsAreUnique)
	s.test(t, "update", updateTenant)
	s.test(t, "are locked", lockTenant)
	s.test(t, "that break a check", spoiltTenants)
}

func tenantsComeBack(f *fixture) {
	minimal, full, without := minimalTenant("minimal"), fullTenant("full"), minimalTenant("without")
	without.Metadata = nil
	f.insert(minimal, full, without)
	without.Metadata = map[string]string{}
	for _, want := range []registry.Tenant{minimal, stored(full), without} {
		got, err := f.store.GetTenant(f.ctx, want.ID)
		f.must(err)
		f.equal(got, want)
		got, err = lookupTenant(f.ctx, f.store, want.Slug)
		f.must(err)
		f.equal(got, want)
	}
	got, err := lookupOrg(f.ctx, f.store, full.KeycloakOrgID)
	f.must(err)
	f.equal(got, stored(full))
	many, err := f.store.GetTenantsBySlug(f.ctx, []string{"full", "missing", "minimal", "full"})
	f.must(err)
	f.equal(many, map[string]registry.Tenant{"full": stored(full), "minimal": minimal})
	none, err := f.store.GetTenantsBySlug(f.ctx, nil)
	f.must(err)
	f.equal(len(none), 0)
}

func missingTenants(f *fixture) {
	f.insert(minimalTenant("some"))
	_, err := f.store.GetTenant(f.ctx, newID())
	f.want(err, registry.ErrNotFound)
	_, err = f.store.GetTenant(f.ctx, uuid.Nil)
	f.want(err, registry.ErrNotFound)
	for _, slug := range []string{"missing", "", "Some", "some ", "some%"} {
		_, err = lookupTenant(f.ctx, f.store, slug)
		f.want(err, registry.ErrNotFound)
		_, err = lookupOrg(f.ctx, f.store, slug) // no tenant has the empty one, although there is one without
		f.want(err, registry.ErrNotFound)
	}
}

func spoiltTenants(f *fixture) {
	for name, spoil := range map[string]func(*registry.Tenant){
		"version": func(t *registry.Tenant) { t.Version = 0 },
		"status":  func(t *registry.Tenant) { t.Status = "sleeping" },
		"unset":   func(t *registry.Tenant) { t.Status = "" },
	} {
		bad := minimalTenant("spoilt-" + name)
		spoil(&bad)
		f.wantFault(f.insertErr(bad))
		_, err := f.store.GetTenant(f.ctx, bad.ID)
		f.want(err, registry.ErrNotFound)
		good := minimalTenant("good-" + name)
		f.insert(good)
		bad = good
		spoil(&bad)
		f.wantFault(f.tx(func(tx registry.Tx) error { return tx.UpdateTenant(f.ctx, bad) }))
	}
}

func tenantsAreUnique(f *fixture) {
	first := fullTenant("first")
	f.insert(first)
	with := func(change func(*registry.Tenant)) registry.Tenant {
		other := minimalTenant("other")
		change(&other)
		return other
	}
	f.want(f.insertErr(with(func(t *registry.Tenant) { t.ID = first.ID })), registry.ErrDuplicate)
	f.want(f.insertErr(with(func(t *registry.Tenant) { t.Slug = first.Slug })), registry.ErrSlugTaken)
	f.want(f.insertErr(with(func(t *registry.Tenant) { t.KeycloakOrgID = first.KeycloakOrgID })), registry.ErrOrgTaken)
	// The same within one transaction, which sees what it wrote.
	twin := minimalTenant("twin")
	f.want(f.insertErr(twin, with(func(t *registry.Tenant) { t.Slug = twin.Slug })), registry.ErrSlugTaken)
	// An organisation that is not set is not unique; nor is an external id.
	f.insert(minimalTenant("no-org"), minimalTenant("no-org-either"))
	f.insert(with(func(t *registry.Tenant) { t.ExternalID = first.ExternalID }))
}

func updateTenant(f *fixture) {
	before, bystander := fullTenant("before"), minimalTenant("bystander")
	f.insert(before, bystander)
	// Everything is changed, and what must stay is tried to be changed too.
	after := minimalTenant("after")
	after.ID, after.Status, after.Version = before.ID, registry.StatusActive, before.Version+1
	after.KeycloakOrgID, after.UpdatedAt, after.ActivatedAt = "another-org", *later(9), later(10)
	want := stored(after)
	want.Slug, want.KeycloakOrgID, want.CreatedAt = before.Slug, before.KeycloakOrgID, stored(before).CreatedAt
	f.commit(func(tx registry.Tx) error {
		if err := tx.UpdateTenant(f.ctx, after); err != nil {
			return err
		}
		got, err := tx.GetTenant(f.ctx, after.ID)
		f.equal(got, want)
		return err
	})
	got, err := lookupTenant(f.ctx, f.store, before.Slug)
	f.must(err)
	f.equal(got, want)
	got, err = f.store.GetTenant(f.ctx, bystander.ID)
	f.must(err)
	f.equal(got, bystander)
	_, err = lookupTenant(f.ctx, f.store, "after")
	f.want(err, registry.ErrNotFound)
	_, err = lookupOrg(f.ctx, f.store, "another-org")
	f.want(err, registry.ErrNotFound)
	f.want(
		f.tx(func(tx registry.Tx) error { return tx.UpdateTenant(f.ctx, minimalTenant("missing")) }),
		registry.ErrNotFound,
	)
	// From minimal to full again: what was unset gets set.
	full := fullTenant(before.Slug)
	full.ID, full.KeycloakOrgID, full.CreatedAt = before.ID, before.KeycloakOrgID, before.CreatedAt
	f.commit(func(tx registry.Tx) error { return tx.UpdateTenant(f.ctx, full) })
	got, err = f.store.GetTenant(f.ctx, before.ID)
	f.must(err)
	f.equal(got, stored(full))
}

func lockTenant(f *fixture) {
	there := fullTenant("there")
	f.insert(there)
	f.commit(func(tx registry.Tx) error {
		got, err := tx.LockTenant(f.ctx, there.ID)
		f.equal(got, stored(there))
		if err != nil {
			return err
		}
		return testkit.LockTenantShared(f.ctx, tx, there.ID)
	})
	f.want(
		f.tx(func(tx registry.Tx) error { _, err := tx.LockTenant(f.ctx, newID()); return err }), registry.ErrNotFound,
	)
	f.want(
		f.tx(func(tx registry.Tx) error { return testkit.LockTenantShared(f.ctx, tx, newID()) }), registry.ErrNotFound,
	)
	f.want(
		f.tx(func(tx registry.Tx) error { return testkit.LockTenantShared(f.ctx, tx, uuid.Nil) }), registry.ErrNotFound,
	)
}
