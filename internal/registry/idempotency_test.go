package registry_test

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// again is the fixture's caller with an idempotency key.
func (f *fixture) again(key, operation string) registry.Caller {
	by := f.by
	by.Idempotency = &registry.Idempotency{Key: key, Operation: operation}
	return by
}

// repeatable are the changes that take an idempotency key; each sends the same command every time, and returns the id
// of what it made and whether that was replayed.
var repeatable = map[string]func(f *fixture, by registry.Caller, acme registry.Tenant) (string, bool, error){
	"create tenant": func(f *fixture, by registry.Caller, _ registry.Tenant) (string, bool, error) {
		got, err := f.s.CreateTenant(f.ctx, by, registry.TenantInput{Slug: "globex", Name: "Globex"})
		return got.Value.ID.String(), got.Replayed, err
	},
	"cancel": func(f *fixture, by registry.Caller, acme registry.Tenant) (string, bool, error) {
		got, err := f.s.CancelTenant(f.ctx, by, acme.ID)
		return got.Value.ID.String(), got.Replayed, err
	},
	"freeze": func(f *fixture, by registry.Caller, acme registry.Tenant) (string, bool, error) {
		got, err := freezeForATest(f.s, f.ctx, by, acme.ID)
		return got.Value.ID.String(), got.Replayed, err
	},
	"request": func(f *fixture, by registry.Caller, acme registry.Tenant) (string, bool, error) {
		got, err := f.s.RequestProduct(f.ctx, by, registry.CatalogRequestInput{TenantID: acme.ID, Product: "scanner"})
		return got.Value.ID.String(), got.Replayed, err
	},
	"trial": func(f *fixture, by registry.Caller, acme registry.Tenant) (string, bool, error) {
		got, err := f.s.StartTrial(f.ctx, by, registry.CatalogRequestInput{TenantID: acme.ID, Product: "scanner"})
		return got.Value.ID.String(), got.Replayed, err
	},
	"create key": func(f *fixture, by registry.Caller, acme registry.Tenant) (string, bool, error) {
		got, err := f.s.CreateAPIKey(f.ctx, by, registry.APIKeyInput{
			TenantID: acme.ID, Name: "k", Scopes: []string{"a"},
		})
		return got.Value.ID.String(), got.Replayed, err
	},
	"record event": func(f *fixture, by registry.Caller, acme registry.Tenant) (string, bool, error) {
		got, err := f.s.RecordEvent(f.ctx, by, reported(acme.ID))
		return got.Value.ID.String(), got.Replayed, err
	},
	"record events": func(f *fixture, by registry.Caller, acme registry.Tenant) (string, bool, error) {
		got, err := f.s.RecordEvents(f.ctx, by, []audit.Event{reported(acme.ID), reported(uuid.Nil)})
		ids := ""
		for _, e := range got.Value {
			ids += e.ID.String() + e.Hash
		}
		return ids, got.Replayed, err
	},
}

func TestIdempotency_secondRequestIsReplayed(t *testing.T) {
	t.Parallel()
	for name, command := range repeatable {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			acme := f.tenant("acme", registry.StatusActive)
			f.product("scanner")
			made, replayed, err := command(f, f.again("one", name), acme)
			f.must(err)
			if replayed {
				t.Error("the first request is a replay")
			}
			before := f.dump()
			got, replayed, err := command(f, f.again("one", name), acme)
			f.must(err)
			if got != made || !replayed || f.dump() != before {
				t.Errorf(
					"the second made %s after %s, replayed %t, changed %t", got, made, replayed, f.dump() != before,
				)
			}
			_, _, err = command(f, f.again("one", "another path"), acme)
			f.refusal(err, registry.Mismatch, registry.CodeIdempotencyMismatch)
			other := f.again("one", name)
			other.Actor.ID = "op-2"
			got, replayed, err = command(f, other, acme)
			if err == nil && got == made && name != "request" || replayed {
				t.Errorf("another caller's idempotency key is taken for the first one's: %s, %v", got, err)
			}
		})
	}
}

