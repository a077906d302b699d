package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// endsWithin is what operators are told: from SIGTERM to the exit at most DRAIN_DELAY and this.
const endsWithin = 10 * time.Second

// ends tells a program to end and returns how long that took, without DRAIN_DELAY; it must have been in time.
func (p *program) ends(t *testing.T, drainDelay time.Duration, code int) time.Duration {
	t.Helper()
	told := time.Now()
	p.signal(t, syscall.SIGTERM)
	return p.endsSince(t, told, drainDelay, code)
}

// endsSince is ends of a program that was told to before.
func (p *program) endsSince(t *testing.T, told time.Time, drainDelay time.Duration, code int) time.Duration {
	t.Helper()
	if got := p.exit(t); got != code {
		t.Errorf("exit %d, want %d", got, code)
	}
	took := time.Since(told) - drainDelay
	t.Logf("from SIGTERM to the exit: DRAIN_DELAY and %s", took.Round(10*time.Millisecond))
	if took > endsWithin {
		t.Errorf("the end took %s, want %s at most", took, endsWithin)
	}
	return took
}

// awaitFrames waits until so many goroutines of a program have a function in their stack.
func (p *program) awaitFrames(t *testing.T, function string, n int) {
	t.Helper()
	eventually(t, patience, func() error {
		stacks := p.fetch(t, p.Admin+"/debug/pprof/goroutine?debug=2")
		if got := strings.Count(stacks, function+"("); got != n {
			return fmt.Errorf("%s runs %d times, want %d", function, got, n)
		}
		return nil
	})
}

const withAdmin = "ADMIN_ADDR=127.0.0.1:0"

// mute is an address that takes connections and answers nothing.
func mute(t *testing.T) string {
	t.Helper()
	network := testkit.NewProxy(t, "127.0.0.1:1")
	network.Blackhole()
	return network.Addr()
}

// endings are states in which a server is told to end.
var endings = map[string]func(t *testing.T) *program{
	"idle": func(t *testing.T) *program { return launch(t, "DATABASE_URL="+postgrestest.New(t)) },
	"a change that waits for a lock": func(t *testing.T) *program {
		p, _, _ := inFlight(t)
		return p
	},
	"requests that stop halfway": func(t *testing.T) *program {
		p := launch(t)
		for range 10 {
			dial(t, strings.TrimPrefix(p.URL, "http://"), halfHeader)
			dial(t, strings.TrimPrefix(p.URL, "http://"), halfBody)
		}
		return p
	},
	"answers that no one reads": func(t *testing.T) *program {
		p := launch(t, withAdmin)
		dial(t, strings.TrimPrefix(p.URL, "http://"), strings.Repeat(getDocument, 1000))
		p.awaitFrames(t, "net.(*netFD).Write", 1)
		return p
	},
	"a mute database": func(t *testing.T) *program {
		p, network := onNetwork(t)
		network.Blackhole()
		for i := range 6 {
			p.background("GET", "/v1/catalog", "")
			p.background("POST", "/v1/tenants", fmt.Sprintf(`{"slug":"lost-%d","name":"Lost"}`, i))
		}
		p.becomesUnready(t, "cannot be reached")
		return p
	},
	"a database that is gone": func(t *testing.T) *program {
		p, network := onNetwork(t)
		network.Cut()
		p.becomesUnready(t, "cannot be reached")
		return p
	},
	"a mute collector": func(t *testing.T) *program {
		p := launch(t, "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+mute(t))
		p.get(t, "/v1/catalog")
		return p
	},
	"a mute issuer": func(t *testing.T) *program {
		return launch(t, "AUTH_MODE=oidc", "KEYCLOAK_ISSUER=http://"+mute(t)+"/realms/x")
	},
	"all of this at once": func(t *testing.T) *program {
		dsn := postgrestest.New(t)
		key := seedDatabase(t, dsn)
		conn := connect(t, dsn)
		p := launch(t, "DATABASE_URL="+patient(dsn), "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+mute(t))
		runSQL(t, conn, `BEGIN`)
		runSQL(t, conn, `LOCK TABLE audit_log, api_keys IN SHARE MODE`)
		p.call(t, http.StatusOK, "POST", verifyPath, `{"key":"`+key+`"}`)
		p.get(t, "/v1/audit?tenant_id="+acme)
		p.background("POST", "/v1/tenants", `{"slug":"lost","name":"Lost"}`)
		dial(t, strings.TrimPrefix(p.URL, "http://"), halfBody)
		awaitLockWait(t, connect(t, dsn))
		return p
	},
	"before it serves": func(t *testing.T) *program {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		p := start(t, []string{"DATABASE_URL=postgres://u@" + listener.Addr().String() + "/d"})
		conn, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return p
	},
}

// onNetwork starts a server on a database behind a proxy, with a use of a key that is not written.
func onNetwork(t *testing.T) (*program, *testkit.Proxy) {
	t.Helper()
	direct := postgrestest.New(t)
	key := seedDatabase(t, direct)
	dsn, network := proxied(t, direct)
	p := launch(t, "DATABASE_URL="+dsn, withAdmin)
	if r := p.call(t, http.StatusOK, "POST", verifyPath, `{"key":"`+key+`"}`); r.member("code") != "VALID" {
		t.Fatalf("the key is %s", r.text)
	}
	return p, network
}

// TestEnd asserts that in each of these states the program ends in time, and as it was asked to.
func TestEnd(t *testing.T) {
	t.Parallel()
	for name, state := range endings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			state(t).ends(t, 0, 0)
		})
	}
}

