package postgres_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/testkit"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/postgres"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
)

const (
	deadlockDetected = "40P01"
	stressWorkers    = 16
	stressDeadline   = time.Minute // on a busy machine
)

var stressChanges = flag.Int64("changes", 300, "how many changes the workers of TestLockOrder make")

// TestLockOrder has workers on two replicas change few tenants in every way that there is: no transaction deadlocks,
// nothing fails but what the rules refuse, and each change has its place in the log.
func TestLockOrder(t *testing.T) {
	t.Parallel()
	s := newStress(t, postgrestest.New(t))
	s.run(t, nil, func() bool { return s.changes.Load() >= *stressChanges })
	if n := s.codes.count(deadlockDetected); n > 0 {
		t.Errorf("%d deadlocks", n)
	}
	if s.changes.Load() < *stressChanges {
		t.Errorf("only %d changes within %s, refused were %v", s.changes.Load(), stressDeadline, s.refused)
	}
	s.checkLog(t)
}

// TestLockOrder_broken is the control: one more worker, which takes the audit lock before its tenant's row, deadlocks
// with the others, and that is seen. They survive it, because a transaction that loses is run again.
func TestLockOrder_broken(t *testing.T) {
	t.Parallel()
	s := newStress(t, findingDeadlocksSoon(t, postgrestest.New(t)))
	s.tolerates = registry.ErrUnavailable // a worker that waits for a deadlock to be found may give up before
	seen := func() bool { return s.codes.count(deadlockDetected) > 0 }
	s.run(t, func(ctx context.Context) {
		_ = s.stores[0].Tx(ctx, func(tx registry.Tx) error {
			group := s.tenants[rand.IntN(len(s.tenants))]
			if _, err := testkit.LockAuditHead(ctx, tx, group); err != nil {
				return err
			}
			_, err := tx.LockTenant(ctx, group)
			return err
		})
	}, seen)
	if !seen() {
		t.Error("no deadlock was seen, so none can be in the other test")
	}
	s.checkLog(t)
}

// findingDeadlocksSoon makes the server look for deadlocks after a tenth of a second, not one, where this role may ask
// for that.
func findingDeadlocksSoon(t *testing.T, dsn string) string {
	t.Helper()
	if value[string](connect(t, dsn), `SHOW is_superuser`) != "on" {
		return dsn
	}
	return with(dsn, "deadlock_timeout", "100ms")
}

// stress is a few tenants and many that change them.
type stress struct {
	stores   []*postgres.Store
	services []*registry.Service
	admin    *pgxpool.Pool // deletes tenants
	codes    codes
	tenants  []uuid.UUID
	keys     chan uuid.UUID // not revoked
	names    atomic.Int64
	// tolerates is an error that is no failure; nothing was changed by it.
	tolerates error
	changes   atomic.Int64 // each of which wrote one event

	mu      sync.Mutex
	refused map[string]int
}

func newStress(t *testing.T, dsn string) *stress {
	s := &stress{keys: make(chan uuid.UUID, 100_000), refused: map[string]int{}}
	for range 2 {
		store := open(t, postgres.Config{
			DSN: dsn, MaxConns: stressWorkers/2 + 1, Tracer: &s.codes, AcquireTimeout: 10 * time.Second,
		})
		s.stores = append(s.stores, store)
		s.services = append(s.services, registry.New(store, registry.Options{}))
	}
	admin, err := pgxpool.New(t.Context(), dsn)
	must(t, err)
	t.Cleanup(admin.Close)
	s.admin = admin
	for i := range 5 {
		must(t, s.changed(s.services[0].CreateProduct(t.Context(), operator, registry.Product{
			Key: fmt.Sprintf("product-%d", i), Name: "n", Audience: registry.Public, Requestable: true, TrialDays: 1,
		})))
	}
	for range 3 {
		tenant, err := s.newTenant(t.Context(), s.services[0])
		must(t, s.changed(tenant, err))
		s.tenants = append(s.tenants, tenant.ID)
	}
	return s
}

func (s *stress) changed(_ any, err error) error {
	if err == nil {
		s.changes.Add(1)
	}
	return err
}

func (s *stress) newTenant(ctx context.Context, on *registry.Service) (registry.Tenant, error) {
	return testkit.Value(
		on.CreateTenant(ctx, operator, registry.TenantInput{Slug: fmt.Sprintf("tenant-%d", s.names.Add(1)), Name: "n"}),
	)
}

