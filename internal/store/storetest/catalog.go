package storetest

import (
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// unsorted are product keys in no order; sorted are the same in byte order. The order of a language would ignore the dashes.
var (
	unsorted = []string{"ab", "a-c", "b0", "a0", "aa", "a-b-c", "0a", "a--z"}
	sorted   = []string{"0a", "a--z", "a-b-c", "a-c", "a0", "aa", "ab", "b0"}
)

func catalog(t *testing.T, s suite) {
	s.test(t, "products come back as they went in", productsComeBack)
	s.test(t, "products that are not there", func(w *world) {
		got, err := w.store.Products(w.ctx)
		w.must(err)
		w.equal(got, []registry.Product{})
		w.insert(minimalProduct("some"))
		for _, key := range []string{"", "other", "Some", "some "} {
			_, err := w.store.Product(w.ctx, key)
			w.want(err, registry.ErrNotFound)
		}
	})
	s.test(t, "products are in the byte order of their keys", func(w *world) {
		for _, key := range unsorted {
			w.insert(minimalProduct(key))
		}
		got, err := w.store.Products(w.ctx)
		w.must(err)
		w.equal(each(got, func(p registry.Product) string { return p.Key }), sorted)
	})
	s.test(t, "products are unique", func(w *world) {
		first := fullProduct("same")
		w.insert(first)
		w.want(w.insertErr(minimalProduct("same")), registry.ErrDuplicate)
		got, err := w.store.Product(w.ctx, "same")
		w.must(err)
		w.equal(got, kept(first))
	})
	s.test(t, "products that break a check", spoiltProducts)
	s.test(t, "requests come back as they went in", requestsComeBack)
	s.test(t, "one request is open for a tenant and product", oneRequestIsOpen)
	s.test(t, "requests that break a check", spoiltRequests)
}

func productsComeBack(w *world) {
	minimal, full, without := minimalProduct("minimal"), fullProduct("full"), minimalProduct("without")
	without.DefaultLimits, without.DefaultConfig = nil, nil
	w.insert(minimal, full, without)
	without.DefaultLimits, without.DefaultConfig = registry.Limits{}, registry.Config{}
	for _, want := range []registry.Product{minimal, kept(full), without} {
		got, err := w.store.Product(w.ctx, want.Key)
		w.must(err)
		w.equal(got, want)
	}
	got, err := w.store.Products(w.ctx)
	w.must(err)
	w.equal(got, []registry.Product{kept(full), minimal, without})
}

func spoiltProducts(w *world) {
	for name, spoil := range map[string]func(*registry.Product){
		"audience":      func(p *registry.Product) { p.Audience = "" },
		"less-than-0":   func(p *registry.Product) { p.TrialDays = -1 },
		"too-long":      func(p *registry.Product) { p.TrialDays = 3651 },
		"other-audence": func(p *registry.Product) { p.Audience = "everybody" },
	} {
		bad := minimalProduct(name)
		spoil(&bad)
		w.wantFault(w.insertErr(bad))
		_, err := w.store.Product(w.ctx, name)
		w.want(err, registry.ErrNotFound)
	}
}

func spoiltRequests(w *world) {
	tenant := minimalTenant("tenant")
	w.insert(tenant, minimalProduct("product"))
	for _, spoil := range []func(*registry.CatalogRequest){
		func(r *registry.CatalogRequest) { r.Status = "" },
		func(r *registry.CatalogRequest) { r.Status = "lost" },
		func(r *registry.CatalogRequest) { r.DecidedAt = later(1) },
		func(r *registry.CatalogRequest) { r.Status = registry.RequestRejected },
	} {
		bad := minimalRequest(tenant.ID, "product")
		spoil(&bad)
		w.wantFault(w.insertErr(bad))
	}
}

func requestsComeBack(w *world) {
	tenant, other := minimalTenant("tenant"), minimalTenant("other")
	w.insert(tenant, other)
	for _, key := range unsorted {
		w.insert(minimalProduct(key))
	}
	want := map[string]registry.CatalogRequest{}
	for i, key := range unsorted {
		r := minimalRequest(tenant.ID, key)
		if i%2 == 0 {
			r = fullRequest(tenant.ID, key)
		}
		want[key] = kept(r)
		w.insert(r, fullRequest(other.ID, key), decided(fullRequest(tenant.ID, key)), decided(fullRequest(tenant.ID, key)))
	}
	got, err := w.store.PendingRequests(w.ctx, tenant.ID)
	w.must(err)
	w.equal(got, each(sorted, func(key string) registry.CatalogRequest { return want[key] }))
	got, err = w.store.PendingRequests(w.ctx, newID())
	w.must(err)
	w.equal(got, []registry.CatalogRequest{})
}

func oneRequestIsOpen(w *world) {
	tenant, other := minimalTenant("tenant"), minimalTenant("other")
	w.insert(tenant, other, minimalProduct("product"), minimalProduct("another"))
	first := minimalRequest(tenant.ID, "product")
	w.insert(decided(minimalRequest(tenant.ID, "product")), first)
	w.want(w.insertErr(minimalRequest(tenant.ID, "product")), registry.ErrRequestPending)
	w.insert(minimalRequest(other.ID, "product"), minimalRequest(tenant.ID, "another"), decided(minimalRequest(tenant.ID, "product")))

	twice := minimalRequest(other.ID, "another")
	twice.ID = first.ID
	w.want(w.insertErr(twice), registry.ErrDuplicate)
	w.want(w.insertErr(minimalRequest(newID(), "product")), registry.ErrNoParent)
	w.want(w.insertErr(minimalRequest(uuid.Nil, "product")), registry.ErrNoParent)
	w.want(w.insertErr(minimalRequest(other.ID, "unknown")), registry.ErrNoParent)
	w.want(w.insertErr(minimalRequest(other.ID, "")), registry.ErrNoParent)
}

// each maps a list.
func each[T, U any](list []T, fn func(T) U) []U {
	mapped := make([]U, 0, len(list))
	for _, item := range list {
		mapped = append(mapped, fn(item))
	}
	return mapped
}
