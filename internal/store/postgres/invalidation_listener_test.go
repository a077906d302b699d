package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/testkit"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/cache"
	"github.com/breakpilot/tenant-registry/internal/store/postgres"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
)

// The lease of the caches here, and what may be added to it: see README.
const (
	lease = time.Second
	slack = 100 * time.Millisecond
)

// logged records what is logged.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// replica is a service with a cache on a database.
type replica struct {
	*registry.Service
	cache *cache.Store
	log   *logged
}

// newReplica listens by the DSN direct; "none": it does not, and its lease is permanent.
func newReplica(t *testing.T, dsn, direct string) *replica {
	t.Helper()
	return newReplicaWith(t, dsn, direct, 2*time.Second)
}

// newReplicaWith gives up a connection without heartbeats after timeout.
func newReplicaWith(t *testing.T, dsn, direct string, timeout time.Duration) *replica {
	t.Helper()
	log := &logged{}
	store := open(
		t,
		postgres.Config{
			DSN:            dsn,
			MaxConns:       4,
			AcquireTimeout: 10 * time.Second,
			Logger:         slog.New(slog.NewTextHandler(log, nil)),
		},
	)
	o := cache.Options{Lease: lease}
	if direct == "none" {
		o.Lease = 0
	}
	cached := cache.New(store, o)
	store.SetHeartbeatTimeout(timeout)
	if direct != "none" {
		must(t, store.Listen(postgres.Direct{DSN: direct}, cached))
	}
	return &replica{registry.New(cached, registry.Options{}), cached, log}
}

func (r *replica) awaitLease(t *testing.T) {
	t.Helper()
	until(t, "the lease", 20*time.Second, r.cache.LeaseValid)
}

// key makes a tenant of this slug with a key, and returns the key's id and text.
func (r *replica) key(t *testing.T, slug string) (uuid.UUID, string) {
	t.Helper()
	tenant, err := testkit.Value(r.CreateTenant(t.Context(), operator, registry.TenantInput{Slug: slug, Name: slug}))
	must(t, err)
	k, text, err := testkit.Secret(
		r.CreateAPIKey(t.Context(), operator, registry.APIKeyInput{TenantID: tenant.ID, Name: "k"}),
	)
	must(t, err)
	return k.ID, text
}

func (r *replica) valid(t *testing.T, key string) bool {
	t.Helper()
	v, err := r.Verify(t.Context(), operator, registry.VerifyQuery{Key: key}, registry.ReadOptions{})
	must(t, err)
	return v.Valid()
}

func (r *replica) revoke(t *testing.T, id uuid.UUID) (answered time.Time) {
	t.Helper()
	_, err := r.RevokeAPIKey(t.Context(), operator, id, "")
	must(t, err)
	return time.Now()
}

// TestListener_changes: what one replica changes, another one stops answering, before its lease ends; control: one that
// does not listen goes on.
func TestListener_changes(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	one, other, alone := newReplica(t, dsn, ""), newReplica(t, dsn, ""), newReplica(t, dsn, "none")
	one.awaitLease(t)
	other.awaitLease(t)
	id, key := one.key(t, "tenant")
	for _, r := range []*replica{one, other, alone} {
		until(t, "it is cached", 20*time.Second, func() bool { return r.valid(t, key) })
	}
	one.revoke(t, id)
	if one.valid(t, key) {
		t.Error("the replica that revoked says valid")
	}
	until(t, "the other replica is notified", 20*time.Second, func() bool { return !other.valid(t, key) })
	if !alone.valid(t, key) {
		t.Error("control: nothing was cached")
	}
	if one.log.count("level=WARN msg=\"invalidations not received") > 0 {
		t.Error("a warning without a reason")
	}
}

// TestListener_deletions: rows that are deleted in SQL are gone for a replica that has cached them; control: for one
// that does not listen they are not.
func TestListener_deletions(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	one, alone, admin := newReplica(t, dsn, ""), newReplica(t, dsn, "none"), connect(t, dsn)
	one.awaitLease(t)
	for i, sql := range []string{`DELETE FROM tenants`, `DELETE FROM api_keys`} {
		_, key := one.key(t, fmt.Sprintf("tenant-%d", i))
		for _, r := range []*replica{one, alone} {
			until(t, "it is cached", 20*time.Second, func() bool { return r.valid(t, key) })
		}
		admin.run(sql)
		until(t, "it is gone", 20*time.Second, func() bool { return !one.valid(t, key) })
		if !alone.valid(t, key) {
			t.Error("control: nothing was cached")
		}
	}
}

// TestListener_connectionLost: with its connection cut, or silent, a replica answers from its cache until the lease
// ends, and no longer.
func TestListener_connectionLost(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(*proxy){
		"cut":    (*proxy).stop,
		"frozen": func(p *proxy) { p.blackhole(true) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := postgrestest.New(t)
			p, direct := startProxy(t, dsn)
			one := newReplica(t, dsn, "")
			id, key := one.key(t, "tenant")
			other, permanent := newReplica(t, dsn, direct), newReplica(t, dsn, "none") // to them the key is not new
			other.awaitLease(t)
			if !other.valid(t, key) || !permanent.valid(t, key) {
				t.Fatal("the key is not good")
			}
			harm(p)
			answered := one.revoke(t, id)
			for valid := true; valid || time.Since(answered) < lease+3*slack; {
				asked := time.Since(answered)
				if valid = other.valid(t, key); valid && asked > lease+slack {
					t.Fatalf("%s after the revocation was answered, the key is still good", asked)
				}
			}
			if !permanent.valid(t, key) {
				t.Error("control: without a lease nothing stale was answered")
			}
			until(
				t, "a warning", 20*time.Second,
				func() bool { return other.log.count("level=WARN msg=\"invalidations not received") == 1 },
			)
		})
	}
}

