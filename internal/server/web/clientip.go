package web

import (
	"net/http"
	"net/netip"
	"strings"
)

// ClientIP is the address that events and limits name: the peer's, or, behind a known number of proxies, the one that
// the outermost of them saw. What a client itself writes further to the left of X-Forwarded-For is ignored. Empty if
// there is none.
func ClientIP(r *http.Request, trustedProxies int) string {
	if trustedProxies > 0 {
		hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		if i := len(hops) - trustedProxies; i >= 0 {
			if addr, ok := hopAddress(strings.TrimSpace(hops[i])); ok {
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

// hopAddress reads an address as proxies write it: alone, in brackets if it is of IPv6, or with a port.
func hopAddress(hop string) (netip.Addr, bool) {
	if addr, err := netip.ParseAddr(hop); err == nil {
		return addr, true
	}
	if withPort, err := netip.ParseAddrPort(hop); err == nil {
		return withPort.Addr(), true
	}
	inner, opened := strings.CutPrefix(hop, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	addr, err := netip.ParseAddr(inner)
	return addr, opened && closed && err == nil && addr.Is6()
}

// Network is the customer that an address stands for: of IPv6 one customer has at least 2^64 addresses.
func Network(address string) string {
	if addr, err := netip.ParseAddr(address); err == nil && addr.Is6() {
		if customer, err := addr.Prefix(64); err == nil {
			return customer.String()
		}
	}
	return address
}
