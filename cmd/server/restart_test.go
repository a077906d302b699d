package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

var restarts = flag.Int("restarts", 2, "how many servers are replaced where connections are balanced")

// fleet is a load balancer that asks /readyz and sends requests to those that are ready, in turn.
type fleet struct {
	client http.Client
	base   func() (string, error) // where the next request goes
	sent   atomic.Int64

	mu      sync.Mutex
	members []*program
	ready   map[*program]bool
	gone    map[*program]bool // taken out, whatever /readyz says
	turn    int
}

// newFleet makes a fleet that chooses a server for each request.
func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{ready: map[*program]bool{}, gone: map[*program]bool{}}
	f.client.Transport = &http.Transport{MaxIdleConnsPerHost: 32}
	f.client.Timeout = patience
	t.Cleanup(f.client.CloseIdleConnections)
	f.base = func() (string, error) {
		p, err := f.next()
		if err != nil {
			return "", err
		}
		return p.URL, nil
	}
	return f
}

// readyzEvery is how often the fleet asks.
const readyzEvery = 250 * time.Millisecond

// add takes a server in when it is ready, and asks it until ctx ends.
func (f *fleet) add(t *testing.T, ctx context.Context, all *sync.WaitGroup, p *program) {
	t.Helper()
	f.mu.Lock()
	f.members = append(f.members, p)
	f.mu.Unlock()
	all.Go(func() {
		tick := time.NewTicker(readyzEvery)
		defer tick.Stop()
		for ctx.Err() == nil {
			r, err := p.try("GET", "/readyz", "")
			f.mu.Lock()
			f.ready[p] = err == nil && r.status == http.StatusOK && !f.gone[p]
			f.mu.Unlock()
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	f.becomes(t, p, true)
}

// becomes waits until a server is taken for ready, or is not any more.
func (f *fleet) becomes(t *testing.T, p *program, ready bool) {
	t.Helper()
	eventually(t, patience, func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.ready[p] != ready {
			return fmt.Errorf("ready: %t", !ready)
		}
		return nil
	})
}

// remove takes a server out, without a word to it.
func (f *fleet) remove(p *program) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ready[p], f.gone[p] = false, true
}

// next is the member whose turn it is.
func (f *fleet) next() (*program, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range f.members {
		f.turn++
		if p := f.members[f.turn%len(f.members)]; f.ready[p] {
			return p, nil
		}
	}
	return nil, errors.New("no server is ready")
}

// networkDelay is how long bytes take, each way, where connections are balanced: as between machines, so that requests
// are under way at any moment.
const networkDelay = 10 * time.Millisecond

// byConnection makes the fleet choose a server for each connection of a client, as a Kubernetes Service does: a
// connection stays with its server until one of its ends closes it.
func (f *fleet) byConnection(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.base = func() (string, error) { return "http://" + listener.Addr().String(), nil }
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { f.carry(client.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() {
		f.client.CloseIdleConnections()
		_ = listener.Close()
		all.Wait()
	})
}

// carry connects a client with the server whose turn it is, and passes bytes between the two.
func (f *fleet) carry(client *net.TCPConn) {
	defer client.Close()
	p, err := f.next()
	if err != nil {
		return
	}
	conn, err := net.Dial("tcp", p.distant)
	if err != nil {
		return
	}
	server := conn.(*net.TCPConn)
	defer server.Close()
	var both sync.WaitGroup
	for _, ends := range [][2]*net.TCPConn{{client, server}, {server, client}} {
		both.Go(func() {
			_, _ = io.Copy(ends[0], ends[1])
			_ = ends[0].CloseWrite()
		})
	}
	both.Wait()
}

func (f *fleet) send(method, path, body string, want int) error {
	f.sent.Add(1)
	base, err := f.base()
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
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// load sends requests of four kinds until ctx ends, and returns the failures.
func (f *fleet) load(ctx context.Context, clients int) func() (failed []error) {
	var (
		mu     sync.Mutex
		all    sync.WaitGroup
		failed []error
	)
	report := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			failed = append(failed, err)
		}
	}
	for range clients {
		all.Go(func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for ctx.Err() == nil {
				report(f.send("GET", "/v1/tenants/by-slug/acme", "", 200))
				report(f.send("POST", "/v1/internal/api-keys/verify", `{"key":"x"}`, 200))
				report(f.send("POST", "/v1/audit", `{"action":"test.write","crud":"c","actor":{"id":"u1"}}`, 201))
				<-tick.C
			}
		})
	}
	all.Go(func() { // a long poll, which waits where there is nothing to see
		for ctx.Err() == nil {
			report(f.send("GET", "/v1/audit?order=asc&action=never.seen&wait=2", "", 200))
		}
	})
	return func() []error {
		all.Wait()
		return failed
	}
}

