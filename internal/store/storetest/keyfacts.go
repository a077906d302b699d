package storetest

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

func keyFacts(t *testing.T, s suite) {
	s.test(t, "are of the product asked for, else of the key's own", factsOfProduct)
	s.test(t, "are told whatever the state of key and tenant", func(w *world) {
		tenant := fullTenant("frozen")
		key := fullKey(tenant.ID, "product") // disabled, expired and revoked
		request := decided(minimalRequest(tenant.ID, "product"))
		ended := fullEntitlement(tenant.ID, "product", request.ID)
		w.insert(tenant, minimalProduct("product"), request, key, ended)
		got, err := w.store.KeyFacts(w.ctx, key.Hash, "product")
		w.must(err)
		w.equal(got, kept(key).Facts(key.Hash, &registry.Holder{Tenant: kept(tenant), Entitlements: []registry.Entitlement{kept(ended)}}))
	})
	s.test(t, "of a key that is not there", func(w *world) {
		tenant := minimalTenant("tenant")
		w.insert(tenant, minimalKey(tenant.ID))
		for _, product := range []string{"", "product"} {
			_, err := w.store.KeyFacts(w.ctx, newHash(), product)
			w.want(err, registry.ErrNotFound)
			_, err = w.store.KeyFacts(w.ctx, registry.Hash{}, product)
			w.want(err, registry.ErrNotFound)
		}
	})
	s.test(t, "of many look-ups at once", manyFacts)
	s.test(t, "are those of one instant", factsOfOneInstant)
	s.test(t, "in a transaction are those it wrote", func(w *world) {
		tenant := minimalTenant("tenant")
		key, source := minimalKey(tenant.ID), minimalEntitlement(tenant.ID, "product")
		w.commit(func(tx registry.Tx) error {
			if err := insertAll(w.ctx, tx, tenant, minimalProduct("product"), key, source); err != nil {
				return err
			}
			got, err := tx.KeyFacts(w.ctx, key.Hash, "product")
			w.equal(got, key.Facts(key.Hash, &registry.Holder{Tenant: tenant, Entitlements: []registry.Entitlement{source}}))
			return err
		})
	})
}

func factsOfProduct(w *world) {
	tenant, other := minimalTenant("tenant"), fullTenant("other")
	w.insert(tenant, other, minimalProduct("one"), minimalProduct("two"), minimalProduct("none"), minimalProduct("onee"))
	one := []registry.Entitlement{trial(tenant.ID, "one"), minimalEntitlement(tenant.ID, "one"), minimalEntitlement(tenant.ID, "one")}
	two := []registry.Entitlement{minimalEntitlement(tenant.ID, "two")}
	theirs := []registry.Entitlement{minimalEntitlement(other.ID, "one")}
	w.insert(one[2], one[0], one[1], two[0], theirs[0], minimalEntitlement(tenant.ID, "onee"))
	key := func(tenant uuid.UUID, product string) registry.APIKey {
		k := minimalKey(tenant)
		k.Product = product
		return k
	}
	free, ofOne, ofNone, foreign := key(tenant.ID, ""), key(tenant.ID, "one"), key(tenant.ID, "none"), key(other.ID, "")
	w.insert(free, ofOne, ofNone, foreign)
	nothing := []registry.Entitlement{}
	for _, c := range []struct {
		name    string
		key     registry.APIKey
		product string
		want    []registry.Entitlement
	}{
		{"a key for any product, no product", free, "", nothing},
		{"a key for any product, a product", free, "one", one},
		{"a key for any product, another product", free, "two", two},
		{"a key for any product, a product not had", free, "none", nothing},
		{"a key for any product, an unknown product", free, "unknown", nothing},
		{"a bound key, no product", ofOne, "", one},
		{"a bound key, its product", ofOne, "one", one},
		{"a bound key, another product", ofOne, "two", two},
		{"a bound key, an unknown product", ofOne, "unknown", nothing},
		{"a key bound to a product not had, no product", ofNone, "", nothing},
		{"another tenant's key, a product", foreign, "one", theirs},
		{"another tenant's key, a product not had", foreign, "two", nothing},
	} {
		got, err := w.store.KeyFacts(w.ctx, c.key.Hash, c.product)
		owner := tenant
		if c.key.TenantID == other.ID {
			owner = kept(other)
		}
		want := c.key.Facts(c.key.Hash, &registry.Holder{Tenant: owner, Entitlements: c.want})
		if err != nil || !reflect.DeepEqual(got, want) {
			w.Errorf("%s: %v\ngot  %s\nwant %s", c.name, err, show(got), show(want))
		}
	}
}

