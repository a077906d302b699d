package server

import (
	"net/http"
	"net/netip"
	"strings"
)

// clientAddress is the address that audit events and limits name: the peer's, or, behind a known number of proxies, the one that the
// outermost of them saw. What a client writes further to the left of X-Forwarded-For is worth nothing.
func (s *Server) clientAddress(r *http.Request) string {
	if s.trustedProxies > 0 {
		hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		if i := len(hops) - s.trustedProxies; i >= 0 {
			if addr, err := netip.ParseAddr(strings.TrimSpace(hops[i])); err == nil {
				return addr.Unmap().WithZone("").String()
			}
		}
	}
	addr, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	if addr.Addr().Is4() { // has one form only
		return r.RemoteAddr[:strings.LastIndexByte(r.RemoteAddr, ':')]
	}
	return addr.Addr().Unmap().WithZone("").String()
}