// run lets all work until it is enough. extra is repeated by one more worker.
func (s *stress) run(t *testing.T, extra func(context.Context), enough func() bool) {
	until, stop := context.WithTimeout(t.Context(), stressDeadline)
	defer stop()
	var working sync.WaitGroup
	work := func(one func()) {
		working.Go(func() {
			for until.Err() == nil && !enough() {
				one()
			}
		})
	}
	if extra != nil {
		work(func() { extra(t.Context()) })
	}
	for i := range stressWorkers {
		work(func() { s.note(t, s.one(t.Context(), s.services[i%len(s.services)])) })
	}
	working.Wait()
}

// worse is the one of two errors that is a failure and no refusal.
func worse(a, b error) error {
	var refusal *registry.Error
	if a == nil || errors.As(a, &refusal) && b != nil {
		return b
	}
	return a
}

// note counts a rule's refusal, which is a result; every other error is a failure.
func (s *stress) note(t *testing.T, err error) {
	var refusal *registry.Error
	if errors.As(err, &refusal) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.refused[refusal.Code]++
	} else if err != nil && (s.tolerates == nil || !errors.Is(err, s.tolerates)) {
		t.Errorf("a change failed: %v", err)
	}
}

// one makes one random change.
func (s *stress) one(ctx context.Context, on *registry.Service) error {
	tenant := s.tenants[rand.IntN(len(s.tenants))]
	in := registry.CatalogRequestInput{TenantID: tenant, Product: fmt.Sprintf("product-%d", rand.IntN(5))}
	switch rand.IntN(13) {
	case 0, 1:
		return s.record(ctx, on, tenant)
	case 2:
		return s.bulk(ctx, on, tenant)
	case 3:
		return s.record(ctx, on, uuid.Nil)
	case 4, 5:
		key, _, err := testkit.Secret(on.CreateAPIKey(ctx, operator, registry.APIKeyInput{TenantID: tenant, Name: "n"}))
		if err == nil {
			s.keys <- key.ID
		}
		return s.changed(key, err)
	case 6:
		select {
		case key := <-s.keys:
			return s.changed(testkit.Value(on.RevokeAPIKey(ctx, operator, key, "")))
		default:
			return nil
		}
	case 7:
		return s.lifecycle(ctx, on)
	case 10:
		return s.withKeys(1, func(keys []uuid.UUID) error {
			key, _, err := testkit.Secret(on.RotateAPIKey(ctx, operator, keys[0], new(rand.Int64N(2)*3600)))
			return s.changed(key, err)
		})
	case 11:
		return s.withKeys(1, func(keys []uuid.UUID) error {
			patch := registry.APIKeyPatch{Name: registry.Set(fmt.Sprint("n", s.names.Add(1)))}
			return s.changed(on.UpdateAPIKey(ctx, operator, keys[0], patch))
		})
	case 12:
		return s.withKeys(50, func(keys []uuid.UUID) error { return s.use(ctx, keys) })
	case 8:
		return s.changed(testkit.Value(on.StartTrial(ctx, operator, in)))
	default:
		r, created, err := testkit.Created(on.RequestProduct(ctx, operator, in))
		if err == nil && !created {
			return nil
		}
		return s.changed(r, err)
	}
}

// withKeys runs fn with up to n keys that others may change meanwhile.
func (s *stress) withKeys(n int, fn func([]uuid.UUID) error) error {
	var keys []uuid.UUID
	for range n {
		select {
		case key := <-s.keys:
			keys = append(keys, key)
			continue
		default:
		}
		break
	}
	for _, key := range keys {
		s.keys <- key
	}
	if keys == nil {
		return nil
	}
	return fn(keys)
}

// use records uses of keys, in any order. It is no change, and leaves no event.
func (s *stress) use(ctx context.Context, keys []uuid.UUID) error {
	var uses []registry.APIKeyUse
	for _, key := range keys {
		uses = append(
			uses, registry.APIKeyUse{ID: key, At: time.Now().Add(time.Duration(s.names.Add(1)) * time.Minute)},
		)
	}
	return s.stores[0].Tx(ctx, func(tx registry.Tx) error { return tx.UpdateAPIKeyUsage(ctx, uses) })
}

