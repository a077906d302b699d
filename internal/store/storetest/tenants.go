package storetest

import (
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

func tenants(t *testing.T, s suite) {
	s.test(t, "come back as they went in", tenantsComeBack)
	s.test(t, "that are not there", missingTenants)
	s.test(t, "are unique", tenantsAreUnique)
	s.test(t, "update", updateTenant)
	s.test(t, "lock and hold", lockAndHoldTenant)
	s.test(t, "that break a check", spoiltTenants)
}

func tenantsComeBack(w *world) {
	minimal, full, without := minimalTenant("minimal"), fullTenant("full"), minimalTenant("without")
	without.Metadata = nil
	w.insert(minimal, full, without)
	without.Metadata = map[string]string{}
	for _, want := range []registry.Tenant{minimal, kept(full), without} {
		got, err := w.store.Tenant(w.ctx, want.ID)
		w.must(err)
		w.equal(got, want)
		got, err = w.store.TenantBySlug(w.ctx, want.Slug)
		w.must(err)
		w.equal(got, want)
	}
	got, err := w.store.TenantByOrg(w.ctx, full.KeycloakOrgID)
	w.must(err)
	w.equal(got, kept(full))
	many, err := w.store.ManyTenantsBySlug(w.ctx, []string{"full", "nobody", "minimal", "full"})
	w.must(err)
	w.equal(many, map[string]registry.Tenant{"full": kept(full), "minimal": minimal})
	none, err := w.store.ManyTenantsBySlug(w.ctx, nil)
	w.must(err)
	w.equal(len(none), 0)
}

func missingTenants(w *world) {
	w.insert(minimalTenant("somebody"))
	_, err := w.store.Tenant(w.ctx, newID())
	w.want(err, registry.ErrNotFound)
	_, err = w.store.Tenant(w.ctx, uuid.Nil)
	w.want(err, registry.ErrNotFound)
	for _, slug := range []string{"nobody", "", "Somebody", "somebody ", "some%"} {
		_, err = w.store.TenantBySlug(w.ctx, slug)
		w.want(err, registry.ErrNotFound)
		_, err = w.store.TenantByOrg(w.ctx, slug) // nobody has the empty one, although somebody has none
		w.want(err, registry.ErrNotFound)
	}
}

func spoiltTenants(w *world) {
	for name, spoil := range map[string]func(*registry.Tenant){
		"version": func(t *registry.Tenant) { t.Version = 0 },
		"status":  func(t *registry.Tenant) { t.Status = "sleeping" },
		"unset":   func(t *registry.Tenant) { t.Status = "" },
	} {
		bad := minimalTenant("spoilt-" + name)
		spoil(&bad)
		w.wantFault(w.insertErr(bad))
		_, err := w.store.Tenant(w.ctx, bad.ID)
		w.want(err, registry.ErrNotFound)
		good := minimalTenant("good-" + name)
		w.insert(good)
		bad = good
		spoil(&bad)
		w.wantFault(w.tx(func(tx registry.Tx) error { return tx.UpdateTenant(w.ctx, bad) }))
	}
}

func tenantsAreUnique(w *world) {
	first := fullTenant("first")
	w.insert(first)
	with := func(change func(*registry.Tenant)) registry.Tenant {
		other := minimalTenant("other")
		change(&other)
		return other
	}
	w.want(w.insertErr(with(func(t *registry.Tenant) { t.ID = first.ID })), registry.ErrDuplicate)
	w.want(w.insertErr(with(func(t *registry.Tenant) { t.Slug = first.Slug })), registry.ErrSlugTaken)
	w.want(w.insertErr(with(func(t *registry.Tenant) { t.KeycloakOrgID = first.KeycloakOrgID })), registry.ErrOrgTaken)
	// The same within one transaction, which sees what it wrote.
	twin := minimalTenant("twin")
	w.want(w.insertErr(twin, with(func(t *registry.Tenant) { t.Slug = twin.Slug })), registry.ErrSlugTaken)
	// An org that is not set is nobody's; an external id may be anybody's.
	w.insert(minimalTenant("no-org"), minimalTenant("no-org-either"))
	w.insert(with(func(t *registry.Tenant) { t.ExternalID = first.ExternalID }))
}

func updateTenant(w *world) {
	before, bystander := fullTenant("before"), minimalTenant("bystander")
	w.insert(before, bystander)
	// Everything is changed, and what must stay is tried to be changed too.
	after := minimalTenant("after")
	after.ID, after.Status, after.Version = before.ID, registry.StatusActive, before.Version+1
	after.KeycloakOrgID, after.UpdatedAt, after.ActivatedAt = "another-org", *later(9), later(10)
	want := kept(after)
	want.Slug, want.KeycloakOrgID, want.CreatedAt = before.Slug, before.KeycloakOrgID, kept(before).CreatedAt
	w.commit(func(tx registry.Tx) error {
		if err := tx.UpdateTenant(w.ctx, after); err != nil {
			return err
		}
		got, err := tx.Tenant(w.ctx, after.ID)
		w.equal(got, want)
		return err
	})
	got, err := w.store.TenantBySlug(w.ctx, before.Slug)
	w.must(err)
	w.equal(got, want)
	got, err = w.store.Tenant(w.ctx, bystander.ID)
	w.must(err)
	w.equal(got, bystander)
	_, err = w.store.TenantBySlug(w.ctx, "after")
	w.want(err, registry.ErrNotFound)
	_, err = w.store.TenantByOrg(w.ctx, "another-org")
	w.want(err, registry.ErrNotFound)
	w.want(w.tx(func(tx registry.Tx) error { return tx.UpdateTenant(w.ctx, minimalTenant("missing")) }), registry.ErrNotFound)
	// From minimal to full again: what was unset gets set.
	full := fullTenant(before.Slug)
	full.ID, full.KeycloakOrgID, full.CreatedAt = before.ID, before.KeycloakOrgID, before.CreatedAt
	w.commit(func(tx registry.Tx) error { return tx.UpdateTenant(w.ctx, full) })
	got, err = w.store.Tenant(w.ctx, before.ID)
	w.must(err)
	w.equal(got, kept(full))
}

func lockAndHoldTenant(w *world) {
	there := fullTenant("there")
	w.insert(there)
	w.commit(func(tx registry.Tx) error {
		got, err := tx.LockTenant(w.ctx, there.ID)
		w.equal(got, kept(there))
		if err != nil {
			return err
		}
		return tx.HoldTenant(w.ctx, there.ID)
	})
	w.want(w.tx(func(tx registry.Tx) error { _, err := tx.LockTenant(w.ctx, newID()); return err }), registry.ErrNotFound)
	w.want(w.tx(func(tx registry.Tx) error { return tx.HoldTenant(w.ctx, newID()) }), registry.ErrNotFound)
	w.want(w.tx(func(tx registry.Tx) error { return tx.HoldTenant(w.ctx, uuid.Nil) }), registry.ErrNotFound)
}
