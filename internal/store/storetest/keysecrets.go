package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// found says whose key a hash finds, and by which secret.
func (w *world) found(r registry.Reader, h registry.Hash) string {
	w.Helper()
	facts, err := r.KeyFacts(w.ctx, h, "")
	if err != nil {
		w.want(err, registry.ErrNotFound)
		return "nothing"
	}
	k, err := r.APIKey(w.ctx, facts.Key.ID)
	w.must(err)
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

func (w *world) update(keys ...registry.APIKey) error {
	return w.tx(func(tx registry.Tx) error {
		for _, k := range keys {
			if err := tx.UpdateAPIKey(w.ctx, k); err != nil {
				return err
			}
		}
		return nil
	})
}

func changeSecrets(w *world) {
	tenant := minimalTenant("tenant")
	first, other := minimalKey(tenant.ID), minimalKey(tenant.ID)
	first.Name, other.Name = "first", "other"
	w.insert(tenant, first, other)
	second := rotated(first, true)
	w.must(w.update(second))
	w.equal([]string{w.found(w.store, first.Hash), w.found(w.store, second.Hash)}, []string{"first true", "first false"})
	third := rotated(second, false)
	w.must(w.update(third))
	w.equal([]string{w.found(w.store, first.Hash), w.found(w.store, second.Hash), w.found(w.store, third.Hash)},
		[]string{"first true", "nothing", "first false"})
	fourth := rotated(third, true)
	w.must(w.update(fourth))
	w.equal([]string{w.found(w.store, first.Hash), w.found(w.store, third.Hash), w.found(w.store, fourth.Hash)},
		[]string{"nothing", "first true", "first false"})

	stolen, stolenPrevious := other, rotated(other, true)
	stolen.Hash, stolenPrevious.PreviousHash = fourth.Hash, fourth.PreviousHash
	w.want(w.update(stolen), registry.ErrDuplicate)
	w.want(w.update(stolenPrevious), registry.ErrDuplicate)
	w.equal([]string{w.found(w.store, other.Hash), w.found(w.store, fourth.Hash)}, []string{"other false", "first false"})
	// What was freed is free.
	again := rotated(other, true)
	again.Hash = first.Hash
	w.must(w.update(again))
	w.equal(w.found(w.store, first.Hash), "other false")
	spoilt := fourth
	spoilt.PreviousEndsAt = nil
	w.wantFault(w.update(spoilt))
}

func secretsRolledBack(w *world) {
	tenant := minimalTenant("tenant")
	key := minimalKey(tenant.ID)
	key.Name = "key"
	w.insert(tenant, key)
	second := rotated(key, true)
	third := rotated(second, true)
	holder := w.begin()
	w.must(holder.UpdateAPIKey(w.ctx, second))
	w.must(holder.UpdateAPIKey(w.ctx, third))
	see := func(r registry.Reader) []string {
		return []string{w.found(r, key.Hash), w.found(r, second.Hash), w.found(r, third.Hash)}
	}
	before := []string{"key false", "nothing", "nothing"}
	w.equal(see(holder), []string{"nothing", "key true", "key false"})
	w.equal(see(w.store), before)
	w.want(holder.end(errOfCaller), errOfCaller)
	w.equal(see(w.store), before)
	w.must(w.update(second, third, second, key, second)) // there and back again
	w.equal(see(w.store), []string{"key true", "key false", "nothing"})
}

func touchKeys(w *world) {
	tenant := minimalTenant("tenant")
	free, used := minimalKey(tenant.ID), rotated(minimalKey(tenant.ID), true)
	start := awkward.UTC().Truncate(time.Microsecond)
	used.LastUsedAt, used.PreviousUsedAt = &start, &start
	w.insert(tenant, free, used, minimalKey(tenant.ID))
	at := func(d time.Duration) time.Time { return start.Add(d) }
	for _, c := range []struct {
		name           string
		key            *registry.APIKey
		uses           []registry.KeyUse
		last, previous *time.Time
	}{
		{"never used", &free, []registry.KeyUse{{Hash: free.Hash, At: awkward}}, &start, nil},
		{"a moment later", &free, []registry.KeyUse{{Hash: free.Hash, At: at(registry.UseGrain - 1000)}}, &start, nil},
		{"later", &free, []registry.KeyUse{{Hash: free.Hash, At: at(registry.UseGrain)}}, new(at(registry.UseGrain)), nil},
		{"earlier", &free, []registry.KeyUse{{Hash: free.Hash, At: at(-time.Hour)}}, new(at(registry.UseGrain)), nil},
		{"by a secret it has no more", &free, []registry.KeyUse{{Hash: newHash(), At: at(time.Minute)}}, new(at(time.Minute)), nil},
		{"current", &used, []registry.KeyUse{{Hash: used.Hash, At: at(time.Minute)}}, new(at(time.Minute)), &start},
		{"previous", &used, []registry.KeyUse{{Hash: used.PreviousHash, At: at(30 * time.Second)}}, new(at(time.Minute)), new(at(30 * time.Second))},
		{"both", &used, []registry.KeyUse{{Hash: used.Hash, At: at(2 * time.Minute)}, {Hash: used.PreviousHash, At: at(3 * time.Minute)}},
			new(at(3 * time.Minute)), new(at(3 * time.Minute))},
		{"both, the other way round", &used, []registry.KeyUse{{Hash: used.PreviousHash, At: at(5 * time.Minute)}, {Hash: used.Hash, At: at(4 * time.Minute)}},
			new(at(5 * time.Minute)), new(at(5 * time.Minute))},
	} {
		uses := []registry.KeyUse{{ID: newID(), Hash: newHash(), At: noon}} // a key that is gone
		for _, use := range c.uses {
			use.ID = c.key.ID
			uses = append(uses, use)
		}
		w.commit(func(tx registry.Tx) error { return tx.TouchAPIKeys(w.ctx, uses) })
		want := *c.key
		want.LastUsedAt, want.PreviousUsedAt = c.last, c.previous
		got, err := w.store.APIKey(w.ctx, c.key.ID)
		w.must(err)
		if show(got) != show(want) {
			w.Errorf("%s:\ngot  %s\nwant %s", c.name, show(got), show(want))
		}
	}
	w.commit(func(tx registry.Tx) error { return tx.TouchAPIKeys(w.ctx, nil) })
	w.want(w.tx(func(tx registry.Tx) error {
		w.must(tx.TouchAPIKeys(w.ctx, []registry.KeyUse{{ID: free.ID, Hash: free.Hash, At: at(time.Hour)}}))
		return errOfCaller
	}), errOfCaller)
	got, err := w.store.APIKey(w.ctx, free.ID)
	w.must(err)
	w.equal(*got.LastUsedAt, at(time.Minute))
}

// touchBesideLock touches two keys of which one is locked: the other one is touched, and nobody waits. A store with one writer waits for
// that one.
func touchBesideLock(w *world) {
	tenant := minimalTenant("tenant")
	locked, free := minimalKey(tenant.ID), minimalKey(tenant.ID)
	w.insert(tenant, locked, free)
	touch := func(ctx context.Context, tx registry.Tx) error {
		return tx.TouchAPIKeys(ctx, []registry.KeyUse{{ID: locked.ID, Hash: locked.Hash, At: noon}, {ID: free.ID, Hash: free.Hash, At: noon}})
	}
	holder := w.begin()
	_, err := holder.LockTenant(w.ctx, tenant.ID)
	w.must(err)
	_, err = holder.LockAPIKey(w.ctx, locked.ID)
	w.must(err)
	w.waitsIfOneWriter(touch)
	holder.commit()
	if w.options.OneWriter {
		w.passes(touch)
	}
	for id, want := range map[uuid.UUID]bool{locked.ID: w.options.OneWriter, free.ID: true} {
		got, err := w.store.APIKey(w.ctx, id)
		w.must(err)
		w.equal(got.LastUsedAt != nil, want)
	}
}

// pageOfMatches compares pages of random queries with what registry says of every key.
func pageOfMatches(w *world) {
	const keys, queries = 60, 150
	tenant, other := minimalTenant("tenant"), minimalTenant("other")
	w.insert(tenant, other, minimalProduct("one"), minimalProduct("two"))
	random := rand.New(rand.NewPCG(1, 2))
	instant := func() *time.Time { return new(noon.Add(time.Duration(random.IntN(5)) * time.Hour)) }
	maybe := func() *time.Time {
		if random.IntN(2) == 0 {
			return nil
		}
		return instant()
	}
	var all []registry.APIKey
	for range keys {
		k := minimalKey(tenant.ID)
		k.Product, k.Environment = pick(random, "", "one", "two"), pick(random, registry.Live, registry.Test)
		k.Disabled, k.ExpiresAt, k.LastUsedAt, k.CreatedAt = random.IntN(4) == 0, maybe(), maybe(), *instant()
		if random.IntN(4) == 0 {
			k = revoked(k)
		}
		w.insert(k, minimalKey(other.ID))
		all = append([]registry.APIKey{k}, all...)
	}
	for range queries {
		q := registry.KeyQuery{
			TenantID: tenant.ID, Limit: 1 + random.IntN(keys), Examine: random.IntN(keys + 2), Now: *instant(),
			Product: pick(random, "", "", "one", "none"), Environment: pick(random, "", "", registry.Live, registry.Test),
			State:       pick(random, "", "", registry.KeyStateActive, registry.KeyStateDisabled, registry.KeyStateExpired, registry.KeyStateRevoked),
			UnusedSince: maybe(), ExpiresBefore: maybe(),
		}
		var got, want []registry.APIKey
		for _, k := range all {
			if q.Matches(k) {
				want = append(want, k)
			}
		}
		for pages := 0; ; pages++ {
			page, err := w.store.APIKeys(w.ctx, q)
			w.must(err)
			w.equal(page, expectedPage(all, q))
			got = append(got, page.Keys...)
			if q.Before = page.Next; page.Next == uuid.Nil || pages > keys {
				break
			}
		}
		w.equal(got, want)
	}
}

func pick[T any](random *rand.Rand, from ...T) T { return from[random.IntN(len(from))] }

// expectedPage is the page that the promise of APIKeys describes, of keys from the newest on.
func expectedPage(all []registry.APIKey, q registry.KeyQuery) registry.KeyPage {
	page := registry.KeyPage{Keys: []registry.APIKey{}}
	rest := all
	if q.Before != uuid.Nil {
		rest = all[1+slices.IndexFunc(all, func(k registry.APIKey) bool { return k.ID == q.Before }):]
	}
	if q.Examine > 0 && q.Examine < len(rest) {
		rest = rest[:q.Examine]
		page.Next = rest[q.Examine-1].ID
	}
	for _, k := range rest {
		if !q.Matches(k) {
			continue
		}
		if len(page.Keys) == q.Limit {
			page.Next = page.Keys[q.Limit-1].ID
			break
		}
		page.Keys = append(page.Keys, k)
	}
	return page
}
