package registry

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/audit"
)

// recordingTx is a transaction whose writes succeed, unless err is set, and that records the order of its calls.
type recordingTx struct {
	Tx
	err       error
	calls     []string
	published []Invalidation
}

func (tx *recordingTx) call(name string) error {
	tx.calls = append(tx.calls, name)
	return tx.err
}

func (tx *recordingTx) InsertTenant(context.Context, Tenant) error           { return tx.call("write") }
func (tx *recordingTx) UpdateTenant(context.Context, Tenant) error           { return tx.call("write") }
func (tx *recordingTx) InsertEntitlement(context.Context, Entitlement) error { return tx.call("write") }
func (tx *recordingTx) InsertAPIKey(context.Context, APIKey) error           { return tx.call("write") }
func (tx *recordingTx) UpdateAPIKey(context.Context, APIKey) error           { return tx.call("write") }
func (tx *recordingTx) InsertProduct(context.Context, Product) error         { return tx.call("write") }

func (tx *recordingTx) InsertCatalogRequest(context.Context, CatalogRequest) error {
	return tx.call("write")
}

func (tx *recordingTx) EraseSubjects(
	_ context.Context, _ uuid.UUID, subjects []string, _ bool, _ time.Time,
) (bool, error) {
	return len(subjects) > 0, tx.call("write")
}

func (tx *recordingTx) PublishInvalidation(_ context.Context, i Invalidation) error {
	tx.published = append(tx.published, i)
	return tx.call("publish")
}

func (tx *recordingTx) LockAuditLog(context.Context, []uuid.UUID, []audit.Digest) (AuditHeads, error) {
	return AuditHeads{Chains: map[uuid.UUID]audit.ChainHead{}}, tx.call("lock")
}

func (tx *recordingTx) InsertAuditEvents(context.Context, []audit.Event) error {
	return tx.call("append")
}

// Every write of a Tx is listed here with what it invalidates, so that one that is added later is not forgotten.
func TestInvalidation_ofEveryWrite(t *testing.T) {
	t.Parallel()
	tenant := Tenant{ID: uuid.New(), Slug: "slug", KeycloakOrgID: "org"}
	key := APIKey{ID: uuid.New(), Hash: apikey.Hash{2}, PreviousHash: apikey.Hash{1}}
	fresh := APIKey{ID: key.ID, Hash: key.Hash}
	ofKey := Invalidation{Keys: []uuid.UUID{key.ID}, Hashes: []apikey.Hash{key.Hash, key.PreviousHash}}
	ofFresh := Invalidation{Keys: []uuid.UUID{key.ID}, Hashes: []apikey.Hash{key.Hash}}
	ofTenant := Invalidation{Tenants: []uuid.UUID{tenant.ID}}
	ctx := t.Context()
	type write struct {
		call        func(Tx) error
		invalidates Invalidation
	}
	known := map[string][]write{
		"InsertTenant": {{
			func(tx Tx) error { return tx.InsertTenant(ctx, tenant) },
			Invalidation{Tenants: ofTenant.Tenants, Slugs: []string{"slug"}, Orgs: []string{"org"}},
		}},
		"UpdateTenant": {{
			func(tx Tx) error { return tx.UpdateTenant(ctx, tenant) },
			Invalidation{Tenants: ofTenant.Tenants, Orgs: []string{"org"}},
		}},
		"InsertEntitlement": {{
			func(tx Tx) error { return tx.InsertEntitlement(ctx, Entitlement{TenantID: tenant.ID}) }, ofTenant,
		}},
		"InsertAPIKey": {
			{func(tx Tx) error { return tx.InsertAPIKey(ctx, key) }, ofKey},
			{func(tx Tx) error { return tx.InsertAPIKey(ctx, fresh) }, ofFresh},
		},
		"UpdateAPIKey": {
			{func(tx Tx) error { return tx.UpdateAPIKey(ctx, key) }, ofKey},
			{func(tx Tx) error { return tx.UpdateAPIKey(ctx, fresh) }, ofFresh},
		},
		"InsertProduct": {{
			func(tx Tx) error { return tx.InsertProduct(ctx, Product{Key: "key"}) },
			Invalidation{Products: []string{"key"}},
		}},
		"EraseSubjects": {{inRows(tenant.ID, "u"), ofTenant}, {inRows(tenant.ID), Invalidation{}}},
		// What these write is never cached.
		"LockErasureCommit": nil, "MarkEventParts": nil, "DeleteEventParts": nil, "LockForAppend": nil,
		"InsertCatalogRequest": nil, "ReserveIdempotencyKey": nil, "LockAuditLog": nil, "InsertAuditEvents": nil,
		"PublishInvalidation": nil,
		"LockTenant":          nil, "LockTenantsShared": nil, "LockAPIKey": nil,
		"UpdateAPIKeyUsage": nil, // times of use are in no verdict
	}
	for _, method := range writeMethods() {
		writes, listed := known[method]
		if !listed {
			t.Errorf("%s is a new write: record in invalidation.go what it invalidates, and list it here", method)
		}
		for _, w := range writes {
			r := &invalidationRecorder{Tx: &recordingTx{}}
			if err := w.call(r); err != nil || !reflect.DeepEqual(r.recorded, w.invalidates) {
				t.Errorf("%s: %v, recorded %+v, want %+v", method, err, r.recorded, w.invalidates)
			}
			failed := &invalidationRecorder{Tx: &recordingTx{err: ErrNotFound}}
			if err := w.call(failed); !errors.Is(err, ErrNotFound) || !failed.recorded.Empty() {
				t.Errorf("%s that fails: %v, recorded %+v", method, err, failed.recorded)
			}
		}
	}
	if len(known) != len(writeMethods()) {
		t.Errorf("%d writes are listed, and a Tx has %d", len(known), len(writeMethods()))
	}
}

