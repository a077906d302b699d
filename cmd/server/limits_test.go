package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

// smallBuffer is what each end of a connection may buffer, in bytes, where a test fills the buffers.
const smallBuffer = 16 << 10

// dial opens a connection to a server and writes to it.
func dial(t *testing.T, address, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.(*net.TCPConn).SetReadBuffer(smallBuffer)
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}

// limited serves the API in this process within limits, and counts the connections that the server closed. Answers do
// not fit the buffers of a connection for long.
func limited(t *testing.T, within limits) (address string, closed *atomic.Int32) {
	t.Helper()
	api := server.New(server.Config{
		Registry: registry.New(memory.New(), registry.Options{}), Auth: auth.NewDev(false),
		Logger: slog.New(slog.DiscardHandler),
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed = &atomic.Int32{}
	web := httpServer(api, within, slog.New(slog.DiscardHandler))
	web.ConnState = func(conn net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			_ = conn.(*net.TCPConn).SetWriteBuffer(smallBuffer)
		case http.StateClosed:
			closed.Add(1)
		}
	}
	go func() { _ = web.Serve(listener) }()
	t.Cleanup(func() { _ = web.Close() })
	return listener.Addr().String(), closed
}

const (
	getDocument = "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"

	halfHeader = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
	halfBody   = "POST /v1/tenants HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" +
		"Content-Length: 100\r\n\r\n{\"slug\":"
)

// TestLimits asserts that each way of occupying a connection ends by the limit meant for it. The control is a server
// without that limit, whose connection is still open when the other one is closed.
func TestLimits(t *testing.T) {
	t.Parallel()
	const short = 300 * time.Millisecond
	patient := limits{time.Minute, time.Minute, time.Minute, time.Minute}
	for name, tc := range map[string]struct {
		within  func(*limits)
		text    string
		answers string // what comes before the end
	}{
		"slow header": {func(l *limits) { l.header = short }, halfHeader, ""},
		"slow body":   {func(l *limits) { l.read = short }, halfBody, `"code":"malformed_body"`},
		"idle":        {func(l *limits) { l.idle = short }, halfHeader + "\r\n", `{"status":"ok"}`},
		"no reading":  {func(l *limits) { l.write = short }, strings.Repeat(getDocument, 200), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			within := patient
			tc.within(&within)
			address, closed := limited(t, within)
			control, stays := limited(t, patient)
			conn := dial(t, address, tc.text)
			dial(t, control, tc.text)
			eventually(t, patience, func() error {
				if closed.Load() == 0 {
					return errors.New("the connection is open")
				}
				return nil
			})
			if stays.Load() != 0 {
				t.Error("without the limit the connection is closed, too")
			}
			if name == "no reading" {
				return // what was written before is in the buffers of both ends
			}
			got, _ := io.ReadAll(conn)
			if !strings.Contains(string(got), tc.answers) || tc.answers == "" && len(got) > 0 {
				t.Errorf("the answer is %q", got)
			}
		})
	}
}

// TestLimits_othersUnharmed asserts that connections which do nothing slow no other request, and that the program ends
// them.
func TestLimits_othersUnharmed(t *testing.T) {
	t.Parallel()
	p := launch(t)
	address := strings.TrimPrefix(p.URL, "http://")
	var slow []net.Conn
	for range 100 {
		slow = append(slow, dial(t, address, halfHeader))
		dial(t, address, halfBody)
	}
	for range 20 {
		start := time.Now()
		p.get(t, "/healthz")
		p.get(t, "/v1/tenants/by-slug/acme")
		if took := time.Since(start); took > time.Second {
			t.Errorf("two requests took %s", took)
		}
	}
	for _, conn := range slow {
		_ = conn.SetReadDeadline(time.Now().Add(usualLimits.header + patience))
		if got, err := io.ReadAll(conn); err != nil || len(got) > 0 {
			t.Fatalf("half a header ends with %q, %v", got, err)
		}
	}
}

// TestLimits_hugeHeader asserts that what net/http refuses before it is a request is plain text, and affects no other
// request.
func TestLimits_hugeHeader(t *testing.T) {
	t.Parallel()
	p := launch(t)
	address := strings.TrimPrefix(p.URL, "http://")
	for name, tc := range map[string]struct {
		size, status int
		kind         string
	}{
		"huge":    {56 << 10, http.StatusRequestHeaderFieldsTooLarge, "text/plain"},
		"control": {47 << 10, http.StatusOK, "application/json"},
	} {
		conn := dial(t, address, halfHeader+"X-Padding: "+strings.Repeat("x", tc.size)+"\r\n\r\n")
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if kind := resp.Header.Get("Content-Type"); resp.StatusCode != tc.status || !strings.HasPrefix(kind, tc.kind) {
			t.Errorf("%s: a header of %d bytes is %s in %s", name, tc.size, resp.Status, kind)
		}
		_ = resp.Body.Close()
	}
	p.get(t, "/healthz")
}

// TestLimits_noise asserts that another protocol is refused, and that nothing about it is logged above debug.
func TestLimits_noise(t *testing.T) {
	t.Parallel()
	p := launch(t)
	conn := dial(t, strings.TrimPrefix(p.URL, "http://"), "\x16\x03\x01\x00\xa5\x01\x00\x00\r\n\r\n")
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if got, err := io.ReadAll(conn); err != nil || !bytes.HasPrefix(got, []byte("HTTP/1.1 400")) {
		t.Errorf("noise is answered with %q, %v", got, err)
	}
	p.get(t, "/healthz")
	said := p.stderr.String()
	if strings.Contains(said, "level=ERROR") || strings.Count(said, "level=WARN") > 1 { // the one is of AUTH_MODE=dev
		t.Errorf("noise is logged: %s", said)
	}
}

// TestLimits_longToken asserts that a token of 32 KB arrives, and is judged by authentication.
func TestLimits_longToken(t *testing.T) {
	t.Parallel()
	p := launch(t)
	conn := dial(t, strings.TrimPrefix(p.URL, "http://"), "GET /v1/catalog HTTP/1.1\r\nHost: x\r\n"+
		"Authorization: Bearer "+strings.Repeat("x", 32<<10)+"\r\n\r\n")
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if kind := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusUnauthorized ||
		kind != "application/problem+json" {
		t.Errorf("a long token is %s in %s", resp.Status, kind)
	}
}

// TestLimits_chunkedRequestIsTheLast asserts that a connection ends with a request that comes in chunks, so that what
// another program may take for the rest of it is never read as a request. net/http drops a Content-Length beside the
// Transfer-Encoding, which is the sign of such an attempt: so it is every request in chunks.
func TestLimits_chunkedRequestIsTheLast(t *testing.T) {
	t.Parallel()
	address, _ := limited(t, usualLimits)
	const post = "POST /v1/tenants HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	for name, tc := range map[string]struct {
		request string
		answers int
	}{
		"both":              {post + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 1},
		"both, other order": {post + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 1},
		"chunks":            {post + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 1},
		"no route": {
			"PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 1,
		},
		"two encodings": {post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 1},
		"control":       {post + "Content-Length: 2\r\n\r\n{}", 2},
	} {
		conn := dial(t, address, tc.request+"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		got, err := io.ReadAll(conn)
		if n := strings.Count(string(got), "HTTP/1.1 "); err != nil && n == 0 || n != tc.answers {
			t.Errorf("%s: %d answers, want %d: %s, %v", name, n, tc.answers, got, err)
		}
	}
}