func (s *stress) record(ctx context.Context, on *registry.Service, group uuid.UUID) error {
	e := audit.Event{GroupID: group, Action: "stress.append", CRUD: audit.Create, IsAnonymous: true}
	return s.changed(on.RecordEvent(ctx, operator, e))
}

// bulk reports a few events of several groups at once, twice with the same idempotency key: they count once.
func (s *stress) bulk(ctx context.Context, on *registry.Service, groups ...uuid.UUID) error {
	events := []audit.Event{}
	for i, group := range append(groups, s.tenants[0], uuid.Nil) {
		action := fmt.Sprintf("stress.bulk%d", i)
		events = append(events, audit.Event{GroupID: group, Action: action, CRUD: audit.Create, IsAnonymous: true})
	}
	key := uuid.NewString()
	var errs [2]error
	var both sync.WaitGroup
	for i := range errs {
		both.Go(func() {
			by := operator
			by.Idempotency = &registry.Idempotency{Key: key}
			recorded, err := s.services[i].RecordEvents(ctx, by, events)
			if errs[i] = err; err == nil && !recorded.Replayed {
				s.changes.Add(int64(len(events)))
			}
		})
	}
	both.Wait()
	return worse(errs[0], errs[1])
}

// delete deletes a tenant in SQL while others report about it and make it keys.
func (s *stress) delete(ctx context.Context, on *registry.Service, tenant uuid.UUID) error {
	var deleted error
	var all sync.WaitGroup
	errs := make([]error, 3)
	all.Go(func() { _, deleted = s.admin.Exec(ctx, `DELETE FROM tenants WHERE id = $1`, tenant) })
	all.Go(func() { errs[0] = s.record(ctx, on, tenant) })
	all.Go(func() { errs[1] = s.bulk(ctx, on, tenant) })
	all.Go(func() {
		_, _, err := testkit.Secret(on.CreateAPIKey(ctx, operator, registry.APIKeyInput{TenantID: tenant, Name: "n"}))
		errs[2] = s.changed(nil, err)
	})
	all.Wait()
	if deleted != nil {
		return fmt.Errorf("delete: %w", deleted)
	}
	return worse(worse(errs[0], errs[1]), errs[2])
}

// lifecycle has two rivals bring a new tenant from its beginning to its end. A failure goes before a refusal.
func (s *stress) lifecycle(ctx context.Context, on *registry.Service) error {
	tenant, err := s.newTenant(ctx, on)
	if err := s.changed(tenant, err); err != nil {
		return err
	}
	var errs [2]error
	var rivals sync.WaitGroup
	for i := range errs {
		rivals.Go(func() {
			errs[i] = worse(
				s.changed(testkit.Value(on.ActivateTenant(ctx, operator, tenant.ID))),
				s.changed(testkit.Value(on.CancelTenant(ctx, operator, tenant.ID))),
			)
		})
	}
	rivals.Wait()
	if err := worse(errs[0], errs[1]); err != nil {
		var refusal *registry.Error
		if !errors.As(err, &refusal) {
			return err
		}
	}
	return s.delete(ctx, on, tenant.ID)
}

// checkLog reads the whole log: it has one event for each change, and in each group every one follows the one before.
func (s *stress) checkLog(t *testing.T) {
	t.Helper()
	last := map[uuid.UUID]audit.Event{}
	q := registry.AuditQuery{Ascending: true, PageRequest: registry.PageRequest{Limit: 1000}}
	for {
		page, err := s.stores[0].ListAuditEvents(t.Context(), q)
		must(t, err)
		if len(page.Items) == 0 {
			break
		}
		for _, e := range page.Items {
			before, known := last[e.GroupID]
			if !known {
				before.ChainHash = strings.Repeat("0", 64)
			}
			if e.Pos != q.Position+1 || e.Seq != before.Seq+1 || e.PrevChainHash != before.ChainHash {
				t.Fatalf("event %d/%d follows %d/%d, or its hash does not", e.Pos, e.Seq, q.Position, before.Seq)
			}
			last[e.GroupID], q.Position = e, e.Pos
		}
	}
	if q.Position != s.changes.Load() {
		t.Errorf("%d events of %d changes", q.Position, s.changes.Load())
	}
}
