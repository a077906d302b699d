package registry_test

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// again is the world's caller with an idempotency key.
func (w *world) again(key, operation string) registry.Caller {
	by := w.by
	by.Idempotency = &registry.Idempotency{Key: key, Operation: operation}
	return by
}

// repeatable are the changes that take an idempotency key; each does the same command every time, and returns the id of what it made.
var repeatable = map[string]func(w *world, by registry.Caller, acme registry.Tenant) (string, error){
	"create tenant": func(w *world, by registry.Caller, _ registry.Tenant) (string, error) {
		t, err := w.s.CreateTenant(w.ctx, by, registry.NewTenant{Slug: "globex", Name: "Globex"})
		return t.ID.String(), err
	},
	"cancel": func(w *world, by registry.Caller, acme registry.Tenant) (string, error) {
		t, err := w.s.CancelTenant(w.ctx, by, acme.ID)
		return t.ID.String(), err
	},
	"request": func(w *world, by registry.Caller, acme registry.Tenant) (string, error) {
		r, _, err := w.s.RequestProduct(w.ctx, by, registry.ProductWish{TenantID: acme.ID, Product: "scanner"})
		return r.ID.String(), err
	},
	"trial": func(w *world, by registry.Caller, acme registry.Tenant) (string, error) {
		e, err := w.s.StartTrial(w.ctx, by, registry.ProductWish{TenantID: acme.ID, Product: "scanner"})
		return e.ID.String(), err
	},
	"create key": func(w *world, by registry.Caller, acme registry.Tenant) (string, error) {
		k, _, err := w.s.CreateAPIKey(w.ctx, by, registry.NewAPIKey{TenantID: acme.ID, Name: "k", Scopes: []string{"a"}})
		return k.ID.String(), err
	},
	"record event": func(w *world, by registry.Caller, acme registry.Tenant) (string, error) {
		e, err := w.s.RecordEvent(w.ctx, by, reported(acme.ID))
		return e.ID.String(), err
	},
	"record events": func(w *world, by registry.Caller, acme registry.Tenant) (string, error) {
		written, err := w.s.RecordEvents(w.ctx, by, []registry.AuditEvent{reported(acme.ID), reported(uuid.Nil)})
		ids := ""
		for _, e := range written {
			ids += e.ID.String() + e.Hash
		}
		return ids, err
	},
}

func TestIdempotency(t *testing.T) {
	t.Parallel()
	for name, command := range repeatable {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			acme := w.tenant("acme", registry.StatusActive)
			w.product("scanner")
			first := w.again("one", name)
			made, err := command(w, first, acme)
			w.must(err)
			if first.Repeated() {
				t.Error("the first is a repeat")
			}
			before := w.dump()
			second := w.again("one", name)
			got, err := command(w, second, acme)
			w.must(err)
			if got != made || !second.Repeated() || w.dump() != before {
				t.Errorf("the second made %s after %s, repeated %t, changed %t", got, made, second.Repeated(), w.dump() != before)
			}
			_, err = command(w, w.again("one", "another path"), acme)
			w.refusal(err, registry.Mismatch, registry.CodeIdempotencyMismatch)
			other := w.again("one", name)
			other.Actor.ID = "op-2"
			if got, err := command(w, other, acme); err == nil && got == made && name != "request" || other.Repeated() {
				t.Errorf("another caller's key is taken for the first one's: %s, %v", got, err)
			}
		})
	}
}

func TestIdempotency_anotherCommand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	by := func() registry.Caller { return w.again("one", "POST /v1/tenants") }
	_, err := w.s.CreateTenant(w.ctx, by(), registry.NewTenant{Slug: "globex", Name: "Globex", Metadata: map[string]string{"a": "1"}})
	w.must(err)
	_, err = w.s.CreateTenant(w.ctx, by(), registry.NewTenant{Slug: "globex", Name: "Globex", Metadata: map[string]string{"a": "2"}})
	w.refusal(err, registry.Mismatch, registry.CodeIdempotencyMismatch)
	_, err = w.s.RecordEvent(w.ctx, by(), reported(uuid.Nil))
	w.refusal(err, registry.Mismatch, registry.CodeIdempotencyMismatch)
	// A refusal is not kept: the same key is still good for what succeeds later.
	for range 2 {
		_, err = w.s.CreateTenant(w.ctx, w.again("two", ""), registry.NewTenant{Slug: "globex", Name: "Another"})
		w.refusal(err, registry.Conflict, registry.CodeSlugTaken)
	}
	_, err = w.s.CreateTenant(w.ctx, w.again("two", ""), registry.NewTenant{Slug: "initech", Name: "Another"})
	w.must(err)
}

// The record is shown as it is now, and the key's text never again.
func TestIdempotency_asItIsNow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.tenant("acme", registry.StatusActive)
	n := registry.NewAPIKey{TenantID: acme.ID, Name: "k"}
	k, text, err := w.s.CreateAPIKey(w.ctx, w.again("one", ""), n)
	w.must(err)
	revoked, err := w.s.RevokeAPIKey(w.ctx, w.by, k.ID, "")
	w.must(err)
	got, again, err := w.s.CreateAPIKey(w.ctx, w.again("one", ""), n)
	w.must(err)
	if text == "" || again != "" || !reflect.DeepEqual(got, revoked) {
		t.Errorf("the repeat answers %v and %q, want %v", got, again, revoked)
	}
	by := w.again("one", "")
	by.Scope = registry.Scope{Tenant: uuid.New()}
	_, _, err = w.s.CreateAPIKey(w.ctx, by, n)
	w.refusal(err, registry.NotFound, registry.CodeAPIKeyNotFound)
}

// TestIdempotency_simultaneous sends every command in pairs at once. Without the key's lock, or without a key, some of the second ones are
// refused or have an effect of their own.
func TestIdempotency_simultaneous(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pair := func(i int, key string) (ids [2]uuid.UUID, errs [2]error) {
		var both sync.WaitGroup
		for n := range 2 {
			by := w.by
			if key != "" {
				by = w.again(key, "")
			}
			both.Go(func() {
				t, err := w.s.CreateTenant(w.ctx, by, registry.NewTenant{Slug: fmt.Sprintf("tenant-%d", i), Name: "T"})
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
	if n := len(w.log()); n != 200 {
		t.Errorf("200 pairs left %d events", n)
	}
	if _, errs := pair(1000, ""); errors.Join(errs[:]...) == nil {
		t.Error("without a key both succeed: the test shows nothing")
	}
}

// TestIdempotency_expiry asserts that a repeat is answered though the key has expired meanwhile, and that this opens no way to make one
// that has.
func TestIdempotency_expiry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := registry.NewAPIKey{TenantID: w.tenant("acme", registry.StatusActive).ID, Name: "k", ExpiresAt: at(time.Minute)}
	made, _, err := w.s.CreateAPIKey(w.ctx, w.again("one", "create"), n)
	w.must(err)
	w.sleep(time.Hour)
	repeat := w.again("one", "create")
	got, text, err := w.s.CreateAPIKey(w.ctx, repeat, n)
	w.must(err)
	if got.ID != made.ID || text != "" || !repeat.Repeated() {
		t.Errorf("the repeat made %s after %s, with a text: %t", got.ID, made.ID, text != "")
	}
	_, _, err = w.s.CreateAPIKey(w.ctx, w.again("two", "create"), n)
	w.refusal(err, registry.Invalid, registry.CodeInvalid)
}
