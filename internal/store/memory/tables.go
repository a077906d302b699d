package memory

import (
	"bytes"
	"cmp"
	"context"
	"strings"
	"sync"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/audit"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// tables is everything that is stored. Values in rows are never changed, only replaced.
type tables struct {
	slot chan struct{} // full while a transaction has the writer slot
	mu   sync.RWMutex  // guards what follows, for one call at a time

	tenants      map[uuid.UUID]*tenant
	slugs        map[string]*tenant
	orgs         map[string]*tenant // keycloak_org_id, when set
	products     map[string]*row[registry.Product]
	catalog      list[registry.Product] // by key
	requests     map[uuid.UUID]*row[registry.CatalogRequest]
	entitlements map[uuid.UUID]*row[registry.Entitlement]
	keys         map[uuid.UUID]*row[registry.APIKey]
	hashes       map[apikey.Hash]*row[registry.APIKey]
	events       map[uuid.UUID]*row[audit.Event]
	log          list[audit.Event]                // by pos
	chains       map[uuid.UUID]*list[audit.Event] // by group, then by seq
	idempotency  map[idempotencyIndex]*row[audit.Event]
	marks        map[uuid.UUID]*row[marks] // by event
	erasures     map[uuid.UUID]chan struct{}
}

// tenant is a tenant's row and what belongs to it.
type tenant struct {
	row[registry.Tenant]
	pending      list[registry.CatalogRequest] // the open ones, by product
	entitlements list[registry.Entitlement]    // by product, then by id
	keys         list[registry.APIKey]         // by id
}

func newTables() *tables {
	return &tables{
		slot:     make(chan struct{}, 1),
		tenants:  map[uuid.UUID]*tenant{},
		slugs:    map[string]*tenant{},
		orgs:     map[string]*tenant{},
		products: map[string]*row[registry.Product]{},
		catalog: list[registry.Product]{
			order: func(a, b *registry.Product) int { return strings.Compare(a.Key, b.Key) },
		},
		requests:     map[uuid.UUID]*row[registry.CatalogRequest]{},
		entitlements: map[uuid.UUID]*row[registry.Entitlement]{},
		keys:         map[uuid.UUID]*row[registry.APIKey]{},
		hashes:       map[apikey.Hash]*row[registry.APIKey]{},
		events:       map[uuid.UUID]*row[audit.Event]{},
		log:          list[audit.Event]{order: func(a, b *audit.Event) int { return cmp.Compare(a.Pos, b.Pos) }},
		chains:       map[uuid.UUID]*list[audit.Event]{},
		idempotency:  map[idempotencyIndex]*row[audit.Event]{},
		marks:        map[uuid.UUID]*row[marks]{},
		erasures:     map[uuid.UUID]chan struct{}{},
	}
}

func newTenant() *tenant {
	return &tenant{
		pending: list[registry.CatalogRequest]{order: func(a, b *registry.CatalogRequest) int {
			return strings.Compare(a.Product, b.Product)
		}},
		entitlements: list[registry.Entitlement]{order: func(a, b *registry.Entitlement) int {
			return cmp.Or(strings.Compare(a.Product, b.Product), bytes.Compare(a.ID[:], b.ID[:]))
		}},
		keys: list[registry.APIKey]{order: func(a, b *registry.APIKey) int { return bytes.Compare(a.ID[:], b.ID[:]) }},
	}
}

func newChain() *list[audit.Event] {
	return &list[audit.Event]{order: func(a, b *audit.Event) int { return cmp.Compare(a.Seq, b.Seq) }}
}

// reader reads what is committed or, for a transaction that writes, what that one sees.
type reader struct {
	db *tables
	tx *tx // nil: the store itself
}

// read runs fn with the tables locked for reading; own reports whether pending values are the reader's own.
func read[T any](ctx context.Context, r reader, fn func(own bool) (T, error)) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	r.db.mu.RLock()
	defer r.db.mu.RUnlock()
	if r.tx == nil {
		return fn(false)
	}
	if r.tx.failure != nil {
		return none, r.tx.failure
	}
	return fn(r.tx.writes)
}
