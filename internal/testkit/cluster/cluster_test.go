package cluster_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/testkit"
	"github.com/breakpilot/tenant-registry/internal/testkit/cluster"
)

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func exec(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// start starts a pair with an empty table of rows.
func start(t *testing.T) *cluster.Pair {
	t.Helper()
	begin := time.Now()
	p := cluster.New(t)
	t.Logf("ready after %v", time.Since(begin).Round(time.Millisecond))
	exec(t, connect(t, p.DSN()), `CREATE TABLE rows (name text)`)
	return p
}

// insert writes a row on A, as a commit that is under way.
func insert(t *testing.T, p *cluster.Pair, name string) *commit {
	t.Helper()
	conn := connect(t, p.DSN()+"&application_name="+name)
	c := &commit{pid: int(conn.PgConn().PID()), done: make(chan error, 1)}
	go func() {
		_, err := conn.Exec(context.Background(), `INSERT INTO rows VALUES ($1)`, name)
		c.done <- err
	}()
	return c
}

type commit struct {
	pid  int
	done chan error
}

// acknowledged waits for the answer.
func (c *commit) acknowledged(t *testing.T) {
	t.Helper()
	select {
	case err := <-c.done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("no answer")
	}
}

// failed waits for the end of the connection.
func (c *commit) failed(t *testing.T) {
	t.Helper()
	select {
	case err := <-c.done:
		if err == nil {
			t.Fatal("it was acknowledged")
		}
	case <-time.After(20 * time.Second):
		t.Fatal("no answer")
	}
}

// expectWait waits until the commit waits for the standby; it was not acknowledged.
func (c *commit) expectWait(t *testing.T, p *cluster.Pair, name string) {
	t.Helper()
	expectBackends(t, p, 1, name)
	select {
	case err := <-c.done:
		t.Fatal("there is an answer: ", err)
	default:
	}
}

func expectBackends(t *testing.T, p *cluster.Pair, want int, applications ...string) {
	t.Helper()
	testkit.Eventually(t, "as many backends in SyncRep as expected", func() bool {
		count, err := p.SyncRepBackends(t.Context(), applications...)
		if err != nil {
			t.Fatal(err)
		}
		return count == want
	})
}

func expectRows(t *testing.T, dsn string, want ...string) {
	t.Helper()
	rows, err := connect(t, dsn).Query(t.Context(), `SELECT name FROM rows ORDER BY name`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("the rows are %v, not %v; %v", got, want, err)
	}
}

// TestPair_acknowledged: a commit waits while the standby cannot confirm it; what was acknowledged is on the standby.
func TestPair_acknowledged(t *testing.T) {
	t.Parallel()
	p := start(t)
	for name, stop := range map[string]func(){"cut": p.CutStandby, "silent": p.Line.Blackhole} {
		stop()
		first, second := insert(t, p, name+"1"), insert(t, p, name+"2")
		first.expectWait(t, p, name+"1")
		second.expectWait(t, p, name+"2")
		expectBackends(t, p, 2)
		expectBackends(t, p, 0, "other")
		p.HealStandby()
		first.acknowledged(t)
		second.acknowledged(t)
		p.WaitStandby()
	}
	p.CutStandby()
	waiting := insert(t, p, "waiting")
	waiting.expectWait(t, p, "waiting")
	p.KillPrimary()
	waiting.failed(t)
	if conn, err := pgx.Connect(t.Context(), p.DSN()); err == nil {
		_ = conn.Close(t.Context())
		t.Error("A accepts connections after its death")
	}
	expectRows(t, p.StandbyDSN(), "cut1", "cut2", "silent1", "silent2")
	if conn, err := pgx.Connect(t.Context(), p.HostsDSN()); err == nil {
		_ = conn.Close(t.Context())
		t.Error("a standby takes writes")
	}
	p.Promote()
	expectRows(t, p.HostsDSN(), "cut1", "cut2", "silent1", "silent2")
	exec(t, connect(t, p.HostsDSN()), `INSERT INTO rows VALUES ('after')`)
}

// TestPair_lost is the control: what became visible on A without the standby's confirmation is lost with A.
func TestPair_lost(t *testing.T) {
	t.Parallel()
	p := start(t)
	insert(t, p, "confirmed").acknowledged(t)
	p.CutStandby()

	cancelled := insert(t, p, "cancelled")
	cancelled.expectWait(t, p, "cancelled")
	exec(t, connect(t, p.DSN()), `SELECT pg_cancel_backend($1)`, cancelled.pid)
	cancelled.acknowledged(t)
	expectRows(t, p.DSN(), "cancelled", "confirmed")

	crashed := insert(t, p, "crashed")
	crashed.expectWait(t, p, "crashed")
	expectRows(t, p.DSN(), "cancelled", "confirmed")
	other := connect(t, p.DSN())
	started := startTime(t, other)
	p.CrashBackend(int(other.PgConn().PID()))
	crashed.failed(t)
	expectRows(t, p.DSN(), "cancelled", "confirmed", "crashed")
	if now := startTime(t, connect(t, p.DSN())); !now.Equal(started) {
		t.Errorf("the postmaster started at %v, and before the crash that was %v", now, started)
	}

	killed := insert(t, p, "killed")
	killed.expectWait(t, p, "killed")
	p.KillPrimary()
	killed.failed(t)
	p.RestartPrimary()
	expectRows(t, p.DSN(), "cancelled", "confirmed", "crashed", "killed")
	waiting := insert(t, p, "waiting")
	waiting.expectWait(t, p, "waiting")

	p.SetSynchronous(false)
	waiting.acknowledged(t)
	insert(t, p, "asynchronous").acknowledged(t)
	expectRows(t, p.DSN(), "asynchronous", "cancelled", "confirmed", "crashed", "killed", "waiting")

	p.KillPrimary()
	p.Promote()
	expectRows(t, p.HostsDSN(), "confirmed")
}

func startTime(t *testing.T, conn *pgx.Conn) (started time.Time) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), `SELECT pg_postmaster_start_time()`).Scan(&started); err != nil {
		t.Fatal(err)
	}
	return started
}
