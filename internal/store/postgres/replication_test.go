package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/migrate"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/postgres"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/internal/testkit"
	"github.com/breakpilot/tenant-registry/internal/testkit/cluster"
	"github.com/breakpilot/tenant-registry/migrations"
)

// newPair is two servers in synchronous replication, with the schema.
func newPair(t *testing.T, settings ...string) *cluster.Pair {
	t.Helper()
	pair := cluster.New(t, settings...)
	_, err := (migrate.Schema{DSN: pair.DSN(), Files: migrations.FS, Env: "dev"}).Up(t.Context())
	must(t, err)
	return pair
}

func events(t *testing.T, db database) int64 {
	t.Helper()
	return value[int64](db, `SELECT count(*) FROM audit_log`)
}

// TestCommit_isNeverCancelled: a COMMIT that waits for a silent standby is given up by its caller, and goes on. The
// control is what pgx does at the end of a context.
func TestCommit_isNeverCancelled(t *testing.T) {
	t.Parallel()
	pair := newPair(t)
	store := open(t, postgres.Config{DSN: pair.DSN(), CallTimeout: 1500 * time.Millisecond})
	admin := connect(t, pair.DSN()+"&synchronous_commit=local")
	must(t, appendOne(t.Context(), store))
	pair.Line.Blackhole()

	err := appendOne(t.Context(), store)
	want(t, err, registry.ErrUnavailable)
	if !strings.Contains(err.Error(), "the outcome is unknown") {
		t.Errorf("the COMMIT ended with %v", err)
	}
	begun := time.Now()
	want(t, appendOne(t.Context(), store), registry.ErrUnavailable)
	took(t, begun, 0, 500*time.Millisecond) // it has waited for longer than a second: further changes do not wait
	if _, err := store.ListProducts(t.Context()); err != nil {
		t.Errorf("a read beside it: %v", err)
	}
	if n := events(t, admin); n != 1 {
		t.Errorf("%d events are visible, and one is confirmed", n)
	}
	waiting := value[int64](admin, `SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'
		AND application_name = 'tenant-registry' AND query ILIKE 'commit%'`)
	if waiting != 1 {
		t.Errorf("%d COMMITs wait, want the one", waiting)
	}
	pair.HealStandby()
	testkit.Eventually(t, "the COMMIT is confirmed", func() bool { return events(t, admin) == 2 })
	testkit.Eventually(t, "changes again", func() bool { return appendOne(t.Context(), store) == nil })

	pair.Line.Blackhole()
	control := connect(t, pair.DSN()+"&application_name=control")
	tx, err := control.Begin(t.Context())
	must(t, err)
	_, err = tx.Exec(t.Context(), `INSERT INTO products (key, name, description, audience, requestable, default_limits,
		default_config, created_at, updated_at) VALUES ('control', 'n', '', 'public', false, '{}', '{}', now(), now())`)
	must(t, err)
	ends, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := tx.Commit(ends); err == nil {
		t.Fatal("the control was committed without the standby")
	}
	testkit.Eventually(t, "the control, which no standby has", func() bool {
		return value[int64](admin, `SELECT count(*) FROM products`) == 1
	})
}