// writeMethods are the methods of a Tx that a Reader does not have.
func writeMethods() (names []string) {
	tx, reader := reflect.TypeFor[Tx](), reflect.TypeFor[Reader]()
	for i := range tx.NumMethod() {
		if _, reads := reader.MethodByName(tx.Method(i).Name); !reads {
			names = append(names, tx.Method(i).Name)
		}
	}
	return names
}

// Every exported method of a recorder is one of a Tx: one that is renamed there would no longer be intercepted here.
func TestInvalidationRecorder_overridesMethodsOfTx(t *testing.T) {
	t.Parallel()
	tx, recorder := reflect.TypeFor[Tx](), reflect.TypeFor[*invalidationRecorder]()
	for i := range recorder.NumMethod() {
		if _, has := tx.MethodByName(recorder.Method(i).Name); !has {
			t.Errorf("%s is no method of a Tx", recorder.Method(i).Name)
		}
	}
}

func TestInvalidation_empty(t *testing.T) {
	t.Parallel()
	if !(Invalidation{}).Empty() || !(Invalidation{Keys: []uuid.UUID{}, Slugs: []string{}}).Empty() {
		t.Error("nothing is not empty")
	}
	for _, i := range []Invalidation{
		{Tenants: []uuid.UUID{{}}}, {Keys: []uuid.UUID{{}}}, {Hashes: []apikey.Hash{{}}}, {Products: []string{""}},
		{Slugs: []string{""}}, {All: true},
	} {
		if i.Empty() {
			t.Errorf("%+v is empty", i)
		}
	}
}

// rerunStore is a store that runs every transaction times times, as one does after a deadlock; the last run counts.
type rerunStore struct {
	Store
	times int
	runs  []*recordingTx
}

func (s *rerunStore) Tx(_ context.Context, fn func(Tx) error) (err error) {
	for range s.times {
		tx := &recordingTx{}
		s.runs = append(s.runs, tx)
		err = fn(tx)
	}
	return err
}

// Confirm implements Store.
func (*rerunStore) Confirm(context.Context) error { return nil }

