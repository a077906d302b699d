package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/internal/testkit"
	"github.com/breakpilot/tenant-registry/migrations"
)

// deadline is how long any answer may take, whatever the database does: the time limit of a request, and some for a
// busy machine.
const deadline = 8 * time.Second

// unavailable must be the answer while the store cannot be used.
func unavailable(r reply, err error) error {
	switch {
	case err != nil:
		return err
	case r.status != http.StatusServiceUnavailable || r.member("code") != "unavailable" ||
		r.header.Get("Retry-After") == "":
		return fmt.Errorf("%d %s, Retry-After %q", r.status, r.text, r.header.Get("Retry-After"))
	}
	return nil
}

// patient lets the database's own limits outlast those of the program.
func patient(dsn string) string {
	if !strings.Contains(dsn, "://") {
		return dsn + " lock_timeout=1min statement_timeout=1min"
	}
	sign := "?"
	if strings.Contains(dsn, "?") {
		sign = "&"
	}
	return dsn + sign + "lock_timeout=1min&statement_timeout=1min"
}

// lockTenant holds a tenant's row until the function returned is called, or the test ends.
func lockTenant(t *testing.T, dsn, slug string) (release func()) {
	t.Helper()
	tx, err := connect(t, dsn).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT FROM tenants WHERE slug = $1 FOR UPDATE`, slug); err != nil {
		t.Fatal(err)
	}
	release = sync.OnceFunc(func() { _ = tx.Rollback(context.Background()) })
	t.Cleanup(release)
	return release
}

// awaitLockWait returns when a session of the database waits for a lock.
func awaitLockWait(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	const waiting = `SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event_type = 'Lock'`
	eventually(t, patience, func() error {
		var n int
		err := conn.QueryRow(t.Context(), waiting).Scan(&n)
		if err == nil && n == 0 {
			err = errors.New("no session waits for a lock")
		}
		return err
	})
}

// createGlobex makes the tenant globex and returns its id.
func (p *program) createGlobex(t *testing.T) string {
	t.Helper()
	r := p.call(t, http.StatusCreated, "POST", "/v1/tenants", `{"slug":"globex","name":"Globex"}`)
	id, _ := r.member("id").(string)
	return id
}

// sessions counts those of the program.
func sessions(t *testing.T, conn *pgx.Conn) (n int) {
	t.Helper()
	const ofProgram = `SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND application_name = 'tenant-registry'`
	if err := conn.QueryRow(t.Context(), ofProgram).Scan(&n); err != nil || n == 0 {
		t.Fatalf("%d sessions, %v", n, err)
	}
	return n
}

// answered is a request that was sent in the background.
type answered struct {
	reply
	err error
}

func (p *program) background(method, path, body string) <-chan answered {
	answer := make(chan answered, 1)
	go func() {
		r, err := p.try(method, path, body)
		answer <- answered{r, err}
	}()
	return answer
}

// readers asks for the tenant globex, all at once.
func readers(p *program, n int) (answers []<-chan answered) {
	for range n {
		answers = append(answers, p.background("GET", "/v1/tenants/by-slug/globex", ""))
	}
	return answers
}

// stillReady asks /readyz and /healthz, which must be quick, and ready as a rule: on a busy machine an answer of the
// database may come too late.
func stillReady(t *testing.T, p *program) {
	t.Helper()
	ready := 0
	for range 10 {
		start := time.Now()
		r, err := p.try("GET", "/readyz", "")
		if err == nil && r.status == http.StatusOK {
			ready++
		}
		p.get(t, "/healthz")
		if took := time.Since(start); took > time.Second {
			t.Errorf("/readyz and /healthz took %s", took)
		}
	}
	if ready < 5 {
		t.Errorf("the server was ready %d times of 10", ready)
	}
}

// recovers waits until the tenant globex can be read again.
func recovers(t *testing.T, p *program) {
	t.Helper()
	eventually(t, patience, func() error {
		r, err := p.try("GET", "/v1/tenants/by-slug/globex", "")
		if err == nil && r.status != http.StatusOK {
			err = errors.New(r.text)
		}
		return err
	})
}

// TestPoolExhausted asserts that with one connection, which hangs, all other requests are answered 503 in time, and
// that /readyz does not wait. The control has more connections: there the other requests succeed.
func TestPoolExhausted(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		conns     int
		exhausted bool
	}{
		"exhausted": {1, true},
		"control":   {5, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := postgrestest.New(t)
			conn := connect(t, dsn)
			p := launch(t, "DATABASE_URL="+patient(dsn), fmt.Sprintf("DB_MAX_CONNS=%d", tc.conns))
			id := p.createGlobex(t)
			release := lockTenant(t, dsn, "globex")
			hanging := p.background("POST", "/v1/tenants/"+id+"/activate", "")
			awaitLockWait(t, conn)

			others := readers(p, 5)
			stillReady(t, p)
			start := time.Now()
			for _, other := range others {
				answer := <-other
				if err := unavailable(answer.reply, answer.err); (err == nil) != tc.exhausted {
					t.Errorf("the others get %d %s (%v)", answer.status, answer.text, answer.err)
				}
			}
			if took := time.Since(start); took > deadline {
				t.Errorf("the others waited %s", took)
			}
			if n := sessions(t, conn); n > tc.conns+2 {
				t.Errorf("there are %d sessions, of %d and the two of /readyz", n, tc.conns)
			}
			release()
			if answer := <-hanging; answer.status != http.StatusOK && unavailable(answer.reply, answer.err) != nil {
				t.Errorf("the one that hung gets %d %s (%v)", answer.status, answer.text, answer.err)
			}
			recovers(t, p)
		})
	}
}

// TestDatabaseGone asserts that in whatever way the database is gone, requests are answered in time, and work again
// when it is back.
func TestDatabaseGone(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(*testkit.Proxy){
		"reset":  (*testkit.Proxy).Cut,
		"silent": (*testkit.Proxy).Blackhole,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn, network := proxied(t, postgrestest.New(t))
			p := launch(t, "DATABASE_URL="+dsn)
			network.Delay(20 * time.Millisecond) // the control: this much the program must tolerate
			id := p.createGlobex(t)
			p.get(t, "/v1/tenants/"+id) // which is not cached

			fault(network)
			start := time.Now()
			var gone []<-chan answered
			for i := range 6 {
				gone = append(gone, p.background("GET", "/v1/tenants/"+id, ""),
					p.background("POST", "/v1/tenants", fmt.Sprintf(`{"slug":"lost-%d","name":"Lost"}`, i)))
			}
			for _, request := range gone {
				p.get(t, "/healthz")
				answer := <-request
				if err := unavailable(answer.reply, answer.err); err != nil {
					t.Errorf("without a database the answer is %v", err)
				}
			}
			if took := time.Since(start); took > deadline {
				t.Errorf("12 requests at once took %s", took)
			}
			network.Heal()
			p.becomesReady(t, migrations.Latest())
			recovers(t, p)
			p.call(t, http.StatusCreated, "POST", "/v1/tenants", `{"slug":"after","name":"After"}`)
		})
	}
}

// holdCommits makes commits that create a tenant wait for a lock, just before they are done, until release is called.
func holdCommits(t *testing.T, dsn string) (release func()) {
	t.Helper()
	conn := connect(t, dsn)
	runSQL(t, conn, `CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql
		AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NULL; END'`)
	runSQL(t, conn, `CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON tenants DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION hold()`)
	runSQL(t, conn, `SELECT pg_advisory_lock(4711)`)
	return func() { runSQL(t, conn, `SELECT pg_advisory_unlock(4711)`) }
}

