package main

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
)

// draining waits until /readyz says that the process is about to end.
func (p *program) draining(t *testing.T) {
	t.Helper()
	p.becomesUnready(t, "draining")
}

// refuses waits until the server takes no more connections.
func (p *program) refuses(t *testing.T) {
	t.Helper()
	eventually(t, patience, func() error {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.URL, "http://"))
		if err != nil {
			return nil
		}
		_ = conn.Close()
		return errors.New("the listener takes connections")
	})
}

// inFlight begins a request that hangs until release is called.
func inFlight(t *testing.T, env ...string) (p *program, answer <-chan answered, release func()) {
	t.Helper()
	dsn := postgrestest.New(t)
	conn := connect(t, dsn)
	p = launch(t, append(env, "DATABASE_URL="+patient(dsn))...)
	id := p.createGlobex(t)
	release = lockTenant(t, dsn, "globex")
	answer = p.background("POST", "/v1/tenants/"+id+"/activate", "")
	awaitLockWait(t, conn)
	return p, answer, release
}

func TestDrain(t *testing.T) {
	t.Parallel()
	const delay = 500 * time.Millisecond
	p, answer, release := inFlight(t, "DRAIN_DELAY="+delay.String())
	told := time.Now()
	p.signal(t, syscall.SIGTERM)
	p.draining(t)
	p.get(t, "/v1/tenants/by-slug/globex")
	p.refuses(t)
	if after := time.Since(told); after < delay {
		t.Errorf("the listener closed after %s, want %s", after, delay)
	}
	if !p.running() {
		t.Fatal("the program ended with a request in flight")
	}
	release()
	if a := <-answer; a.err != nil || a.status != http.StatusOK {
		t.Errorf("the request in flight got %d %s (%v)", a.status, a.text, a.err)
	}
	if code := p.exit(t); code != 0 {
		t.Errorf("exit %d", code)
	}
}

// TestDrain_secondSignal is the control of TestDrain: a second signal ends the program at once, and the request in
// flight is lost.
func TestDrain_secondSignal(t *testing.T) {
	t.Parallel()
	p, answer, _ := inFlight(t, "DRAIN_DELAY=1m")
	p.signal(t, syscall.SIGTERM)
	p.draining(t)
	p.signal(t, syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(patience): // the drain delay is longer
		t.Error("a second signal does not end the program")
	}
	if code := p.exit(t); code == 0 {
		t.Error("ended by force, the program exits with 0")
	}
	if a := <-answer; a.err == nil {
		t.Errorf("the request in flight got %d %s", a.status, a.text)
	}
}
