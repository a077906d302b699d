package storetest

import (
	"fmt"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

func apiKeyRotation(t *testing.T, s suite) {
	s.test(t, "changes the secrets", changeSecrets)
	s.test(t, "that is rolled back leaves the secrets", secretsRolledBack)
}

// found says whose key a hash finds, and by which secret.
func (f *fixture) found(r registry.Reader, h apikey.Hash) string {
	f.Helper()
	facts, err := lookupKey(f.ctx, r, registry.KeyLookup{Hash: h})
	if err != nil {
		f.want(err, registry.ErrNotFound)
		return "nothing"
	}
	k, err := r.GetAPIKey(f.ctx, facts.Key.ID)
	f.must(err)
	return fmt.Sprintf("%s %t", k.Name, facts.Previous)
}

// rotated is a key with a new secret and its old one as the previous.
func rotated(k registry.APIKey, previous bool) registry.APIKey {
	if previous {
		k.PreviousHash, k.PreviousEndsAt = k.Hash, &noon
	}
	k.Hash = newHash()
	k.Version++
	return k
}

func (f *fixture) update(keys ...registry.APIKey) error {
	return f.tx(func(tx registry.Tx) error {
		for _, k := range keys {
			if err := tx.UpdateAPIKey(f.ctx, k); err != nil {
				return err
			}
		}
		return nil
	})
}

func changeSecrets(f *fixture) {
	tenant := minimalTenant("tenant")
	first, other := minimalKey(tenant.ID), minimalKey(tenant.ID)
	first.Name, other.Name = "first", "other"
	f.insert(tenant, first, other)
	second := rotated(first, true)
	f.must(f.update(second))
	f.equal(
		[]string{f.found(f.store, first.Hash), f.found(f.store, second.Hash)}, []string{"first true", "first false"},
	)
	third := rotated(second, false)
	f.must(f.update(third))
	f.equal([]string{f.found(f.store, first.Hash), f.found(f.store, second.Hash), f.found(f.store, third.Hash)},
		[]string{"first true", "nothing", "first false"})
	fourth := rotated(third, true)
	f.must(f.update(fourth))
	f.equal([]string{f.found(f.store, first.Hash), f.found(f.store, third.Hash), f.found(f.store, fourth.Hash)},
		[]string{"nothing", "first true", "first false"})

	stolen, stolenPrevious := other, rotated(other, true)
	stolen.Hash, stolenPrevious.PreviousHash = fourth.Hash, fourth.PreviousHash
	f.want(f.update(stolen), registry.ErrDuplicate)
	f.want(f.update(stolenPrevious), registry.ErrDuplicate)
	f.equal(
		[]string{f.found(f.store, other.Hash), f.found(f.store, fourth.Hash)}, []string{"other false", "first false"},
	)
	// What was freed is free.
	again := rotated(other, true)
	again.Hash = first.Hash
	f.must(f.update(again))
	f.equal(f.found(f.store, first.Hash), "other false")
	spoilt := fourth
	spoilt.PreviousEndsAt = nil
	f.wantFault(f.update(spoilt))
}

func secretsRolledBack(f *fixture) {
	tenant := minimalTenant("tenant")
	key := minimalKey(tenant.ID)
	key.Name = "key"
	f.insert(tenant, key)
	second := rotated(key, true)
	third := rotated(second, true)
	holder := f.begin()
	f.must(holder.UpdateAPIKey(f.ctx, second))
	f.must(holder.UpdateAPIKey(f.ctx, third))
	see := func(r registry.Reader) []string {
		return []string{f.found(r, key.Hash), f.found(r, second.Hash), f.found(r, third.Hash)}
	}
	before := []string{"key false", "nothing", "nothing"}
	f.equal(see(holder), []string{"nothing", "key true", "key false"})
	f.equal(see(f.store), before)
	f.want(holder.end(errOfCaller), errOfCaller)
	f.equal(see(f.store), before)
	f.must(f.update(second, third, second, key, second)) // there and back again
	f.equal(see(f.store), []string{"key true", "key false", "nothing"})
}