// TestEnd_longPolls asserts that callers who wait for events are answered at once, on connections that are closed
// then, and that no one waits afterwards.
func TestEnd_longPolls(t *testing.T) {
	t.Parallel()
	const polls, delay = 4, 2 * time.Second
	p := launch(t, "DRAIN_DELAY="+delay.String(), withAdmin)
	const wait = "/v1/audit?order=asc&action=never.seen&wait=20"
	var all []<-chan answered
	for range polls {
		all = append(all, p.background("GET", wait, ""))
	}
	p.awaitFrames(t, "registry.(*follower).awaitNews", polls)
	told := time.Now()
	p.signal(t, syscall.SIGTERM)
	for _, poll := range append(all, p.background("GET", wait, "")) {
		a := <-poll
		if a.err != nil || a.status != http.StatusOK || !a.closes {
			t.Errorf("a long poll is answered %d (%v), its connection is closed: %t", a.status, a.err, a.closes)
		}
	}
	if took := time.Since(told); took > delay {
		t.Errorf("the answers took %s", took)
	}
	p.endsSince(t, told, delay, 0)
}

// longExport fills the log of a server, and returns how many events it has then.
func longExport(t *testing.T, p *program) (events int) {
	t.Helper()
	event := `{"action":"test.write","crud":"c","actor":{"id":"u1"},"description":"` + strings.Repeat("x", 2000) + `"}`
	bulk := `{"events":[` + strings.Repeat(event+",", 99) + event + `]}`
	for range 50 {
		p.call(t, http.StatusCreated, "POST", "/v1/audit/bulk", bulk)
		events += 100
	}
	return events
}

// TestEnd_export asserts that an export whose reader does not read is cut off two seconds after the listener closed.
// The control is a reader that reads when the end has begun: it gets a part, and where another export continues.
func TestEnd_export(t *testing.T) {
	t.Parallel()
	for name, reads := range map[string]bool{"no one reads": false, "control": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const delay = 500 * time.Millisecond
			p := launch(t, withAdmin, "DRAIN_DELAY="+delay.String(), "SHARE_EVENTS=0/0/0")
			events := longExport(t, p)
			conn := dial(t, strings.TrimPrefix(p.URL, "http://"), "GET /v1/audit/export HTTP/1.1\r\nHost: localhost\r\n\r\n")
			p.awaitFrames(t, "net.(*netFD).Write", 1)
			exported := make(chan int, 1)
			if reads {
				go func() {
					p.draining(t)
					_ = conn.(*net.TCPConn).SetReadBuffer(1 << 20) // a small window opens only when it is probed
					exported <- countLines(conn)
				}()
			}
			if took := p.ends(t, delay, 0); !reads && took > requestGrace {
				t.Errorf("the end took %s", took)
			}
			if strings.Contains(p.stderr.String(), "requests cut off") {
				t.Error("the export was only cut off with everything else")
			}
			if reads {
				if got := <-exported; got <= 2 || got >= events+2 {
					t.Errorf("the export has %d lines, want some of %d events, a header and a trailer", got, events)
				}
			}
		})
	}
}

