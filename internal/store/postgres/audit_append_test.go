package postgres_test

import (
	"errors"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/testkit"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/postgres"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
)

// TestAppend_lateCommit: A begins and writes, B commits, the log is read, A commits, the log is read on. A must appear.
func TestAppend_lateCommit(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	store := open(t, postgres.Config{DSN: dsn})
	tenantA, tenantB := insertTenant(t, store, "tenant-a"), insertTenant(t, store, "tenant-b")
	tail := registry.AuditQuery{Ascending: true, PageRequest: registry.PageRequest{Limit: 10}}
	read := func() (ids []uuid.UUID) {
		events, err := store.ListAuditEvents(t.Context(), tail)
		must(t, err)
		for _, e := range events.Items {
			ids, tail.Position = append(ids, e.ID), e.Pos
		}
		return ids
	}
	var a, b audit.Event
	must(t, store.Tx(t.Context(), func(txA registry.Tx) (err error) {
		changed, err := txA.LockTenant(t.Context(), tenantA.ID)
		must(t, err)
		changed.Version++
		must(t, txA.UpdateTenant(t.Context(), changed))
		must(t, store.Tx(t.Context(), func(txB registry.Tx) (err error) {
			b, err = appendTo(t.Context(), txB, tenantB.ID)
			return err
		}))
		if got := read(); len(got) != 1 || got[0] != b.ID {
			t.Errorf("after B: %v", got)
		}
		a, err = appendTo(t.Context(), txA, tenantA.ID)
		return err
	}))
	if got := read(); len(got) != 1 || got[0] != a.ID {
		t.Errorf("after A: %v, want %v", got, a.ID)
	}

	// Control: with numbers from a sequence, A has the smaller one, and who has read B never sees A.
	one, two := connect(t, dsn), connect(t, dsn)
	one.run(`CREATE TABLE serial_log (id bigserial PRIMARY KEY, who text)`)
	one.run(`BEGIN`)
	one.run(`INSERT INTO serial_log (who) VALUES ('A')`)
	two.run(`INSERT INTO serial_log (who) VALUES ('B')`)
	last := value[int64](two, `SELECT max(id) FROM serial_log`)
	one.run(`COMMIT`)
	if missed := value[int64](two, `SELECT count(*) FROM serial_log WHERE id > $1`, last) == 0; !missed {
		t.Error("the control sees A: this test shows nothing")
	}
}

// TestAppend_refused: a change whose event the table refuses is undone.
func TestAppend_refused(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	store := open(t, postgres.Config{DSN: dsn})
	service := registry.New(store, registry.Options{})
	tenant, err := testkit.Value(
		service.CreateTenant(t.Context(), operator, registry.TenantInput{Slug: "tenant", Name: "n"}),
	)
	must(t, err)
	admin := connect(t, dsn)
	for code, unavailable := range map[string]bool{"53100": true, "P0001": false} {
		admin.run(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '` + code + `'; END $$`)
		admin.run(`CREATE TRIGGER refuse BEFORE INSERT ON audit_log
			FOR EACH ROW WHEN (NEW.action = 'tenant.activate') EXECUTE FUNCTION refuse()`)
		_, err := service.ActivateTenant(t.Context(), operator, tenant.ID)
		if codeOf(err) != code || errors.Is(err, registry.ErrUnavailable) != unavailable {
			t.Errorf("activate: %v", err)
		}
		got, err := store.GetTenant(t.Context(), tenant.ID)
		must(t, err)
		if got.Status != registry.StatusTrial || got.Version != 1 {
			t.Errorf("the tenant was changed without an event: %+v", got)
		}
		admin.run(`DROP FUNCTION refuse CASCADE`)
	}
	_, err = service.ActivateTenant(t.Context(), operator, tenant.ID)
	must(t, err)
	events, err := store.ListAuditEvents(
		t.Context(), registry.AuditQuery{GroupID: &tenant.ID, PageRequest: registry.PageRequest{Limit: 10}},
	)
	must(t, err)
	if len(events.Items) != 2 || events.Items[0].Action != "tenant.activate" || events.Items[0].Seq != 2 {
		t.Errorf("the log has %d events: %+v", len(events.Items), events)
	}
}

// TestLockTenantsShared: a tenant that is locked is not deleted, one that is not locked is.
func TestLockTenantsShared(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	store := open(t, postgres.Config{DSN: dsn})
	tenant := insertTenant(t, store, "tenant")
	admin := connect(t, with(dsn, "lock_timeout", "100ms"))
	must(t, store.Tx(t.Context(), func(tx registry.Tx) error {
		must(t, testkit.LockTenantShared(t.Context(), tx, tenant.ID))
		if _, err := admin.Exec(t.Context(), `DELETE FROM tenants`); codeOf(err) != "55P03" {
			t.Errorf("delete: %v", err)
		}
		return nil
	}))
	admin.run(`DELETE FROM tenants`)
	err := store.Tx(t.Context(), func(tx registry.Tx) error {
		return testkit.LockTenantShared(t.Context(), tx, tenant.ID)
	})
	want(t, err, registry.ErrNotFound)
}

func TestAudit_appendOnly(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	store := open(t, postgres.Config{DSN: dsn})
	tenant := insertTenant(t, store, "tenant")
	var e audit.Event
	must(t, store.Tx(t.Context(), func(tx registry.Tx) (err error) {
		e, err = appendTo(t.Context(), tx, tenant.ID)
		return err
	}))
	admin := connect(t, dsn)
	for _, sql := range []string{
		`UPDATE audit_log SET description = 'x'`, `UPDATE audit_log SET tenant_id = NULL, description = 'x'`,
		`UPDATE audit_log SET group_id = gen_random_uuid()`, `DELETE FROM audit_log`, `TRUNCATE audit_log`,
	} {
		if _, err := admin.Exec(t.Context(), sql); codeOf(err) != "42501" {
			t.Errorf("%s: %v", sql, err)
		}
	}
	admin.run(`DELETE FROM tenants`)
	events, err := store.ListAuditEvents(
		t.Context(), registry.AuditQuery{GroupID: &tenant.ID, PageRequest: registry.PageRequest{Limit: 10}},
	)
	must(t, err)
	if len(events.Items) != 1 || events.Items[0].ID != e.ID || events.Items[0].GroupID != tenant.ID {
		t.Errorf("after its tenant was deleted the log has %+v", events)
	}
	if n := value[int64](admin, `SELECT count(*) FROM audit_log WHERE tenant_id IS NULL`); n != 1 {
		t.Errorf("%d events are detached", n)
	}
}

// TestTenant_slugCheck: what bypasses the domain meets the table's own rule.
func TestTenant_slugCheck(t *testing.T) {
	t.Parallel()
	store := open(t, postgres.Config{DSN: postgrestest.New(t)})
	for _, slug := range []string{
		"", "ab", "-abc", "abc-", "Abc", "a_c", "xn--abc", "a.c", "abc\n", string(make([]byte, 64)),
	} {
		err := store.Tx(
			t.Context(), func(tx registry.Tx) error { return tx.InsertTenant(t.Context(), newTenant(slug)) },
		)
		if code := codeOf(err); code != "23514" && code != "22021" {
			t.Errorf("%q: %v", slug, err)
		}
	}
	insertTenant(t, store, "abc")
}
