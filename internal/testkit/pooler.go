package testkit

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Pooler stands in front of a Postgres server as a connection pooler does that is told to ignore the session parameters
// of its clients (PgBouncer's ignore_startup_parameters): it returns the DSN that leads through it. The DSN must be a
// URL without TLS. It ends with the test.
func Pooler(t testing.TB, dsn string) string {
	t.Helper()
	parsed, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &pooler{target: parsed.Host, conns: map[net.Conn]bool{}}
	p.running.Go(func() { p.accept(listener) })
	t.Cleanup(func() {
		_ = listener.Close()
		p.close()
		p.running.Wait()
	})
	parsed.Host = listener.Addr().String()
	return parsed.String()
}

type pooler struct {
	target  string
	running sync.WaitGroup

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]bool
}

func (p *pooler) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.serve(client) })
	}
}

// add makes close end a connection; false if it has closed.
func (p *pooler) add(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[conn] = true
	return !p.closed
}

func (p *pooler) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for conn := range p.conns {
		_ = conn.Close()
	}
}

func (p *pooler) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	if !p.add(client) || !p.add(server) {
		return
	}
	first, err := pgproto3.NewBackend(client, client).ReceiveStartupMessage()
	if err != nil {
		return
	}
	if startup, ok := first.(*pgproto3.StartupMessage); ok {
		for name := range startup.Parameters {
			if name != "user" && name != "database" {
				delete(startup.Parameters, name)
			}
		}
	}
	text, err := first.Encode(nil)
	if err != nil {
		return
	}
	if _, err := server.Write(text); err != nil {
		return
	}
	p.running.Go(func() {
		_, _ = io.Copy(client, server)
		_ = client.Close()
	})
	_, _ = io.Copy(server, client)
}
