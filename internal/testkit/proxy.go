package testkit

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy is a TCP proxy in front of one address: the network between two programs of a test. It is in one of these
// modes, and begins healed. A method that sets the mode returns when it holds: of what is sent after Blackhole or Cut
// has returned, not one byte arrives. (What passed the proxy before is the operating system's: an end that reads slowly
// may still find it.)
//
//	Heal       Bytes pass in both directions, in order. If one end closes its side of a connection the other sees
//	           that, after all that was sent before; if one end resets it, it is reset. Bytes that a delay held back
//	           arrive now.
//	Delay      As Heal, but what an end sends, its close included, arrives that much later. The bandwidth is not
//	           limited, up to 256 reads under way. Connecting is not delayed.
//	Blackhole  Connections stay open, also when the other end closes or resets them. New ones are accepted, but the
//	           target does not see them. All that is sent is swallowed, and so is what a delay held back. The next
//	           Heal or Delay resets all these connections.
//	Cut        Connections are reset; new ones are accepted and reset, which a client may see as a failure to
//	           connect. What is under way is lost.
//
// While the target refuses connections, they are reset. An end that reads slowly blocks neither a change of the mode
// nor other connections.
type Proxy struct {
	target   string
	listener net.Listener
	ctx      context.Context
	running  sync.WaitGroup

	setting sync.Mutex   // a change of the mode, as a whole
	passing sync.RWMutex // read-locked while bytes are passed on
	mu      sync.Mutex
	mode    proxyMode
	delay   time.Duration
	changed chan struct{} // closed when mode and delay are others
	links   map[*link]bool
}

type proxyMode int

const (
	modeHealed proxyMode = iota
	modeBlackhole
	modeCut
)

// NewProxy starts a proxy in front of target, a host and port. It ends with the test, with all its connections.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &Proxy{
		target: target, listener: listener, ctx: ctx, changed: make(chan struct{}), links: map[*link]bool{},
	}
	p.running.Go(p.accept)
	t.Cleanup(func() {
		cancel()
		_ = listener.Close()
		p.Cut()
		p.running.Wait()
	})
	return p
}

// Addr is the host and port that lead to the target.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Heal lets bytes pass, without delay.
func (p *Proxy) Heal() { p.set(modeHealed, 0) }

// Delay lets bytes pass, each d later.
func (p *Proxy) Delay(d time.Duration) { p.set(modeHealed, d) }

// Blackhole leaves connections open and swallows what is sent.
func (p *Proxy) Blackhole() { p.set(modeBlackhole, 0) }

// Cut resets connections, also new ones.
func (p *Proxy) Cut() { p.set(modeCut, 0) }

func (p *Proxy) set(mode proxyMode, delay time.Duration) {
	p.setting.Lock()
	defer p.setting.Unlock()
	p.mu.Lock()
	p.mode, p.delay = mode, delay
	close(p.changed)
	p.changed = make(chan struct{})
	var all, lost []*link
	for l := range p.links {
		if l.lost {
			lost = append(lost, l)
		}
		l.lost = l.lost || mode != modeHealed
		all = append(all, l)
	}
	p.mu.Unlock()
	switch mode {
	case modeHealed:
		resetAll(lost)
	case modeCut:
		resetAll(all)
		p.barrier()
	case modeBlackhole:
		setWriteDeadlines(all, time.Now()) // ends the writes that an end which does not read would block
		p.barrier()
		setWriteDeadlines(all, time.Time{})
	}
}

// barrier waits for the writes that began in an earlier mode.
func (p *Proxy) barrier() {
	p.passing.Lock()
	defer p.passing.Unlock()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.serve(client) })
	}
}

// serve connects a client with the target. In a blackhole the target does not see it.
func (p *Proxy) serve(client net.Conn) {
	l := &link{client: client, closed: make(chan struct{})}
	mode, _, _ := p.state()
	if mode == modeHealed {
		dialer := net.Dialer{Timeout: 10 * time.Second}
		target, err := dialer.DialContext(p.ctx, "tcp", p.target)
		if err != nil {
			l.reset()
			return
		}
		l.target = target
	}
	p.mu.Lock()
	mode = p.mode
	p.links[l] = true
	l.lost = l.target == nil || mode != modeHealed
	p.mu.Unlock()
	defer p.forget(l)
	switch {
	case l.target != nil && mode != modeCut:
		l.open.Store(2)
		p.running.Go(func() { p.carry(l, l.client, l.target) })
		p.running.Go(func() { p.carry(l, l.target, l.client) })
	case l.target == nil && mode == modeBlackhole:
		p.running.Go(func() { _, _ = io.Copy(io.Discard, l.client) })
	default: // the network was cut, or healed after the client came
		l.reset()
	}
	<-l.closed
}

func (p *Proxy) forget(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

func (p *Proxy) state() (proxyMode, time.Duration, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mode, p.delay, p.changed
}
