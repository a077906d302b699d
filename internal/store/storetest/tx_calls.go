package storetest

import (
	"context"
	"reflect"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// notFounds are the calls that ask for what is not there.
func notFounds(ctx context.Context, tx registry.Tx, missing uuid.UUID) map[string]error {
	key, tenant := minimalKey(missing), minimalTenant("missing")
	key.ID, tenant.ID = missing, missing
	only := func(_ any, err error) error { return err }
	return map[string]error{
		"GetTenant":              only(tx.GetTenant(ctx, missing)),
		"one tenant by slug":     only(lookupTenant(ctx, tx, "missing")),
		"GetTenantByKeycloakOrg": only(tx.GetTenantByKeycloakOrg(ctx, "missing")),
		"LockTenant":             only(tx.LockTenant(ctx, missing)),
		"LockTenantsShared":      testkit.LockTenantShared(ctx, tx, missing),
		"UpdateTenant":           tx.UpdateTenant(ctx, tenant),
		"GetProduct":             only(tx.GetProduct(ctx, "missing")),
		"GetAPIKey":              only(tx.GetAPIKey(ctx, missing)),
		"the facts of one key":   only(lookupKey(ctx, tx, registry.KeyLookup{Hash: newHash()})),
		"LockAPIKey":             only(tx.LockAPIKey(ctx, missing)),
		"UpdateAPIKey":           tx.UpdateAPIKey(ctx, key),
		"GetAuditEvent":          only(tx.GetAuditEvent(ctx, missing)),
	}
}

// everyCallIsListed finds what was added to the Store and not to the lists below.
func everyCallIsListed(f *fixture) {
	reads, writes := everyRead(f.ctx, f.store), everyWrite(f.ctx, nil)
	reader, tx := reflect.TypeFor[registry.Reader](), reflect.TypeFor[registry.Tx]()
	for i := range tx.NumMethod() {
		name := tx.Method(i).Name
		_, isRead := reader.MethodByName(name)
		_, read := reads[name]
		_, written := writes[name]
		if read != isRead || written == isRead {
			f.Errorf("%s: in everyRead %t, in everyWrite %t", name, read, written)
		}
	}
}

// everyRead makes every call of a Reader.
func everyRead(ctx context.Context, r registry.Reader) map[string]error {
	only := func(_ any, err error) error { return err }
	id := newID()
	return map[string]error{
		"GetTenant":                  only(r.GetTenant(ctx, id)),
		"one tenant by slug":         only(lookupTenant(ctx, r, "slug")),
		"GetTenantsBySlug":           only(r.GetTenantsBySlug(ctx, []string{"slug"})),
		"GetTenantByKeycloakOrg":     only(r.GetTenantByKeycloakOrg(ctx, "org")),
		"GetProduct":                 only(r.GetProduct(ctx, "key")),
		"ListProducts":               only(r.ListProducts(ctx)),
		"ListCatalogRequests":        only(r.ListCatalogRequests(ctx, id, uuid.Nil, 1)),
		"ListPendingCatalogRequests": only(r.ListPendingCatalogRequests(ctx, id)),
		"ListEntitlements":           only(r.ListEntitlements(ctx, id)),
		"ListTenantsOfProduct":       only(r.ListTenantsOfProduct(ctx, "product", []uuid.UUID{id})),
		"GetAPIKey":                  only(r.GetAPIKey(ctx, id)),
		"ListAPIKeys": only(
			r.ListAPIKeys(ctx, registry.APIKeyQuery{TenantID: id, PageRequest: firstPage(9)}),
		),
		"CountAPIKeys":         only(r.CountAPIKeys(ctx, id)),
		"the facts of one key": only(lookupKey(ctx, r, registry.KeyLookup{Hash: newHash()})),
		"GetKeyFacts":          only(r.GetKeyFacts(ctx, []registry.KeyLookup{{Hash: newHash()}})),
		"GetCatalogRequest":    only(r.GetCatalogRequest(ctx, id)),
		"GetAuditEvent":        only(r.GetAuditEvent(ctx, id)),
		"ListAuditEvents":      only(r.ListAuditEvents(ctx, registry.AuditQuery{PageRequest: firstPage(9)})),
		"GetNewestPosition":    only(r.GetNewestPosition(ctx)),
		"ListGroupsAfter":      only(r.ListGroupsAfter(ctx, 0, 10)),
		"GetChainHead":         only(r.GetChainHead(ctx, id)),
	}
}

// everyWrite has every call of a Tx that a Reader has not.
func everyWrite(ctx context.Context, tx registry.Tx) map[string]func() error {
	id := newID()
	return map[string]func() error{
		"LockTenant":           func() error { _, err := tx.LockTenant(ctx, id); return err },
		"LockTenantsShared":    func() error { _, err := tx.LockTenantsShared(ctx, []uuid.UUID{id}, true); return err },
		"InsertTenant":         func() error { return tx.InsertTenant(ctx, minimalTenant("slug")) },
		"UpdateTenant":         func() error { return tx.UpdateTenant(ctx, minimalTenant("slug")) },
		"InsertProduct":        func() error { return tx.InsertProduct(ctx, minimalProduct("key")) },
		"InsertCatalogRequest": func() error { return tx.InsertCatalogRequest(ctx, minimalRequest(id, "key")) },
		"InsertEntitlement":    func() error { return tx.InsertEntitlement(ctx, minimalEntitlement(id, "key")) },
		"LockAPIKey":           func() error { _, err := tx.LockAPIKey(ctx, id); return err },
		"InsertAPIKey":         func() error { return tx.InsertAPIKey(ctx, minimalKey(id)) },
		"UpdateAPIKey":         func() error { return tx.UpdateAPIKey(ctx, minimalKey(id)) },
		"UpdateAPIKeyUsage": func() error {
			return tx.UpdateAPIKeyUsage(ctx, []registry.APIKeyUse{{ID: id, Hash: newHash(), At: noon}})
		},
		"PublishInvalidation": func() error {
			return tx.PublishInvalidation(ctx, registry.Invalidation{Tenants: []uuid.UUID{id}})
		},
		"LockAuditLog": func() error {
			_, err := tx.LockAuditLog(ctx, []uuid.UUID{id}, []audit.Digest{newDigest()})
			return err
		},
		"ReserveIdempotencyKey": func() error { _, err := tx.ReserveIdempotencyKey(ctx, newDigest()); return err },
		"LockForAppend": func() error {
			_, _, err := tx.LockForAppend(ctx, []uuid.UUID{id}, true, []uuid.UUID{id}, []audit.Digest{newDigest()})
			return err
		},
		"MarkEventParts":    func() error { return tx.MarkEventParts(ctx, id, newID(), nil) },
		"LockErasureCommit": func() error { return tx.LockErasureCommit(ctx, id) },
		"DeleteEventParts":  func() error { return tx.DeleteEventParts(ctx, id, nil) },
		"EraseSubjects": func() error {
			_, err := tx.EraseSubjects(ctx, id, []string{"subject"}, true, *later(1))
			return err
		},
		"InsertAuditEvents": func() error {
			return tx.InsertAuditEvents(ctx, []audit.Event{placed(minimalEvent(uuid.Nil), testkit.AuditHead{})})
		},
	}
}

// everyCall makes every call of a Tx.
func everyCall(ctx context.Context, tx registry.Tx) map[string]error {
	answers := everyRead(ctx, tx)
	for name, call := range everyWrite(ctx, tx) {
		answers[name] = call()
	}
	return answers
}
