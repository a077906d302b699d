package storetest

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

func apiKeyList(t *testing.T, s suite) {
	s.test(t, "is in pages from the newest to the oldest", pageOfKeys)
	s.test(t, "is in pages of those that match", pageOfMatches)
}

// keys reads a page of a tenant's keys without its position.
func (f *fixture) keys(tenant, before uuid.UUID, limit int) ([]registry.APIKey, error) {
	page, err := f.store.ListAPIKeys(f.ctx, registry.APIKeyQuery{
		TenantID: tenant, Position: before, PageRequest: firstPage(limit),
	})
	return page.Items, err
}

func pageOfKeys(f *fixture) {
	tenant, other := minimalTenant("tenant"), minimalTenant("other")
	f.insert(tenant, other)
	var keys, foreign []registry.APIKey
	for range 7 {
		keys, foreign = append(keys, minimalKey(tenant.ID)), append(foreign, minimalKey(other.ID))
	}
	keys[3] = revoked(keys[3])
	for _, i := range []int{4, 0, 6, 2, 1, 5, 3} {
		f.insert(keys[i], foreign[i])
	}
	slices.Reverse(keys)
	for _, limit := range []int{1, 3, 7, 8} {
		var got []registry.APIKey
		for before := uuid.Nil; ; before = got[len(got)-1].ID {
			page, err := f.keys(tenant.ID, before, limit)
			f.must(err)
			if len(page) > limit {
				f.Errorf("%d keys with limit %d", len(page), limit)
			}
			if got = append(got, page...); len(page) == 0 || len(got) > len(keys) {
				f.equal(page, []registry.APIKey{})
				break
			}
		}
		f.equal(got, keys)
	}
	// The position need not be a key of the tenant's.
	got, err := f.keys(tenant.ID, foreign[2].ID, 9)
	f.must(err)
	f.equal(got, keys[4:])
	for id, limit := range map[uuid.UUID]int{tenant.ID: 0, newID(): 9} {
		got, err = f.keys(id, uuid.Nil, limit)
		f.must(err)
		f.equal(got, []registry.APIKey{})
	}
}

// pageOfMatches compares pages of random queries with what registry says of every key.
func pageOfMatches(f *fixture) {
	const keys, queries = 60, 150
	tenant, other := minimalTenant("tenant"), minimalTenant("other")
	f.insert(tenant, other, minimalProduct("one"), minimalProduct("two"))
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
		k.Product, k.Environment = pick(random, "", "one", "two"), pick(random, apikey.Live, apikey.Test)
		k.Disabled, k.ExpiresAt, k.LastUsedAt, k.CreatedAt = random.IntN(4) == 0, maybe(), maybe(), *instant()
		if random.IntN(4) == 0 {
			k = revoked(k)
		}
		f.insert(k, minimalKey(other.ID))
		all = append([]registry.APIKey{k}, all...)
	}
	for range queries {
		q := registry.APIKeyQuery{
			TenantID: tenant.ID, PageRequest: firstPage(1 + random.IntN(keys)), MaxExamined: random.IntN(keys + 2),
			Now:     *instant(),
			Product: pick(random, "", "", "one", "none"), Environment: pick(random, "", "", apikey.Live, apikey.Test),
			State: pick(
				random, "", "", registry.APIKeyActive, registry.APIKeyDisabled, registry.APIKeyExpired,
				registry.APIKeyRevoked,
			),
			UnusedSince: maybe(), ExpiresBefore: maybe(),
		}
		var got, want []registry.APIKey
		for _, k := range all {
			if q.Matches(k) {
				want = append(want, k)
			}
		}
		for pages := 0; ; pages++ {
			page, err := f.store.ListAPIKeys(f.ctx, q)
			f.must(err)
			f.equal(page, expectedPage(all, q))
			got = append(got, page.Items...)
			if page.Next == "" || pages > keys {
				break
			}
			q.Position = uuid.MustParse(page.Next)
		}
		f.equal(got, want)
	}
}

func pick[T any](random *rand.Rand, from ...T) T { return from[random.IntN(len(from))] }

// expectedPage is the page that the promise of APIKeys describes, of keys from the newest on.
func expectedPage(all []registry.APIKey, q registry.APIKeyQuery) registry.Page[registry.APIKey] {
	page := registry.Page[registry.APIKey]{Items: []registry.APIKey{}}
	rest := all
	if q.Position != uuid.Nil {
		rest = all[1+slices.IndexFunc(all, func(k registry.APIKey) bool { return k.ID == q.Position }):]
	}
	if q.MaxExamined > 0 && q.MaxExamined < len(rest) {
		rest = rest[:q.MaxExamined]
		page.Next = rest[q.MaxExamined-1].ID.String()
	}
	for _, k := range rest {
		if !q.Matches(k) {
			continue
		}
		if len(page.Items) == q.Limit {
			page.Next = page.Items[q.Limit-1].ID.String()
			break
		}
		page.Items = append(page.Items, k)
	}
	return page
}
