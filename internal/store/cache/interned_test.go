package cache

import (
	"testing"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// TestInterned: keys of one tenant share what is equal, and only that. What changed is seen by the other keys when they
// are read again.
func TestInterned(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Options{})
	lookup := func(k registry.APIKey) registry.KeyFacts {
		t.Helper()
		facts, err := f.lookup(k.Hash)
		f.must(err)
		return facts
	}
	another, wider := newKey(f.tenant.ID), newKey(f.tenant.ID)
	wider.Scopes = []string{"a", "b"}
	for _, k := range []registry.APIKey{another, wider} {
		f.writeElsewhere(func(tx registry.Tx) error { return tx.InsertAPIKey(t.Context(), k) })
	}
	first, second, third := lookup(f.key), lookup(another), lookup(wider)
	if first.KeyOwner != second.KeyOwner || first.KeyOwner != third.KeyOwner ||
		first.Key.KeyTerms != second.Key.KeyTerms {
		t.Error("what is equal is not shared")
	}
	if len(first.Key.Scopes) != 1 || len(third.Key.Scopes) != 2 || first.Key.ID == second.Key.ID {
		t.Errorf("%+v and %+v are not what the keys are", first.Key, third.Key)
	}
	f.writeElsewhere(f.freeze)
	f.Invalidate(f.keyInvalidation())
	first, second = lookup(f.key), lookup(another)
	if first.Tenant.Status != registry.StatusFrozen || second.Tenant.Status != registry.StatusActive {
		t.Errorf("the one that was read again is %s, the other %s", first.Tenant.Status, second.Tenant.Status)
	}
	f.Invalidate(f.tenantInvalidation())
	first, second = lookup(f.key), lookup(another)
	if first.KeyOwner != second.KeyOwner || second.Tenant.Status != registry.StatusFrozen {
		t.Errorf("read again they are %s and %s, or not shared", first.Tenant.Status, second.Tenant.Status)
	}
}

// TestInterned_collision: two values that have one hash by chance are only not shared.
func TestInterned_collision(t *testing.T) {
	t.Parallel()
	names := newInterned[string](10)
	for _, name := range []string{"one", "other", "one"} {
		if got := names.intern(1, &name); *got != name {
			t.Errorf("%s is %s", name, *got)
		}
	}
}
