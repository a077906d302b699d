package postgres_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// proxy stands between a store and its server, and disturbs their connections on request.
type proxy struct {
	t        *testing.T
	listener net.Listener
	target   string

	mu        sync.Mutex
	links     map[*link]bool
	closed    bool
	silent    bool   // nothing more comes from the server, on any link
	onTag     string // of a statement that the server has completed; before its answer passes happens:
	then      func(*link)
	completed int             // how often it was
	refuses   map[string]bool // parameters that a session must not be opened with, as of a pooler
	statement bool            // transactions are refused, as of a pooler in statement mode
	withholds string          // notifications that do not pass: "all"; "idle": those outside of an answer
	withheld  int             // notifications that did not pass
}

// link is one connection.
type link struct {
	client, server net.Conn
	mute           bool // nothing more comes from the server
	idle           bool // all that was asked is answered
	rest           []byte
}

// startProxy returns the proxy and the DSN that leads through it. The DSN must be one without TLS.
func startProxy(t *testing.T, dsn string) (*proxy, string) {
	t.Helper()
	parsed, err := url.Parse(dsn)
	must(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{t: t, listener: listener, target: parsed.Host, links: map[*link]bool{}}
	var serving sync.WaitGroup
	serving.Go(func() { p.serve(&serving) })
	t.Cleanup(func() {
		p.stop()
		serving.Wait()
	})
	parsed.Host = listener.Addr().String()
	return p, parsed.String()
}

// stop refuses new connections and cuts those that are there.
func (p *proxy) stop() {
	_ = p.listener.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.cutAll()
}

// cutAll needs the lock.
func (p *proxy) cutAll() {
	for l := range p.links {
		l.cut()
	}
}

// restart takes connections again, on the same address.
func (p *proxy) restart() *proxy {
	p.t.Helper()
	listener, err := net.Listen("tcp", p.listener.Addr().String())
	must(p.t, err)
	again := &proxy{t: p.t, listener: listener, target: p.target, links: map[*link]bool{}}
	var serving sync.WaitGroup
	serving.Go(func() { again.serve(&serving) })
	p.t.Cleanup(func() {
		again.stop()
		serving.Wait()
	})
	return again
}

// blackhole swallows what the server sends, on all links, until it is called with false; then the links that lost
// something are cut.
func (p *proxy) blackhole(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = on
	if !on {
		p.cutAll()
	}
}

func (l *link) cut() {
	_ = l.client.Close()
	_ = l.server.Close()
}

func (p *proxy) serve(serving *sync.WaitGroup) {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		l := &link{client: client, server: server}
		p.mu.Lock()
		p.links[l] = true
		if p.closed {
			l.cut()
		}
		p.mu.Unlock()
		serving.Go(func() { p.toServer(l) })
		serving.Go(func() { p.toClient(l) })
	}
}

func (p *proxy) toServer(l *link) {
	defer l.cut()
	if !p.start(l) {
		return
	}
	buffer := make([]byte, 64<<10)
	for {
		n, err := l.client.Read(buffer)
		if err != nil {
			return
		}
		p.mu.Lock()
		l.idle = false
		refused := p.statement && bytes.Contains(bytes.ToLower(buffer[:n]), []byte("begin"))
		p.mu.Unlock()
		if refused {
			refuse(pgproto3.NewBackend(l.client, l.client), "transaction blocks not allowed in statement pooling mode")
			return
		}
		if _, err := l.server.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// refuse answers as PgBouncer does.
func refuse(client *pgproto3.Backend, message string) {
	client.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "08P01", Message: message})
	_ = client.Flush()
}

// start passes the first message on, or refuses it.
func (p *proxy) start(l *link) bool {
	backend := pgproto3.NewBackend(l.client, l.client)
	first, err := backend.ReceiveStartupMessage()
	if err != nil {
		return false
	}
	startup, is := first.(*pgproto3.StartupMessage)
	p.mu.Lock()
	defer p.mu.Unlock()
	if is {
		for name := range startup.Parameters {
			if p.refuses[name] {
				refuse(backend, "unsupported startup parameter: "+name)
				return false
			}
		}
	}
	raw, err := first.Encode(nil)
	if err != nil {
		return false
	}
	_, err = l.server.Write(raw)
	return err == nil
}

func (p *proxy) toClient(l *link) {
	defer func() {
		l.cut()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.links, l)
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := l.server.Read(buffer)
		if err != nil {
			return
		}
		p.mu.Lock()
		if p.onTag != "" && bytes.Contains(buffer[:n], []byte(p.onTag+"\x00")) {
			p.completed++
			p.then(l)
		}
		swallow := p.silent || l.mute
		passes := buffer[:n]
		if p.withholds != "" {
			passes = p.filter(l, passes)
		}
		p.mu.Unlock()
		if swallow {
			continue
		}
		if _, err := l.client.Write(passes); err != nil && err != io.EOF {
			return
		}
	}
}

// filter takes out notifications. It needs the lock, and to be called from the first byte on that the server sends.
func (p *proxy) filter(l *link, received []byte) (passes []byte) {
	l.rest = append(l.rest, received...)
	for len(l.rest) >= 5 {
		size := 1 + int(binary.BigEndian.Uint32(l.rest[1:]))
		if len(l.rest) < size {
			break
		}
		message := l.rest[:size]
		l.rest = l.rest[size:]
		if message[0] == 'A' && (p.withholds == "all" || l.idle) {
			p.withheld++
			continue
		}
		l.idle = message[0] == 'Z'
		passes = append(passes, message...)
	}
	return passes
}
