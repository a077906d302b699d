package registry

import (
	"context"

	"github.com/google/uuid"
)

// Store remembers. Its parts are narrow, and their comments are the promises that storetest holds every implementation to.
//
// Of all methods: a context that has ended ends the call with an error; ids, times and texts come back as they went in (UTC,
// microseconds, unset stays unset, an empty list or map is not nil unless it says so); values, not pointers into the store, cross
// the border, so nothing a caller does to a result changes the store. A text with a NUL, or that is not UTF-8, is never stored: writing
// it is an error. An id that is there already is ErrDuplicate. What cannot be answered now is ErrUnavailable.
//
// What KeyFacts and TenantBySlug return may be shared with other callers: what is reached from it through maps, slices and pointers is
// for reading only.
type Store interface {
	Reader
	// Tx runs fn in one transaction: all of its writes are committed when it returns nil, none when it returns an error, which
	// Tx returns, or panics. Others see nothing before the commit. fn may run more than once, so it must not keep what an earlier run did.
	// After a write of fn failed the transaction is doomed: every later call fails, and so does Tx, even if fn returns nil.
	// The commit is never repeated: if its outcome is unknown, Tx returns ErrUnavailable.
	Tx(ctx context.Context, fn func(Tx) error) error
	// Ping tells what the store is, and fails unless it can be read *and* written now; an UnreadyError says why it must not be used
	// although it answers.
	Ping(ctx context.Context) (StoreStatus, error)
}

// StoreStatus is what a store says of itself.
type StoreStatus struct {
	Store         string // "memory" or "postgres"
	SchemaVersion uint   // 0 where there is no schema
}

// Reader is everything that can be read. On a Store it sees what was committed; on a Tx also what that transaction wrote.
type Reader interface {
	TenantReader
	CatalogReader
	EntitlementReader
	APIKeyReader
	AuditReader
}

// Tx is one transaction. Its rule of locking: an idempotency key first, if there is one, then the tenant's row, then the tenant's other
// rows, then the work, and AuditHead or AuditHeads last, directly before InsertEvent or InsertEvents and the end. The one exception is
// TouchAPIKeys, which waits for nobody and is alone in its transaction.
type Tx interface {
	Reader
	TenantWriter
	CatalogWriter
	EntitlementWriter
	APIKeyWriter
	AuditWriter
	Publisher
}

// TenantReader reads tenants.
type TenantReader interface {
	// Tenant returns ErrNotFound if there is none with this id.
	Tenant(ctx context.Context, id uuid.UUID) (Tenant, error)
	// TenantBySlug returns ErrNotFound if nobody has this slug.
	TenantBySlug(ctx context.Context, slug string) (Tenant, error)
	// ManyTenantsBySlug is TenantBySlug for many at the price of little more than one: all as of one instant. What nobody has is not in it.
	ManyTenantsBySlug(ctx context.Context, slugs []string) (map[string]Tenant, error)
	// TenantByOrg returns ErrNotFound if nobody has this keycloak_org_id; nobody has the empty one.
	TenantByOrg(ctx context.Context, org string) (Tenant, error)
}

// TenantWriter writes tenants.
type TenantWriter interface {
	// LockTenant reads a tenant and keeps other transactions from locking or changing it until this one ends; a rival waits
	// and then sees what this one committed. ErrNotFound if there is none.
	LockTenant(ctx context.Context, id uuid.UUID) (Tenant, error)
	// HoldTenant keeps a tenant from being deleted until this transaction ends; it waits for nobody who only changes it.
	// ErrNotFound if there is none.
	HoldTenant(ctx context.Context, id uuid.UUID) error
	// HoldTenants is HoldTenant for many, and waits for nobody: in the result are those that exist, true if they are held, and false if
	// another transaction has them locked against that.
	HoldTenants(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]bool, error)
	// InsertTenant returns ErrDuplicate, ErrSlugTaken or ErrOrgTaken if that is so.
	InsertTenant(ctx context.Context, t Tenant) error
	// UpdateTenant replaces what can change (status, name, region, external id, metadata, version, updated_at, activated_at, frozen_at) of the tenant with
	// this id, and returns ErrNotFound if there is none. The slug and keycloak_org_id stay.
	UpdateTenant(ctx context.Context, t Tenant) error
}

// CatalogReader reads products and the requests for them.
type CatalogReader interface {
	// Request returns ErrNotFound if there is none with this id.
	Request(ctx context.Context, id uuid.UUID) (CatalogRequest, error)
	// Product returns ErrNotFound if there is none with this key.
	Product(ctx context.Context, key string) (Product, error)
	// Products returns the whole catalogue in the byte order of the keys.
	Products(ctx context.Context) ([]Product, error)
	// PendingRequests returns a tenant's open requests in the byte order of their product keys; of an unknown tenant none.
	PendingRequests(ctx context.Context, tenant uuid.UUID) ([]CatalogRequest, error)
}

// CatalogWriter writes products and the requests for them.
type CatalogWriter interface {
	// InsertProduct returns ErrDuplicate if the key is there.
	InsertProduct(ctx context.Context, p Product) error
	// InsertRequest returns ErrRequestPending if the tenant has an open one for the product, ErrNoParent if the tenant or the
	// product does not exist.
	InsertRequest(ctx context.Context, r CatalogRequest) error
}

