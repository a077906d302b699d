package web

import (
	"net/http"
	"net/netip"
	"testing"
)

// An address is shown in its one form, and nothing that is none.
func TestClientIP_ofThePeer(t *testing.T) {
	t.Parallel()
	for peer, want := range map[string]string{
		"192.0.2.1:8080": "192.0.2.1", "0.0.0.0:0": "0.0.0.0", "[2001:DB8:0::1]:1": "2001:db8::1",
		"[::ffff:192.0.2.1]:1": "192.0.2.1", "[fe80::1%eth0]:1": "fe80::1", "192.0.2.01:1": "", "192.0.2.1": "",
		"pipe": "", "": "", "@": "",
	} {
		if got := ClientIP(&http.Request{RemoteAddr: peer}, 0); got != want {
			t.Errorf("%q is %q, want %q", peer, got, want)
		} else if _, err := netip.ParseAddr(got); err != nil && want != "" {
			t.Error(err)
		}
	}
}

// Behind proxies the address is what the outermost of them saw, whatever the client wrote before.
func TestClientIP_behindProxies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		proxies int
		headers []string
		want    string
	}{
		{0, []string{"198.51.100.7"}, "192.0.2.1"},
		{1, nil, "192.0.2.1"},
		{1, []string{"198.51.100.7"}, "198.51.100.7"},
		{1, []string{"203.0.113.9, 198.51.100.7"}, "198.51.100.7"},
		{2, []string{"203.0.113.9, 198.51.100.7"}, "203.0.113.9"},
		{2, []string{"203.0.113.9", "198.51.100.7"}, "203.0.113.9"},
		{3, []string{"203.0.113.9, 198.51.100.7"}, "192.0.2.1"},
		{1, []string{"203.0.113.9, garbage"}, "192.0.2.1"},
		{1, []string{"::ffff:198.51.100.7"}, "198.51.100.7"},
		{1, []string{"203.0.113.9:1234"}, "203.0.113.9"},
		{1, []string{"192.0.2.66, 203.0.113.9:65535"}, "203.0.113.9"},
		{2, []string{"203.0.113.9:1234, 198.51.100.7:5678"}, "203.0.113.9"},
		{1, []string{"[2001:DB8::1]:443"}, "2001:db8::1"},
		{1, []string{"[2001:db8::1]"}, "2001:db8::1"},
		{1, []string{"[fe80::1%eth0]:443"}, "fe80::1"},
		{1, []string{"[::ffff:198.51.100.7]"}, "198.51.100.7"},
		{1, []string{"[::ffff:198.51.100.7]:1"}, "198.51.100.7"},
		{1, []string{"203.0.113.9:"}, "192.0.2.1"},
		{1, []string{"203.0.113.9:http"}, "192.0.2.1"},
		{1, []string{"203.0.113.9:65536"}, "192.0.2.1"},
		{1, []string{"[203.0.113.9]"}, "192.0.2.1"},
		{1, []string{"[2001:db8::1"}, "192.0.2.1"},
		{1, []string{"[]"}, "192.0.2.1"},
		{1, []string{"unknown"}, "192.0.2.1"},
	} {
		r := &http.Request{RemoteAddr: "192.0.2.1:1", Header: http.Header{"X-Forwarded-For": c.headers}}
		if got := ClientIP(r, c.proxies); got != c.want {
			t.Errorf("%d proxies, %q: %q, want %q", c.proxies, c.headers, got, c.want)
		}
	}
}

// All of a customer's IPv6 addresses share one network.
func TestNetwork(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2::9": "2001:db8:1:2::/64",
		"": "", "pipe": "pipe",
	} {
		if got := Network(address); got != want {
			t.Errorf("%q is %q, want %q", address, got, want)
		}
	}
}
