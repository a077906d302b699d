package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/postgres"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
)

// TestTx_contention has the server give up a transaction some times, and counts how often it is run.
func TestTx_contention(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	store, admin := open(t, postgres.Config{DSN: dsn}), connect(t, dsn)
	admin.run(`CREATE SEQUENCE tries`) // a rollback does not undo what was taken from it
	for _, c := range []struct {
		code  string
		times int // the server gives up
		runs  int
		err   error
	}{
		{"40001", 2, 3, nil},
		{"40P01", 3, 4, nil},
		{"40P01", 4, 4, registry.ErrUnavailable},
		{"53100", 1, 1, registry.ErrUnavailable},
		{"55P03", 1, 1, registry.ErrUnavailable},
	} {
		name := fmt.Sprintf("%s %d times", c.code, c.times)
		admin.run(`ALTER SEQUENCE tries RESTART`)
		admin.run(fmt.Sprintf(`CREATE FUNCTION give_up() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN
				IF nextval('tries') <= %d THEN RAISE EXCEPTION 'given up' USING ERRCODE = '%s'; END IF;
				RETURN NEW;
			END $$`, c.times, c.code))
		admin.run(`CREATE TRIGGER give_up BEFORE INSERT ON products FOR EACH ROW EXECUTE FUNCTION give_up()`)
		runs := 0
		err := store.Tx(t.Context(), func(tx registry.Tx) error {
			runs++
			if err := tx.InsertTenant(t.Context(), newTenant("tenant")); err != nil {
				return err
			}
			return tx.InsertProduct(t.Context(), newProduct("product"))
		})
		if !errors.Is(err, c.err) {
			t.Errorf("%s: error is %v, want %v", name, err, c.err)
		}
		if runs != c.runs {
			t.Errorf("%s: it ran %d times, want %d", name, runs, c.runs)
		}
		if n := value[int64](admin, `SELECT count(*) FROM tenants`); n == 1 != (c.err == nil) {
			t.Errorf("%s: %d tenants are there", name, n)
		}
		admin.run(`DROP FUNCTION give_up CASCADE; DELETE FROM products; DELETE FROM tenants`)
	}
}

// TestTx_commitRefused: what the server refuses at COMMIT is not tried again, whatever the reason.
func TestTx_commitRefused(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	store := open(t, postgres.Config{DSN: dsn})
	admin := connect(t, dsn)
	admin.run(`CREATE FUNCTION give_up() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN RAISE EXCEPTION 'given up' USING ERRCODE = '40001'; END $$`)
	admin.run(`CREATE CONSTRAINT TRIGGER give_up AFTER INSERT ON products DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION give_up()`)
	runs := 0
	err := store.Tx(t.Context(), func(tx registry.Tx) error {
		runs++
		return tx.InsertProduct(t.Context(), newProduct("product"))
	})
	want(t, err, registry.ErrUnavailable)
	if runs != 1 {
		t.Errorf("it ran %d times", runs)
	}
	if n := value[int64](admin, `SELECT count(*) FROM products`); n != 0 {
		t.Errorf("%d products are there", n)
	}
}

// TestTx_panic: a transaction whose function panics or leaves its goroutine is rolled back, and its connection is
// whole.
func TestTx_panic(t *testing.T) {
	t.Parallel()
	store := open(t, postgres.Config{DSN: postgrestest.New(t), MaxConns: 1})
	leave := func() {
		defer func() { _ = recover() }()
		_ = store.Tx(context.Background(), func(tx registry.Tx) error {
			if _, err := appendTo(context.Background(), tx, uuid.Nil); err != nil {
				t.Error(err)
			}
			panic("leave")
		})
	}
	leave()
	events, err := store.ListAuditEvents(t.Context(), registry.AuditQuery{PageRequest: registry.PageRequest{Limit: 1}})
	must(t, err)
	if len(events.Items) != 0 {
		t.Error("the event of a transaction that panicked is there")
	}
	must(t, appendOne(t.Context(), store))
	if n := store.Pool().Stat().NewConnsCount(); n != 1 {
		t.Errorf("%d connections were made", n)
	}
}
