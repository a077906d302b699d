package registry_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// world is a service on a store of its own, with a clock that stands still until it is told.
type world struct {
	t     *testing.T
	ctx   context.Context
	store registry.Store
	s     *registry.Service
	by    registry.Caller

	mu  sync.Mutex
	now time.Time
}

func newWorld(t *testing.T, o ...func(*registry.Options)) *world {
	t.Helper()
	return worldOn(t, memory.New(), o...)
}

func worldOn(t *testing.T, store registry.Store, o ...func(*registry.Options)) *world {
	t.Helper()
	w := &world{t: t, ctx: t.Context(), store: store, now: noon, by: registry.Caller{
		Scope: registry.Everything, Actor: registry.Party{ID: "op-1", Name: "Platform operator", Type: "operator"}, SourceIP: "192.0.2.7", RequestID: "req-1",
	}}
	options := registry.Options{Version: "v1.2.3", Now: func() time.Time {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.now
	}}
	for _, change := range o {
		change(&options)
	}
	w.s = registry.New(store, options)
	return w
}

// at is a time that far from noon.
func at(d time.Duration) *time.Time { return new(noon.Add(d)) }

func (w *world) sleep(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// tenant makes a tenant in a state, by the ways there are.
func (w *world) tenant(slug string, status registry.TenantStatus) registry.Tenant {
	w.t.Helper()
	n, err := w.s.CreateTenant(w.ctx, w.by, registry.NewTenant{Slug: slug, Name: "The " + slug})
	w.must(err)
	if status != registry.StatusTrial {
		n, err = w.s.ActivateTenant(w.ctx, w.by, n.ID)
		w.must(err)
	}
	if status == registry.StatusFrozen {
		n, err = w.s.CancelTenant(w.ctx, w.by, n.ID)
		w.must(err)
	}
	return n
}

// product makes a public, requestable product with a trial of two weeks, unless told otherwise.
func (w *world) product(key string, changes ...func(*registry.Product)) registry.Product {
	w.t.Helper()
	p := registry.Product{Key: key, Name: "The " + key, Audience: registry.Public, Requestable: true, TrialDays: 14}
	for _, change := range changes {
		change(&p)
	}
	p, err := w.s.CreateProduct(w.ctx, w.by, p)
	w.must(err)
	return p
}

// key makes an API key and returns its record and text.
func (w *world) key(n registry.NewAPIKey) (registry.APIKey, string) {
	w.t.Helper()
	if n.Name == "" {
		n.Name = "a key"
	}
	k, text, err := w.s.CreateAPIKey(w.ctx, w.by, n)
	w.must(err)
	return k, text
}

// tx writes what no use case would.
func (w *world) tx(fn func(registry.Tx) error) {
	w.t.Helper()
	w.must(w.store.Tx(w.ctx, fn))
}

// log is the whole audit log, oldest first.
func (w *world) log() []registry.AuditEvent {
	w.t.Helper()
	rows, err := w.store.Events(w.ctx, registry.AuditQuery{Ascending: true, Limit: registry.MaxExamined})
	w.must(err)
	return rows.Items
}

// last is the newest event.
func (w *world) last() registry.AuditEvent {
	w.t.Helper()
	events := w.log()
	if len(events) == 0 {
		w.t.Fatal("the audit log is empty")
	}
	return events[len(events)-1]
}

// refusal checks that err is a refusal of this kind and code, and returns it.
func (w *world) refusal(err error, kind registry.Kind, code string) *registry.Error {
	w.t.Helper()
	var refusal *registry.Error
	if !errors.As(err, &refusal) {
		w.t.Fatalf("%v is no refusal, want %s", err, code)
	}
	if refusal.Kind != kind || refusal.Code != code || refusal.Detail == "" {
		w.t.Fatalf("%+v, want kind %d and code %s", refusal, kind, code)
	}
	return refusal
}

// blames checks that a refusal names this one member or parameter.
func (w *world) blames(e *registry.Error, where string) {
	w.t.Helper()
	if len(e.Violations) != 1 || e.Violations[0].Pointer+e.Violations[0].Parameter != where || e.Violations[0].Message == "" {
		w.t.Errorf("%s blames %+v, want %s", e.Code, e.Violations, where)
	}
}

// dump is everything that the store holds, as text.
func (w *world) dump(tenants ...uuid.UUID) string {
	w.t.Helper()
	var b strings.Builder
	add := func(value any, err error) {
		w.must(err)
		text, err := json.Marshal(value)
		w.must(err)
		fmt.Fprintf(&b, "%s\n", text)
	}
	for _, id := range tenants {
		add(w.store.Tenant(w.ctx, id))
		add(w.store.Entitlements(w.ctx, id))
		add(w.store.PendingRequests(w.ctx, id))
		add(w.store.APIKeys(w.ctx, registry.KeyQuery{TenantID: id, Limit: 1000}))
	}
	add(w.store.Products(w.ctx))
	add(w.log(), nil)
	return b.String()
}

// fields checks what an event says of the change.
func (w *world) fields(e registry.AuditEvent, want map[string]string) {
	w.t.Helper()
	if !reflect.DeepEqual(e.Fields, want) {
		w.t.Errorf("%s has the fields\n     %q\nwant %q", e.Action, e.Fields, want)
	}
}

// dense checks the chain of each group: seq from 1 without a gap, each hash that of its predecessor, pos in one order.
func dense(t *testing.T, events []registry.AuditEvent) {
	t.Helper()
	heads, pos := map[uuid.UUID]registry.AuditHead{}, int64(0)
	for _, e := range events {
		head := heads[e.GroupID]
		if head.Seq == 0 {
			head.ChainHash = strings.Repeat("0", 64)
		}
		if e.Pos != pos+1 || e.Seq != head.Seq+1 || e.PrevChainHash != head.ChainHash {
			t.Errorf("%s at pos %d, seq %d follows %s; want pos %d, seq %d, %s", e.Action, e.Pos, e.Seq, e.PrevChainHash, pos+1, head.Seq+1, head.ChainHash)
		}
		if e.ChainHash != registry.ChainHash(e) || e.Hash != registry.RetracedHash(e) {
			t.Errorf("%s at pos %d has the hashes %s and %s, which are not those of its members", e.Action, e.Pos, e.Hash, e.ChainHash)
		}
		heads[e.GroupID] = registry.AuditHead{Seq: e.Seq, ChainHash: e.ChainHash}
		pos = e.Pos
	}
}

// rerunning is a store that runs each transaction twice and keeps the second, as one does after a deadlock.
type rerunning struct{ registry.Store }

var errAgain = errors.New("again")

func (s rerunning) Tx(ctx context.Context, fn func(registry.Tx) error) error {
	err := s.Store.Tx(ctx, func(tx registry.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return errAgain
	})
	if !errors.Is(err, errAgain) {
		return err
	}
	return s.Store.Tx(ctx, fn)
}

// mute is a store that takes no events while silent is set.
type mute struct {
	registry.Store
	silent bool
}

type muteTx struct {
	registry.Tx
	s *mute
}

func (s *mute) Tx(ctx context.Context, fn func(registry.Tx) error) error {
	return s.Store.Tx(ctx, func(tx registry.Tx) error { return fn(muteTx{tx, s}) })
}

func (tx muteTx) InsertEvent(ctx context.Context, e registry.AuditEvent) error {
	if tx.s.silent {
		return registry.ErrUnavailable
	}
	return tx.Tx.InsertEvent(ctx, e)
}

func (tx muteTx) InsertEvents(ctx context.Context, events []registry.AuditEvent) error {
	if tx.s.silent {
		return registry.ErrUnavailable
	}
	return tx.Tx.InsertEvents(ctx, events)
}

// watched is a store that counts look-ups by hash, and fails reads of tenants while down is set.
type watched struct {
	registry.Store
	lookups int
	down    error
}

func (s *watched) KeyFacts(ctx context.Context, hash registry.Hash, product string) (registry.KeyFacts, error) {
	s.lookups++
	if s.down != nil {
		return registry.KeyFacts{}, s.down
	}
	return s.Store.KeyFacts(ctx, hash, product)
}

func (s *watched) Tenant(ctx context.Context, id uuid.UUID) (registry.Tenant, error) {
	if s.down != nil {
		return registry.Tenant{}, s.down
	}
	return s.Store.Tenant(ctx, id)
}
