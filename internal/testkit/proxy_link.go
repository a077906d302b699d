package testkit

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const chunksUnderWay = 256 // for each direction of a connection

// link is one connection of a client, and the one to the target that belongs to it, if there is one.
type link struct {
	client, target net.Conn
	lost           bool         // it lost bytes or an end, and may only be reset; guarded by Proxy.mu
	open           atomic.Int32 // directions
	closing        sync.Once
	closed         chan struct{}
}

// chunk is what one read returned: bytes, the close of that end if there are none, its reset if data is nil.
type chunk struct {
	data []byte
	read time.Time
}

// carry serves one direction of a link until the sending end is closed.
func (p *Proxy) carry(l *link, from, to net.Conn) {
	queue := make(chan chunk, chunksUnderWay)
	p.running.Go(func() {
		defer close(queue)
		read(l, from, queue)
	})
	for c := range queue {
		p.await(l, c.read)
		p.pass(l, to, c.data)
	}
}

// read queues what comes from one end of a link. Its close and its reset are queued, too: a blackhole swallows them.
func read(l *link, from net.Conn, queue chan<- chunk) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		c := chunk{data: append([]byte{}, buffer[:n]...), read: time.Now()}
		if err != nil && !errors.Is(err, io.EOF) {
			c.data = nil
		}
		select {
		case queue <- c:
		case <-l.closed:
			return
		}
		if n == 0 || c.data == nil {
			return
		}
	}
}

// await returns when what was read at that time is due, or swallowed.
func (p *Proxy) await(l *link, read time.Time) {
	for {
		mode, delay, changed := p.state()
		left := time.Until(read.Add(delay))
		if mode != modeHealed || delay == 0 || left <= 0 {
			return
		}
		due := time.NewTimer(left)
		select {
		case <-due.C:
		case <-changed:
		case <-l.closed:
		}
		due.Stop()
		if l.isClosed() {
			return
		}
	}
}

// pass hands the data of a chunk to an end of a link, or swallows it.
func (p *Proxy) pass(l *link, to net.Conn, data []byte) {
	p.passing.RLock()
	defer p.passing.RUnlock()
	p.mu.Lock()
	lost := l.lost
	p.mu.Unlock()
	switch {
	case lost:
	case data == nil:
		l.reset()
	case len(data) == 0:
		_ = to.(*net.TCPConn).CloseWrite()
		if l.open.Add(-1) == 0 {
			l.close()
		}
	default:
		_, err := to.Write(data)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) { // that is a blackhole which begins
			l.reset()
		}
	}
}

func (l *link) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

// reset ends a link without handing over what is under way.
func (l *link) reset() {
	for _, conn := range []net.Conn{l.client, l.target} {
		if tcp, is := conn.(*net.TCPConn); is {
			_ = tcp.SetLinger(0)
		}
	}
	l.close()
}

func (l *link) close() {
	l.closing.Do(func() {
		close(l.closed)
		_ = l.client.Close()
		if l.target != nil {
			_ = l.target.Close()
		}
	})
}

func resetAll(links []*link) {
	for _, l := range links {
		l.reset()
	}
}

func setWriteDeadlines(links []*link, deadline time.Time) {
	for _, l := range links {
		_ = l.client.SetWriteDeadline(deadline)
		if l.target != nil {
			_ = l.target.SetWriteDeadline(deadline)
		}
	}
}
