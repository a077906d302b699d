// Package storetest holds any implementation of registry.Store to what the comments of that interface promise. A
// store's own test hands a way to open the store to Run; Compare then holds two stores against each other over random
// use cases.
//
// Nothing here knows which store it tests. Where stores may differ, Options say which way this one goes, and the tests
// assert that way: nothing is left out in silence.
package storetest

import (
	"context"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// Options say what a store does where the promises leave it open.
type Options struct {
	// OneWriter: transactions that lock or write wait for each other even if their rows differ.
	OneWriter bool
	// Shared: the store is a registry.Lookup whose answers share memory with what it answers to others.
	Shared bool
}

// Run tests a store. open returns a new, empty one each time; what it needs to be closed it leaves to t.Cleanup. All
// tests run in parallel, each on a store of its own, which it asks for at most eight transactions and one read at a
// time. Some of these are left open for longer than a program would: limits on idle transactions must be seconds.
func Run(t *testing.T, open func(t *testing.T) registry.Store, o Options) {
	s := suite{open: open, options: o}
	for _, area := range []struct {
		name string
		run  func(*testing.T, suite)
	}{
		{"Tenants", tenants},
		{"Products", products},
		{"CatalogRequests", catalogRequests},
		{"Entitlements", entitlements},
		{"APIKeys", apiKeys},
		{"APIKeyList", apiKeyList},
		{"APIKeyRotation", apiKeyRotation},
		{"APIKeyUsage", apiKeyUsage},
		{"KeyFacts", keyFacts},
		{"Idempotency", idempotency},
		{"AuditAppend", auditAppend},
		{"AuditQueries", auditQueries},
		{"AuditOrder", auditOrder},
		{"AuditErase", auditErase},
		{"Transactions", transactions},
		{"Locks", locks},
		{"Isolation", isolation},
		{"Values", values},
		{"Contexts", contexts},
	} {
		t.Run(area.name, func(t *testing.T) {
			t.Parallel()
			area.run(t, s)
		})
	}
}

type suite struct {
	open    func(t *testing.T) registry.Store
	options Options
}

// test runs fn in parallel, on a store of its own.
func (s suite) test(t *testing.T, name string, fn func(f *fixture)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		t.Cleanup(cancel)
		fn(&fixture{T: t, store: s.open(t), ctx: ctx, options: s.options})
	})
}