// TestListener_reconnects: what was published while the connection was down is not missed.
func TestListener_reconnects(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	p, direct := startProxy(t, dsn)
	one := newReplica(t, dsn, "")
	id, key := one.key(t, "tenant")
	other := newReplica(t, dsn, direct)
	other.awaitLease(t)
	if !other.valid(t, key) {
		t.Fatal("the key is not good")
	}
	p.stop()
	until(t, "the end of the lease", 20*time.Second, func() bool { return !other.cache.LeaseValid() })
	one.revoke(t, id)
	p.restart()
	other.awaitLease(t)
	if other.valid(t, key) {
		t.Error("it answers from what it cached before")
	}
	if other.log.count("level=INFO msg=\"invalidations received") != 1 {
		t.Error("the log does not say that it listens again")
	}
}

// TestListener_noNotifications: where notifications do not arrive the cache stays off, the answers are right, and the
// log says once what to do.
func TestListener_noNotifications(t *testing.T) {
	t.Parallel()
	through := func(withholds string) func(*testing.T, string) string {
		return func(t *testing.T, dsn string) string {
			p, direct := startProxy(t, dsn)
			p.withholds = withholds
			return direct
		}
	}
	for name, direct := range map[string]func(t *testing.T, dsn string) string{
		"a pooler that swallows notifications":                 through("all"),
		"a pooler that passes them only together with answers": through("idle"),
		"another database": func(t *testing.T, _ string) string { return postgrestest.New(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := postgrestest.New(t)
			one, other := newReplica(t, dsn, ""), newReplicaWith(t, dsn, direct(t, dsn), 300*time.Millisecond)
			id, key := one.key(t, "tenant")
			until(t, "a warning", 30*time.Second, func() bool {
				if other.cache.LeaseValid() {
					t.Fatal("it answers from the cache although no notification arrives")
				}
				return other.valid(t, key) && other.log.count("DATABASE_DIRECT_URL") > 0
			})
			one.revoke(t, id)
			if other.valid(t, key) {
				t.Error("a stale answer")
			}
			if n := other.log.count("level=WARN msg=\"invalidations not received"); n != 1 {
				t.Errorf("%d warnings", n)
			}
		})
	}
}

// TestListener_ownNotifications is why heartbeats come from another connection: a session receives its own with the
// answer to NOTIFY, also through a pooler that passes it no others.
func TestListener_ownNotifications(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	p, direct := startProxy(t, dsn)
	p.withholds = "idle"
	listener, other := connect(t, direct), connect(t, dsn)
	listener.run(`LISTEN tenant_registry`)
	other.run(`NOTIFY tenant_registry, 'of another'`)
	until(t, "the pooler gets it", 10*time.Second, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.withheld == 1
	})
	listener.run(`NOTIFY tenant_registry, 'own'`)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	n, err := listener.WaitForNotification(ctx)
	if err != nil || n.Payload != "own" {
		t.Errorf("received %+v, %v", n, err)
	}
}

// TestPublish_manyKeys: what ten thousand keys depend on is published in one notification.
func TestPublish_manyKeys(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	r := newReplica(t, dsn, "none")
	tenant, err := testkit.Value(r.CreateTenant(t.Context(), operator, registry.TenantInput{Slug: "tenant", Name: "n"}))
	must(t, err)
	_, err = r.ActivateTenant(t.Context(), operator, tenant.ID)
	must(t, err)
	listener := connect(t, dsn)
	listener.run(`
		INSERT INTO api_keys (id, tenant_id, name, environment, scopes, prefix, hash, previous_ended, disabled,
			version, created_by, created_at, updated_at)
		SELECT gen_random_uuid(), $1, 'n', 'live', '{}', 'bp_live_abcd', sha256(n::text::bytea), false, false, 1,
			'tester', now(), now()
		FROM generate_series(1, 10000) AS n`, tenant.ID)
	listener.run(`LISTEN tenant_registry`)
	_, err = r.CancelTenant(t.Context(), operator, tenant.ID)
	must(t, err)
	connect(t, dsn).run(`NOTIFY tenant_registry, 'the end'`)
	var received []string
	for len(received) == 0 || received[len(received)-1] != "the end" {
		n, err := listener.WaitForNotification(t.Context())
		must(t, err)
		received = append(received, n.Payload)
	}
	if len(received) != 2 || received[0] != "tenant:"+tenant.ID.String() {
		t.Errorf("received %q", received)
	}
}

// TestPublish_onlyCommitted: a change is published by its commit, and an event alone is none.
func TestPublish_onlyCommitted(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	r := newReplica(t, dsn, "none")
	listener := connect(t, dsn)
	listener.run(`LISTEN tenant_registry`)
	_, err := r.RecordEvent(t.Context(), operator, audit.Event{Action: "a.b", CRUD: audit.Create, IsAnonymous: true})
	must(t, err)
	_ = r.cache.Tx(t.Context(), func(tx registry.Tx) error {
		must(t, tx.InsertTenant(t.Context(), newTenant("undone")))
		must(t, tx.PublishInvalidation(t.Context(), registry.Invalidation{Slugs: []string{"undone"}}))
		_, err := testkit.LockAuditHead(t.Context(), tx, uuid.Nil)
		must(t, err)
		return context.Canceled
	})
	r.key(t, "tenant")
	n, err := listener.WaitForNotification(t.Context())
	must(t, err)
	if !strings.HasSuffix(n.Payload, "slug:tenant") {
		t.Errorf("received %q", n.Payload)
	}
}