// manyFacts asks by both secrets, for several products, twice for the same, and for what is not there.
func manyFacts(w *world) {
	tenant := minimalTenant("tenant")
	key, other := fullKey(tenant.ID, "one"), minimalKey(tenant.ID)
	one := []registry.Entitlement{minimalEntitlement(tenant.ID, "one"), minimalEntitlement(tenant.ID, "one")}
	w.insert(tenant, minimalProduct("one"), minimalProduct("two"), key, other, one[0], one[1])
	facts := func(k registry.APIKey, by registry.Hash, sources ...registry.Entitlement) registry.KeyFacts {
		return kept(k).Facts(by, &registry.Holder{Tenant: tenant, Entitlements: append([]registry.Entitlement{}, sources...)})
	}
	want := map[registry.KeyLookup]registry.KeyFacts{
		{Hash: key.Hash}:                           facts(key, key.Hash, one...),
		{Hash: key.PreviousHash}:                   facts(key, key.PreviousHash, one...),
		{Hash: key.Hash, Product: "two"}:           facts(key, key.Hash),
		{Hash: other.Hash}:                         facts(other, other.Hash),
		{Hash: other.Hash, Product: "one"}:         facts(other, other.Hash, one...),
		{Hash: other.Hash, Product: "not a thing"}: facts(other, other.Hash),
	}
	asked := []registry.KeyLookup{{Hash: newHash()}, {}}
	for lookup := range want {
		asked = append(asked, lookup, lookup)
	}
	got, err := w.store.ManyKeyFacts(w.ctx, asked)
	w.must(err)
	w.equal(len(got), len(want))
	for lookup, is := range want {
		w.equal(got[lookup], is)
	}
	none, err := w.store.ManyKeyFacts(w.ctx, nil)
	w.must(err)
	w.equal(len(none), 0)
}

// factsOfOneInstant changes key, tenant and entitlements together, again and again, while they are read: they must always fit.
func factsOfOneInstant(w *world) {
	const changes = 200
	tenant := minimalTenant("tenant")
	key := minimalKey(tenant.ID)
	tenant.Name, key.Scopes = "0", []string{"0"}
	w.insert(tenant, minimalProduct("product"), key)
	done := make(chan error, 1)
	go func() {
		for i := range changes {
			tenant.Name, key.Scopes = fmt.Sprint(i+1), []string{fmt.Sprint(i + 1)}
			err := w.tx(func(tx registry.Tx) error {
				if err := tx.UpdateTenant(w.ctx, tenant); err != nil {
					return err
				}
				if err := tx.UpdateAPIKey(w.ctx, key); err != nil {
					return err
				}
				return tx.InsertEntitlement(w.ctx, minimalEntitlement(tenant.ID, "product"))
			})
			if err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for {
		facts, err := w.store.KeyFacts(w.ctx, key.Hash, "product")
		w.must(err)
		if n := fmt.Sprint(len(facts.Entitlements)); facts.Key.Scopes[0] != n || facts.Tenant.Name != n {
			w.Fatalf("key %s, tenant %s, %s entitlements", facts.Key.Scopes[0], facts.Tenant.Name, n)
		}
		select {
		case err := <-done:
			w.must(err)
			return
		default:
		}
	}
}
