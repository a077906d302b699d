package storetest

import (
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

func entitlements(t *testing.T, s suite) {
	s.test(t, "come back as they went in", entitlementsComeBack)
	s.test(t, "are ordered by product and creation", orderOfEntitlements)
	s.test(t, "have one trial for a tenant and product", oneTrial)
	s.test(t, "need their parents", orphanEntitlements)
	s.test(t, "that break a check", spoiltEntitlements)
}

func orderOfEntitlements(w *world) {
	tenant, other := minimalTenant("tenant"), minimalTenant("other")
	w.insert(tenant, other)
	for _, key := range sorted {
		w.insert(minimalProduct(key))
	}
	created := map[string][]registry.Entitlement{}
	for range 3 {
		for _, key := range unsorted {
			created[key] = append(created[key], minimalEntitlement(tenant.ID, key))
		}
	}
	var want []registry.Entitlement
	for _, key := range sorted {
		want = append(want, created[key]...)
	}
	for _, key := range unsorted { // the newest first: the order of arrival is not the order of creation
		of := created[key]
		w.insert(of[2], minimalEntitlement(other.ID, key), of[0], of[1])
	}
	got, err := w.store.Entitlements(w.ctx, tenant.ID)
	w.must(err)
	w.equal(got, want)
}

func orphanEntitlements(w *world) {
	tenant := minimalTenant("tenant")
	w.insert(tenant, minimalProduct("product"))
	w.want(w.insertErr(minimalEntitlement(newID(), "product")), registry.ErrNoParent)
	w.want(w.insertErr(minimalEntitlement(uuid.Nil, "product")), registry.ErrNoParent)
	w.want(w.insertErr(trial(newID(), "product")), registry.ErrNoParent)
	w.want(w.insertErr(minimalEntitlement(tenant.ID, "unknown")), registry.ErrNoParent)
	w.want(w.insertErr(fullEntitlement(tenant.ID, "product", newID())), registry.ErrNoParent)
	w.want(w.insertErr(fullEntitlement(tenant.ID, "product", uuid.Nil)), registry.ErrNoParent)
}

func spoiltEntitlements(w *world) {
	tenant := minimalTenant("tenant")
	w.insert(tenant, minimalProduct("product"))
	for _, spoil := range []func(*registry.Entitlement){
		func(e *registry.Entitlement) { e.Source = "" },
		func(e *registry.Entitlement) { e.Source = "gift" },
		func(e *registry.Entitlement) { e.EndsAt = &e.StartsAt },
		func(e *registry.Entitlement) { e.EndsAt = new(e.StartsAt.Add(-1)) },
		func(e *registry.Entitlement) { e.EndsAt = new(e.StartsAt.Add(999)) }, // the same microsecond
	} {
		bad := minimalEntitlement(tenant.ID, "product")
		spoil(&bad)
		w.wantFault(w.insertErr(bad))
	}
	got, err := w.store.Entitlements(w.ctx, tenant.ID)
	w.must(err)
	w.equal(got, []registry.Entitlement{})
}

func entitlementsComeBack(w *world) {
	tenant := minimalTenant("tenant")
	request := decided(minimalRequest(tenant.ID, "product"))
	minimal, full := minimalEntitlement(tenant.ID, "product"), fullEntitlement(tenant.ID, "product", request.ID)
	without := trial(tenant.ID, "product")
	without.Limits, without.Config = nil, nil
	w.insert(tenant, minimalProduct("product"), request, minimal, full, without)
	without.Limits, without.Config = registry.Limits{}, registry.Config{}
	got, err := w.store.Entitlements(w.ctx, tenant.ID)
	w.must(err)
	w.equal(got, []registry.Entitlement{minimal, kept(full), without})
	got, err = w.store.Entitlements(w.ctx, newID())
	w.must(err)
	w.equal(got, []registry.Entitlement{})
}

func oneTrial(w *world) {
	tenant, other := minimalTenant("tenant"), minimalTenant("other")
	w.insert(tenant, other, minimalProduct("product"), minimalProduct("another"))
	first := trial(tenant.ID, "product")
	first.EndsAt, first.RevokedAt = later(1), later(2)
	w.insert(minimalEntitlement(tenant.ID, "product"), first)
	w.want(w.insertErr(trial(tenant.ID, "product")), registry.ErrTrialExists)
	w.insert(trial(other.ID, "product"), trial(tenant.ID, "another"), minimalEntitlement(tenant.ID, "product"))

	twice := minimalEntitlement(other.ID, "another")
	twice.ID = first.ID
	w.want(w.insertErr(twice), registry.ErrDuplicate)
	w.want(w.insertErr(trial(other.ID, "another"), trial(other.ID, "another")), registry.ErrTrialExists)
}
