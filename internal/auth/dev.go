package auth

import (
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// Dev hands out identities for development, with no secret at all. A request without an Authorization header is the
// operator; Bearer dev-portal, dev-audit, dev-operator, dev-product:KEY and dev-tenant:SLUG are others. A request that
// a proxy forwarded is refused, as it may come from anywhere. Its refusals are of KindDev, or bearer's.
type Dev struct {
	allowRemote bool
	crossOrigin *http.CrossOriginProtection
}

// NewDev makes one. Without allowRemote only connections from this machine are served, and only under a name of this
// machine: the name of a page that a browser has loaded from elsewhere can be made to lead here (DNS rebinding), and
// the page then reads whatever it asks for. What a browser sends for a page of another origin is never served if it
// could change something: such a page need know no secret here.
func NewDev(allowRemote bool) *Dev {
	return &Dev{allowRemote: allowRemote, crossOrigin: http.NewCrossOriginProtection()}
}

// Catalogue keys and slugs both have this shape.
var devName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,62}$`)

func devRefused(reason string) *Refused { return &Refused{Kind: KindDev, Reason: reason} }

// Authenticate implements Authenticator; it never answers *KeysUnavailable.
func (d *Dev) Authenticate(r *http.Request) (Principal, error) {
	switch {
	case forwarded(r.Header):
		return Principal{}, devRefused("a development identity came through a proxy: there is a header that one adds")
	case !d.allowRemote && !loopback(r.RemoteAddr):
		return Principal{}, devRefused(
			"a development identity came from another machine; DEV_ALLOW_REMOTE=true allows that",
		)
	case !d.allowRemote && !localHost(r.Host):
		return Principal{}, devRefused(
			"a development identity came for a host that is not localhost; DEV_ALLOW_REMOTE=true allows that",
		)
	case d.crossOrigin.Check(r) != nil:
		return Principal{}, devRefused("a development identity came from a page of another origin")
	}
	identity := "dev-operator"
	if len(r.Header["Authorization"]) > 0 {
		var refused *Refused
		if identity, refused = bearer(r.Header); refused != nil {
			return Principal{}, refused
		}
	}
	return devPrincipal(identity)
}

func devPrincipal(identity string) (Principal, error) {
	kind, of, bound := strings.Cut(identity, ":")
	p := Principal{
		ID: identity, Name: identity, AZP: "dev", Type: TypeService,
		OrganizationFault: "a development identity has no organisation",
		ProductFault:      "only the development identity dev-product:KEY is bound to a product",
	}
	wantsName := false
	switch kind {
	case "dev-operator":
		p.Type, p.Roles = TypeUser, []Role{RoleOperator}
	case "dev-portal":
		p.Roles = []Role{RolePortal}
	case "dev-audit":
		p.Roles = []Role{RoleAuditWrite}
	case "dev-product":
		p.Roles, p.Product, p.ProductFault, wantsName = []Role{RoleKeysVerify}, of, "", true
	case "dev-tenant":
		p.Type, p.Roles, p.TenantSlug, wantsName = TypeUser, []Role{RoleTenantAdmin}, of, true
	default:
		return Principal{}, devRefused("there is no such development identity")
	}
	if bound != wantsName || (bound && !devName.MatchString(of)) {
		return Principal{}, devRefused(
			kind + " is malformed: dev-product:KEY and dev-tenant:SLUG name something, the others do not",
		)
	}
	return p, nil
}

// proxyHeaders are those that proxies add, besides X-Forwarded-*.
var proxyHeaders = []string{
	"Forwarded", "Via", "X-Real-Ip", "Cf-Connecting-Ip", "True-Client-Ip", "X-Envoy-External-Address",
}

func forwarded(h http.Header) bool {
	for name := range h {
		name = http.CanonicalHeaderKey(name)
		if slices.Contains(proxyHeaders, name) || strings.HasPrefix(name, "X-Forwarded-") {
			return true
		}
	}
	return false
}

func loopback(address string) bool {
	peer, err := netip.ParseAddrPort(address)
	return err == nil && peer.Addr().Unmap().IsLoopback()
}

var hostAndPort = regexp.MustCompile(`^(\[::1\]|[A-Za-z0-9.-]+)(?::[0-9]*)?$`)

// localHost reports whether a Host header is localhost, a name below it, or a loopback address, with any port.
func localHost(header string) bool {
	parts := hostAndPort.FindStringSubmatch(header)
	if parts == nil {
		return false
	}
	host := strings.ToLower(parts[1])
	address, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || host == "[::1]" ||
		err == nil && address.IsLoopback()
}
