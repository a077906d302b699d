package storetest

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

func values(t *testing.T, s suite) {
	s.test(t, "no text with NUL is stored", noNUL)
	s.test(t, "a text with NUL finds nothing", func(w *world) {
		tenant := minimalTenant("tenant")
		key := minimalKey(tenant.ID)
		w.insert(tenant, key, minimalProduct("product"), minimalEntitlement(tenant.ID, "product"), minimalEvent(tenant.ID))
		for name, ask := range map[string]func() (any, error){
			"TenantBySlug": func() (any, error) { return w.store.TenantBySlug(w.ctx, "tenant\x00") },
			"TenantByOrg":  func() (any, error) { return w.store.TenantByOrg(w.ctx, "org\x00") },
			"Product":      func() (any, error) { return w.store.Product(w.ctx, "product\x00") },
			"action":       func() (any, error) { return w.store.Events(w.ctx, registry.AuditQuery{Action: "a\x00", Limit: 9}) },
			"area":         func() (any, error) { return w.store.Events(w.ctx, registry.AuditQuery{Area: "a\x00", Limit: 9}) },
			"actor":        func() (any, error) { return w.store.Events(w.ctx, registry.AuditQuery{ActorID: "\x00", Limit: 9}) },
			"target":       func() (any, error) { return w.store.Events(w.ctx, registry.AuditQuery{TargetID: "\x00", Limit: 9}) },
			"correlation": func() (any, error) {
				return w.store.Events(w.ctx, registry.AuditQuery{CorrelationID: "\x00", Limit: 9})
			},
		} {
			if found, err := ask(); err == nil {
				w.Errorf("%s: found %s", name, show(found))
			}
		}
	})
	s.test(t, "numbers of a configuration are those of JSON", func(w *world) {
		p := minimalProduct("product")
		p.DefaultConfig = registry.Config{"int": 1, "nested": map[string]int{"a": 2}, "list": []int64{3}, "strings": []string{"s"}, "float": float32(0.5)}
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
	})
	s.test(t, "a configuration that is no JSON is not stored", func(w *world) {
		p := minimalProduct("product")
		p.DefaultConfig = registry.Config{"channel": make(chan int)}
		w.wantFault(w.insertErr(p))
	})
	s.test(t, "times may lie far off", func(w *world) {
		for i, at := range []time.Time{{}, time.Unix(0, 0), time.Date(1582, 10, 10, 1, 2, 3, 999, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)} {
			tenant := minimalTenant(fmt.Sprintf("tenant-%d", i))
			tenant.CreatedAt, tenant.FrozenAt = at, &at
			w.insert(tenant)
			got, err := w.store.Tenant(w.ctx, tenant.ID)
			w.must(err)
			w.equal(got, kept(tenant))
		}
	})
	s.test(t, "what went in can be changed", inputIsCopied)
	s.test(t, "what came out can be changed", outputIsCopied)
}

// noNUL tries a NUL in every text of every row.
func noNUL(w *world) {
	const nul = "a\x00b"
	tenant := minimalTenant("tenant")
	key := minimalKey(tenant.ID)
	w.insert(tenant, minimalProduct("product"), key)
	before := snapshot(w, w.store, tenant.ID, "product")
	asKey, asValue := map[string]string{nul: "v"}, map[string]string{"k": nul}

	var rows []any
	spoil(&rows, func() registry.Tenant { return minimalTenant("other") }, map[string]func(*registry.Tenant){
		"slug": func(t *registry.Tenant) { t.Slug = nul }, "name": func(t *registry.Tenant) { t.Name = nul },
		"region": func(t *registry.Tenant) { t.Region = nul }, "external id": func(t *registry.Tenant) { t.ExternalID = nul },
		"org": func(t *registry.Tenant) { t.KeycloakOrgID = nul }, "metadata": func(t *registry.Tenant) { t.Metadata = asValue },
		"metadata key": func(t *registry.Tenant) { t.Metadata = asKey },
	})
	limits := registry.Limits{nul: nil}
	configs := []registry.Config{{nul: 1}, {"k": nul}, {"k": []any{nul}}, {"k": map[string]any{nul: 1}}, {"k": []string{nul}}}
	spoil(&rows, func() registry.Product { return minimalProduct("other") }, map[string]func(*registry.Product){
		"key": func(p *registry.Product) { p.Key = nul }, "name": func(p *registry.Product) { p.Name = nul },
		"description": func(p *registry.Product) { p.Description = nul }, "limits": func(p *registry.Product) { p.DefaultLimits = limits },
	})
	spoil(&rows, func() registry.CatalogRequest { return decided(minimalRequest(tenant.ID, "product")) }, map[string]func(*registry.CatalogRequest){
		"message": func(r *registry.CatalogRequest) { r.Message = nul }, "by": func(r *registry.CatalogRequest) { r.RequestedBy = nul },
		"decided by": func(r *registry.CatalogRequest) { r.DecidedBy = nul }, "reason": func(r *registry.CatalogRequest) { r.DecisionReason = nul },
		"product": func(r *registry.CatalogRequest) { r.Product = nul },
	})
	spoil(&rows, func() registry.Entitlement { return minimalEntitlement(tenant.ID, "product") }, map[string]func(*registry.Entitlement){
		"limits": func(e *registry.Entitlement) { e.Limits = limits }, "product": func(e *registry.Entitlement) { e.Product = nul },
	})
	for _, config := range configs {
		p, e := minimalProduct("other"), minimalEntitlement(tenant.ID, "product")
		p.DefaultConfig, e.Config = config, config
		rows = append(rows, p, e)
	}
	keyTexts := map[string]func(*registry.APIKey){
		"name": func(k *registry.APIKey) { k.Name = nul }, "scope": func(k *registry.APIKey) { k.Scopes = []string{"a", nul} },
		"revoked by": func(k *registry.APIKey) { k.RevokedAt, k.RevokedBy = &noon, nul }, "reason": func(k *registry.APIKey) { k.RevokeReason = nul },
	}
	spoil(&rows, func() registry.APIKey { return minimalKey(tenant.ID) }, keyTexts)
	spoil(&rows, func() registry.APIKey { return minimalKey(tenant.ID) }, map[string]func(*registry.APIKey){
		"prefix": func(k *registry.APIKey) { k.Prefix = nul }, "created by": func(k *registry.APIKey) { k.CreatedBy = nul },
		"product": func(k *registry.APIKey) { k.Product = nul },
	})
	spoil(&rows, func() registry.AuditEvent { return minimalEvent(tenant.ID) }, eventsWith(nul, asKey, asValue))
	for _, row := range rows {
		if err := w.insertErr(row); err == nil {
			w.Errorf("stored: %s", show(row))
		}
	}
	for name, spoil := range keyTexts {
		bad := key
		spoil(&bad)
		if w.tx(func(tx registry.Tx) error { return tx.UpdateAPIKey(w.ctx, bad) }) == nil {
			w.Errorf("the %s of a key was updated", name)
		}
	}
	bad := tenant
	bad.Metadata = asKey
	if w.tx(func(tx registry.Tx) error { return tx.UpdateTenant(w.ctx, bad) }) == nil {
		w.Error("the metadata of a tenant was updated")
	}
	w.equal(snapshot(w, w.store, tenant.ID, "product"), before)
}

