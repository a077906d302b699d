package registry_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// fixture is a service on a store of its own, with a clock that stands still until sleep moves it.
type fixture struct {
	t     *testing.T
	ctx   context.Context
	store registry.Store
	s     *registry.Service
	by    registry.Caller

	mu  sync.Mutex
	now time.Time
}

func newFixture(t *testing.T, o ...func(*registry.Options)) *fixture {
	t.Helper()
	return fixtureOn(t, memory.New(), o...)
}

func fixtureOn(t *testing.T, store registry.Store, o ...func(*registry.Options)) *fixture {
	t.Helper()
	f := &fixture{t: t, ctx: t.Context(), store: store, now: noon, by: registry.Caller{
		Access: registry.FullAccess, Actor: audit.Party{ID: "op-1", Name: "Platform operator", Type: "operator"},
		SourceIP: "192.0.2.7", RequestID: "req-1",
	}}
	options := registry.Options{Version: "v1.2.3", Now: func() time.Time {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.now
	}}
	for _, change := range o {
		change(&options)
	}
	f.s = registry.New(store, options)
	return f
}

// noCaps lets callers share without caps.
func noCaps(o *registry.Options) { o.Shares = &registry.ShareCaps{} }

// expecting is a caller whose changes are meant for these versions.
func expecting(by registry.Caller, versions ...int64) registry.Caller {
	by.ExpectedVersions = append([]int64{}, versions...)
	return by
}

// at is a time that far from noon.
func at(d time.Duration) *time.Time { return new(noon.Add(d)) }

func (f *fixture) sleep(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// tenant makes a tenant in a state, by the ways there are.
func (f *fixture) tenant(slug string, status registry.TenantStatus) registry.Tenant {
	f.t.Helper()
	n, err := testkit.Value(f.s.CreateTenant(f.ctx, f.by, registry.TenantInput{Slug: slug, Name: "The " + slug}))
	f.must(err)
	if status != registry.StatusTrial {
		n, err = testkit.Value(f.s.ActivateTenant(f.ctx, f.by, n.ID))
		f.must(err)
	}
	if status == registry.StatusFrozen {
		n, err = testkit.Value(f.s.CancelTenant(f.ctx, f.by, n.ID))
		f.must(err)
	}
	return n
}

// product makes a public, requestable product with a trial of two weeks, unless changes say otherwise.
func (f *fixture) product(key string, changes ...func(*registry.Product)) registry.Product {
	f.t.Helper()
	p := registry.Product{Key: key, Name: "The " + key, Audience: registry.Public, Requestable: true, TrialDays: 14}
	for _, change := range changes {
		change(&p)
	}
	p, err := testkit.Value(f.s.CreateProduct(f.ctx, f.by, p))
	f.must(err)
	return p
}

// key makes an API key and returns its record and text.
func (f *fixture) key(n registry.APIKeyInput) (registry.APIKey, string) {
	f.t.Helper()
	if n.Name == "" {
		n.Name = "a key"
	}
	k, text, err := testkit.Secret(f.s.CreateAPIKey(f.ctx, f.by, n))
	f.must(err)
	return k, text
}

// tx writes what no use case would.
func (f *fixture) tx(fn func(registry.Tx) error) {
	f.t.Helper()
	f.must(f.store.Tx(f.ctx, fn))
}

// log is the whole audit log, oldest first.
func (f *fixture) log() []audit.Event {
	f.t.Helper()
	rows, err := f.store.ListAuditEvents(f.ctx, registry.AuditQuery{
		Ascending: true, PageRequest: registry.PageRequest{Limit: registry.MaxExamined},
	})
	f.must(err)
	return rows.Items
}

// place is the cursor after an event: its place in its chain, or in the whole log, and the beginning of its chain hash.
func place(position int64, e audit.Event) string {
	return fmt.Sprintf("%d.%s", position, e.ChainHash[:16])
}

// placeOf is the cursor after the event with a seq of a tenant's chain.
func (f *fixture) placeOf(tenant registry.Tenant, seq int64) string {
	f.t.Helper()
	for _, e := range f.log() {
		if e.GroupID == tenant.ID && e.Seq == seq {
			return place(seq, e)
		}
	}
	f.t.Fatalf("%s has no event %d", tenant.Slug, seq)
	return ""
}

// last is the newest event.
func (f *fixture) last() audit.Event {
	f.t.Helper()
	events := f.log()
	if len(events) == 0 {
		f.t.Fatal("the audit log is empty")
	}
	return events[len(events)-1]
}

// refusal checks that err is a refusal of this kind and code, and returns it.
func (f *fixture) refusal(err error, kind registry.Kind, code string) *registry.Error {
	f.t.Helper()
	var refusal *registry.Error
	if !errors.As(err, &refusal) {
		f.t.Fatalf("%v is no refusal, want %s", err, code)
	}
	if refusal.Kind != kind || refusal.Code != code || refusal.Detail == "" {
		f.t.Fatalf("%+v, want kind %d and code %s", refusal, kind, code)
	}
	return refusal
}

// blames checks that a refusal names this one member or parameter.
func (f *fixture) blames(e *registry.Error, where string) {
	f.t.Helper()
	if len(e.Violations) != 1 || e.Violations[0].Pointer+e.Violations[0].Parameter != where ||
		e.Violations[0].Message == "" {
		f.t.Errorf("%s blames %+v, want %s", e.Code, e.Violations, where)
	}
}

// dump is everything that the store holds, as text.
func (f *fixture) dump(tenants ...uuid.UUID) string {
	f.t.Helper()
	var b strings.Builder
	add := func(value any, err error) {
		f.must(err)
		text, err := json.Marshal(value)
		f.must(err)
		fmt.Fprintf(&b, "%s\n", text)
	}
	for _, id := range tenants {
		add(f.store.GetTenant(f.ctx, id))
		add(f.store.ListEntitlements(f.ctx, id))
		add(f.store.ListPendingCatalogRequests(f.ctx, id))
		add(f.store.ListAPIKeys(f.ctx, registry.APIKeyQuery{
			TenantID: id, PageRequest: registry.PageRequest{Limit: 1000},
		}))
	}
	add(f.store.ListProducts(f.ctx))
	add(f.log(), nil)
	return b.String()
}

// fields checks what an event says of the change.
func (f *fixture) fields(e audit.Event, want map[string]string) {
	f.t.Helper()
	if !reflect.DeepEqual(e.Fields, want) {
		f.t.Errorf("%s has the fields\n     %q\nwant %q", e.Action, e.Fields, want)
	}
}

// dense checks the chain of each group: seq from 1 without a gap, each hash that of its predecessor, pos in one order.
func dense(t *testing.T, events []audit.Event) {
	t.Helper()
	heads, pos := map[uuid.UUID]testkit.AuditHead{}, int64(0)
	for _, e := range events {
		head := heads[e.GroupID]
		if head.Seq == 0 {
			head.ChainHash = strings.Repeat("0", 64)
		}
		if e.Pos != pos+1 || e.Seq != head.Seq+1 || e.PrevChainHash != head.ChainHash {
			t.Errorf(
				"%s at pos %d, seq %d follows %s; want pos %d, seq %d, %s", e.Action, e.Pos, e.Seq, e.PrevChainHash,
				pos+1, head.Seq+1, head.ChainHash,
			)
		}
		_, erased := e.Erased[audit.PartHash]
		if e.ChainHash != registry.ChainHash(e) || !erased && e.Hash != registry.RetracedHash(e) {
			t.Errorf(
				"%s at pos %d has the hashes %s and %s, which are not those of its members", e.Action, e.Pos, e.Hash,
				e.ChainHash,
			)
		}
		heads[e.GroupID] = testkit.AuditHead{Seq: e.Seq, ChainHash: e.ChainHash}
		pos = e.Pos
	}
}

// rerunning is a store that runs each transaction twice and commits the second run, as one does after a deadlock.
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
	down   atomic.Bool // the same, for what runs in the background
	tries  atomic.Int64
}

