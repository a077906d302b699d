package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/postgres"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// warm gives the pool n connections, runs a statement on each, and returns the processes that serve them.
func warm(t *testing.T, pool *pgxpool.Pool, n int, sql string) (pids []int32) {
	t.Helper()
	for range n {
		conn, err := pool.Acquire(t.Context())
		must(t, err)
		defer conn.Release()
		_, err = conn.Exec(t.Context(), sql)
		must(t, err)
		pids = append(pids, int32(conn.Conn().PgConn().PID()))
	}
	return pids
}

func TestPoolExhausted(t *testing.T) {
	t.Parallel()
	store := open(t, postgres.Config{
		DSN: postgrestest.New(t), MaxConns: 2, SchemaVersion: 1, AcquireTimeout: 300 * time.Millisecond,
		PingTimeout: time.Second,
	})
	var held []*pgxpool.Conn
	for range 2 {
		conn, err := store.Pool().Acquire(t.Context())
		must(t, err)
		held = append(held, conn)
	}
	begun := time.Now()
	_, err := store.ListProducts(t.Context())
	want(t, err, registry.ErrUnavailable)
	took(t, begun, 300*time.Millisecond, 1500*time.Millisecond)
	begun = time.Now()
	want(t, appendOne(t.Context(), store), registry.ErrUnavailable)
	took(t, begun, 300*time.Millisecond, 1500*time.Millisecond)

	_, err = store.Ping(t.Context())
	must(t, err)

	for _, conn := range held {
		conn.Release()
	}
	must(t, appendOne(t.Context(), store))
}

func TestTerminatedBackends(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	store := open(t, postgres.Config{DSN: dsn, MaxConns: 4, SchemaVersion: 1})
	admin := connect(t, dsn)
	terminate := func() {
		t.Helper()
		store.Pool().Reset() // what was terminated before and not used since
		warm(t, store.Pool(), 4, `SELECT 1`)
		ended := value[int64](admin, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`)
		if ended < 4 {
			t.Fatalf("only %d backends were there", ended)
		}
	}
	calls := map[string]func() error{
		"read": func() error { _, err := store.ListProducts(t.Context()); return err },
		"tx":   func() error { return appendOne(t.Context(), store) },
		"ping": func() error { _, err := store.Ping(t.Context()); return err },
	}
	for name, call := range calls {
		terminate()
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}

	// In the middle of a transaction there is no next connection to be had: it is over, and nothing of it is there.
	tenant := newTenant("tenant")
	err := store.Tx(t.Context(), func(tx registry.Tx) error {
		must(t, tx.InsertTenant(t.Context(), tenant))
		ended := value[int64](admin, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'idle in transaction'`)
		if ended != 1 {
			t.Errorf("%d backends were in a transaction", ended)
		}
		_, err := appendTo(t.Context(), tx, tenant.ID)
		return err
	})
	want(t, err, registry.ErrUnavailable)
	_, err = store.GetTenant(t.Context(), tenant.ID)
	want(t, err, registry.ErrNotFound)
}

