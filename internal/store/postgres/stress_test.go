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

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/postgres"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
)

const (
	deadlockDetected = "40P01"
	stressWorkers    = 16
)

var stressTime = flag.Duration("stress", 3*time.Second, "how long the workers of TestLockOrder work")

// TestLockOrder has workers on two replicas change few tenants in every way that there is: nobody deadlocks, nothing fails but
// what the rules refuse, and each change has its place in the log.
func TestLockOrder(t *testing.T) {
	t.Parallel()
	s := newStress(t)
	s.run(t, *stressTime, nil)
	for what, n := range s.refused {
		t.Logf("%6d refused: %s", n, what)
	}
	t.Logf("%6d changes, %.0f a second", s.changes.Load(), float64(s.changes.Load())/(*stressTime).Seconds())
	if n := s.codes.count(deadlockDetected); n > 0 {
		t.Errorf("%d deadlocks", n)
	}
	if s.changes.Load() < 100 {
		t.Errorf("only %d changes: this shows nothing", s.changes.Load())
	}
	s.checkLog(t)
}

// TestLockOrderBroken is the control: one more worker, which takes the audit lock before its tenant's row, is seen to deadlock with
// the others. They survive it, because a transaction that loses is run again.
func TestLockOrderBroken(t *testing.T) {
	t.Parallel()
	s := newStress(t)
	s.tolerates = registry.ErrUnavailable // who waits for a deadlock to be found may give up before
	s.run(t, 30*time.Second, func(ctx context.Context) bool {
		_ = s.stores[0].Tx(ctx, func(tx registry.Tx) error {
			group := s.tenants[rand.IntN(len(s.tenants))]
			if _, err := tx.AuditHead(ctx, group); err != nil {
				return err
			}
			_, err := tx.LockTenant(ctx, group)
			return err
		})
		return s.codes.count(deadlockDetected) == 0
	})
	if s.codes.count(deadlockDetected) == 0 {
		t.Error("no deadlock was seen, so none can be in the other test")
	}
	s.checkLog(t)
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
	// tolerates is a failure that is none; nothing was changed by it.
	tolerates error
	changes   atomic.Int64 // each of which wrote one event

	mu      sync.Mutex
	refused map[string]int
}

