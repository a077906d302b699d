package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

func apiKeyUsage(t *testing.T, s suite) {
	s.test(t, "is recorded", recordUsage)
	s.test(t, "of a locked key is skipped", recordUsageBesideLock)
}

func recordUsage(f *fixture) {
	tenant := minimalTenant("tenant")
	free, used := minimalKey(tenant.ID), rotated(minimalKey(tenant.ID), true)
	start := awkward.UTC().Truncate(time.Microsecond)
	used.LastUsedAt, used.PreviousUsedAt = &start, &start
	f.insert(tenant, free, used, minimalKey(tenant.ID))
	at := func(d time.Duration) time.Time { return start.Add(d) }
	use := func(hash apikey.Hash, at time.Time) registry.APIKeyUse { return registry.APIKeyUse{Hash: hash, At: at} }
	for _, c := range []struct {
		name           string
		key            *registry.APIKey
		uses           []registry.APIKeyUse
		last, previous time.Time // zero: unset
	}{
		{"never used", &free, []registry.APIKeyUse{use(free.Hash, awkward)}, start, time.Time{}},
		{
			"a moment later", &free, []registry.APIKeyUse{use(free.Hash, at(registry.UsageResolution-1000))},
			start, time.Time{},
		},
		{
			"later", &free, []registry.APIKeyUse{use(free.Hash, at(registry.UsageResolution))},
			at(registry.UsageResolution), time.Time{},
		},
		{
			"earlier", &free, []registry.APIKeyUse{use(free.Hash, at(-time.Hour))},
			at(registry.UsageResolution), time.Time{},
		},
		{
			"by a secret it has no more", &free, []registry.APIKeyUse{use(newHash(), at(time.Minute))},
			at(time.Minute), time.Time{},
		},
		{"current", &used, []registry.APIKeyUse{use(used.Hash, at(time.Minute))}, at(time.Minute), start},
		{
			"previous", &used, []registry.APIKeyUse{use(used.PreviousHash, at(30*time.Second))},
			at(time.Minute), at(30 * time.Second),
		},
		{
			"both", &used,
			[]registry.APIKeyUse{use(used.Hash, at(2*time.Minute)), use(used.PreviousHash, at(3*time.Minute))},
			at(3 * time.Minute), at(3 * time.Minute),
		},
		{
			"both, the other way round", &used,
			[]registry.APIKeyUse{use(used.PreviousHash, at(5*time.Minute)), use(used.Hash, at(4*time.Minute))},
			at(5 * time.Minute), at(5 * time.Minute),
		},
	} {
		uses := []registry.APIKeyUse{{ID: newID(), Hash: newHash(), At: noon}} // a key that is gone
		for _, use := range c.uses {
			use.ID = c.key.ID
			uses = append(uses, use)
		}
		f.commit(func(tx registry.Tx) error { return tx.UpdateAPIKeyUsage(f.ctx, uses) })
		want := *c.key
		want.LastUsedAt, want.PreviousUsedAt = &c.last, nil
		if !c.previous.IsZero() {
			want.PreviousUsedAt = &c.previous
		}
		got, err := f.store.GetAPIKey(f.ctx, c.key.ID)
		f.must(err)
		if show(got) != show(want) {
			f.Errorf("%s:\ngot  %s\nwant %s", c.name, show(got), show(want))
		}
	}
	f.commit(func(tx registry.Tx) error { return tx.UpdateAPIKeyUsage(f.ctx, nil) })
	f.want(f.tx(func(tx registry.Tx) error {
		f.must(tx.UpdateAPIKeyUsage(f.ctx, []registry.APIKeyUse{{ID: free.ID, Hash: free.Hash, At: at(time.Hour)}}))
		return errOfCaller
	}), errOfCaller)
	got, err := f.store.GetAPIKey(f.ctx, free.ID)
	f.must(err)
	f.equal(*got.LastUsedAt, at(time.Minute))
}

// recordUsageBesideLock records a use of two keys of which one is locked: that one is skipped, and nothing waits. A
// store with one writer waits for the lock.
func recordUsageBesideLock(f *fixture) {
	tenant := minimalTenant("tenant")
	locked, free := minimalKey(tenant.ID), minimalKey(tenant.ID)
	f.insert(tenant, locked, free)
	record := func(ctx context.Context, tx registry.Tx) error {
		return tx.UpdateAPIKeyUsage(
			ctx,
			[]registry.APIKeyUse{
				{ID: locked.ID, Hash: locked.Hash, At: noon},
				{ID: free.ID, Hash: free.Hash, At: noon},
			},
		)
	}
	holder := f.begin()
	_, err := holder.LockTenant(f.ctx, tenant.ID)
	f.must(err)
	_, err = holder.LockAPIKey(f.ctx, locked.ID)
	f.must(err)
	f.waitsIfOneWriter(record)
	holder.commit()
	if f.options.OneWriter {
		f.passes(record)
	}
	for id, want := range map[uuid.UUID]bool{locked.ID: f.options.OneWriter, free.ID: true} {
		got, err := f.store.GetAPIKey(f.ctx, id)
		f.must(err)
		f.equal(got.LastUsedAt != nil, want)
	}
}
