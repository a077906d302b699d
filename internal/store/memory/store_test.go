package memory_test

import (
	"testing"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
	"github.com/breakpilot/tenant-registry/internal/store/storetest"
)

func open(*testing.T) registry.Store { return memory.New() }

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, open, storetest.Options{OneWriter: true})
}

// TestCompare shows that two stores in memory answer alike, without which Compare would show nothing of other stores.
func TestCompare(t *testing.T) {
	t.Parallel()
	storetest.Compare(t, open, open)
}
