package storetest

import (
	"fmt"
	"maps"
	"testing"

	"github.com/google/uuid"
	"time"

	"github.com/breakpilot/tenant-registry/internal/apikey"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

func values(t *testing.T, s suite) {
	s.test(t, "no text with NUL is stored", func(f *fixture) { storesNo(f, "a\x00b") })
	s.test(t, "no text that is not UTF-8 is stored", func(f *fixture) { storesNo(f, "a\xffb") })
	s.test(t, "a text with NUL finds nothing", findsNo)
	s.test(t, "numbers of a configuration are those of JSON", numbersOfJSON)
	s.test(t, "a configuration that is no JSON is not stored", func(f *fixture) {
		p := minimalProduct("product")
		p.DefaultConfig = registry.Config{"channel": make(chan int)}
		f.wantFault(f.insertErr(p))
	})
	s.test(t, "a configuration has 32 levels at most", levelsOfConfig)
	s.test(t, "times may lie far off", distantTimes)
	s.test(t, "what went in can be changed", inputIsCopied)
	s.test(t, "what came out can be changed", outputIsCopied)
}

func numbersOfJSON(f *fixture) {
	p := minimalProduct("product")
	p.DefaultConfig = registry.Config{"int": 1, "nested": map[string]int{"a": 2}, "list": []int64{3},
		"strings": []string{"s"}, "float": float32(0.5)}
	want := registry.Config{
		"int": 1.0, "nested": map[string]any{"a": 2.0}, "list": []any{3.0}, "strings": []any{"s"}, "float": 0.5,
	}
	tenant := minimalTenant("tenant")
	e := minimalEntitlement(tenant.ID, "product")
	e.Config = maps.Clone(p.DefaultConfig)
	f.insert(tenant, p, e)
	product, err := f.store.GetProduct(f.ctx, "product")
	f.must(err)
	f.equal(product.DefaultConfig, want)
	sources, err := f.store.ListEntitlements(f.ctx, tenant.ID)
	f.must(err)
	f.equal(sources[0].Config, want)
}

func levelsOfConfig(f *fixture) {
	tenant := minimalTenant("tenant")
	f.insert(tenant, minimalProduct("product"))
	for levels, stored := range map[int]bool{1: true, 32: true, 33: false, 100: false} {
		var inner any = 1.0
		for i := range levels - 1 {
			if i%2 == 0 {
				inner = []any{"before", inner, nil}
			} else {
				inner = map[string]any{"a": inner, "b": []any{}}
			}
		}
		p, e := minimalProduct(fmt.Sprintf("of-%d", levels)), minimalEntitlement(tenant.ID, "product")
		p.DefaultConfig = registry.Config{"a": inner}
		e.Config = p.DefaultConfig
		for _, row := range []any{p, e} {
			if err := f.insertErr(row); stored {
				f.must(err)
			} else {
				f.wantFault(err)
			}
		}
	}
}

func distantTimes(f *fixture) {
	for i, at := range []time.Time{
		{}, time.Unix(0, 0), time.Date(1582, 10, 10, 1, 2, 3, 999, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
	} {
		tenant := minimalTenant(fmt.Sprintf("tenant-%d", i))
		tenant.CreatedAt, tenant.FrozenAt = at, &at
		f.insert(tenant)
		got, err := f.store.GetTenant(f.ctx, tenant.ID)
		f.must(err)
		f.equal(got, stored(tenant))
	}
}

// inputIsCopied changes rows after they were written, while the transaction is open.
func inputIsCopied(f *fixture) {
	want, rows := oneOfEach("slug", "product"), []any{}
	tenant := want[0].(registry.Tenant)
	reference := ""
	f.want(f.tx(func(tx registry.Tx) error {
		f.must(insertAll(f.ctx, tx, want...))
		reference = snapshot(f, tx, tenant.ID, "product")
		return errOfCaller
	}), errOfCaller)
	rows = append(rows, want...)
	f.commit(func(tx registry.Tx) error {
		for _, row := range rows {
			f.must(insert(f.ctx, tx, row))
			scribble(row)
		}
		return nil
	})
	f.equal(snapshot(f, f.store, tenant.ID, "product"), reference)
}

// outputIsCopied changes everything that was read, and reads again.
func outputIsCopied(f *fixture) {
	rows := oneOfEach("slug", "product")
	tenant := rows[0].(registry.Tenant)
	f.insert(rows...)
	before := snapshot(f, f.store, tenant.ID, "product")
	read := func(r registry.Reader) {
		see := func(v any, err error) {
			f.must(err)
			scribble(v)
		}
		see(one(r.GetTenant(f.ctx, tenant.ID)))
		see(one(r.GetTenantByKeycloakOrg(f.ctx, tenant.KeycloakOrgID)))
		see(one(r.GetProduct(f.ctx, "product")))
		see(one(r.ListProducts(f.ctx)))
		see(one(r.ListPendingCatalogRequests(f.ctx, tenant.ID)))
		see(one(r.ListCatalogRequests(f.ctx, tenant.ID, uuid.Nil, 100)))
		see(one(r.ListEntitlements(f.ctx, tenant.ID)))
		keys, err := r.ListAPIKeys(f.ctx, registry.APIKeyQuery{TenantID: tenant.ID, PageRequest: firstPage(9)})
		f.must(err)
		see(one(r.GetAPIKey(f.ctx, keys.Items[0].ID)))
		if r != registry.Reader(f.store) || !f.options.Shared {
			see(one(lookupTenant(f.ctx, r, "slug")))
			see(one(lookupKey(f.ctx, r, registry.KeyLookup{Hash: keys.Items[0].Hash})))
		}
		scribble(keys.Items)
		events, err := r.ListAuditEvents(f.ctx, registry.AuditQuery{PageRequest: firstPage(9)})
		f.must(err)
		see(one(r.GetAuditEvent(f.ctx, events.Items[0].ID)))
		scribble(events)
	}
	read(f.store)
	f.equal(snapshot(f, f.store, tenant.ID, "product"), before)
	if f.options.Shared {
		keys, err := f.store.ListAPIKeys(f.ctx, registry.APIKeyQuery{TenantID: tenant.ID, PageRequest: firstPage(1)})
		f.must(err)
		sharedOutput(f, keys.Items[0].Hash)
	}
	f.commit(func(tx registry.Tx) error {
		locked, err := tx.LockTenant(f.ctx, tenant.ID)
		f.must(err)
		scribble(locked)
		read(tx)
		return nil
	})
	f.equal(snapshot(f, f.store, tenant.ID, "product"), before)
}

// sharedOutput reads the same twice: no copy is made for a caller that only reads.
func sharedOutput(f *fixture, hash apikey.Hash) {
	var seen [2]registry.KeyFacts
	for i := range seen {
		var err error
		seen[i], err = lookupKey(f.ctx, f.store, registry.KeyLookup{Hash: hash})
		f.must(err)
	}
	if &seen[0].Key.Scopes[0] != &seen[1].Key.Scopes[0] {
		f.Error("the facts of a key were copied")
	}
}
