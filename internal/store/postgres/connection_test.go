package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// newReaderWriter makes a role that may read and write everything, which is dropped when the test ends.
func newReaderWriter(t *testing.T, admin database, options string) string {
	t.Helper()
	role := "role_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	admin.run(`CREATE ROLE ` + role + ` LOGIN ` + options)
	t.Cleanup(func() { admin.drop(role) })
	admin.run(`GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO ` + role)
	return role
}

// TestReload: each new connection is made with the DSN as it is then.
func TestReload(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	admin := connect(t, dsn)
	var now atomic.Value
	now.Store(dsn)
	store := open(t, postgres.Config{DSN: dsn, Reload: func() (string, error) { return now.Load().(string), nil }})
	role := newReaderWriter(t, admin, "")
	t.Cleanup(store.Close) // before the role is dropped
	now.Store(strings.Replace(dsn, "postgres@", role+"@", 1))
	store.Pool().Reset()
	var user string
	must(t, store.Pool().QueryRow(t.Context(), `SELECT current_user`).Scan(&user))
	if user != role {
		t.Errorf("the new connection is of %s, want %s", user, role)
	}
}

// TestConnectionLimit: where the server allows fewer connections than the pool has, a warning says so, and calls wait
// for one that becomes free. The control is a pool that does not.
func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	admin := connect(t, dsn)
	role := newReaderWriter(t, admin, "CONNECTION LIMIT 5")
	log := &logged{}
	limited := strings.Replace(dsn, "postgres@", role+"@", 1)
	store := open(t, postgres.Config{
		DSN: limited, MaxConns: 10, AcquireTimeout: 10 * time.Second,
		Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	t.Cleanup(store.Close) // before the role is dropped
	if log.count("fewer connections allowed than needed") != 1 || log.count("allowed=5 needed=14") != 1 {
		t.Errorf("logged %s", log.text.String())
	}
	if failed := together(40, func() error {
		_, err := store.ListProducts(t.Context())
		return err
	}); failed > 0 {
		t.Errorf("%d of 40 reads failed", failed)
	}
	store.Close()
	control, err := pgxpool.New(t.Context(), with(limited, "pool_max_conns", "10"))
	must(t, err)
	defer control.Close()
	if failed := together(40, func() error {
		_, err := control.Exec(t.Context(), `SELECT pg_sleep(0.05)`)
		return err
	}); failed == 0 {
		t.Error("the control met no limit: this test shows nothing")
	}
}

// together makes calls at once, and returns how many failed.
func together(n int, call func() error) int64 {
	var failed atomic.Int64
	var calls sync.WaitGroup
	for range n {
		calls.Go(func() {
			if call() != nil {
				failed.Add(1)
			}
		})
	}
	calls.Wait()
	return failed.Load()
}

// TestPooler_ignoresParameters: behind a pooler that ignores the session's parameters no statement is prepared.
func TestPooler_ignoresParameters(t *testing.T) {
	t.Parallel()
	log := &logged{}
	store := open(t, postgres.Config{
		DSN: testkit.Pooler(t, postgrestest.New(t)), Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	if log.count("ignored by a pooler") != 1 || log.count("session limit missing") != 4 {
		t.Errorf("logged %s", log.text.String())
	}
	_, err := store.ListProducts(t.Context())
	must(t, err)
	var prepared int
	must(t, store.Pool().QueryRow(t.Context(), `SELECT count(*) FROM pg_prepared_statements`).Scan(&prepared))
	if prepared > 0 {
		t.Errorf("%d statements are prepared", prepared)
	}
}

// TestNotifications_onPooledConnections: what a pooler delivers to a session that did not ask for it is dropped.
func TestNotifications_onPooledConnections(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	store := open(t, postgres.Config{DSN: dsn})
	conn, err := store.Pool().Acquire(t.Context())
	must(t, err)
	defer conn.Release()
	_, err = conn.Exec(t.Context(), `LISTEN unasked; NOTIFY unasked; SELECT 1`)
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if n, err := conn.Conn().WaitForNotification(ctx); err == nil {
		t.Errorf("the connection stored %+v", n)
	}
}

// TestColumnTypeChanged: a statement that was prepared before SQL changed a column is prepared again, on every
// connection.
func TestColumnTypeChanged(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	store := open(t, postgres.Config{DSN: dsn, MaxConns: 6})
	tenant := insertTenant(t, store, "tenant")
	read := func() error {
		_, err := store.GetTenant(t.Context(), tenant.ID)
		return err
	}
	lock := func() error {
		return store.Tx(t.Context(), func(tx registry.Tx) error {
			_, err := tx.LockTenant(t.Context(), tenant.ID)
			return err
		})
	}
	if failed := together(30, read) + together(30, lock); failed > 0 {
		t.Fatalf("%d calls failed before", failed)
	}
	connect(t, dsn).run(`ALTER TABLE tenants ALTER COLUMN region TYPE varchar(300)`)
	if failed := together(30, read) + together(30, lock); failed > 0 {
		t.Errorf("%d of 60 calls failed", failed)
	}
}

// TestListProducts_unreadable: a product that cannot be read is left out of the catalogue, and the log names it.
func TestListProducts_unreadable(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	log := &logged{}
	store := open(t, postgres.Config{DSN: dsn, Logger: slog.New(slog.NewTextHandler(log, nil))})
	must(t, store.Tx(t.Context(), func(tx registry.Tx) error {
		if err := tx.InsertProduct(t.Context(), newProduct("broken")); err != nil {
			return err
		}
		return tx.InsertProduct(t.Context(), newProduct("whole"))
	}))
	admin := connect(t, dsn)
	dropChecks(admin, "products")
	admin.run(`UPDATE products SET default_limits = '{"seats": 1.5}' WHERE key = 'broken'`)
	products, err := store.ListProducts(t.Context())
	must(t, err)
	if len(products) != 1 || products[0].Key != "whole" || log.count("key=broken") != 1 {
		t.Errorf("the catalogue is %v, logged %s", products, log.text.String())
	}
}

// dropChecks removes what keeps unreadable rows out of a table.
func dropChecks(admin database, table string) {
	admin.t.Helper()
	admin.run(`DO $$ DECLARE name text; BEGIN
		FOR name IN SELECT conname FROM pg_constraint WHERE conrelid = '` + table + `'::regclass AND contype = 'c' LOOP
			EXECUTE format('ALTER TABLE ` + table + ` DROP CONSTRAINT %I', name);
		END LOOP;
	END $$`)
}

// TestConfig_digits: a number in a configuration comes out digit for digit.
func TestConfig_digits(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	store := open(t, postgres.Config{DSN: dsn})
	must(t, store.Tx(t.Context(), func(tx registry.Tx) error {
		return tx.InsertProduct(t.Context(), newProduct("product"))
	}))
	admin := connect(t, dsn)
	const config = `{"big": 9007199254740993, "list": [12345678901234567890.5], "small": 0.1, "whole": 7}`
	admin.run(`UPDATE products SET default_config = $1`, config)
	p, err := store.GetProduct(t.Context(), "product")
	must(t, err)
	if p.DefaultConfig["small"] != 0.1 || p.DefaultConfig["whole"] != 7.0 {
		t.Errorf("numbers that fit are %v", p.DefaultConfig)
	}
	p.Key = "copy"
	must(t, store.Tx(t.Context(), func(tx registry.Tx) error { return tx.InsertProduct(t.Context(), p) }))
	if !value[bool](admin, `SELECT default_config = $1::jsonb FROM products WHERE key = 'copy'`, config) {
		t.Error("the copy is ", value[string](admin, `SELECT default_config::text FROM products WHERE key = 'copy'`))
	}
}

// TestPooler_statementMode: a pooler that refuses transactions is reported at the start and by Ping, with the setting
// to change. The control is the same pooler when it does not.
func TestPooler_statementMode(t *testing.T) {
	t.Parallel()
	p, through := startProxy(t, postgrestest.New(t))
	p.mu.Lock()
	p.statement = true
	p.mu.Unlock()
	log := &logged{}
	store := open(t, postgres.Config{DSN: through, Logger: slog.New(slog.NewTextHandler(log, nil))})
	_, err := store.Ping(t.Context())
	var unready *registry.UnreadyError
	if !errors.As(err, &unready) || !strings.Contains(unready.Reason, "pool_mode = transaction") {
		t.Errorf("ping: %v", err)
	}
	if log.count("pool_mode = transaction") != 1 {
		t.Errorf("logged %s", log.text.String())
	}
	p.mu.Lock()
	p.statement = false
	p.mu.Unlock()
	_, err = store.Ping(t.Context())
	must(t, err)
}

// TestKeyFacts_unreadable: a key whose entitlement cannot be read fails alone, and can be revoked. All are asked for in
// one statement.
func TestKeyFacts_unreadable(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	r := newReplica(t, dsn, "none")
	broken, brokenText := r.key(t, "broken")
	_, wholeText := r.key(t, "whole")
	admin := connect(t, dsn)
	must(t, open(t, postgres.Config{DSN: dsn}).Tx(t.Context(), func(tx registry.Tx) error {
		return tx.InsertProduct(t.Context(), newProduct("product"))
	}))
	dropChecks(admin, "entitlements")
	admin.run(`INSERT INTO entitlements (id, tenant_id, product_key, source, starts_at, limits, config, created_at,
		updated_at) SELECT gen_random_uuid(), id, 'product', 'grant', now(), CASE slug WHEN 'broken' THEN '{"n": 1.5}'
		ELSE '{"n": 10}' END::jsonb, '{}', now(), now() FROM tenants`)
	verify := func(text string) error {
		v, err := r.Verify(t.Context(), operator, registry.VerifyQuery{Key: text, Product: "product"},
			registry.ReadOptions{Fresh: true})
		if err == nil && !v.Valid() {
			err = fmt.Errorf("the key is %s", v.Code)
		}
		return err
	}
	var failed atomic.Int64
	var calls sync.WaitGroup
	for range 50 {
		calls.Go(func() {
			if verify(brokenText) == nil {
				failed.Add(1000)
			}
		})
		calls.Go(func() {
			if err := verify(wholeText); err != nil {
				failed.Add(1)
			}
		})
	}
	calls.Wait()
	if n := failed.Load(); n > 0 {
		t.Errorf("%d of 50 verifications of the whole key failed, %d of the broken one did not", n%1000, n/1000)
	}
	_, err := r.RevokeAPIKey(t.Context(), operator, broken, "")
	must(t, err)
}
