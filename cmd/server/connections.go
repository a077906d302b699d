package main

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// connections is a listener that holds a bounded number of connections. A further one is accepted and gets a place at
// once if another one waits for a request: that which has waited the longest is closed, as its idle timeout would have
// done later, and a client connects anew. Where all are in the middle of a request the further ones wait, in the order
// in which they came, for the first that ends; limits bounds how long a request takes. So neither idle connections nor
// half a header keep health checks out, however many there are.
type connections struct {
	net.Listener
	places chan struct{} // one is taken by each connection
	closed chan struct{}
	once   sync.Once

	mu      sync.Mutex
	wanted  bool       // a further connection waits for a place: the next that becomes idle makes it
	waiting *list.List // of connections that wait for a request, those that have waited the longest first
	element map[net.Conn]*list.Element
}

// serveAtMost begins to serve HTTP on a listener with so many connections at most. Its result is why that ended.
func serveAtMost(most int, web *http.Server, listener net.Listener) <-chan error {
	limited, ended := limitConnections(most, web, listener), make(chan error, 1)
	go func() { ended <- web.Serve(limited) }()
	return ended
}

// limitConnections makes a listener of which a server, that is not serving yet, holds so many connections at most.
func limitConnections(most int, web *http.Server, listener net.Listener) *connections {
	l := &connections{
		Listener: listener, places: make(chan struct{}, most), closed: make(chan struct{}),
		waiting: list.New(), element: map[net.Conn]*list.Element{},
	}
	web.ConnState = l.changed
	return l
}

// Accept implements net.Listener.
func (l *connections) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	select {
	case l.places <- struct{}{}:
		return l.placed(conn), nil
	default:
	}
	l.want()
	select {
	case l.places <- struct{}{}:
		l.wantNone()
		return l.placed(conn), nil
	case <-l.closed:
		_ = conn.Close()
		return nil, net.ErrClosed
	}
}

// placed is a connection that gives its place back when it is closed.
func (l *connections) placed(conn net.Conn) net.Conn {
	return &placedConn{Conn: conn, leave: sync.OnceFunc(func() { <-l.places })}
}

// Close implements net.Listener. A connection that waits for a place is closed as well.
func (l *connections) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// changed is told by net/http what a connection does.
func (l *connections) changed(conn net.Conn, state http.ConnState) {
	if l.makesPlace(conn, state) {
		_ = conn.Close()
	}
}

// makesPlace notes what a connection does, and reports whether it must make its place free.
func (l *connections) makesPlace(conn net.Conn, state http.ConnState) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, waits := l.element[conn]; waits {
		l.waiting.Remove(e)
		delete(l.element, conn)
	}
	if state != http.StateNew && state != http.StateIdle {
		return false
	}
	if l.wanted {
		l.wanted = false
		return true
	}
	l.element[conn] = l.waiting.PushBack(conn)
	return false
}

// want makes a place: the connection that has waited the longest for a request is closed, or, if all are in the middle
// of one, the next that becomes idle.
func (l *connections) want() {
	l.mu.Lock()
	first := l.waiting.Front()
	if l.wanted = first == nil; first != nil {
		l.waiting.Remove(first)
		delete(l.element, first.Value.(net.Conn))
	}
	l.mu.Unlock()
	if first != nil {
		_ = first.Value.(net.Conn).Close()
	}
}

// wantNone notes that the further connection has its place.
func (l *connections) wantNone() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wanted = false
}

type placedConn struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *placedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
