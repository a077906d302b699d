package server

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

// A client that takes longer to send its body than a call of the store may take is served: the deadline is the store's, not its.
func TestBody_slowerThanTheStoreMayBe(t *testing.T) {
	t.Parallel()
	api := startServer(t, memory.New(), registry.Options{}, Config{CallTimeout: 200 * time.Millisecond})
	const body = `{"slug":"globex","name":"Globex"}`
	conn, err := net.Dial("tcp", strings.TrimPrefix(api.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST /v1/tenants HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s",
		len(body), body[:5])
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(600 * time.Millisecond) // three times what the store may take
	if _, err := io.WriteString(conn, body[5:]); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 201 ") {
		t.Errorf("%v: %s, want %d", err, answer, http.StatusCreated)
	}
}