// TestCommitAnswerLost asserts that a change whose commit is done and whose answer is lost is answered 503, happened
// one time, and is not sent again by the program.
func TestCommitAnswerLost(t *testing.T) {
	t.Parallel()
	direct := postgrestest.New(t)
	dsn, network := proxied(t, direct)
	conn := connect(t, direct)
	p := launch(t, "DATABASE_URL="+dsn)
	// the control: here the answer of the commit arrives
	p.call(t, http.StatusCreated, "POST", "/v1/tenants", `{"slug":"before","name":"Before"}`)
	release := holdCommits(t, direct)
	start := time.Now()
	answer := p.background("POST", "/v1/tenants", `{"slug":"globex","name":"Globex"}`)
	awaitLockWait(t, conn)
	network.Blackhole()
	release()
	lost := <-answer
	if err := unavailable(lost.reply, lost.err); err != nil {
		t.Errorf("the answer is %v", err)
	}
	if took := time.Since(start); took > deadline {
		t.Errorf("the answer took %s", took)
	}
	network.Heal()
	if n, events := count(t, conn, "tenants"), count(t, conn, "audit_log"); n != 2 || events != 2 {
		t.Errorf("there are %d tenants and %d events", n, events)
	}
	eventually(t, patience, func() error {
		r, err := p.try("POST", "/v1/tenants", `{"slug":"globex","name":"Globex"}`)
		if err == nil && r.member("code") != "slug_taken" {
			err = fmt.Errorf("the repeat is %d %s", r.status, r.text)
		}
		return err
	})
}

