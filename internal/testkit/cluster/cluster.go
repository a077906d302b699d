// Package cluster runs two PostgreSQL servers of this machine in synchronous replication, and does to them what a
// crash, a cut line or an operator would. Only tests import it.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// Standby is the application_name of the standby, and the name of its replication slot.
const Standby = "sb"

// Pair is a primary A and a standby B, each with its own data on its own port of the loopback address, and no sockets
// in the file system. B receives A's log through Line and a slot, and A's commits wait until B has written it
// (synchronous_standby_names is Standby, synchronous_commit is on). fsync is off: kill -9 loses nothing that a process
// has written; a crash of the machine would.
//
// Methods without an error fail the test. They are for the goroutine that runs it, one at a time.
type Pair struct {
	Line *testkit.Proxy // between B and A; it carries nothing but the replication

	t    testing.TB
	a, b *node
}

// New starts a pair that ends with the test, or with this process at the latest. Settings are those of both servers,
// such as "max_connections=20"; the last one counts. Under -short the test is skipped.
func New(t testing.TB, settings ...string) *Pair {
	t.Helper()
	if testing.Short() {
		t.Skip("needs the PostgreSQL server, and -short leaves such tests out")
	}
	h, err := newHost()
	if err != nil {
		t.Fatalf("cluster: two PostgreSQL servers of this machine are needed: %v", err)
	}
	settings = append([]string{
		"fsync=off", "wal_level=replica", "max_wal_senders=5", "shared_buffers=32MB", "max_connections=100",
		"dynamic_shared_memory_type=mmap",   // in the folder: nothing is left of a server that was killed
		"wal_retrieve_retry_interval=250ms", // B tries to connect again that often
	}, settings...)
	p := &Pair{
		t: t,
		a: &node{host: h, name: "a", settings: settings},
		b: &node{host: h, name: "b", settings: settings},
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("cluster: log of A: %s\nlog of B: %s", p.a.lastWords(), p.b.lastWords())
		}
		if err := errors.Join(p.a.stop(), p.b.stop(), h.close()); err != nil {
			t.Errorf("cluster: the end: %v", err)
		}
	})
	p.must("server A", p.startPrimary())
	p.Line = testkit.NewProxy(t, p.a.address())
	p.must("server B", p.startStandby())
	p.SetSynchronous(true)
	p.WaitStandby()
	return p
}

func (p *Pair) startPrimary() error {
	initdb := func(locale string) error {
		return p.a.host.run("initdb", "-D", "a", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale="+locale,
			"--no-sync")
	}
	err := initdb("C.UTF-8")
	if err != nil {
		err = initdb("C") // initdb removes what it made when it fails
	}
	if err != nil {
		return err
	}
	return p.a.start()
}

func (p *Pair) startStandby() error {
	host, port := splitAddress(p.Line.Addr())
	conninfo := fmt.Sprintf("host=%s port=%s user=postgres sslmode=disable application_name=%s", host, port, Standby)
	err := p.b.host.run("pg_basebackup", "-d", conninfo, "-D", "b", "-R", "-X", "stream", "-C", "-S", Standby,
		"-c", "fast", "--no-sync")
	if err != nil {
		return err
	}
	return p.b.start()
}

func (p *Pair) must(step string, err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatalf("cluster: %s: %v", step, err)
	}
}

// DSN leads to A. The role is a superuser, the database is empty, and both servers have it.
func (p *Pair) DSN() string { return p.a.dsn() }

// StandbyDSN leads to B.
func (p *Pair) StandbyDSN() string { return p.b.dsn() }

// HostsDSN leads to whichever of A and B takes writes.
func (p *Pair) HostsDSN() string {
	return "postgres://postgres@" + p.a.address() + "," + p.b.address() +
		"/postgres?sslmode=disable&target_session_attrs=read-write"
}

// SetSynchronous makes A's commits wait for B, or for no standby: then the waits under way end at once. It holds for
// all commits that begin after it has returned.
func (p *Pair) SetSynchronous(on bool) {
	p.t.Helper()
	standbys := ""
	if on {
		standbys = Standby
	}
	p.must("synchronous_standby_names", p.a.setSynchronous(standbys))
}

// CutStandby resets the replication line, and keeps it down: both servers see that. Nothing that A commits afterwards
// reaches B. A line on which there is only silence is Line.Blackhole().
func (p *Pair) CutStandby() { p.Line.Cut() }

// HealStandby lets the line work again, after CutStandby as after Line.Blackhole. B connects within about 250 ms;
// WaitStandby waits for that.
func (p *Pair) HealStandby() { p.Line.Heal() }

// WaitStandby returns when B streams: it has confirmed a record of A's log that was written after the call.
func (p *Pair) WaitStandby() {
	p.t.Helper()
	ctx := context.Background()
	var record string
	p.must("WaitStandby", p.a.query(ctx, `SELECT pg_logical_emit_message(true, 'cluster', '')::text`, nil, &record))
	p.must("WaitStandby", poll(startTimeout, func() error {
		var streams bool
		err := p.a.query(ctx, `SELECT EXISTS (SELECT FROM pg_stat_replication
			WHERE application_name = $1 AND state = 'streaming' AND flush_lsn >= $2::text::pg_lsn)`,
			[]any{Standby, record}, &streams)
		if err == nil && !streams {
			err = errors.New("it does not stream")
		}
		return err
	}))
}

// SyncRepBackends is the number of clients of A whose commit waits for B at this moment: all, or those with one of the
// application names. It may be called at any time, from any goroutine.
func (p *Pair) SyncRepBackends(ctx context.Context, applications ...string) (int, error) {
	var count int
	err := p.a.query(ctx, `SELECT count(*) FROM pg_stat_activity
		WHERE backend_type = 'client backend' AND wait_event = 'SyncRep'
		AND (cardinality($1::text[]) = 0 OR application_name = ANY ($1))`,
		[]any{append([]string{}, applications...)}, &count)
	return count, err
}

// KillPrimary ends A's postmaster and all its children with SIGKILL, and returns when all have gone: no client gets
// another answer.
func (p *Pair) KillPrimary() {
	p.t.Helper()
	p.must("KillPrimary", p.a.kill())
}

// RestartPrimary starts A again, in place and on its port, killing it before if it runs. It returns when A accepts
// connections.
func (p *Pair) RestartPrimary() {
	p.t.Helper()
	p.must("RestartPrimary", errors.Join(p.a.kill(), p.a.start()))
}

// CrashBackend kills one process of A with SIGKILL, such as the backend with this pg_backend_pid(). The postmaster
// survives that, but ends all others and recovers. It returns when A accepts connections again.
func (p *Pair) CrashBackend(pid int) {
	p.t.Helper()
	p.must("CrashBackend", p.a.crash(pid))
}

// Promote makes B a primary whose commits wait for no standby, and returns when it takes writes. It does nothing to A.
func (p *Pair) Promote() {
	p.t.Helper()
	var promoted bool
	p.must("Promote", p.b.setSynchronous(""))
	p.must("Promote", p.b.query(context.Background(), `SELECT pg_promote(true, 25)`, nil, &promoted))
	if !promoted {
		p.t.Fatal("cluster: Promote: the standby is none after 25 s: ", p.b.lastWords())
	}
}