// TestSilentStandby keeps a standby silent under changes, repeats, probes and heartbeats. Every read is answered, few
// backends wait for the standby, and /readyz says that changes are unavailable.
func TestSilentStandby(t *testing.T) {
	t.Parallel()
	const (
		clients = 16
		changes = 20 * time.Second // for how long clients try to change something
		silence = 60 * time.Second
	)
	pair := newPair(t)
	log := &logged{}
	r := newReplica(t, pair.DSN()+"&pool_max_conns=10", "")
	ids, texts := make([]uuid.UUID, clients), make([]string, clients)
	for i := range clients {
		ids[i], texts[i] = r.key(t, fmt.Sprintf("tenant-%d", i))
	}
	store := open(t, postgres.Config{DSN: pair.DSN()})
	must(t, store.ConfirmReads(t.Context()))
	r.awaitLease(t)

	pair.Line.Blackhole()
	begun := time.Now()
	ctx, cancel := context.WithDeadline(t.Context(), begun.Add(changes))
	defer cancel()
	var running sync.WaitGroup
	var reads, refused, acknowledged atomic.Int64
	for i := range clients {
		running.Go(func() {
			for ctx.Err() == nil {
				bounded, done := context.WithTimeout(t.Context(), 5*time.Second)
				_, err := r.RevokeAPIKey(bounded, operator, ids[i], "")
				done()
				if err == nil {
					acknowledged.Add(1)
				}
				pauseFor(ctx, 50*time.Millisecond)
			}
		})
		running.Go(func() {
			for ctx.Err() == nil {
				bounded, done := context.WithTimeout(t.Context(), 5*time.Second)
				_, err := r.Verify(bounded, operator, registry.VerifyQuery{Key: texts[i]}, registry.ReadOptions{})
				_, bySlug := r.TenantBySlug(bounded, operator, fmt.Sprintf("tenant-%d", i), registry.ReadOptions{})
				done()
				reads.Add(2)
				if err := errors.Join(err, bySlug); err != nil {
					refused.Add(1)
					log.Write([]byte(err.Error() + "\n"))
				}
				pauseFor(ctx, 100*time.Millisecond)
			}
		})
	}
	most := 0
	for time.Since(begun) < silence {
		running.Go(func() {
			bounded, done := context.WithTimeout(t.Context(), time.Second)
			defer done()
			_ = store.Confirm(bounded)
		})
		if err := store.ConfirmReads(t.Context()); err != nil {
			t.Errorf("what was confirmed before waits: %v", err)
		}
		status, err := store.Ping(t.Context())
		if err != nil || (time.Since(begun) > 3*time.Second && status.WritesUnavailable == "") {
			t.Errorf("after %s: %+v, %v", time.Since(begun), status, err)
		}
		n, err := pair.SyncRepBackends(t.Context(), "tenant-registry", "tenant-registry-listen")
		must(t, err)
		most = max(most, n)
		pauseFor(t.Context(), 250*time.Millisecond)
	}
	running.Wait()
	if refused.Load() > 0 || acknowledged.Load() > 0 {
		t.Errorf("%d of %d reads were refused, %d changes acknowledged: %s", refused.Load(), reads.Load(),
			acknowledged.Load(), log.text.String())
	}
	if most > 4 {
		t.Errorf("%d backends waited for the standby", most)
	}
	if r.cache.LeaseValid() {
		t.Error("the lease is valid, and nothing is confirmed")
	}
	t.Logf("%d reads were answered; at most %d backends of two stores waited for the standby", reads.Load(), most)
	pair.HealStandby()
	testkit.Eventually(t, "changes are available", func() bool {
		status, err := store.Ping(t.Context())
		return err == nil && status.WritesUnavailable == ""
	})
	r.awaitLease(t)
}

func pauseFor(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// TestConfirmReads_afterACrash: what a crash made visible is confirmed before it is handed out.
func TestConfirmReads_afterACrash(t *testing.T) {
	t.Parallel()
	for name, crash := range map[string]func(*cluster.Pair){
		"of a backend": func(pair *cluster.Pair) {
			conn := connect(t, pair.DSN())
			pair.CrashBackend(int(conn.PgConn().PID()))
		},
		"of the postmaster": func(pair *cluster.Pair) { pair.RestartPrimary() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pair := newPair(t)
			store := open(t, postgres.Config{DSN: pair.DSN(), CallTimeout: time.Second})
			must(t, store.ConfirmReads(t.Context()))
			pair.Line.Blackhole()
			must(t, store.ConfirmReads(t.Context())) // what is visible is confirmed
			want(t, store.Confirm(t.Context()), registry.ErrUnavailable)
			crash(pair)
			testkit.Eventually(t, "reads", func() bool {
				_, err := store.ListProducts(t.Context())
				return err == nil
			})
			want(t, store.ConfirmReads(t.Context()), registry.ErrUnavailable)
			pair.HealStandby()
			testkit.Eventually(t, "confirmed", func() bool { return store.ConfirmReads(t.Context()) == nil })
		})
	}
}