// TestEnd_lost asserts that what is queued and cannot be written is given up after three seconds, and that the log says
// how much it was. The control is the same without the locks: nothing is lost.
func TestEnd_lost(t *testing.T) {
	t.Parallel()
	const reads = 20
	for name, locked := range map[string]bool{"locked": true, "control": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := postgrestest.New(t)
			key := seedDatabase(t, dsn)
			conn := connect(t, dsn)
			p := launch(t, "DATABASE_URL="+patient(dsn), "LOG_FORMAT=json")
			tenants := make([]string, reads)
			for i := range tenants {
				tenants[i] = createTenant(t, p, fmt.Sprintf("tenant-%d", i))
			}
			before := count(t, conn, "audit_log")
			if locked {
				runSQL(t, conn, `BEGIN`)
				runSQL(t, conn, `LOCK TABLE audit_log, api_keys IN SHARE MODE`)
			}
			p.call(t, http.StatusOK, "POST", verifyPath, `{"key":"`+key+`"}`)
			for _, tenant := range tenants { // each leaves an event
				p.get(t, "/v1/audit?tenant_id="+tenant)
			}
			took := p.ends(t, 0, 0)
			if locked {
				runSQL(t, conn, `ROLLBACK`)
			}
			lost := map[string]any{}
			for line := range strings.Lines(p.stderr.String()) {
				var record map[string]any
				if err := json.Unmarshal([]byte(line), &record); err == nil && record["count"] != nil {
					lost[record["msg"].(string)] = record["count"]
				}
			}
			written := count(t, conn, "audit_log") - before
			switch {
			case !locked:
				if len(lost) > 0 || written != reads {
					t.Errorf("lost are %v, %d events of %d reads were written", lost, written, reads)
				}
			case lost["security events lost"] != float64(reads) || lost["times of use of keys lost"] != float64(1):
				t.Errorf("lost are %v, want %d events and a use; %s", lost, reads, &p.stderr)
			case took > recordGrace+2*time.Second:
				t.Errorf("the end took %s", took)
			}
		})
	}
}

// TestEnd_unreadLog asserts that a log that no one reads does not keep the program from ending: it is forced to.
func TestEnd_unreadLog(t *testing.T) {
	t.Parallel()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	p := &program{cmd: exec.Command(binary), ended: make(chan struct{}), client: &http.Client{Timeout: patience}}
	p.cmd.Env = []string{testkit.QuickExit, "ADDR=127.0.0.1:0", "DRAIN_DELAY=0s"}
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, writer
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = writer.Close()
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait()
	}()
	eventually(t, patience, func() error {
		found := greeted.FindStringSubmatch(p.stdout.String())
		if found == nil {
			return errors.New("the server does not say that it listens")
		}
		p.URL = found[1]
		return nil
	})
	for range 1000 { // more than the pipe holds
		p.get(t, "/v1/tenants/by-slug/acme")
	}
	p.ends(t, 0, 1)
}

// countLines reads to the end and counts the lines.
func countLines(conn net.Conn) (n int) {
	trailer := false
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "{") {
			n++
			trailer = strings.Contains(lines.Text(), `"next_cursor":"`)
		}
	}
	if !trailer {
		return 0
	}
	return n
}

// createTenant makes a tenant and returns its id.
func createTenant(t *testing.T, p *program, slug string) string {
	t.Helper()
	var tenant struct {
		ID string `json:"id"`
	}
	r := p.call(t, http.StatusCreated, "POST", "/v1/tenants", `{"slug":"`+slug+`","name":"A tenant"}`)
	if err := json.Unmarshal([]byte(r.text), &tenant); err != nil {
		t.Fatal(err)
	}
	return tenant.ID
}
