package main

import (
	"context"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// proxy is the network between a program and its database. It begins as one that works.
type proxy struct {
	listener        net.Listener
	network, target string

	mu      sync.Mutex
	changed *sync.Cond // with mu: state is another
	state   state
	sockets map[net.Conn]bool
}

// state is what the network does: each message is late, or held back, and what connects is reset.
type state struct {
	latency      time.Duration
	held, resets bool
	loses        string // once this is asked, no answer comes through any more
	lost         bool
}

// proxied returns a DSN that leads to the same database as dsn, through a proxy.
func proxied(t *testing.T, dsn string) (string, *proxy) {
	t.Helper()
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{sockets: map[net.Conn]bool{}}
	p.changed = sync.NewCond(&p.mu)
	p.network, p.target = pgconn.NetworkAddress(config.Host, config.Port)
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	go p.accept()
	t.Cleanup(p.close)
	host, port, _ := net.SplitHostPort(p.listener.Addr().String())
	if !strings.Contains(dsn, "://") {
		return dsn + " host=" + host + " port=" + port, p // the last ones count
	}
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = p.listener.Addr().String()
	return u.String(), p
}

// works lets everything through again, what was held back included.
func (p *proxy) works() { p.set(state{}) }

// slow delays each message by d.
func (p *proxy) slow(d time.Duration) { p.set(state{latency: d}) }

// holds keeps connections open, also new ones, and lets nothing through: a host that is gone.
func (p *proxy) holds() { p.set(state{held: true}) }

// losesAnswerTo lets everything through until somebody says this to the database, and then no answer.
func (p *proxy) losesAnswerTo(text string) { p.set(state{loses: text}) }

// cuts resets all connections, also new ones: a server that is gone from a host that is there.
func (p *proxy) cuts() {
	p.set(state{resets: true})
	p.drop()
}

func (p *proxy) set(s state) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = s
	p.changed.Broadcast()
}

// drop resets the connections that are open.
func (p *proxy) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.sockets {
		reset(conn)
	}
}

func reset(conn net.Conn) {
	if tcp, is := conn.(*net.TCPConn); is {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func (p *proxy) close() {
	_ = p.listener.Close()
	p.cuts()
}

func (p *proxy) accept() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial(p.network, p.target)
		if err != nil {
			reset(near)
			continue
		}
		p.mu.Lock()
		if p.state.resets {
			reset(near)
			reset(far)
		} else {
			p.sockets[near], p.sockets[far] = true, true
			go p.pump(near, far, true)
			go p.pump(far, near, false)
		}
		p.mu.Unlock()
	}
}

// pump carries what comes from one end to the other, as the network allows. It asks the database or answers.
func (p *proxy) pump(from, to net.Conn, asks bool) {
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.sockets, from)
		_ = from.Close()
		_ = to.Close()
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		p.mu.Lock()
		if asks && p.state.loses != "" && strings.Contains(string(buffer[:n]), p.state.loses) {
			p.state.lost = true
		}
		for p.state.held || p.state.lost && !asks {
			p.changed.Wait()
		}
		latency := p.state.latency
		p.mu.Unlock()
		if latency > 0 {
			<-time.After(latency)
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// connect opens a connection to a database for the length of the test.
func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// runSQL runs a statement without an answer.
func runSQL(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// disconnect ends everybody else's sessions in a database.
func disconnect(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	runSQL(t, conn, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
}

// databaseName is the name of the database, quoted.
func databaseName(t *testing.T, conn *pgx.Conn) string {
	t.Helper()
	var name string
	if err := conn.QueryRow(t.Context(), `SELECT quote_ident(current_database())`).Scan(&name); err != nil {
		t.Fatal(err)
	}
	return name
}
