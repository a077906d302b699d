package cache

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// TestWritesAreNoted lists every write of a Tx, and what it touches: a method that is added must say.
func TestWritesAreNoted(t *testing.T) {
	t.Parallel()
	tenant, key := newTenant("slug"), newKey(uuid.New())
	key.PreviousHash = registry.Hash{1}
	entitlement := registry.Entitlement{TenantID: tenant.ID}
	ofKey := registry.Touched{Keys: []uuid.UUID{key.ID}, Hashes: []registry.Hash{key.Hash, key.PreviousHash}}
	ofTenant := registry.Touched{Tenants: []uuid.UUID{tenant.ID}}
	ctx := t.Context()
	for _, method := range writes() {
		c, known := map[string]struct {
			call    func(registry.Tx) error
			touches registry.Touched
		}{
			"InsertTenant": {func(tx registry.Tx) error { return tx.InsertTenant(ctx, tenant) },
				registry.Touched{Tenants: ofTenant.Tenants, Slugs: []string{"slug"}}},
			"UpdateTenant":      {func(tx registry.Tx) error { return tx.UpdateTenant(ctx, tenant) }, ofTenant},
			"InsertEntitlement": {func(tx registry.Tx) error { return tx.InsertEntitlement(ctx, entitlement) }, ofTenant},
			"InsertAPIKey":      {func(tx registry.Tx) error { return tx.InsertAPIKey(ctx, key) }, ofKey},
			"UpdateAPIKey":      {func(tx registry.Tx) error { return tx.UpdateAPIKey(ctx, key) }, ofKey},
			"InsertProduct": {func(tx registry.Tx) error { return tx.InsertProduct(ctx, registry.Product{Key: "key"}) },
				registry.Touched{Products: []string{"key"}}},
			// What these write, nobody keeps.
			"InsertRequest": {}, "AuditHead": {}, "InsertEvent": {}, "Publish": {},
			"InsertEvents": {}, "AuditHeads": {}, "Claim": {}, "TouchAPIKeys": {}, // times of use are in no verdict
			"LockTenant": {}, "HoldTenant": {}, "HoldTenants": {}, "LockAPIKey": {},
		}[method]
		if !known {
			t.Errorf("%s is a new write: note in tx.go what it touches, and say so here", method)
		}
		if c.call == nil {
			continue
		}
		r := &recorder{Tx: takesAll{}}
		if err := c.call(r); err != nil || !reflect.DeepEqual(r.touched, c.touches) {
			t.Errorf("%s: %v, touched %+v, want %+v", method, err, r.touched, c.touches)
		}
		refused := &recorder{Tx: takesAll{err: registry.ErrNotFound}}
		if err := c.call(refused); !errors.Is(err, registry.ErrNotFound) || !refused.touched.Empty() {
			t.Errorf("%s that is refused: %v, touched %+v", method, err, refused.touched)
		}
	}
}

// writes are the methods of a Tx that a Reader has not.
func writes() (names []string) {
	tx, reader := reflect.TypeFor[registry.Tx](), reflect.TypeFor[registry.Reader]()
	for i := range tx.NumMethod() {
		if _, reads := reader.MethodByName(tx.Method(i).Name); !reads {
			names = append(names, tx.Method(i).Name)
		}
	}
	return names
}

// TestRecorderOverridesWrites: whatever a recorder has of its own is a method of Tx, so one that is renamed there is missed here.
func TestRecorderOverridesWrites(t *testing.T) {
	t.Parallel()
	tx, r := reflect.TypeFor[registry.Tx](), reflect.TypeFor[*recorder]()
	for i := range r.NumMethod() {
		if name := r.Method(i).Name; !hasMethod(tx, name) {
			t.Errorf("%s is no method of a Tx", name)
		}
	}
}

func hasMethod(of reflect.Type, name string) bool {
	_, has := of.MethodByName(name)
	return has
}

// takesAll is a Tx that answers every write with err, and notes the order of its calls.
type takesAll struct {
	registry.Tx
	err   error
	calls *[]string
}

func (tx takesAll) call(name string) error {
	if tx.calls != nil {
		*tx.calls = append(*tx.calls, name)
	}
	return tx.err
}

func (tx takesAll) InsertTenant(context.Context, registry.Tenant) error { return tx.call("write") }
func (tx takesAll) UpdateTenant(context.Context, registry.Tenant) error { return tx.call("write") }
func (tx takesAll) InsertEntitlement(context.Context, registry.Entitlement) error {
	return tx.call("write")
}
func (tx takesAll) InsertAPIKey(context.Context, registry.APIKey) error    { return tx.call("write") }
func (tx takesAll) UpdateAPIKey(context.Context, registry.APIKey) error    { return tx.call("write") }
func (tx takesAll) InsertProduct(context.Context, registry.Product) error  { return tx.call("write") }
func (tx takesAll) Publish(context.Context, registry.Touched) error        { return tx.call("publish") }
func (tx takesAll) InsertEvent(context.Context, registry.AuditEvent) error { return tx.call("event") }
func (tx takesAll) AuditHead(context.Context, uuid.UUID) (registry.AuditHead, error) {
	return registry.AuditHead{}, tx.call("lock")
}

