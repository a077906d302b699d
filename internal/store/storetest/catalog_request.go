package storetest

import (
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

func spoiltRequests(f *fixture) {
	tenant := minimalTenant("tenant")
	f.insert(tenant, minimalProduct("product"))
	for _, spoil := range []func(*registry.CatalogRequest){
		func(r *registry.CatalogRequest) { r.Status = "" },
		func(r *registry.CatalogRequest) { r.Status = "lost" },
		func(r *registry.CatalogRequest) { r.DecidedAt = later(1) },
		func(r *registry.CatalogRequest) { r.Status = registry.RequestRejected },
	} {
		bad := minimalRequest(tenant.ID, "product")
		spoil(&bad)
		f.wantFault(f.insertErr(bad))
	}
}

func requestsComeBack(f *fixture) {
	tenant, other := minimalTenant("tenant"), minimalTenant("other")
	f.insert(tenant, other)
	for _, key := range unsorted {
		f.insert(minimalProduct(key))
	}
	want := map[string]registry.CatalogRequest{}
	for i, key := range unsorted {
		r := minimalRequest(tenant.ID, key)
		if i%2 == 0 {
			r = fullRequest(tenant.ID, key)
		}
		want[key] = stored(r)
		f.insert(
			r, fullRequest(other.ID, key), decided(fullRequest(tenant.ID, key)), decided(fullRequest(tenant.ID, key)),
		)
	}
	got, err := f.store.ListPendingCatalogRequests(f.ctx, tenant.ID)
	f.must(err)
	f.equal(got, each(sorted, func(key string) registry.CatalogRequest { return want[key] }))
	got, err = f.store.ListPendingCatalogRequests(f.ctx, newID())
	f.must(err)
	f.equal(got, []registry.CatalogRequest{})
}

func oneRequestIsOpen(f *fixture) {
	tenant, other := minimalTenant("tenant"), minimalTenant("other")
	f.insert(tenant, other, minimalProduct("product"), minimalProduct("another"))
	first := minimalRequest(tenant.ID, "product")
	f.insert(decided(minimalRequest(tenant.ID, "product")), first)
	f.want(f.insertErr(minimalRequest(tenant.ID, "product")), registry.ErrRequestPending)
	f.insert(
		minimalRequest(other.ID, "product"), minimalRequest(tenant.ID, "another"),
		decided(minimalRequest(tenant.ID, "product")),
	)

	twice := minimalRequest(other.ID, "another")
	twice.ID = first.ID
	f.want(f.insertErr(twice), registry.ErrDuplicate)
	f.want(f.insertErr(minimalRequest(newID(), "product")), registry.ErrNoParent)
	f.want(f.insertErr(minimalRequest(uuid.Nil, "product")), registry.ErrNoParent)
	f.want(f.insertErr(minimalRequest(other.ID, "unknown")), registry.ErrNoParent)
	f.want(f.insertErr(minimalRequest(other.ID, "")), registry.ErrNoParent)
}

func catalogRequests(t *testing.T, s suite) {
	s.test(t, "come back as they went in", requestsComeBack)
	s.test(t, "one is open for a tenant and product", oneRequestIsOpen)
	s.test(t, "that break a check", spoiltRequests)
}
