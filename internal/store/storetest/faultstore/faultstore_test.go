package faultstore_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/cache"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
	"github.com/breakpilot/tenant-registry/internal/store/storetest"
	"github.com/breakpilot/tenant-registry/internal/store/storetest/faultstore"
)

var errFault = errors.New("the fault of the test")

func noFault(string) error { return nil }

// recorder records the names of calls, and lets all of them fail with err.
type recorder struct {
	mu    sync.Mutex
	names []string
	err   error
}

func (r *recorder) fault(call string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names = append(r.names, call)
	return r.err
}

func (r *recorder) called() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.names)
}

func tenant(slug string) registry.Tenant {
	return registry.Tenant{
		ID:      uuid.Must(uuid.NewV7()),
		Slug:    slug,
		Name:    slug,
		Status:  registry.StatusActive,
		Version: 1,
	}
}

// TestStore holds that without a fault the decorated store is as the store is.
func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(
		t, func(*testing.T) registry.Store { return faultstore.New(memory.New(), noFault) },
		storetest.Options{OneWriter: true},
	)
}

// TestLookup holds that a store with a cache stays one.
func TestLookup(t *testing.T) {
	t.Parallel()
	var calls recorder
	store := faultstore.New(cache.New(memory.New(), cache.Options{}), calls.fault)
	lookup, ok := store.(registry.Lookup)
	if !ok {
		t.Fatal("a Lookup is none when it is decorated")
	}
	if _, ok := faultstore.New(memory.New(), noFault).(registry.Lookup); ok {
		t.Error("a store without a cache is a Lookup when it is decorated")
	}
	calls.err = errFault
	_, ofKey := lookup.KeyFacts(t.Context(), registry.KeyLookup{}, registry.ReadOptions{})
	_, ofSlug := lookup.TenantBySlug(t.Context(), "slug", registry.ReadOptions{})
	_, ofOrg := lookup.TenantByKeycloakOrg(t.Context(), "org", registry.ReadOptions{})
	if !errors.Is(ofKey, errFault) || !errors.Is(ofSlug, errFault) || !errors.Is(ofOrg, errFault) ||
		!slices.Equal(calls.called(), []string{"KeyFacts", "TenantBySlug", "TenantByKeycloakOrg"}) {
		t.Errorf("%v, %v, %v, called %v", ofKey, ofSlug, ofOrg, calls.called())
	}
}

// TestEveryCallIsAsked calls every method of a Store and of a Tx: a fault of its name is its answer, and the call is
// not made.
func TestEveryCallIsAsked(t *testing.T) {
	t.Parallel()
	store := reflect.TypeFor[registry.Store]()
	for i := range store.NumMethod() {
		if name := store.Method(i).Name; name != "Tx" {
			var calls recorder
			calls.err = errFault
			wantFault(t, &calls, name, reflect.ValueOf(faultstore.New(nil, calls.fault)).MethodByName(name))
		}
	}
	tx := reflect.TypeFor[registry.Tx]()
	for i := range tx.NumMethod() {
		name := tx.Method(i).Name
		var calls recorder
		err := faultstore.New(memory.New(), calls.fault).Tx(t.Context(), func(decorated registry.Tx) error {
			calls.names, calls.err = nil, errFault
			wantFault(t, &calls, "Tx."+name, reflect.ValueOf(decorated).MethodByName(name))
			return errFault
		})
		if !errors.Is(err, errFault) {
			t.Errorf("Tx: %v", err)
		}
	}
}

// wantFault calls a method with a context and zero values.
func wantFault(t *testing.T, calls *recorder, name string, method reflect.Value) {
	t.Helper()
	args := []reflect.Value{reflect.ValueOf(t.Context())}
	for i := 1; i < method.Type().NumIn(); i++ {
		args = append(args, reflect.Zero(method.Type().In(i)))
	}
	results := method.Call(args)
	err, _ := results[len(results)-1].Interface().(error)
	if !errors.Is(err, errFault) || !slices.Equal(calls.called(), []string{name}) {
		t.Errorf("%s: %v, asked for %v", name, err, calls.called())
	}
}

// TestFaults_ofTransactions: before it begins, within, and after the commit.
func TestFaults_ofTransactions(t *testing.T) {
	t.Parallel()
	for call, committed := range map[string]bool{"Tx": false, "Tx.InsertTenant": false, "Commit": true} {
		inner := memory.New()
		added := tenant("added")
		err := faultstore.New(inner, faultstore.On(call, errFault)).Tx(t.Context(), func(tx registry.Tx) error {
			return tx.InsertTenant(t.Context(), added)
		})
		if !errors.Is(err, errFault) {
			t.Errorf("%s: %v", call, err)
		}
		if _, err := inner.GetTenant(t.Context(), added.ID); (err == nil) != committed {
			t.Errorf("%s: %v; want it committed: %t", call, err, committed)
		}
	}
}

func TestRerun(t *testing.T) {
	t.Parallel()
	inner := memory.New()
	var calls recorder
	store := faultstore.New(inner, func(call string) error {
		_ = calls.fault(call)
		switch call {
		case "Tx":
			return faultstore.ErrRerun
		case "Rerun": // the first run was rolled back, and its locks are free
			return inner.Tx(
				t.Context(), func(tx registry.Tx) error { return tx.InsertTenant(t.Context(), tenant("rival")) },
			)
		}
		return nil
	})
	var seen []bool
	err := store.Tx(t.Context(), func(tx registry.Tx) error {
		_, err := registry.GetTenantBySlug(t.Context(), tx, "rival")
		seen = append(seen, err == nil)
		return tx.InsertTenant(t.Context(), tenant("added"))
	})
	if err != nil || !slices.Equal(seen, []bool{false, true}) {
		t.Errorf("%v, the runs saw the rival: %v", err, seen)
	}
	want := []string{
		"Tx",
		"Tx.GetTenantsBySlug",
		"Tx.InsertTenant",
		"Rerun",
		"Tx.GetTenantsBySlug",
		"Tx.InsertTenant",
		"Commit",
	}
	if got := calls.called(); !slices.Equal(got, want) {
		t.Errorf("called %v, want %v", got, want)
	}
	if err := store.Tx(t.Context(), func(registry.Tx) error { return errFault }); !errors.Is(err, errFault) {
		t.Errorf("a transaction that fails in its first run: %v", err)
	}
}

func TestBlock(t *testing.T) {
	t.Parallel()
	store := faultstore.New(memory.New(), func(string) error { return faultstore.ErrBlock })
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := store.GetTenant(ctx, uuid.Nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if err := store.Tx(ctx, func(registry.Tx) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// TestAfter: the call is made, and its answer is held up or replaced.
func TestAfter(t *testing.T) {
	t.Parallel()
	inner := memory.New()
	ctx, cancel := context.WithCancel(t.Context())
	fail := errFault
	store := faultstore.New(inner, noFault, faultstore.After(func(call string) error {
		if call == "ListProducts" {
			return fail
		}
		return nil
	}))
	if _, err := store.ListProducts(ctx); !errors.Is(err, errFault) {
		t.Error(err)
	}
	fail = nil
	if products, err := store.ListProducts(ctx); err != nil || products == nil {
		t.Error(products, err)
	}
	ended := faultstore.New(inner, noFault, faultstore.After(func(string) error { cancel(); return nil }))
	if _, err := ended.ListProducts(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("the answer came after its context ended: %v", err)
	}
}
