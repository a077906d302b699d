package storetest

import (
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

func entitlements(t *testing.T, s suite) {
	s.test(t, "come back as they went in", entitlementsComeBack)
	s.test(t, "are ordered by product and creation", orderOfEntitlements)
	s.test(t, "and keys name the tenants of a product", tenantsOfProduct)
	s.test(t, "have one trial for a tenant and product", oneTrial)
	s.test(t, "need their parents", orphanEntitlements)
	s.test(t, "that break a check", spoiltEntitlements)
}

func orderOfEntitlements(f *fixture) {
	tenant, other := minimalTenant("tenant"), minimalTenant("other")
	f.insert(tenant, other)
	for _, key := range sorted {
		f.insert(minimalProduct(key))
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
		f.insert(of[2], minimalEntitlement(other.ID, key), of[0], of[1])
	}
	got, err := f.store.ListEntitlements(f.ctx, tenant.ID)
	f.must(err)
	f.equal(got, want)
}

func tenantsOfProduct(f *fixture) {
	entitled, ended, bound := minimalTenant("entitled"), minimalTenant("ended"), minimalTenant("bound")
	elsewhere, nothing := minimalTenant("elsewhere"), minimalTenant("nothing")
	f.insert(entitled, ended, bound, elsewhere, nothing, minimalProduct("product"), minimalProduct("other"))
	past, key := minimalEntitlement(ended.ID, "product"), minimalKey(bound.ID)
	past.RevokedAt, key.Product = &past.StartsAt, "product"
	f.insert(minimalEntitlement(entitled.ID, "product"), past, key, minimalEntitlement(elsewhere.ID, "other"))
	f.insert(minimalKey(nothing.ID))
	all := []uuid.UUID{entitled.ID, ended.ID, bound.ID, elsewhere.ID, nothing.ID, newID(), uuid.Nil}
	got, err := f.store.ListTenantsOfProduct(f.ctx, "product", all)
	f.must(err)
	f.equal(sortedIDs(got), sortedIDs([]uuid.UUID{entitled.ID, ended.ID, bound.ID}))
	for _, of := range []struct {
		product string
		tenants []uuid.UUID
	}{{"product", nil}, {"product", []uuid.UUID{nothing.ID}}, {"unknown", all}} {
		got, err := f.store.ListTenantsOfProduct(f.ctx, of.product, of.tenants)
		f.must(err)
		f.equal(got, []uuid.UUID{})
	}
}

func sortedIDs(ids []uuid.UUID) []uuid.UUID {
	return slices.SortedFunc(slices.Values(ids), func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
}

func orphanEntitlements(f *fixture) {
	tenant := minimalTenant("tenant")
	f.insert(tenant, minimalProduct("product"))
	f.want(f.insertErr(minimalEntitlement(newID(), "product")), registry.ErrNoParent)
	f.want(f.insertErr(minimalEntitlement(uuid.Nil, "product")), registry.ErrNoParent)
	f.want(f.insertErr(trial(newID(), "product")), registry.ErrNoParent)
	f.want(f.insertErr(minimalEntitlement(tenant.ID, "unknown")), registry.ErrNoParent)
	f.want(f.insertErr(fullEntitlement(tenant.ID, "product", newID())), registry.ErrNoParent)
	f.want(f.insertErr(fullEntitlement(tenant.ID, "product", uuid.Nil)), registry.ErrNoParent)
}

func spoiltEntitlements(f *fixture) {
	tenant := minimalTenant("tenant")
	f.insert(tenant, minimalProduct("product"))
	for _, spoil := range []func(*registry.Entitlement){
		func(e *registry.Entitlement) { e.Source = "" },
		func(e *registry.Entitlement) { e.Source = "gift" },
		func(e *registry.Entitlement) { e.EndsAt = &e.StartsAt },
		func(e *registry.Entitlement) { e.EndsAt = new(e.StartsAt.Add(-1)) },
		func(e *registry.Entitlement) { e.EndsAt = new(e.StartsAt.Add(999)) }, // the same microsecond
	} {
		bad := minimalEntitlement(tenant.ID, "product")
		spoil(&bad)
		f.wantFault(f.insertErr(bad))
	}
	got, err := f.store.ListEntitlements(f.ctx, tenant.ID)
	f.must(err)
	f.equal(got, []registry.Entitlement{})
}

func entitlementsComeBack(f *fixture) {
	tenant := minimalTenant("tenant")
	request := decided(minimalRequest(tenant.ID, "product"))
	minimal, full := minimalEntitlement(tenant.ID, "product"), fullEntitlement(tenant.ID, "product", request.ID)
	without := trial(tenant.ID, "product")
	without.Limits, without.Config = nil, nil
	f.insert(tenant, minimalProduct("product"), request, minimal, full, without)
	without.Limits, without.Config = registry.Limits{}, registry.Config{}
	got, err := f.store.ListEntitlements(f.ctx, tenant.ID)
	f.must(err)
	f.equal(got, []registry.Entitlement{minimal, stored(full), without})
	got, err = f.store.ListEntitlements(f.ctx, newID())
	f.must(err)
	f.equal(got, []registry.Entitlement{})
}

func oneTrial(f *fixture) {
	tenant, other := minimalTenant("tenant"), minimalTenant("other")
	f.insert(tenant, other, minimalProduct("product"), minimalProduct("another"))
	first := trial(tenant.ID, "product")
	first.EndsAt, first.RevokedAt = later(1), later(2)
	f.insert(minimalEntitlement(tenant.ID, "product"), first)
	f.want(f.insertErr(trial(tenant.ID, "product")), registry.ErrTrialExists)
	f.insert(trial(other.ID, "product"), trial(tenant.ID, "another"), minimalEntitlement(tenant.ID, "product"))

	twice := minimalEntitlement(other.ID, "another")
	twice.ID = first.ID
	f.want(f.insertErr(twice), registry.ErrDuplicate)
	f.want(f.insertErr(trial(other.ID, "another"), trial(other.ID, "another")), registry.ErrTrialExists)
}
