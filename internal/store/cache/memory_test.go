package cache

import (
	"context"
	"runtime"
	"testing"
	"unsafe"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

// mostPerKey is how many bytes a key that is kept may take beyond its row.
const mostPerKey = 600

// TestMemoryPerKey is not parallel: it counts what the whole process holds.
func TestMemoryPerKey(t *testing.T) {
	const keys = 50_000
	rows := make(map[registry.Hash]registry.KeyFacts, keys)
	for range keys {
		k := newKey(uuid.New())
		rows[k.Hash] = k.Facts(k.Hash, &registry.Holder{Tenant: newTenant("tenant"), Entitlements: []registry.Entitlement{}})
	}
	s := New(rowsOnly{Store: memory.New(), rows: rows}, Options{Keys: 2 * keys})
	before := heap()
	for hash := range rows {
		if _, err := s.KeyFacts(t.Context(), hash, ""); err != nil {
			t.Fatal(err)
		}
	}
	perKey := int(heap()-before)/keys - int(unsafe.Sizeof(registry.KeyFacts{}))
	t.Logf("a key that is kept takes %d bytes beyond its row, which is a KeyFacts of %d bytes and what that points to",
		perKey, unsafe.Sizeof(registry.KeyFacts{}))
	if n := s.keys.there.EstimatedSize(); n != keys {
		t.Fatalf("%d keys are kept", n)
	}
	if perKey > mostPerKey || perKey < 1 {
		t.Errorf("a key that is kept takes %d bytes beyond its row, want at most %d", perKey, mostPerKey)
	}
	runtime.KeepAlive(rows)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// rowsOnly knows the facts of some keys.
type rowsOnly struct {
	registry.Store
	rows map[registry.Hash]registry.KeyFacts
}

func (r rowsOnly) ManyKeyFacts(_ context.Context, asked []registry.KeyLookup) (map[registry.KeyLookup]registry.KeyFacts, error) {
	found := map[registry.KeyLookup]registry.KeyFacts{}
	for _, lookup := range asked {
		found[lookup] = r.rows[lookup.Hash]
	}
	return found, nil
}
