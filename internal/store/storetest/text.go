package storetest

import (
	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

// storesNo tries a bad text as every text of every row.
func storesNo(f *fixture, bad string) {
	tenant := minimalTenant("tenant")
	key := minimalKey(tenant.ID)
	f.insert(tenant, minimalProduct("product"), key)
	before := snapshot(f, f.store, tenant.ID, "product")
	asKey, asValue := map[string]string{bad: "v"}, map[string]string{"k": bad}

	rows := rowsOfCatalog(tenant, bad)
	spoil(&rows, func() registry.Tenant { return minimalTenant("other") }, map[string]func(*registry.Tenant){
		"slug": func(t *registry.Tenant) { t.Slug = bad }, "name": func(t *registry.Tenant) { t.Name = bad },
		"region":       func(t *registry.Tenant) { t.Region = bad },
		"external id":  func(t *registry.Tenant) { t.ExternalID = bad },
		"org":          func(t *registry.Tenant) { t.KeycloakOrgID = bad },
		"metadata":     func(t *registry.Tenant) { t.Metadata = asValue },
		"metadata key": func(t *registry.Tenant) { t.Metadata = asKey },
	})
	changeable := map[string]func(*registry.APIKey){
		"name":       func(k *registry.APIKey) { k.Name = bad },
		"scope":      func(k *registry.APIKey) { k.Scopes = []string{"a", bad} },
		"revoked by": func(k *registry.APIKey) { k.RevokedAt, k.RevokedBy = &noon, bad },
		"reason":     func(k *registry.APIKey) { k.RevokeReason = bad },
	}
	spoil(&rows, func() registry.APIKey { return minimalKey(tenant.ID) }, changeable)
	spoil(&rows, func() registry.APIKey { return minimalKey(tenant.ID) }, map[string]func(*registry.APIKey){
		"prefix":     func(k *registry.APIKey) { k.Prefix = bad },
		"created by": func(k *registry.APIKey) { k.CreatedBy = bad },
		"product":    func(k *registry.APIKey) { k.Product = bad },
	})
	spoil(&rows, func() audit.Event { return minimalEvent(tenant.ID) }, eventsWith(bad, asKey, asValue))
	for _, row := range rows {
		if err := f.insertErr(row); err == nil {
			f.Errorf("stored: %+v", row)
		}
	}
	for name, change := range changeable {
		spoilt := key
		change(&spoilt)
		if f.tx(func(tx registry.Tx) error { return tx.UpdateAPIKey(f.ctx, spoilt) }) == nil {
			f.Errorf("the %s of a key was updated", name)
		}
	}
	spoilt := tenant
	spoilt.Metadata = asKey
	if f.tx(func(tx registry.Tx) error { return tx.UpdateTenant(f.ctx, spoilt) }) == nil {
		f.Error("the metadata of a tenant was updated")
	}
	f.equal(snapshot(f, f.store, tenant.ID, "product"), before)
}

// rowsOfCatalog are products, requests and entitlements, each with the bad text in one place.
func rowsOfCatalog(tenant registry.Tenant, bad string) []any {
	var rows []any
	limits := registry.Limits{bad: nil}
	spoil(&rows, func() registry.Product { return minimalProduct("other") }, map[string]func(*registry.Product){
		"key": func(p *registry.Product) { p.Key = bad }, "name": func(p *registry.Product) { p.Name = bad },
		"description": func(p *registry.Product) { p.Description = bad },
		"limits":      func(p *registry.Product) { p.DefaultLimits = limits },
	})
	fresh := func() registry.CatalogRequest { return decided(minimalRequest(tenant.ID, "product")) }
	spoil(&rows, fresh, map[string]func(*registry.CatalogRequest){
		"message":    func(r *registry.CatalogRequest) { r.Message = bad },
		"by":         func(r *registry.CatalogRequest) { r.RequestedBy = bad },
		"decided by": func(r *registry.CatalogRequest) { r.DecidedBy = bad },
		"reason":     func(r *registry.CatalogRequest) { r.DecisionReason = bad },
		"product":    func(r *registry.CatalogRequest) { r.Product = bad },
	})
	spoil(
		&rows,
		func() registry.Entitlement { return minimalEntitlement(tenant.ID, "product") },
		map[string]func(*registry.Entitlement){
			"limits":  func(e *registry.Entitlement) { e.Limits = limits },
			"product": func(e *registry.Entitlement) { e.Product = bad },
		},
	)
	for _, config := range []registry.Config{
		{bad: 1}, {"k": bad}, {"k": []any{bad}}, {"k": map[string]any{bad: 1}}, {"k": []string{bad}},
	} {
		p, e := minimalProduct("other"), minimalEntitlement(tenant.ID, "product")
		p.DefaultConfig, e.Config = config, config
		rows = append(rows, p, e)
	}
	return rows
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
func eventsWith(text string, asKey, asValue map[string]string) map[string]func(*audit.Event) {
	ways := map[string]func(*audit.Event){
		"group name": func(e *audit.Event) { e.GroupName = text }, "action": func(e *audit.Event) { e.Action = text },
		"address":        func(e *audit.Event) { e.SourceIP = text },
		"description":    func(e *audit.Event) { e.Description = text },
		"component":      func(e *audit.Event) { e.Component = text },
		"version":        func(e *audit.Event) { e.Version = text },
		"external id":    func(e *audit.Event) { e.ExternalID = text },
		"correlation":    func(e *audit.Event) { e.CorrelationID = text },
		"emitter":        func(e *audit.Event) { e.Emitter.ID = text },
		"emitter name":   func(e *audit.Event) { e.Emitter.Name = text },
		"field":          func(e *audit.Event) { e.Fields = asKey },
		"field value":    func(e *audit.Event) { e.Fields = asValue },
		"metadata":       func(e *audit.Event) { e.Metadata = asKey },
		"metadata value": func(e *audit.Event) { e.Metadata = asValue },
	}
	for side, of := range map[string]func(*audit.Event) *audit.Party{
		"actor":  func(e *audit.Event) *audit.Party { return &e.Actor },
		"target": func(e *audit.Event) *audit.Party { return &e.Target },
	} {
		ways[side+" id"] = func(e *audit.Event) { of(e).ID = text }
		ways[side+" name"] = func(e *audit.Event) { of(e).Name = text }
		ways[side+" href"] = func(e *audit.Event) { of(e).Href = text }
		ways[side+" type"] = func(e *audit.Event) { of(e).Type = text }
		ways[side+" field"] = func(e *audit.Event) { of(e).Fields = asKey }
		ways[side+" field value"] = func(e *audit.Event) { of(e).Fields = asValue }
	}
	return ways
}

// findsNo asks for what is there, but for a NUL.
func findsNo(f *fixture) {
	tenant := minimalTenant("tenant")
	key := minimalKey(tenant.ID)
	f.insert(tenant, key, minimalProduct("product"), minimalEntitlement(tenant.ID, "product"), minimalEvent(tenant.ID))
	for name, ask := range map[string]func() (any, error){
		"TenantBySlug": func() (any, error) { return lookupTenant(f.ctx, f.store, "tenant\x00") },
		"TenantByOrg":  func() (any, error) { return lookupOrg(f.ctx, f.store, "org\x00") },
		"Product":      func() (any, error) { return f.store.GetProduct(f.ctx, "product\x00") },
		"KeyFacts": func() (any, error) {
			return lookupKey(f.ctx, f.store, registry.KeyLookup{Hash: key.Hash, Product: "product\x00"})
		},
		"action": func() (any, error) {
			return f.store.ListAuditEvents(f.ctx, registry.AuditQuery{Action: "a\x00", PageRequest: firstPage(9)})
		},
		"area": func() (any, error) {
			return f.store.ListAuditEvents(f.ctx, registry.AuditQuery{Area: "a\x00", PageRequest: firstPage(9)})
		},
		"actor": func() (any, error) {
			return f.store.ListAuditEvents(f.ctx, registry.AuditQuery{ActorID: "\x00", PageRequest: firstPage(9)})
		},
		"target": func() (any, error) {
			return f.store.ListAuditEvents(f.ctx, registry.AuditQuery{TargetID: "\x00", PageRequest: firstPage(9)})
		},
		"correlation": func() (any, error) {
			return f.store.ListAuditEvents(f.ctx, registry.AuditQuery{CorrelationID: "\x00", PageRequest: firstPage(9)})
		},
	} {
		if found, err := ask(); err == nil {
			f.Errorf("%s: found %s", name, show(found))
		}
	}
}