type muteTx struct {
	registry.Tx
	s *mute
}

func (s *mute) Tx(ctx context.Context, fn func(registry.Tx) error) error {
	return s.Store.Tx(ctx, func(tx registry.Tx) error { return fn(muteTx{tx, s}) })
}

func (tx muteTx) InsertAuditEvents(ctx context.Context, events []audit.Event) error {
	tx.s.tries.Add(1)
	if tx.s.silent || tx.s.down.Load() {
		return registry.ErrUnavailable
	}
	return tx.Tx.InsertAuditEvents(ctx, events)
}

// watched is a store that counts look-ups by hash, and fails reads of tenants while down is set.
type watched struct {
	registry.Store
	lookups int
	down    error
}

func (s *watched) GetKeyFacts(
	ctx context.Context, lookups []registry.KeyLookup,
) (map[registry.KeyLookup]registry.KeyFacts, error) {
	s.lookups += len(lookups)
	if s.down != nil {
		return nil, s.down
	}
	return s.Store.GetKeyFacts(ctx, lookups)
}

func (s *watched) GetTenant(ctx context.Context, id uuid.UUID) (registry.Tenant, error) {
	if s.down != nil {
		return registry.Tenant{}, s.down
	}
	return s.Store.GetTenant(ctx, id)
}

// keys are the newest ten keys of a tenant.
func (f *fixture) keys(tenant uuid.UUID) ([]registry.APIKey, error) {
	page, err := f.s.APIKeys(f.ctx, f.by, registry.APIKeyQuery{
		TenantID: tenant, PageRequest: registry.PageRequest{Limit: 10},
	})
	return page.Items, err
}

// verdict is what verify says of a key's text: the code and which secret it is.
func (f *fixture) verdict(text string) string {
	f.t.Helper()
	v, err := f.s.Verify(f.ctx, f.by, registry.VerifyQuery{Key: text}, registry.ReadOptions{})
	f.must(err)
	return strings.TrimSpace(string(v.Code) + " " + string(v.Secret))
}

// verdicts checks what verify says of several texts.
func (f *fixture) verdicts(texts []string, want ...string) {
	f.t.Helper()
	var got []string
	for _, text := range texts {
		got = append(got, f.verdict(text))
	}
	if !reflect.DeepEqual(got, want) {
		f.t.Errorf("verify says %q, want %q", got, want)
	}
}

func (f *fixture) rotate(id uuid.UUID, overlap time.Duration) (registry.APIKey, string) {
	f.t.Helper()
	k, text, err := testkit.Secret(f.s.RotateAPIKey(f.ctx, f.by, id, new(int64(overlap/time.Second))))
	f.must(err)
	return k, text
}
