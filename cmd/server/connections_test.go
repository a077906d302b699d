package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// capped serves a handler with so many connections at most.
func capped(
	t *testing.T, most int, handler http.Handler,
) (address string, web *http.Server, server *connections) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web = httpServer(handler, usualLimits, slog.New(slog.DiscardHandler))
	ended := make(chan error, 1)
	server = limitConnections(most, web, listener)
	go func() { ended <- web.Serve(server) }()
	t.Cleanup(func() {
		_ = web.Close()
		select {
		case err := <-ended:
			if !errors.Is(err, http.ErrServerClosed) {
				t.Errorf("serving ends with %v", err)
			}
		case <-time.After(patience):
			t.Error("serving does not end")
		}
	})
	return listener.Addr().String(), web, server
}

const askHealth = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"

// readAnswer reads one answer from a connection.
func readAnswer(t *testing.T, conn net.Conn) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
}

func isOpen(conn net.Conn) bool {
	_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	_, err := conn.Read(make([]byte, 1))
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// TestConnections_idleMakeRoom asserts that neither idle connections nor those that send half a header or nothing keep
// another one waiting: the one that has waited the longest is closed.
func TestConnections_idleMakeRoom(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"idle": askHealth, "half a header": halfHeader, "nothing": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, _, server := capped(t, 3, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			var held []net.Conn
			for i := range 3 {
				conn := dial(t, address, text)
				if text == askHealth {
					readAnswer(t, conn)
				}
				held = append(held, conn)
				testkit.Eventually(t, "the connection waits for a request", func() bool {
					server.mu.Lock()
					defer server.mu.Unlock()
					return server.waiting.Len() == i+1
				})
			}
			for i := range 3 {
				readAnswer(t, dial(t, address, askHealth+askHealth))
				if isOpen(held[i]) {
					t.Errorf("connection %d has waited the longest and is open", i)
				}
				if i < 2 && !isOpen(held[2]) {
					t.Errorf("the youngest connection is closed by request %d", i)
				}
			}
		})
	}
}

// TestConnections_runningRequestsStay asserts that at the cap a running request is not cut off, that a further
// connection gets the first place that is free, and that the server ends while one waits for a place.
func TestConnections_runningRequestsStay(t *testing.T) {
	t.Parallel()
	running, end := make(chan struct{}), make(chan struct{})
	address, web, _ := capped(t, 2, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		running <- struct{}{}
		<-end
		_, _ = io.WriteString(w, r.URL.Path)
	}))
	for i := range 2 {
		dial(t, address, fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: x\r\n\r\n", i))
		<-running
	}
	third := dial(t, address, "GET /3 HTTP/1.1\r\nHost: x\r\n\r\n")
	select {
	case <-running:
		t.Fatal("three requests run on two connections")
	case <-time.After(100 * time.Millisecond):
	}
	end <- struct{}{}
	// The one that ended keeps its connection, and becomes idle: the third, which waits for a place, gets that one.
	select {
	case <-running:
	case <-time.After(patience):
		t.Fatal("the third connection gets no place")
	}
	dial(t, address, "")
	close(end)
	readAnswer(t, third)
	_ = web.Close()
}