func newStress(t *testing.T) *stress {
	s := &stress{keys: make(chan uuid.UUID, 100_000), refused: map[string]int{}}
	dsn := postgrestest.New(t)
	for range 2 {
		store := open(t, postgres.Config{DSN: dsn, MaxConns: stressWorkers/2 + 1, Tracer: &s.codes, AcquireTimeout: 10 * time.Second})
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
	return on.CreateTenant(ctx, operator, registry.NewTenant{Slug: fmt.Sprintf("tenant-%d", s.names.Add(1)), Name: "n"})
}

// run lets all work for a time, or until extra, which one more worker repeats, says that it is enough.
func (s *stress) run(t *testing.T, atMost time.Duration, extra func(context.Context) bool) {
	until, enough := context.WithTimeout(t.Context(), atMost)
	defer enough()
	var working sync.WaitGroup
	if extra != nil {
		working.Go(func() {
			for until.Err() == nil && extra(t.Context()) {
			}
			enough()
		})
	}
	for i := range stressWorkers {
		working.Go(func() {
			for until.Err() == nil {
				s.note(t, s.one(t.Context(), s.services[i%len(s.services)]))
			}
		})
	}
	working.Wait()
}

// worse is the error that is a failure and no refusal, if one of the two is.
func worse(a, b error) error {
	var refusal *registry.Error
	if a == nil || errors.As(a, &refusal) && b != nil {
		return b
	}
	return a
}

// note tells a rule's refusal, which is a result, from a failure.
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
	wish := registry.ProductWish{TenantID: tenant, Product: fmt.Sprintf("product-%d", rand.IntN(5))}
	switch rand.IntN(13) {
	case 0, 1:
		return s.record(ctx, on, tenant)
	case 2:
		return s.bulk(ctx, on, tenant)
	case 3:
		return s.record(ctx, on, uuid.Nil)
	case 4, 5:
		key, _, err := on.CreateAPIKey(ctx, operator, registry.NewAPIKey{TenantID: tenant, Name: "n"})
		if err == nil {
			s.keys <- key.ID
		}
		return s.changed(key, err)
	case 6:
		select {
		case key := <-s.keys:
			return s.changed(on.RevokeAPIKey(ctx, operator, key, ""))
		default:
			return nil
		}
	case 7:
		return s.life(ctx, on)
	case 10:
		return s.withKeys(1, func(keys []uuid.UUID) error {
			key, _, err := on.RotateAPIKey(ctx, operator, keys[0], new(rand.Int64N(2)*3600))
			return s.changed(key, err)
		})
	case 11:
		return s.withKeys(1, func(keys []uuid.UUID) error {
			return s.changed(on.UpdateAPIKey(ctx, operator, keys[0], registry.KeyChange{Name: new(fmt.Sprint("n", s.names.Add(1)))}))
		})
	case 12:
		return s.withKeys(50, func(keys []uuid.UUID) error { return s.touch(ctx, keys) })
	case 8:
		return s.changed(on.StartTrial(ctx, operator, wish))
	default:
		r, created, err := on.RequestProduct(ctx, operator, wish)
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

// touch notes uses of keys, in whatever order they come. It is no change, and leaves no event.
func (s *stress) touch(ctx context.Context, keys []uuid.UUID) error {
	var uses []registry.KeyUse
	for _, key := range keys {
		uses = append(uses, registry.KeyUse{ID: key, At: time.Now().Add(time.Duration(s.names.Add(1)) * time.Minute)})
	}
	return s.stores[0].Tx(ctx, func(tx registry.Tx) error { return tx.TouchAPIKeys(ctx, uses) })
}

func (s *stress) record(ctx context.Context, on *registry.Service, group uuid.UUID) error {
	return s.changed(on.RecordEvent(ctx, operator, registry.AuditEvent{GroupID: group, Action: "stress.append", CRUD: registry.Create, IsAnonymous: true}))
}

// bulk reports a few events of several groups at once, twice with the same idempotency key: they count once.
func (s *stress) bulk(ctx context.Context, on *registry.Service, groups ...uuid.UUID) error {
	events := []registry.AuditEvent{}
	for i, group := range append(groups, s.tenants[0], uuid.Nil) {
		events = append(events, registry.AuditEvent{GroupID: group, Action: fmt.Sprintf("stress.bulk%d", i), CRUD: registry.Create, IsAnonymous: true})
	}
	key := uuid.NewString()
	var errs [2]error
	var both sync.WaitGroup
	for i := range errs {
		both.Go(func() {
			by := operator
			by.Idempotency = &registry.Idempotency{Key: key}
			_, err := s.services[i].RecordEvents(ctx, by, events)
			if errs[i] = err; err == nil && !by.Repeated() {
				s.changes.Add(int64(len(events)))
			}
		})
	}
	both.Wait()
	return worse(errs[0], errs[1])
}

// end deletes a tenant in SQL while others report about it and make it keys.
func (s *stress) end(ctx context.Context, on *registry.Service, tenant uuid.UUID) error {
	var deleted error
	var all sync.WaitGroup
	errs := make([]error, 3)
	all.Go(func() { _, deleted = s.admin.Exec(ctx, `DELETE FROM tenants WHERE id = $1`, tenant) })
	all.Go(func() { errs[0] = s.record(ctx, on, tenant) })
	all.Go(func() { errs[1] = s.bulk(ctx, on, tenant) })
	all.Go(func() {
		_, _, err := on.CreateAPIKey(ctx, operator, registry.NewAPIKey{TenantID: tenant, Name: "n"})
		errs[2] = s.changed(nil, err)
	})
	all.Wait()
	if deleted != nil {
		return fmt.Errorf("delete: %w", deleted)
	}
	return worse(worse(errs[0], errs[1]), errs[2])
}

// life has two rivals bring a new tenant from its beginning to its end. A failure goes before a refusal.
func (s *stress) life(ctx context.Context, on *registry.Service) error {
	tenant, err := s.newTenant(ctx, on)
	if err := s.changed(tenant, err); err != nil {
		return err
	}
	var errs [2]error
	var rivals sync.WaitGroup
	for i := range errs {
		rivals.Go(func() {
			errs[i] = worse(s.changed(on.ActivateTenant(ctx, operator, tenant.ID)), s.changed(on.CancelTenant(ctx, operator, tenant.ID)))
		})
	}
	rivals.Wait()
	if err := worse(errs[0], errs[1]); err != nil {
		var refusal *registry.Error
		if !errors.As(err, &refusal) {
			return err
		}
	}
	return s.end(ctx, on, tenant.ID)
}

// checkLog reads the whole log: it has one event for each change, and in each group every one follows the one before.
func (s *stress) checkLog(t *testing.T) {
	t.Helper()
	last := map[uuid.UUID]registry.AuditEvent{}
	q := registry.AuditQuery{Ascending: true, Limit: 1000}
	for {
		page, err := s.stores[0].Events(t.Context(), q)
		must(t, err)
		if len(page.Items) == 0 {
			break
		}
		for _, e := range page.Items {
			before, known := last[e.GroupID]
			if !known {
				before.ChainHash = strings.Repeat("0", 64)
			}
			if e.Pos != q.After+1 || e.Seq != before.Seq+1 || e.PrevChainHash != before.ChainHash {
				t.Fatalf("event %d/%d follows %d/%d, or its hash does not", e.Pos, e.Seq, q.After, before.Seq)
			}
			last[e.GroupID], q.After = e, e.Pos
		}
	}
	if q.After != s.changes.Load() {
		t.Errorf("%d events of %d changes", q.After, s.changes.Load())
	}
}
