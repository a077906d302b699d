package storetest

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

func values(t *testing.T, s suite) {
	s.test(t, "no text with NUL is stored", func(w *world) { storesNo(w, "a\x00b") })
	s.test(t, "no text that is not UTF-8 is stored", func(w *world) { storesNo(w, "a\xffb") })
	s.test(t, "a text with NUL finds nothing", findsNo)
	s.test(t, "numbers of a configuration are those of JSON", numbersOfJSON)
	s.test(t, "a configuration that is no JSON is not stored", func(w *world) {
		p := minimalProduct("product")
		p.DefaultConfig = registry.Config{"channel": make(chan int)}
		w.wantFault(w.insertErr(p))
	})
	s.test(t, "times may lie far off", distantTimes)
	s.test(t, "what went in can be changed", inputIsCopied)
	s.test(t, "what came out can be changed", outputIsCopied)
}

func numbersOfJSON(w *world) {
	p := minimalProduct("product")
	p.DefaultConfig = registry.Config{"int": 1, "nested": map[string]int{"a": 2}, "list": []int64{3},
		"strings": []string{"s"}, "float": float32(0.5)}
	want := registry.Config{
		"int": 1.0, "nested": map[string]any{"a": 2.0}, "list": []any{3.0}, "strings": []any{"s"}, "float": 0.5,
	}
	tenant := minimalTenant("tenant")
	e := minimalEntitlement(tenant.ID, "product")
	e.Config = maps.Clone(p.DefaultConfig)
	w.insert(tenant, p, e)
	product, err := w.store.Product(w.ctx, "product")
	w.must(err)
	w.equal(product.DefaultConfig, want)
	sources, err := w.store.Entitlements(w.ctx, tenant.ID)
	w.must(err)
	w.equal(sources[0].Config, want)
}

func distantTimes(w *world) {
	for i, at := range []time.Time{
		{}, time.Unix(0, 0), time.Date(1582, 10, 10, 1, 2, 3, 999, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
	} {
		tenant := minimalTenant(fmt.Sprintf("tenant-%d", i))
		tenant.CreatedAt, tenant.FrozenAt = at, &at
		w.insert(tenant)
		got, err := w.store.Tenant(w.ctx, tenant.ID)
		w.must(err)
		w.equal(got, kept(tenant))
	}
}

// inputIsCopied changes rows after they were written, while the transaction is open.
func inputIsCopied(w *world) {
	want, rows := aWorldful("slug", "product"), []any{}
	tenant := want[0].(registry.Tenant)
	reference := ""
	w.want(w.tx(func(tx registry.Tx) error {
		w.must(insertAll(w.ctx, tx, want...))
		reference = snapshot(w, tx, tenant.ID, "product")
		return errOfCaller
	}), errOfCaller)
	rows = append(rows, want...)
	w.commit(func(tx registry.Tx) error {
		for _, row := range rows {
			w.must(insert(w.ctx, tx, row))
			scribble(row)
		}
		return nil
	})
	w.equal(snapshot(w, w.store, tenant.ID, "product"), reference)
}

// outputIsCopied changes everything that was read, and reads again.
func outputIsCopied(w *world) {
	rows := aWorldful("slug", "product")
	tenant := rows[0].(registry.Tenant)
	w.insert(rows...)
	before := snapshot(w, w.store, tenant.ID, "product")
	read := func(r registry.Reader) {
		see := func(v any, err error) {
			w.must(err)
			scribble(v)
		}
		see(one(r.Tenant(w.ctx, tenant.ID)))
		see(one(r.TenantByOrg(w.ctx, tenant.KeycloakOrgID)))
		see(one(r.Product(w.ctx, "product")))
		see(one(r.Products(w.ctx)))
		see(one(r.PendingRequests(w.ctx, tenant.ID)))
		see(one(r.Entitlements(w.ctx, tenant.ID)))
		keys, err := r.APIKeys(w.ctx, registry.KeyQuery{TenantID: tenant.ID, Limit: 9})
		w.must(err)
		see(one(r.APIKey(w.ctx, keys.Keys[0].ID)))
		if r != registry.Reader(w.store) || !w.options.Shared {
			see(one(r.TenantBySlug(w.ctx, "slug")))
			see(one(r.KeyFacts(w.ctx, keys.Keys[0].Hash, "")))
		}
		scribble(keys.Keys)
		events, err := r.Events(w.ctx, registry.AuditQuery{Limit: 9})
		w.must(err)
		see(one(r.Event(w.ctx, events.Items[0].ID)))
		scribble(events)
	}
	read(w.store)
	w.equal(snapshot(w, w.store, tenant.ID, "product"), before)
	if w.options.Shared {
		keys, err := w.store.APIKeys(w.ctx, registry.KeyQuery{TenantID: tenant.ID, Limit: 1})
		w.must(err)
		sharedOutput(w, keys.Keys[0].Hash)
	}
	w.commit(func(tx registry.Tx) error {
		locked, err := tx.LockTenant(w.ctx, tenant.ID)
		w.must(err)
		scribble(locked)
		read(tx)
		return nil
	})
	w.equal(snapshot(w, w.store, tenant.ID, "product"), before)
}

// sharedOutput reads the same twice: no copy is made for whoever only reads.
func sharedOutput(w *world, hash registry.Hash) {
	var seen [2]registry.KeyFacts
	for i := range seen {
		var err error
		seen[i], err = w.store.KeyFacts(w.ctx, hash, "")
		w.must(err)
	}
	if &seen[0].Key.Scopes[0] != &seen[1].Key.Scopes[0] {
		w.Error("the facts of a key were copied")
	}
}