type runs struct {
	registry.Store
	tx registry.Tx
}

func (r runs) Tx(_ context.Context, fn func(registry.Tx) error) error { return fn(r.tx) }

// TestPublishes: once, before the lock that all wait for if there is one; nothing if nothing is touched.
func TestPublishes(t *testing.T) {
	t.Parallel()
	write := func(tx registry.Tx) error { return tx.UpdateTenant(t.Context(), newTenant("t")) }
	event := func(tx registry.Tx) error {
		if _, err := tx.AuditHead(t.Context(), uuid.Nil); err != nil {
			return err
		}
		return tx.InsertEvent(t.Context(), registry.AuditEvent{})
	}
	for _, c := range []struct {
		name  string
		does  []func(registry.Tx) error
		calls []string
	}{
		{"a change and its event", []func(registry.Tx) error{write, write, event}, []string{"write", "write", "publish", "lock", "event"}},
		{"a change without one", []func(registry.Tx) error{write}, []string{"write", "publish"}},
		{"an event alone", []func(registry.Tx) error{event}, []string{"lock", "event"}},
		{"a late change", []func(registry.Tx) error{write, event, write}, []string{"write", "publish", "lock", "event", "write", "publish"}},
		{"nothing", nil, nil},
	} {
		var calls []string
		s := New(runs{tx: takesAll{calls: &calls}}, Options{Off: true})
		err := s.Tx(t.Context(), func(tx registry.Tx) error {
			for _, do := range c.does {
				if err := do(tx); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || !slices.Equal(calls, c.calls) {
			t.Errorf("%s: %v, %v, want %v", c.name, err, calls, c.calls)
		}
	}
}

// TestOutcomes: whatever Tx answers, what it touched is read again.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	for name, outcome := range map[string]func(*world){
		"committed": func(w *world) { w.must(w.Tx(w.Context(), w.revoke)) },
		"unknown": func(w *world) {
			w.inner.afterAll = registry.ErrUnavailable
			if err := w.Tx(w.Context(), w.revoke); !errors.Is(err, registry.ErrUnavailable) {
				w.Errorf("the outcome is %v", err)
			}
		},
		"a panic after the commit": func(w *world) {
			w.inner.commits = func() { panic("after") }
			defer func() { _ = recover() }()
			_ = w.Tx(w.Context(), w.revoke)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, Options{})
			w.is(true, 1)
			outcome(w)
			w.is(false, 1)
			w.is(false, 0) // the change has ended
		})
	}
}

// TestUndone: what was not committed costs nothing, and leaves nothing behind.
func TestUndone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{})
	w.is(true, 1)
	undo := errors.New("undo")
	if err := w.Tx(t.Context(), func(tx registry.Tx) error { return errors.Join(w.revoke(tx), undo) }); !errors.Is(err, undo) {
		t.Fatal(err)
	}
	func() {
		defer func() { _ = recover() }()
		_ = w.Tx(t.Context(), func(tx registry.Tx) error { panic(w.revoke(tx)) })
	}()
	w.is(true, 0)
}

// TestUnderWay: between the commit and the end of Tx nobody hears what was before, whatever was read meanwhile.
func TestUnderWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{})
	w.is(true, 1)
	w.inner.commits = func() {
		w.is(false, 1)
		w.is(false, 1) // and nothing is kept that was read before the end
	}
	w.must(w.Tx(t.Context(), w.revoke))
	w.inner.commits = nil
	w.is(false, 1)
	w.is(false, 0)
}

// TestMarks: with all places contended, a mark never goes back and no change is left under way.
func TestMarks(t *testing.T) {
	t.Parallel()
	v := newValidity(Options{})
	mine := []place{1, 2, 1}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				at := v.clock.Load()
				v.hold(mine)
				if v.good(&stamp{at: v.clock.Load(), until: 1 << 62, needs: needs{1, 1, 1, 1}}, 0) {
					t.Error("good while a change is under way")
					return
				}
				v.release(mine)
				v.touch([]place{2})
				if v.good(&stamp{at: at, until: 1 << 62, needs: needs{2, 2, 2, 2}}, 0) {
					t.Error("good after a change")
					return
				}
			}
		})
	}
	all.Wait()
	if s := (&stamp{at: v.clock.Load(), until: 1 << 62, needs: needs{1, 2, 1, 2}}); !v.good(s, 0) {
		t.Error("a change is left under way")
	}
}
