package testkit_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/breakpilot/tenant-registry/internal/testkit"
)

// peers accepts connections at an address that a proxy leads to.
type peers struct {
	listener net.Listener
	proxy    *testkit.Proxy
}

func startPeers(t *testing.T) *peers {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return &peers{listener: listener, proxy: testkit.NewProxy(t, listener.Addr().String())}
}

// dial connects through the proxy.
func (p *peers) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", p.proxy.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// connect returns both ends of a connection through the proxy.
func (p *peers) connect(t *testing.T) (client, server net.Conn) {
	t.Helper()
	client = p.dial(t)
	server, err := p.listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	send(t, client, "hello") // the proxy serves the connection once this has arrived
	expect(t, server, "hello")
	return client, server
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	got := make([]byte, len(text))
	if n, err := io.ReadFull(conn, got); err != nil || string(got) != text {
		t.Fatalf("%q, %v instead of %q", got[:n], err, text)
	}
}

// expectSilence waits for a moment in which nothing may come, not even the end of the connection.
func expectSilence(t *testing.T, conn net.Conn) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	var timeout net.Error
	if n, err := conn.Read(make([]byte, 1)); n > 0 || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("%d bytes, %v instead of silence", n, err)
	}
}

func expectReset(t *testing.T, conn net.Conn) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	if n, err := conn.Read(make([]byte, 1)); n > 0 || !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("%d bytes, %v instead of a reset", n, err)
	}
}

// expectRefusal connects, and waits for the reset, which may come before the connection is usable.
func (p *peers) expectRefusal(t *testing.T) {
	t.Helper()
	conn, err := net.Dial("tcp", p.proxy.Addr())
	if errors.Is(err, syscall.ECONNRESET) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	expectReset(t, conn)
}

// expectEnd waits for the end of what the other end sends.
func expectEnd(t *testing.T, conn net.Conn) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	if n, err := conn.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
		t.Fatalf("%d bytes, %v instead of the end", n, err)
	}
}

func TestProxy_healed(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("", func(t *testing.T) { // its cleanups come before the count of goroutines
		peers := startPeers(t)
		client, server := peers.connect(t)
		send(t, server, "answer")
		expect(t, client, "answer")

		send(t, client, "last")
		_ = client.(*net.TCPConn).CloseWrite()
		expect(t, server, "last")
		expectEnd(t, server)
		send(t, server, "still open")
		expect(t, client, "still open")
		_ = server.Close()
		expectEnd(t, client)

		client, server = peers.connect(t)
		_ = server.(*net.TCPConn).SetLinger(0)
		_ = server.Close()
		expectReset(t, client)

		_ = peers.listener.Close()
		peers.expectRefusal(t)
	})
}

// TestProxy_delay: each message is late, all of many as much as one; Heal delivers those under way, in order.
func TestProxy_delay(t *testing.T) {
	peers := startPeers(t)
	client, server := peers.connect(t)
	const delay = 200 * time.Millisecond
	peers.proxy.Delay(delay)
	begin := time.Now()
	for range 10 {
		send(t, client, "ping")
		time.Sleep(time.Millisecond) // so that the proxy reads them one by one
	}
	expect(t, server, strings.Repeat("ping", 10))
	send(t, server, "pong")
	expect(t, client, "pong")
	if took := time.Since(begin); took < 2*delay || took > 8*delay {
		t.Errorf("10 messages and an answer took %v, with a delay of %v", took, delay)
	}

	peers.proxy.Delay(time.Hour)
	send(t, client, "first")
	expectSilence(t, server)
	peers.proxy.Heal()
	send(t, client, "second")
	expect(t, server, "firstsecond")

	peers.proxy.Delay(time.Hour)
	send(t, client, "lost")
	expectSilence(t, server)
	peers.proxy.Cut()
	expectReset(t, server)
}

func TestProxy_blackhole(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("", func(t *testing.T) {
		peers := startPeers(t)
		client, server := peers.connect(t)
		idle, _ := peers.connect(t)
		leaving, left := peers.connect(t)
		peers.proxy.Blackhole()
		send(t, client, "swallowed")
		_ = leaving.Close()
		late := peers.dial(t)
		send(t, late, "swallowed")
		for _, conn := range []net.Conn{server, left, late} {
			expectSilence(t, conn)
		}

		peers.proxy.Heal()
		for _, conn := range []net.Conn{client, server, left, late, idle} {
			expectReset(t, conn)
		}
		client, _ = peers.connect(t)

		peers.proxy.Blackhole() // the test ends in it
		peers.dial(t)
		send(t, client, "swallowed")
	})
}

// TestProxy_blocked: an end that does not read delays no change of the mode, and no other connection.
func TestProxy_blocked(t *testing.T) {
	peers := startPeers(t)
	client, _ := peers.connect(t)
	var writing sync.WaitGroup
	_ = client.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	writing.Go(func() { _, _ = client.Write(make([]byte, 64<<20)) })
	writing.Wait() // all that fits between the ends is there
	peers.connect(t)
	peers.proxy.Blackhole()
	peers.proxy.Heal()
	peers.connect(t)
	peers.proxy.Cut()
}

func TestProxy_cut(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("", func(t *testing.T) {
		peers := startPeers(t)
		client, server := peers.connect(t)
		peers.proxy.Cut()
		expectReset(t, client)
		expectReset(t, server)
		peers.expectRefusal(t)
		peers.proxy.Heal()
		peers.connect(t)
	})
}

// TestProxy_setUnderLoad: of what is sent after Blackhole has returned, nothing arrives.
func TestProxy_setUnderLoad(t *testing.T) {
	peers := startPeers(t)
	for range 10 {
		client, server := peers.connect(t)
		var late atomic.Bool
		var streams sync.WaitGroup
		streams.Go(func() {
			for {
				text := "early"
				if late.Load() {
					text = "late!"
				}
				if _, err := io.WriteString(client, text); err != nil {
					return
				}
			}
		})
		received := make(chan []byte)
		streams.Go(func() {
			defer close(received)
			_ = server.SetReadDeadline(time.Time{})
			for {
				buffer := make([]byte, 1<<10)
				n, err := server.Read(buffer)
				if err != nil {
					return
				}
				received <- buffer[:n]
			}
		})
		for range 50 {
			<-received
		}
		blackhole := make(chan struct{})
		go func() {
			defer close(blackhole)
			peers.proxy.Blackhole()
			late.Store(true)
			time.Sleep(10 * time.Millisecond)
			peers.proxy.Heal()
		}()
		for data := range received {
			if bytes.ContainsRune(data, '!') {
				t.Error("something arrived that was sent in the blackhole")
			}
		}
		<-blackhole
		streams.Wait()
	}
}
