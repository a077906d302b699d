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

// TestCompare shows that two stores in memory cannot be told apart, which is what Compare needs to be of use for others.
func TestCompare(t *testing.T) {
	t.Parallel()
	storetest.Compare(t, open, open)
}
