package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
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

// fleet is a load balancer that asks /readyz and sends requests to those that are ready, in turn.
type fleet struct {
	client http.Client

	mu      sync.Mutex
	members []*program
	ready   map[*program]bool
	turn    int
}

// readyzEvery is how often the fleet asks.
const readyzEvery = 250 * time.Millisecond

// add takes a server in, and asks it until the test ends.
func (f *fleet) add(ctx context.Context, all *sync.WaitGroup, p *program) {
	f.mu.Lock()
	f.members = append(f.members, p)
	f.mu.Unlock()
	all.Go(func() {
		tick := time.NewTicker(readyzEvery)
		defer tick.Stop()
		for ctx.Err() == nil {
			r, err := p.try("GET", "/readyz", "")
			f.mu.Lock()
			f.ready[p] = err == nil && r.status == http.StatusOK
			f.mu.Unlock()
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
}

func (f *fleet) isReady(p *program) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ready[p]
}

// next is the URL of the member whose turn it is.
func (f *fleet) next() (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range f.members {
		f.turn++
		if p := f.members[f.turn%len(f.members)]; f.ready[p] {
			return p.URL, nil
		}
	}
	return "", errors.New("no server is ready")
}

func (f *fleet) send(method, path, body string, want int) error {
	base, err := f.next()
	if err != nil {
		return err
	}
	req, err := http.NewRequest(method, base+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != want {
		return fmt.Errorf("%s %s: %s", method, path, resp.Status)
	}
	return nil
}

// load sends requests of three kinds until ctx ends, and returns how many, and the failures.
func (f *fleet) load(ctx context.Context) func() (sent int, failed []error) {
	var (
		mu     sync.Mutex
		all    sync.WaitGroup
		sent   int
		failed []error
	)
	for range 4 {
		all.Go(func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for ctx.Err() == nil {
				err := errors.Join(f.send("GET", "/v1/tenants/by-slug/acme", "", 200),
					f.send("POST", "/v1/internal/api-keys/verify", `{"key":"x"}`, 200),
					f.send("POST", "/v1/audit", `{"action":"test.write","crud":"c","actor":{"id":"u1"}}`, 201))
				mu.Lock()
				sent += 3
				if err != nil {
					failed = append(failed, err)
				}
				mu.Unlock()
				<-tick.C
			}
		})
	}
	return func() (int, []error) {
		all.Wait()
		return sent, failed
	}
}

// restartAll replaces each of two servers under load, and returns how the requests fared.
func restartAll(t *testing.T, drainDelay string) (sent int, failed []error) {
	t.Helper()
	dsn := postgrestest.New(t)
	seedDatabase(t, dsn)
	f := &fleet{ready: map[*program]bool{}}
	f.client.Transport = &http.Transport{MaxIdleConnsPerHost: 16}
	f.client.Timeout = patience
	defer f.client.CloseIdleConnections()
	asking, stopAsking := context.WithCancel(t.Context())
	loading, stopLoading := context.WithCancel(t.Context())
	defer stopLoading()
	var askers sync.WaitGroup
	defer askers.Wait()
	defer stopAsking()
	join := func() *program {
		p := launch(t, "DATABASE_URL="+dsn, "DRAIN_DELAY="+drainDelay)
		f.add(asking, &askers, p)
		eventually(t, patience, func() error {
			if !f.isReady(p) {
				return errors.New("the server is not ready")
			}
			return nil
		})
		return p
	}
	old := []*program{join(), join()}
	outcome := f.load(loading)
	for _, p := range slices.Backward(old) {
		join()
		p.signal(t, syscall.SIGTERM)
		if code := p.exit(t); code != 0 {
			t.Errorf("exit %d", code)
		}
		eventually(t, patience, func() error {
			if f.isReady(p) {
				return errors.New("a server that ended is taken for ready")
			}
			return nil
		})
	}
	stopLoading()
	return outcome()
}

func TestRollingRestart(t *testing.T) {
	t.Parallel()
	sent, failed := restartAll(t, "2s")
	t.Logf("%d requests, %d failures", sent, len(failed))
	if len(failed) > 0 || sent < 100 {
		t.Errorf("%d of %d requests failed: %v", len(failed), sent, errors.Join(failed[:min(len(failed), 5)]...))
	}
}

func TestRollingRestart_control(t *testing.T) {
	t.Parallel()
	sent, failed := restartAll(t, "0s")
	t.Logf("%d requests, %d failures", sent, len(failed))
	if len(failed) == 0 {
		t.Error("without the delay no request failed: the test cannot see a failure")
	}
}