// TestDemotion makes a database read-only under a store that has connections to it, and writable again.
func TestDemotion(t *testing.T) {
	t.Parallel()
	const conns = 4
	dsn := postgrestest.New(t)
	store := open(t, postgres.Config{DSN: dsn, MaxConns: conns, SchemaVersion: 1})
	admin := connect(t, dsn)
	control, err := pgxpool.New(t.Context(), with(dsn, "pool_max_conns", "1"))
	must(t, err)
	t.Cleanup(control.Close)

	admin.run(`ALTER DATABASE ` + admin.name() + ` SET default_transaction_read_only = on`)
	warm(t, control, 1, `SET default_transaction_read_only = on`)
	ours := warm(t, store.Pool(), conns, `SET default_transaction_read_only = on`)
	admin.run(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND application_name = 'tenant-registry'
			AND NOT pid = ANY($1)`, ours) // that of Ping

	for range 2 {
		err := appendOne(t.Context(), store)
		want(t, err, registry.ErrUnavailable)
		if codeOf(err) != "25006" {
			t.Errorf("refused with %v", err)
		}
		status, err := store.Ping(t.Context())
		if err != nil || status.WritesUnavailable == "" {
			t.Errorf("ping: %+v, %v", status, err)
		}
		_, err = store.ListProducts(t.Context())
		must(t, err)
	}

	warm(t, store.Pool(), conns, `SELECT 1`) // sessions that are read-only for as long as they live
	admin.run(`SET default_transaction_read_only = off`)
	admin.run(`ALTER DATABASE ` + admin.name() + ` RESET default_transaction_read_only`)
	untilWritable(t, store)
	if n := failuresOf20(func() error { return appendOne(t.Context(), store) }); n > 1 {
		t.Errorf("%d of 20 writes failed on a database that is writable", n)
	}
	// The control is a pool that does not close its connections.
	write := func() error {
		_, err := control.Exec(t.Context(), `CREATE TABLE IF NOT EXISTS control ()`)
		return err
	}
	if n := failuresOf20(write); n != 20 {
		t.Errorf("a pool that does not close its connections failed %d times of 20: this test shows nothing", n)
	}
}

// TestWritableAgain: once Ping says that all is well, the sessions that began while the database was read-only are
// gone.
func TestWritableAgain(t *testing.T) {
	t.Parallel()
	for name, pinged := range map[string]bool{"seen by Ping": true, "unseen": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := postgrestest.New(t)
			store := open(t, postgres.Config{DSN: dsn, MaxConns: 4, SchemaVersion: 1})
			admin := connect(t, dsn)
			admin.run(`ALTER DATABASE ` + admin.name() + ` SET default_transaction_read_only = on`)
			admin.run(`SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
				WHERE datname = current_database() AND pid <> pg_backend_pid()`)
			if pinged {
				status, err := store.Ping(t.Context())
				if err != nil || status.WritesUnavailable == "" {
					t.Errorf("ping: %+v, %v", status, err)
				}
			}
			warm(t, store.Pool(), 4, `SELECT 1`)
			admin.run(`ALTER DATABASE ` + admin.name() + ` RESET default_transaction_read_only`)
			untilWritable(t, store)
			must(t, appendOne(t.Context(), store))
		})
	}
}

// untilWritable waits until Ping says that changes can be committed.
func untilWritable(t *testing.T, store *postgres.Store) {
	t.Helper()
	testkit.Eventually(t, "Ping says that changes are possible", func() bool {
		status, err := store.Ping(t.Context())
		return err == nil && status.WritesUnavailable == ""
	})
}

func failuresOf20(call func() error) (n int) {
	for range 20 {
		if call() != nil {
			n++
		}
	}
	return n
}

// TestLostCommit takes the answer to a COMMIT away: the store cannot know that it was done, so it is not repeated.
func TestLostCommit(t *testing.T) {
	t.Parallel()
	for name, then := range map[string]func(*link){
		"swallowed": func(l *link) { l.mute = true },
		"cut off":   func(l *link) { l.cut() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := postgrestest.New(t)
			p, through := startProxy(t, dsn)
			store := open(t, postgres.Config{DSN: through, CallTimeout: 500 * time.Millisecond, SchemaVersion: 1})
			warm(t, store.Pool(), 1, `SELECT 1`)
			p.mu.Lock()
			p.onTag, p.then = "COMMIT", then
			p.mu.Unlock()
			runs := 0
			begun := time.Now()
			err := store.Tx(t.Context(), func(tx registry.Tx) error {
				runs++
				_, err := appendTo(t.Context(), tx, uuid.Nil)
				return err
			})
			want(t, err, registry.ErrUnavailable)
			took(t, begun, 0, 2*time.Second)
			p.mu.Lock()
			if runs != 1 || p.completed != 1 {
				t.Errorf("the transaction ran %d times and was committed %d times", runs, p.completed)
			}
			p.onTag, p.then = "", nil
			p.mu.Unlock()
			events, err := store.ListAuditEvents(
				t.Context(), registry.AuditQuery{PageRequest: registry.PageRequest{Limit: 10}},
			)
			must(t, err)
			if len(events.Items) != 1 {
				t.Errorf("%d events, want the one", len(events.Items))
			}
			must(t, appendOne(t.Context(), store))
		})
	}
}

// TestBlackhole lets a network swallow everything, then refuse everything, then work again.
func TestBlackhole(t *testing.T) {
	t.Parallel()
	p, through := startProxy(t, postgrestest.New(t))
	store := open(t, postgres.Config{
		DSN: through, SchemaVersion: 1,
		CallTimeout: 400 * time.Millisecond, AcquireTimeout: 200 * time.Millisecond,
		PingTimeout: 200 * time.Millisecond,
	})
	down := func() {
		t.Helper()
		for _, call := range []func() error{
			func() error { _, err := store.ListProducts(t.Context()); return err },
			func() error { return appendOne(t.Context(), store) },
		} {
			begun := time.Now()
			want(t, call(), registry.ErrUnavailable)
			took(t, begun, 0, 2*time.Second)
		}
		begun := time.Now()
		_, err := store.Ping(t.Context())
		want(t, err, registry.ErrUnavailable)
		took(t, begun, 0, time.Second)
		var unready *registry.UnreadyError
		if errors.As(err, &unready) {
			t.Errorf("ping says that it was answered: %v", err)
		}
	}
	up := func() {
		t.Helper()
		until(t, "reads, writes and ping work again", 20*time.Second, func() bool {
			_, read := store.ListProducts(t.Context())
			_, ping := store.Ping(t.Context())
			return read == nil && ping == nil && appendOne(t.Context(), store) == nil
		})
	}
	up()
	p.blackhole(true)
	down()
	p.blackhole(false)
	up()
	p.stop()
	down()
	p.restart()
	up()
}

// TestCallTimeout waits for a lock where the server has no limit.
func TestCallTimeout(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lock, statement string
		code            string
	}{
		"of the store":   {"0", "0", ""},
		"of a lock":      {"300ms", "0", "55P03"},
		"of a statement": {"0", "300ms", "57014"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := postgrestest.New(t)
			holder := open(t, postgres.Config{DSN: dsn})
			cfg := postgres.Config{DSN: with(with(dsn, "lock_timeout", c.lock), "statement_timeout", c.statement)}
			if c.code == "" {
				cfg.CallTimeout = 300 * time.Millisecond
			}
			store := open(t, cfg)
			warm(t, store.Pool(), 1, `SELECT 1`)
			tenant := insertTenant(t, holder, "tenant")
			must(t, holder.Tx(t.Context(), func(tx registry.Tx) error {
				_, err := tx.LockTenant(t.Context(), tenant.ID)
				must(t, err)
				begun := time.Now()
				err = store.Tx(context.Background(), func(tx registry.Tx) error {
					_, err := tx.LockTenant(context.Background(), tenant.ID)
					return err
				})
				want(t, err, registry.ErrUnavailable)
				took(t, begun, 300*time.Millisecond, 2500*time.Millisecond)
				if codeOf(err) != c.code {
					t.Errorf("ended by %q, want %q: %v", codeOf(err), c.code, err)
				}
				return nil
			}))
		})
	}
}
