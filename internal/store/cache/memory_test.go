package cache

import (
	"context"
	"runtime"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

// mostPerKey is how many bytes a key that is kept may take, one of many of its tenant.
const mostPerKey = 300

// TestMemoryPerKey is not parallel: it counts what the whole process holds. Control: keys that have nothing alike take more.
func TestMemoryPerKey(t *testing.T) {
	shared, alone := memoryPerKey(t, 100), memoryPerKey(t, 1)
	t.Logf("a key that is kept takes %d bytes, and %d if it is the only one of its tenant", shared, alone)
	if shared > mostPerKey || shared < 1 {
		t.Errorf("a key that is kept takes %d bytes, want at most %d", shared, mostPerKey)
	}
	if alone < 2*shared {
		t.Errorf("a key takes %d bytes alone and %d with others: what is shared?", alone, shared)
	}
}

func memoryPerKey(t *testing.T, ofATenant int) int {
	const keys = 25_000
	rows := rowsOnly{Store: memory.New(), tenants: map[registry.Hash]uuid.UUID{}}
	tenant := uuid.New()
	for i := range keys {
		if i%ofATenant == 0 {
			tenant = uuid.New()
		}
		rows.tenants[newKey(tenant).Hash] = tenant
	}
	s := New(rows, Options{Keys: 2 * keys})
	before := heap()
	for hash := range rows.tenants {
		body := strings.Repeat(" ", 200) + "compliance-suite" // the product may be a part of the request's
		if _, err := s.KeyFacts(t.Context(), hash, body[200:]); err != nil {
			t.Fatal(err)
		}
	}
	perKey := int(heap()-before) / keys
	if n := s.keys.there.EstimatedSize(); n != keys {
		t.Fatalf("%d keys are kept", n)
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

// rowsOnly has some keys. Like a database it shares no memory with what it answers.
type rowsOnly struct {
	registry.Store
	tenants map[registry.Hash]uuid.UUID
}

func (r rowsOnly) ManyKeyFacts(_ context.Context, asked []registry.KeyLookup) (map[registry.KeyLookup]registry.KeyFacts, error) {
	found := map[registry.KeyLookup]registry.KeyFacts{}
	for _, lookup := range asked {
		k, by := newKey(r.tenants[lookup.Hash]), &registry.Holder{Tenant: newTenant(strings.Clone("tenant"))}
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