// change publishes what its writes invalidate after the last of them and before the audit lock, which all changes
// share; nothing if nothing is invalidated.
func TestChange_publishesBeforeTheAuditLock(t *testing.T) {
	t.Parallel()
	tenants := []Tenant{{ID: uuid.New(), Slug: "a"}, {ID: uuid.New(), Slug: "b"}}
	insert := func(tx Tx) error { return tx.InsertTenant(t.Context(), tenants[0]) }
	update := func(tx Tx) error { return tx.UpdateTenant(t.Context(), tenants[1]) }
	request := func(tx Tx) error { return tx.InsertCatalogRequest(t.Context(), CatalogRequest{}) }
	both := &Invalidation{Tenants: []uuid.UUID{tenants[0].ID, tenants[1].ID}, Slugs: []string{"a"}}
	event := []audit.Event{{Action: "a.b"}}
	for name, c := range map[string]struct {
		writes    []func(Tx) error
		events    []audit.Event
		calls     []string
		published *Invalidation
	}{
		"a change and its event": {
			[]func(Tx) error{insert, update}, event, []string{"write", "write", "publish", "lock", "append"}, both,
		},
		"a change without an event": {
			[]func(Tx) error{insert, update}, nil, []string{"write", "write", "publish"}, both,
		},
		"a change of what is not cached": {[]func(Tx) error{request}, event, []string{"write", "lock", "append"}, nil},
		"an event alone":                 {nil, event, []string{"lock", "append"}, nil},
		"nothing":                        {nil, nil, nil, nil},
	} {
		store := &rerunStore{times: 2}
		_, err := changeAny(t, store, func(tx Tx, _ time.Time) (*outcome[int], error) {
			for _, write := range c.writes {
				if err := write(tx); err != nil {
					return nil, err
				}
			}
			return &outcome[int]{events: c.events}, nil
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for i, run := range store.runs { // what the first run recorded is not published by the second
			if !slices.Equal(run.calls, c.calls) {
				t.Errorf("%s, run %d: %v, want %v", name, i+1, run.calls, c.calls)
			}
			var want []Invalidation
			if c.published != nil {
				want = []Invalidation{*c.published}
			}
			if !reflect.DeepEqual(run.published, want) {
				t.Errorf("%s, run %d: published %+v, want %+v", name, i+1, run.published, want)
			}
		}
	}
}

// A change that is refused, or whose invalidation cannot be published, takes no audit lock.
func TestChange_failsWithoutTheAuditLock(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	store := &rerunStore{times: 1}
	_, err := changeAny(t, store, func(tx Tx, _ time.Time) (*outcome[int], error) {
		return nil, errors.Join(tx.UpdateTenant(t.Context(), Tenant{}), refused)
	})
	if calls := store.runs[0].calls; !errors.Is(err, refused) || !slices.Equal(calls, []string{"write"}) {
		t.Errorf("a refusal: %v, %v", err, calls)
	}
	store = &rerunStore{times: 1}
	_, err = changeAny(t, store, func(tx Tx, _ time.Time) (*outcome[int], error) {
		err := tx.UpdateTenant(t.Context(), Tenant{ID: uuid.New()})
		store.runs[0].err = ErrUnavailable
		return &outcome[int]{events: []audit.Event{{Action: "a.b"}}}, err
	})
	if calls := store.runs[0].calls; !errors.Is(err, ErrUnavailable) ||
		!slices.Equal(calls, []string{"write", "publish"}) {
		t.Errorf("an invalidation that is not published: %v, %v", err, calls)
	}
}

// changeAny is a change of no tenant.
func changeAny(t *testing.T, store Store, fn func(Tx, time.Time) (*outcome[int], error)) (Result[int], error) {
	t.Helper()
	return change(t.Context(), New(store, Options{}), Caller{}, uuid.Nil, fn)
}

// inRows erases subjects in a tenant's rows.
func inRows(tenant uuid.UUID, subjects ...string) func(Tx) error {
	return func(tx Tx) error {
		_, err := tx.EraseSubjects(context.Background(), tenant, subjects, false, time.Time{})
		return err
	}
}
