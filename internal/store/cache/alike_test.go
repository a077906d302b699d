package cache

import (
	"testing"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// TestAlike: keys of one tenant share what is equal, and only that. What one has learnt the others have when they are read again.
func TestAlike(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{})
	facts := func(k registry.APIKey) registry.KeyFacts {
		t.Helper()
		f, err := w.KeyFacts(t.Context(), k.Hash, "")
		w.must(err)
		return f
	}
	another, wider := newKey(w.tenant.ID), newKey(w.tenant.ID)
	wider.Scopes = []string{"a", "b"}
	for _, k := range []registry.APIKey{another, wider} {
		w.elsewhere(func(tx registry.Tx) error { return tx.InsertAPIKey(t.Context(), k) })
	}
	first, second, third := facts(w.key), facts(another), facts(wider)
	if first.Holder != second.Holder || first.Holder != third.Holder || first.Key.KeyTerms != second.Key.KeyTerms {
		t.Error("what is equal is not shared")
	}
	if len(first.Key.Scopes) != 1 || len(third.Key.Scopes) != 2 || first.Key.ID == second.Key.ID {
		t.Errorf("%+v and %+v are not what the keys are", first.Key, third.Key)
	}
	w.elsewhere(w.freeze)
	w.Touch(registry.Touched{Keys: w.touchedKey().Keys})
	if first, second = facts(w.key), facts(another); first.Tenant.Status != registry.StatusFrozen || second.Tenant.Status != registry.StatusActive {
		t.Errorf("the one that was read again is %s, the other %s", first.Tenant.Status, second.Tenant.Status)
	}
	w.Touch(w.touchedTenant())
	if first, second = facts(w.key), facts(another); first.Holder != second.Holder || second.Tenant.Status != registry.StatusFrozen {
		t.Errorf("read again they are %s and %s, or not shared", first.Tenant.Status, second.Tenant.Status)
	}
}

// TestAlike_collision: two that have one hash by chance are only not shared.
func TestAlike_collision(t *testing.T) {
	t.Parallel()
	names := newAlike[string](10)
	for _, name := range []string{"one", "other", "one"} {
		if got := names.of(1, &name); *got != name {
			t.Errorf("%s is %s", name, *got)
		}
	}
}
