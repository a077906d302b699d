package storetest

import (
	"testing"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// unsorted are product keys in no order; sorted are the same in byte order. The order of a language would ignore the
// dashes.
var (
	unsorted = []string{"ab", "a-c", "b0", "a0", "aa", "a-b-c", "0a", "a--z"}
	sorted   = []string{"0a", "a--z", "a-b-c", "a-c", "a0", "aa", "ab", "b0"}
)

func products(t *testing.T, s suite) {
	s.test(t, "come back as they went in", productsComeBack)
	s.test(t, "that are not there", func(f *fixture) {
		got, err := f.store.ListProducts(f.ctx)
		f.must(err)
		f.equal(got, []registry.Product{})
		f.insert(minimalProduct("some"))
		for _, key := range []string{"", "other", "Some", "some "} {
			_, err := f.store.GetProduct(f.ctx, key)
			f.want(err, registry.ErrNotFound)
		}
	})
	s.test(t, "are in the byte order of their keys", func(f *fixture) {
		for _, key := range unsorted {
			f.insert(minimalProduct(key))
		}
		got, err := f.store.ListProducts(f.ctx)
		f.must(err)
		f.equal(each(got, func(p registry.Product) string { return p.Key }), sorted)
	})
	s.test(t, "are unique", func(f *fixture) {
		first := fullProduct("same")
		f.insert(first)
		f.want(f.insertErr(minimalProduct("same")), registry.ErrDuplicate)
		got, err := f.store.GetProduct(f.ctx, "same")
		f.must(err)
		f.equal(got, stored(first))
	})
	s.test(t, "that break a check", spoiltProducts)
}

func productsComeBack(f *fixture) {
	minimal, full, without := minimalProduct("minimal"), fullProduct("full"), minimalProduct("without")
	without.DefaultLimits, without.DefaultConfig = nil, nil
	f.insert(minimal, full, without)
	without.DefaultLimits, without.DefaultConfig = registry.Limits{}, registry.Config{}
	for _, want := range []registry.Product{minimal, stored(full), without} {
		got, err := f.store.GetProduct(f.ctx, want.Key)
		f.must(err)
		f.equal(got, want)
	}
	got, err := f.store.ListProducts(f.ctx)
	f.must(err)
	f.equal(got, []registry.Product{stored(full), minimal, without})
}

func spoiltProducts(f *fixture) {
	for name, spoil := range map[string]func(*registry.Product){
		"audience":      func(p *registry.Product) { p.Audience = "" },
		"less-than-0":   func(p *registry.Product) { p.TrialDays = -1 },
		"too-long":      func(p *registry.Product) { p.TrialDays = 3651 },
		"other-audence": func(p *registry.Product) { p.Audience = "all" },
	} {
		bad := minimalProduct(name)
		spoil(&bad)
		f.wantFault(f.insertErr(bad))
		_, err := f.store.GetProduct(f.ctx, name)
		f.want(err, registry.ErrNotFound)
	}
}

// each maps a list.
func each[T, U any](list []T, fn func(T) U) []U {
	mapped := make([]U, 0, len(list))
	for _, item := range list {
		mapped = append(mapped, fn(item))
	}
	return mapped
}