func TestIdempotency_anotherCommandIsAMismatch(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	by := func() registry.Caller { return f.again("one", "POST /v1/tenants") }
	_, err := f.s.CreateTenant(f.ctx, by(), registry.TenantInput{
		Slug: "globex", Name: "Globex", Metadata: map[string]string{"a": "1"},
	})
	f.must(err)
	_, err = f.s.CreateTenant(f.ctx, by(), registry.TenantInput{
		Slug: "globex", Name: "Globex", Metadata: map[string]string{"a": "2"},
	})
	f.refusal(err, registry.Mismatch, registry.CodeIdempotencyMismatch)
	_, err = f.s.RecordEvent(f.ctx, by(), reported(uuid.Nil))
	f.refusal(err, registry.Mismatch, registry.CodeIdempotencyMismatch)
	// A refusal leaves no record: the same key is still valid for a later command.
	for range 2 {
		_, err = f.s.CreateTenant(f.ctx, f.again("two", ""), registry.TenantInput{Slug: "globex", Name: "Another"})
		f.refusal(err, registry.Conflict, registry.CodeSlugTaken)
	}
	_, err = f.s.CreateTenant(f.ctx, f.again("two", ""), registry.TenantInput{Slug: "initech", Name: "Another"})
	f.must(err)
}

// A replay shows the record as it is now, and the key's text never again.
func TestIdempotency_replayShowsTheCurrentRecord(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme := f.tenant("acme", registry.StatusActive)
	n := registry.APIKeyInput{TenantID: acme.ID, Name: "k"}
	k, text, err := testkit.Secret(f.s.CreateAPIKey(f.ctx, f.again("one", ""), n))
	f.must(err)
	revoked, err := testkit.Value(f.s.RevokeAPIKey(f.ctx, f.by, k.ID, ""))
	f.must(err)
	got, again, err := testkit.Secret(f.s.CreateAPIKey(f.ctx, f.again("one", ""), n))
	f.must(err)
	if text == "" || again != "" || !reflect.DeepEqual(got, revoked) {
		t.Errorf("the replay answers %v and %q, want %v", got, again, revoked)
	}
	by := f.again("one", "")
	by.Access = registry.Access{Tenant: uuid.New()}
	_, _, err = testkit.Secret(f.s.CreateAPIKey(f.ctx, by, n))
	f.refusal(err, registry.NotFound, registry.CodeAPIKeyNotFound)
}

// Every command is sent in pairs at once. Without the key's lock, or without a key, some of the second ones are refused
// or have an effect of their own.
func TestIdempotency_simultaneousRequestsHaveOneEffect(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	pair := func(i int, key string) (ids [2]uuid.UUID, errs [2]error) {
		var both sync.WaitGroup
		for n := range 2 {
			by := f.by
			if key != "" {
				by = f.again(key, "")
			}
			both.Go(func() {
				t, err := testkit.Value(f.s.CreateTenant(f.ctx, by, registry.TenantInput{
					Slug: fmt.Sprintf("tenant-%d", i), Name: "T",
				}))
				ids[n], errs[n] = t.ID, err
			})
		}
		both.Wait()
		return ids, errs
	}
	for i := range 200 {
		ids, errs := pair(i, fmt.Sprint(i))
		if err := errors.Join(errs[:]...); err != nil || ids[0] != ids[1] {
			t.Fatalf("pair %d: %v, %v", i, ids, err)
		}
	}
	if n := len(f.log()); n != 200 {
		t.Errorf("200 pairs left %d events", n)
	}
	if _, errs := pair(1000, ""); errors.Join(errs[:]...) == nil {
		t.Error("without a key both succeed: the test shows nothing")
	}
}

// A replay is answered although the key has expired meanwhile, and this opens no way to make an expired key.
func TestIdempotency_expiredKeyIsReplayed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	n := registry.APIKeyInput{
		TenantID: f.tenant("acme", registry.StatusActive).ID, Name: "k", ExpiresAt: at(time.Minute),
	}
	made, _, err := testkit.Secret(f.s.CreateAPIKey(f.ctx, f.again("one", "create"), n))
	f.must(err)
	f.sleep(time.Hour)
	got, err := f.s.CreateAPIKey(f.ctx, f.again("one", "create"), n)
	f.must(err)
	if got.Value.ID != made.ID || got.Value.Text != "" || !got.Replayed {
		t.Errorf("the replay made %s after %s, with a text: %t", got.Value.ID, made.ID, got.Value.Text != "")
	}
	_, _, err = testkit.Secret(f.s.CreateAPIKey(f.ctx, f.again("two", "create"), n))
	f.refusal(err, registry.Invalid, registry.CodeInvalid)
}