// EntitlementReader reads entitlements.
type EntitlementReader interface {
	// Entitlements returns every source of a tenant, by product key in byte order and then in the order of creation; of an
	// unknown tenant none.
	Entitlements(ctx context.Context, tenant uuid.UUID) ([]Entitlement, error)
}

// EntitlementWriter writes entitlements.
type EntitlementWriter interface {
	// InsertEntitlement returns ErrTrialExists for a second trial of one tenant and product, ErrNoParent if the tenant, the
	// product or the request does not exist.
	InsertEntitlement(ctx context.Context, e Entitlement) error
}

// APIKeyReader reads API keys.
type APIKeyReader interface {
	// APIKey returns ErrNotFound if there is none with this id.
	APIKey(ctx context.Context, id uuid.UUID) (APIKey, error)
	// APIKeys looks at the first q.Examine keys (0: all) of q.TenantID that are older than q.Before (the nil UUID: from the newest), and
	// returns up to q.Limit of those that q.Matches, newest first. Next is the last one returned if more of these match, else the last one
	// looked at if there are older ones, else the nil UUID.
	APIKeys(ctx context.Context, q KeyQuery) (KeyPage, error)
	// CountAPIKeys counts a tenant's keys that are not revoked.
	CountAPIKeys(ctx context.Context, tenant uuid.UUID) (int, error)
	// KeyFacts returns, as of one instant, the key that has a secret with this hash, its tenant, and the tenant's entitlements to
	// product; if product is empty, to the product the key is bound to. ErrNotFound if there is no such key.
	KeyFacts(ctx context.Context, hash Hash, product string) (KeyFacts, error)
	// ManyKeyFacts is KeyFacts for many at the price of little more than one: all as of one instant. What nobody has is not in it.
	ManyKeyFacts(ctx context.Context, asked []KeyLookup) (map[KeyLookup]KeyFacts, error)
}

// APIKeyWriter writes API keys.
type APIKeyWriter interface {
	// LockAPIKey reads a key and keeps others from changing it until this transaction ends. ErrNotFound if there is none.
	LockAPIKey(ctx context.Context, id uuid.UUID) (APIKey, error)
	// InsertAPIKey returns ErrDuplicate if the id or one of the hashes is there, ErrNoParent if the tenant or the product is not.
	InsertAPIKey(ctx context.Context, k APIKey) error
	// UpdateAPIKey replaces what can change (name, scopes, prefix, both hashes and what belongs to them, expiry, disabled, revocation,
	// version, rotated_at, updated_at) of the key with this id, and returns ErrNotFound if there is none, ErrDuplicate if another key has
	// one of the hashes. LastUsedAt stays. A hash that the key has no more finds nothing from the commit on.
	UpdateAPIKey(ctx context.Context, k APIKey) error
	// TouchAPIKeys notes when keys were used: LastUsedAt, and PreviousUsedAt if it was by the previous secret. The newest of what was
	// and what is told counts, and what would change a time by less than UseGrain need not be noted. A key that is not there is skipped,
	// and so is one that somebody has locked, where keys are locked one by one: this waits for no other transaction's key.
	TouchAPIKeys(ctx context.Context, uses []KeyUse) error
}

// AuditReader reads the audit log.
type AuditReader interface {
	// Event returns ErrNotFound if there is none with this id.
	Event(ctx context.Context, id uuid.UUID) (AuditEvent, error)
	// Events looks, in the order of q and from behind q.After, at the events of its group (of all if it names none) that its driving
	// filter selects, and returns those that match the others too. It ends when it has q.Limit of them or has looked at q.Bound(). An
	// event is never before one that could be read earlier: ascending order from the position examined is a tail that skips nothing.
	Events(ctx context.Context, q AuditQuery) (AuditRows, error)
	// NewestPos is the Pos of the newest event of the whole log; 0 if there is none.
	NewestPos(ctx context.Context) (int64, error)
	// AuditChain is where a group's chain stands; of a group without events the zero ChainHead.
	AuditChain(ctx context.Context, group uuid.UUID) (ChainHead, error)
}

// AuditWriter appends to the audit log.
type AuditWriter interface {
	// AuditHead takes the audit lock, which nobody else gets before this transaction has ended, and returns where the log and
	// the group stand. It is the last lock a transaction takes.
	AuditHead(ctx context.Context, group uuid.UUID) (AuditHead, error)
	// AuditHeads is AuditHead for several groups at once, and finds what was written under some idempotency keys.
	AuditHeads(ctx context.Context, groups []uuid.UUID, keys []Hash) (AuditHeads, error)
	// Claim takes the lock of an idempotency key, which nobody else gets before this transaction has ended, and returns what was written
	// under the key, in the order of Ordinal. It is the first lock a transaction takes.
	Claim(ctx context.Context, key Hash) ([]MarkedEvent, error)
	// InsertEvent appends an event under the audit lock. ErrNoParent if its group is a tenant that does not exist, ErrDuplicate
	// if its id, its pos or its group's seq is there, ErrKeyUsed if its mark is.
	InsertEvent(ctx context.Context, e AuditEvent) error
	// InsertEvents is InsertEvent for many.
	InsertEvents(ctx context.Context, events []AuditEvent) error
}

// Publisher tells other programs on the same store what changes.
type Publisher interface {
	// Publish tells everybody who listens, after the commit and only then, what this transaction touched. A use case need not call it:
	// the store that it is given does, before the audit lock is taken.
	Publish(ctx context.Context, touched Touched) error
}
