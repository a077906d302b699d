package server

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/google/uuid"
)

// TestNewRequestID: an id is a UUID of version 7 that carries the time, and no two are the same.
func TestNewRequestID(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_770_000_000_123)
	seen := map[string]bool{}
	for range 10_000 {
		text := newRequestID(now)
		id, ok := parseID(text)
		if !ok || id.String() != text || id.Version() != 7 || id.Variant() != uuid.RFC4122 {
			t.Fatalf("%q is a UUID of version %d, variant %s", text, id.Version(), id.Variant())
		}
		seconds, rest := id.Time().UnixTime()
		if at := time.Unix(seconds, rest); !at.Equal(now) {
			t.Fatalf("%q is of %v, not of %v", text, at, now)
		}
		if seen[text] {
			t.Fatalf("%q was made twice", text)
		}
		seen[text] = true
	}
}

// TestClientAddress_ofThePeer: an address is shown in its one form, and nothing that is none.
func TestClientAddress_ofThePeer(t *testing.T) {
	t.Parallel()
	for peer, want := range map[string]string{
		"192.0.2.1:8080": "192.0.2.1", "0.0.0.0:0": "0.0.0.0", "[2001:DB8:0::1]:1": "2001:db8::1", "[::ffff:192.0.2.1]:1": "192.0.2.1",
		"[fe80::1%eth0]:1": "fe80::1", "192.0.2.01:1": "", "192.0.2.1": "", "pipe": "", "": "", "@": "",
	} {
		if got := new(Server).clientAddress(&http.Request{RemoteAddr: peer}); got != want {
			t.Errorf("%q is %q, want %q", peer, got, want)
		} else if _, err := netip.ParseAddr(got); err != nil && want != "" {
			t.Error(err)
		}
	}
}