// spoil adds a row for each way to spoil it.
func spoil[T any](rows *[]any, fresh func() T, ways map[string]func(*T)) {
	for _, way := range ways {
		row := fresh()
		way(&row)
		*rows = append(*rows, row)
	}
}

// eventsWith sets each text of an event that is not a number in hex.
func eventsWith(text string, asKey, asValue map[string]string) map[string]func(*registry.AuditEvent) {
	ways := map[string]func(*registry.AuditEvent){
		"group name": func(e *registry.AuditEvent) { e.GroupName = text }, "action": func(e *registry.AuditEvent) { e.Action = text },
		"address": func(e *registry.AuditEvent) { e.SourceIP = text }, "description": func(e *registry.AuditEvent) { e.Description = text },
		"component": func(e *registry.AuditEvent) { e.Component = text }, "version": func(e *registry.AuditEvent) { e.Version = text },
		"external id": func(e *registry.AuditEvent) { e.ExternalID = text }, "correlation": func(e *registry.AuditEvent) { e.CorrelationID = text },
		"emitter": func(e *registry.AuditEvent) { e.EmitterID = text }, "emitter name": func(e *registry.AuditEvent) { e.EmitterName = text },
		"field": func(e *registry.AuditEvent) { e.Fields = asKey }, "field value": func(e *registry.AuditEvent) { e.Fields = asValue },
		"metadata": func(e *registry.AuditEvent) { e.Metadata = asKey }, "metadata value": func(e *registry.AuditEvent) { e.Metadata = asValue },
	}
	for side, of := range map[string]func(*registry.AuditEvent) *registry.Party{
		"actor":  func(e *registry.AuditEvent) *registry.Party { return &e.Actor },
		"target": func(e *registry.AuditEvent) *registry.Party { return &e.Target },
	} {
		ways[side+" id"] = func(e *registry.AuditEvent) { of(e).ID = text }
		ways[side+" name"] = func(e *registry.AuditEvent) { of(e).Name = text }
		ways[side+" href"] = func(e *registry.AuditEvent) { of(e).Href = text }
		ways[side+" type"] = func(e *registry.AuditEvent) { of(e).Type = text }
		ways[side+" field"] = func(e *registry.AuditEvent) { of(e).Fields = asKey }
		ways[side+" field value"] = func(e *registry.AuditEvent) { of(e).Fields = asValue }
	}
	return ways
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
		see(one(r.TenantBySlug(w.ctx, "slug")))
		see(one(r.TenantByOrg(w.ctx, tenant.KeycloakOrgID)))
		see(one(r.Product(w.ctx, "product")))
		see(one(r.Products(w.ctx)))
		see(one(r.PendingRequests(w.ctx, tenant.ID)))
		see(one(r.Entitlements(w.ctx, tenant.ID)))
		keys, err := r.APIKeys(w.ctx, tenant.ID, uuid.Nil, 9)
		w.must(err)
		see(one(r.APIKey(w.ctx, keys[0].ID)))
		see(one(r.KeyFacts(w.ctx, keys[0].Hash, "")))
		scribble(keys)
		events, err := r.Events(w.ctx, registry.AuditQuery{Limit: 9})
		w.must(err)
		see(one(r.Event(w.ctx, events[0].ID)))
		scribble(events)
	}
	read(w.store)
	w.equal(snapshot(w, w.store, tenant.ID, "product"), before)
	w.commit(func(tx registry.Tx) error {
		locked, err := tx.LockTenant(w.ctx, tenant.ID)
		w.must(err)
		scribble(locked)
		read(tx)
		return nil
	})
	w.equal(snapshot(w, w.store, tenant.ID, "product"), before)
}
