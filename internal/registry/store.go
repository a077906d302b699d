package registry

import (
	"context"
	"time"
)

// Store remembers. Its parts are narrow and stand beside the types they store; their comments are the promises that
// storetest holds every implementation to.
//
// Of all methods: a context that has ended ends the call with an error; ids, times and texts come back as they went in
// (UTC, microseconds, unset stays unset, an empty list or map is not nil unless the comment says so); values, not
// pointers into the store, cross the border, so nothing a caller does to a result changes the store. A text with a NUL,
// or that is not UTF-8, is never stored: writing it is an error. An id that exists is ErrDuplicate. What cannot be
// answered now is ErrUnavailable.
//
// The verbs are uniform. Get reads one (ErrNotFound) or, in the plural, those of a list that exist; List reads many in
// an order; Lock reads one and keeps other transactions from changing it; Insert, Update and Delete write one.
type Store interface {
	Reader
	// Tx runs fn in one transaction: all of its writes are committed when it returns nil, none when it returns an
	// error, which Tx returns, or panics. Others see nothing before the commit. fn may run more than once, so it must
	// not use what an earlier run did. After a write of fn failed the transaction is doomed: every later call fails,
	// and so does Tx, even if fn returns nil. The commit is never repeated: if its outcome is unknown, Tx returns
	// ErrUnavailable. Others see what was committed when it is confirmed, and not before, but after a crash.
	Tx(ctx context.Context, fn func(Tx) error) error
	// Confirm returns when everything that was committed before the call is as safe as a commit that has been answered:
	// every standby that commits wait for has it. ErrUnavailable if that cannot be said in time.
	Confirm(ctx context.Context) error
	// ConfirmReads does the same for what was read before the call, at less cost: a row that is visible is confirmed,
	// except after a crash, so it confirms after each start of the store or its server.
	ConfirmReads(ctx context.Context) error
	ErasureStore
	// Ping reports what the store is, and fails unless it can be read now and what it reads is current; an UnreadyError
	// says why it must not be used although it answers. It waits for no write.
	Ping(ctx context.Context) (StoreStatus, error)
}

// StoreStatus is what a store reports of itself.
type StoreStatus struct {
	Store         string // "memory" or "postgres"
	SchemaVersion uint   // 0 where there is no schema
	// WritesUnavailable is why changes could not be committed within the last second; empty if they could.
	WritesUnavailable string
}

// Reader is everything that can be read. On a Store it sees what was committed; on a Tx also what that transaction
// wrote.
type Reader interface {
	TenantReader
	CatalogReader
	EntitlementReader
	APIKeyReader
	AuditReader
}

// Tx is one transaction. Its locks have one order: an idempotency key first, if there is one, then the tenant's row,
// then the tenant's other rows; then the work; and LockAuditLog last, directly before InsertAuditEvents and the end.
// The one exception is UpdateAPIKeyUsage, which waits for no lock and is alone in its transaction.
type Tx interface {
	Reader
	TenantWriter
	CatalogWriter
	EntitlementWriter
	APIKeyWriter
	IdempotencyStore
	InvalidationWriter
	AuditWriter
	ErasureWriter
}

// Lookup answers the questions that are asked on every request: those of portals and products, and whose tenant a
// user's organisation is. What is reached from an answer through maps, slices and pointers may be shared with other
// callers: it is for reading only. A wait for the store is bounded, also if the context has no deadline.
type Lookup interface {
	// KeyFacts is GetKeyFacts for one look-up; ErrNotFound if there is no such key.
	KeyFacts(ctx context.Context, l KeyLookup, o ReadOptions) (KeyFacts, error)
	// TenantBySlug is GetTenantsBySlug for one slug; ErrNotFound if no tenant has it.
	TenantBySlug(ctx context.Context, slug string, o ReadOptions) (Tenant, error)
	// TenantByKeycloakOrg is GetTenantByKeycloakOrg.
	TenantByKeycloakOrg(ctx context.Context, org string, o ReadOptions) (Tenant, error)
}

// uncached is the Lookup of a store without a cache.
type uncached struct {
	from    Reader
	timeout time.Duration
}

// KeyFacts implements Lookup.
func (u uncached) KeyFacts(ctx context.Context, l KeyLookup, _ ReadOptions) (KeyFacts, error) {
	if err := ctx.Err(); err != nil {
		return KeyFacts{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, u.timeout)
	defer cancel()
	return GetKeyFacts(ctx, u.from, l)
}

// TenantBySlug implements Lookup.
func (u uncached) TenantBySlug(ctx context.Context, slug string, _ ReadOptions) (Tenant, error) {
	if err := ctx.Err(); err != nil {
		return Tenant{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, u.timeout)
	defer cancel()
	return GetTenantBySlug(ctx, u.from, slug)
}

// TenantByKeycloakOrg implements Lookup.
func (u uncached) TenantByKeycloakOrg(ctx context.Context, org string, _ ReadOptions) (Tenant, error) {
	if err := ctx.Err(); err != nil {
		return Tenant{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, u.timeout)
	defer cancel()
	return u.from.GetTenantByKeycloakOrg(ctx, org)
}

// GetKeyFacts is APIKeyReader.GetKeyFacts for one look-up; ErrNotFound if there is no such key.
func GetKeyFacts(ctx context.Context, from APIKeyReader, l KeyLookup) (KeyFacts, error) {
	found, err := from.GetKeyFacts(ctx, []KeyLookup{l})
	return only(found, l, err)
}

// GetTenantBySlug is TenantReader.GetTenantsBySlug for one slug; ErrNotFound if no tenant has it.
func GetTenantBySlug(ctx context.Context, from TenantReader, slug string) (Tenant, error) {
	found, err := from.GetTenantsBySlug(ctx, []string{slug})
	return only(found, slug, err)
}

// only is the one item that was asked for.
func only[K comparable, V any](found map[K]V, key K, err error) (V, error) {
	item, ok := found[key]
	if err == nil && !ok {
		err = ErrNotFound
	}
	return item, err
}
