package cache

import (
	"context"
	"maps"
	"runtime"
	"strings"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/apikey"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

// maxBytesPerKey is how many bytes a cached key may take, one of many of its tenant.
const maxBytesPerKey = 300

// TestEntries_size is not parallel: it counts what the whole process holds. Control: keys that share nothing take more.
func TestEntries_size(t *testing.T) {
	shared, alone := bytesPerKey(t, 100), bytesPerKey(t, 1)
	t.Logf("a cached key takes %d bytes, and %d if it is the only one of its tenant", shared, alone)
	if shared > maxBytesPerKey || shared < 1 {
		t.Errorf("a cached key takes %d bytes, want at most %d", shared, maxBytesPerKey)
	}
	if alone < 2*shared {
		t.Errorf("a key takes %d bytes alone and %d with others: what is shared?", alone, shared)
	}
}

func bytesPerKey(t *testing.T, ofATenant int) int {
	const keys = 25_000
	rows := keyRows{Store: memory.New(), tenants: map[apikey.Hash]uuid.UUID{}}
	tenant := uuid.New()
	for i := range keys {
		if i%ofATenant == 0 {
			tenant = uuid.New()
		}
		rows.tenants[newKey(tenant).Hash] = tenant
	}
	s := New(rows, Options{Keys: 2 * keys})
	before := heap()
	atOnce(maps.Keys(rows.tenants), func(hash apikey.Hash) {
		body := strings.Repeat(" ", 200) + "compliance-suite" // the product may be a part of the request's body
		l := registry.KeyLookup{Hash: hash, Product: body[200:]}
		if _, err := s.KeyFacts(t.Context(), l, registry.ReadOptions{}); err != nil {
			t.Error(err)
		}
	})
	perKey := int(heap()-before) / keys
	if n := s.keys.found.EstimatedSize(); n != keys {
		t.Fatalf("%d keys are cached", n)
	}
	runtime.KeepAlive(rows)
	return perKey
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// keyRows has some keys. Like a database it shares no memory with what it answers.
type keyRows struct {
	registry.Store
	tenants map[apikey.Hash]uuid.UUID
}

func (r keyRows) GetKeyFacts(
	_ context.Context, lookups []registry.KeyLookup,
) (map[registry.KeyLookup]registry.KeyFacts, error) {
	found := map[registry.KeyLookup]registry.KeyFacts{}
	for _, lookup := range lookups {
		k, by := newKey(r.tenants[lookup.Hash]), &registry.KeyOwner{Tenant: newTenant(strings.Clone("tenant"))}
		k.Scopes = []string{strings.Clone("reports:read"), strings.Clone("reports:write")}
		k.ExpiresAt = new(noon)
		by.Tenant.ID = k.TenantID
		by.Entitlements = []registry.Entitlement{{
			TenantID: k.TenantID, Product: strings.Clone(lookup.Product), Source: registry.SourcePlan, StartsAt: noon,
			Limits: registry.Limits{"seats": new(int64(25))}, Config: registry.Config{"retention_days": 365.0},
		}}
		found[lookup] = k.Facts(lookup.Hash, by)
	}
	return found, nil
}
