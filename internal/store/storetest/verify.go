package storetest

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/apikey"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

func keyFacts(t *testing.T, s suite) {
	s.test(t, "are of the product asked for, else of the key's own", factsOfProduct)
	s.test(t, "are found in every state of key and tenant", func(f *fixture) {
		tenant := fullTenant("frozen")
		key := fullKey(tenant.ID, "product") // disabled, expired and revoked
		request := decided(minimalRequest(tenant.ID, "product"))
		ended := fullEntitlement(tenant.ID, "product", request.ID)
		f.insert(tenant, minimalProduct("product"), request, key, ended)
		got, err := lookupKey(f.ctx, f.store, registry.KeyLookup{Hash: key.Hash, Product: "product"})
		f.must(err)
		owner := &registry.KeyOwner{Tenant: stored(tenant), Entitlements: []registry.Entitlement{stored(ended)}}
		f.equal(got, stored(key).Facts(key.Hash, owner))
	})
	s.test(t, "of a key that is not there", func(f *fixture) {
		tenant := minimalTenant("tenant")
		f.insert(tenant, minimalKey(tenant.ID))
		for _, product := range []string{"", "product"} {
			_, err := lookupKey(f.ctx, f.store, registry.KeyLookup{Hash: newHash(), Product: product})
			f.want(err, registry.ErrNotFound)
			_, err = lookupKey(f.ctx, f.store, registry.KeyLookup{Hash: apikey.Hash{}, Product: product})
			f.want(err, registry.ErrNotFound)
		}
	})
	s.test(t, "of many look-ups at once", manyFacts)
	s.test(t, "are those of one instant", factsOfOneInstant)
	s.test(t, "in a transaction are those it wrote", func(f *fixture) {
		tenant := minimalTenant("tenant")
		key, source := minimalKey(tenant.ID), minimalEntitlement(tenant.ID, "product")
		f.commit(func(tx registry.Tx) error {
			if err := insertAll(f.ctx, tx, tenant, minimalProduct("product"), key, source); err != nil {
				return err
			}
			got, err := lookupKey(f.ctx, tx, registry.KeyLookup{Hash: key.Hash, Product: "product"})
			owner := &registry.KeyOwner{Tenant: tenant, Entitlements: []registry.Entitlement{source}}
			f.equal(got, key.Facts(key.Hash, owner))
			return err
		})
	})
}

func factsOfProduct(f *fixture) {
	tenant, other := minimalTenant("tenant"), fullTenant("other")
	f.insert(
		tenant, other, minimalProduct("one"), minimalProduct("two"), minimalProduct("none"), minimalProduct("onee"),
	)
	one := []registry.Entitlement{
		trial(tenant.ID, "one"),
		minimalEntitlement(tenant.ID, "one"),
		minimalEntitlement(tenant.ID, "one"),
	}
	two := []registry.Entitlement{minimalEntitlement(tenant.ID, "two")}
	theirs := []registry.Entitlement{minimalEntitlement(other.ID, "one")}
	f.insert(one[2], one[0], one[1], two[0], theirs[0], minimalEntitlement(tenant.ID, "onee"))
	key := func(tenant uuid.UUID, product string) registry.APIKey {
		k := minimalKey(tenant)
		k.Product = product
		return k
	}
	free, ofOne, ofNone, foreign := key(tenant.ID, ""), key(tenant.ID, "one"), key(tenant.ID, "none"), key(other.ID, "")
	f.insert(free, ofOne, ofNone, foreign)
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
		got, err := lookupKey(f.ctx, f.store, registry.KeyLookup{Hash: c.key.Hash, Product: c.product})
		owner := tenant
		if c.key.TenantID == other.ID {
			owner = stored(other)
		}
		want := c.key.Facts(c.key.Hash, &registry.KeyOwner{Tenant: owner, Entitlements: c.want})
		if err != nil || !reflect.DeepEqual(got, want) {
			f.Errorf("%s: %v\ngot  %s\nwant %s", c.name, err, show(got), show(want))
		}
	}
}

// manyFacts asks by both secrets, for several products, twice for the same, and for what is not there.
func manyFacts(f *fixture) {
	tenant := minimalTenant("tenant")
	key, other := fullKey(tenant.ID, "one"), minimalKey(tenant.ID)
	one := []registry.Entitlement{minimalEntitlement(tenant.ID, "one"), minimalEntitlement(tenant.ID, "one")}
	f.insert(tenant, minimalProduct("one"), minimalProduct("two"), key, other, one[0], one[1])
	facts := func(k registry.APIKey, by apikey.Hash, sources ...registry.Entitlement) registry.KeyFacts {
		sources = append([]registry.Entitlement{}, sources...)
		return stored(k).Facts(by, &registry.KeyOwner{Tenant: tenant, Entitlements: sources})
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
	got, err := f.store.GetKeyFacts(f.ctx, asked)
	f.must(err)
	f.equal(len(got), len(want))
	for lookup, is := range want {
		f.equal(got[lookup], is)
	}
	none, err := f.store.GetKeyFacts(f.ctx, nil)
	f.must(err)
	f.equal(len(none), 0)
}

// factsOfOneInstant changes key, tenant and entitlements together, again and again, while they are read: they must
// always fit.
func factsOfOneInstant(f *fixture) {
	const changes = 200
	tenant := minimalTenant("tenant")
	key := minimalKey(tenant.ID)
	tenant.Name, key.Scopes = "0", []string{"0"}
	f.insert(tenant, minimalProduct("product"), key)
	done := make(chan error, 1)
	go func() {
		for i := range changes {
			tenant.Name, key.Scopes = fmt.Sprint(i+1), []string{fmt.Sprint(i + 1)}
			err := f.tx(func(tx registry.Tx) error {
				if err := tx.UpdateTenant(f.ctx, tenant); err != nil {
					return err
				}
				if err := tx.UpdateAPIKey(f.ctx, key); err != nil {
					return err
				}
				return tx.InsertEntitlement(f.ctx, minimalEntitlement(tenant.ID, "product"))
			})
			if err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for {
		facts, err := lookupKey(f.ctx, f.store, registry.KeyLookup{Hash: key.Hash, Product: "product"})
		f.must(err)
		if n := fmt.Sprint(len(facts.Entitlements)); facts.Key.Scopes[0] != n || facts.Tenant.Name != n {
			f.Fatalf("key %s, tenant %s, %s entitlements", facts.Key.Scopes[0], facts.Tenant.Name, n)
		}
		select {
		case err := <-done:
			f.must(err)
			return
		default:
		}
	}
}