// writes appends events from several clients until stop is called, which returns how many were acknowledged and how
// many refused. An answer may be 201 or a 503 as documented, and nothing else.
func writes(t *testing.T, p *program) (stop func() (acknowledged, refused int)) {
	t.Helper()
	var (
		mu    sync.Mutex
		done  = make(chan struct{})
		all   sync.WaitGroup
		yes   int
		no    int
		event = `{"action":"test.write","crud":"c","actor":{"id":"u1"}}`
	)
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				r, err := p.try("POST", "/v1/audit", event)
				mu.Lock()
				if err == nil && r.status == http.StatusCreated {
					yes++
				} else if err := unavailable(r, err); err == nil {
					no++
				} else {
					t.Errorf("an event is answered with %v", err)
				}
				mu.Unlock()
			}
		})
	}
	return sync.OnceValues(func() (int, int) {
		close(done)
		all.Wait()
		return yes, no
	})
}

// crash kills a backend, so that Postgres ends all sessions and recovers. Where only the database is ours, its sessions
// are ended.
func crash(t *testing.T, conn *pgx.Conn, whole bool) {
	t.Helper()
	if !whole {
		t.Log("the server is not this test's own: its sessions are ended instead of killed")
		disconnect(t, conn)
		return
	}
	const ofProgram = `SELECT pid FROM pg_stat_activity
		WHERE application_name = 'tenant-registry' AND datname = current_database() LIMIT 1`
	var pid int
	if err := conn.QueryRow(t.Context(), ofProgram).Scan(&pid); err != nil {
		t.Fatal(err)
	}
	// its answer may not come
	_, _ = conn.Exec(t.Context(), fmt.Sprintf(`COPY (SELECT 1) TO PROGRAM 'kill -9 %d'`, pid))
	eventually(t, patience, func() error {
		if err := conn.Ping(t.Context()); err == nil {
			return errors.New("Postgres did not crash")
		}
		return nil
	})
}

func TestBackendKilled(t *testing.T) {
	t.Parallel()
	dsn, whole := postgrestest.Own(t)
	p := launch(t, "DATABASE_URL="+dsn)
	stop := writes(t, p)
	defer stop()
	p.becomesReady(t, migrations.Latest())
	crash(t, connect(t, dsn), whole)
	p.becomesReady(t, migrations.Latest())
	eventually(t, patience, func() error {
		r, err := p.try("POST", "/v1/tenants", `{"slug":"after","name":"After"}`)
		if err == nil && r.status != http.StatusCreated {
			err = errors.New(r.text)
		}
		return err
	})
	acknowledged, refused := stop()
	const written = `SELECT count(*) FROM audit_log WHERE action = 'test.write'`
	var events int
	if err := connect(t, dsn).QueryRow(t.Context(), written).Scan(&events); err != nil {
		t.Fatal(err)
	}
	// A refused one may have happened: its answer may be what was lost.
	if acknowledged == 0 || events < acknowledged || events > acknowledged+refused {
		t.Errorf("%d events were acknowledged and %d refused, %d are there", acknowledged, refused, events)
	}
	t.Logf("%d acknowledged, %d refused", acknowledged, refused)
}

// TestDatabaseRestarted asserts what a restart of the database does: it ends all sessions and for a while takes no new
// ones.
func TestDatabaseRestarted(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	p := launch(t, "DATABASE_URL="+dsn)
	stop := writes(t, p)
	defer stop()
	conn := connect(t, dsn)
	database := databaseName(t, conn)
	elsewhere := connect(t, strings.Replace(dsn, database, "postgres", 1))
	for range 3 {
		p.becomesReady(t, migrations.Latest())
		runSQL(t, elsewhere, `ALTER DATABASE `+database+` ALLOW_CONNECTIONS false`)
		disconnect(t, conn)
		p.becomesUnready(t, "cannot be reached")
		if err := unavailable(p.try("GET", "/v1/catalog", "")); err != nil {
			t.Errorf("while no session can be had, the answer is %v", err)
		}
		runSQL(t, elsewhere, `ALTER DATABASE `+database+` ALLOW_CONNECTIONS true`)
	}
	p.becomesReady(t, migrations.Latest())
	eventually(t, patience, func() error {
		r, err := p.try("GET", "/v1/catalog", "")
		if err == nil && r.status != http.StatusOK {
			err = errors.New(r.text)
		}
		return err
	})
	acknowledged, refused := stop()
	if refused == 0 {
		t.Error("no request was refused, so nothing was restarted")
	}
	if events := count(t, conn, "audit_log"); events < acknowledged {
		t.Errorf("%d events were acknowledged and %d are there", acknowledged, events)
	}
}