// rolling is a rolling restart under load: how many servers are replaced, and how each leaves.
type rolling struct {
	clients, servers int
	drainDelay       string
	byConnection     bool
	leave            func(f *fleet, p *program) // before it is told to end; nil: nothing
}

// run replaces one of two servers after the other under load, and returns how the requests fared.
func (r rolling) run(t *testing.T) (sent int64, failed []error) {
	t.Helper()
	dsn := postgrestest.New(t)
	seedDatabase(t, dsn)
	f := newFleet(t)
	if r.byConnection {
		f.byConnection(t)
	}
	asking, stopAsking := context.WithCancel(t.Context())
	loading, stopLoading := context.WithCancel(t.Context())
	defer stopLoading()
	var askers sync.WaitGroup
	defer askers.Wait()
	defer stopAsking()
	join := func() *program {
		p := launch(t, "DATABASE_URL="+dsn, "DRAIN_DELAY="+r.drainDelay)
		network := testkit.NewProxy(t, strings.TrimPrefix(p.URL, "http://"))
		network.Delay(networkDelay)
		p.distant = network.Addr()
		f.add(t, asking, &askers, p)
		return p
	}
	running := []*program{join(), join()}
	outcome := f.load(loading, r.clients)
	for range r.servers {
		running = append(running, join())
		p := running[0]
		running = running[1:]
		if r.leave != nil {
			r.leave(f, p)
		}
		p.signal(t, syscall.SIGTERM)
		if code := p.exit(t); code != 0 {
			t.Errorf("exit %d", code)
		}
		f.becomes(t, p, false)
	}
	stopLoading()
	failed = outcome()
	return f.sent.Load(), failed
}

func noFailures(t *testing.T, sent int64, failed []error) {
	t.Helper()
	t.Logf("%d requests, %d failures", sent, len(failed))
	if len(failed) > 0 || sent < 100 {
		t.Errorf("%d of %d requests failed: %v", len(failed), sent, errors.Join(failed[:min(len(failed), 5)]...))
	}
}

func someFailures(t *testing.T, sent int64, failed []error) {
	t.Helper()
	t.Logf("%d requests, %d failures", sent, len(failed))
	if len(failed) == 0 {
		t.Error("no request failed: the test cannot see a failure")
	}
}

func TestRollingRestart(t *testing.T) {
	t.Parallel()
	sent, failed := rolling{clients: 4, servers: 2, drainDelay: "2s"}.run(t)
	noFailures(t, sent, failed)
}

// TestRollingRestart_control has no delay: requests go to servers that do not listen any more.
func TestRollingRestart_control(t *testing.T) {
	t.Parallel()
	sent, failed := rolling{clients: 4, servers: 2, drainDelay: "0s"}.run(t)
	someFailures(t, sent, failed)
}

// TestRollingRestart_byConnection asserts that no request fails either where connections are balanced, and a client
// stays on its connection as long as it is not told otherwise.
func TestRollingRestart_byConnection(t *testing.T) {
	t.Parallel()
	sent, failed := rolling{clients: 16, servers: *restarts, drainDelay: "2s", byConnection: true}.run(t)
	noFailures(t, sent, failed)
}

// TestRollingRestart_byConnectionControl is the same without the header: each server is out of the balancing for a
// while and answers on without it; when it then ends, it closes connections on which requests are under way.
func TestRollingRestart_byConnectionControl(t *testing.T) {
	t.Parallel()
	leave := func(f *fleet, p *program) {
		f.remove(p)
		until := f.sent.Load() + 200
		eventually(t, patience, func() error {
			if f.sent.Load() < until {
				return errors.New("few requests were sent")
			}
			return nil
		})
	}
	const few = 3
	sent, failed := rolling{
		clients: 16, servers: max(few, *restarts), drainDelay: "0s", byConnection: true, leave: leave,
	}.run(t)
	someFailures(t, sent, failed)
}