// TestLease_endsWithoutStandby: a heartbeat counts only when the standby has confirmed it. The control is a plain
// notification, which waits for no one.
func TestLease_endsWithoutStandby(t *testing.T) {
	t.Parallel()
	pair := newPair(t)
	r := newReplicaWith(t, pair.DSN(), "", 700*time.Millisecond)
	r.awaitLease(t)
	hears, sends := connect(t, pair.DSN()), connect(t, pair.DSN())
	hears.run(`LISTEN control`)
	pair.Line.Blackhole()
	silent := time.Now()
	until(t, "the end of the lease", lease+2*time.Second, func() bool { return !r.cache.LeaseValid() })
	t.Logf("the lease ended %s after the silence began", time.Since(silent).Round(time.Millisecond))
	for time.Since(silent) < 4*time.Second { // heartbeats are given up meanwhile, and delivered all the same
		if r.cache.LeaseValid() {
			t.Fatal("the lease was renewed by what no standby has confirmed")
		}
		pauseFor(t.Context(), 10*time.Millisecond)
	}
	sends.run(`NOTIFY control`)
	heard, err := hears.WaitForNotification(t.Context())
	if err != nil || heard.Channel != "control" {
		t.Errorf("the control: %v, %v", heard, err)
	}
	pair.HealStandby()
	r.awaitLease(t)
}

// TestHosts_deadFirst: the first host swallows everything. Only the first connection waits for it.
func TestHosts_deadFirst(t *testing.T) {
	t.Parallel()
	dsn, dead := deadFirst(t, postgrestest.New(t))
	store := open(t, postgres.Config{DSN: dsn, ConnectTimeout: time.Second, MaxConns: 6})
	tried := dead.Load()
	store.Pool().Reset()
	begun := time.Now()
	conns := warm(t, store.Pool(), 5, `SELECT 1`)
	if len(conns) != 5 || dead.Load() != tried {
		t.Errorf("5 connections tried the dead host %d times", dead.Load()-tried)
	}
	took(t, begun, 0, time.Second)
	begun = time.Now()
	control, err := pgx.ParseConfig(dsn)
	must(t, err)
	control.ConnectTimeout = time.Second
	conn, err := pgx.ConnectConfig(t.Context(), control)
	must(t, err)
	_ = conn.Close(context.Background())
	took(t, begun, 900*time.Millisecond, time.Minute) // what pgx does each time
}

// deadFirst puts a host that accepts connections and never answers before that of a DSN. It counts them.
func deadFirst(t *testing.T, dsn string) (string, *atomic.Int64) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var count atomic.Int64
	var held []net.Conn
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			count.Add(1)
			held = append(held, conn)
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-ended
		for _, conn := range held {
			_ = conn.Close()
		}
	})
	parsed, err := url.Parse(dsn)
	must(t, err)
	parsed.Host = listener.Addr().String() + "," + parsed.Host
	return parsed.String(), &count
}

// TestCommit_hostVanishes: the primary's host vanishes without a word while a COMMIT waits, and the standby is
// promoted. Changes go on there, although that COMMIT never ends.
func TestCommit_hostVanishes(t *testing.T) {
	t.Parallel()
	pair := newPair(t)
	a, err := url.Parse(pair.DSN())
	must(t, err)
	b, err := url.Parse(pair.StandbyDSN())
	must(t, err)
	network := testkit.NewProxy(t, a.Host)
	a.Host = network.Addr() + "," + b.Host
	store := open(t, postgres.Config{
		DSN: a.String(), CallTimeout: 1500 * time.Millisecond, ConnectTimeout: time.Second,
	})
	must(t, appendOne(t.Context(), store))
	pair.Line.Blackhole()
	want(t, appendOne(t.Context(), store), registry.ErrUnavailable)
	begun := time.Now()
	want(t, appendOne(t.Context(), store), registry.ErrUnavailable)
	took(t, begun, 0, 500*time.Millisecond) // the COMMIT stalls
	network.Blackhole()
	pair.Promote()
	testkit.Eventually(t, "changes on the new primary", func() bool { return appendOne(t.Context(), store) == nil })
	t.Logf("changes went on %s after the host had vanished", time.Since(begun).Round(time.Millisecond))
	network.Cut() // or the end of the store waits for the host
}
