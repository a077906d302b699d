package auth

import (
	"net/http"
	"net/netip"
	"regexp"
	"strings"
)

// Dev hands out identities for development, with no secret at all. A request without an Authorization header is the
// operator; Bearer dev-portal, dev-audit, dev-operator, dev-product:KEY and dev-tenant:SLUG are others. A request that
// a proxy forwarded is refused, as it may come from anywhere.
type Dev struct {
	allowRemote bool
	crossOrigin *http.CrossOriginProtection
}

// NewDev makes one. Without allowRemote only connections from this machine are served. What a browser sends for a page
// of another origin is never served if it could change something: such a page need know no secret here.
func NewDev(allowRemote bool) *Dev {
	return &Dev{allowRemote: allowRemote, crossOrigin: http.NewCrossOriginProtection()}
}

// Catalogue keys and slugs both have this shape.
var devName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,62}$`)

// Authenticate implements Authenticator; it never answers ErrNoKeys.
func (d *Dev) Authenticate(r *http.Request) (Principal, error) {
	if forwarded(r.Header) {
		return Principal{}, &Refused{"a development identity came through a proxy (Forwarded, X-Forwarded-* or Via)"}
	}
	if !d.allowRemote && !loopback(r.RemoteAddr) {
		return Principal{}, &Refused{
			"a development identity came from another machine; DEV_ALLOW_REMOTE=true allows that",
		}
	}
	if d.crossOrigin.Check(r) != nil {
		return Principal{}, &Refused{"a development identity came from a page of another origin"}
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
		OrganizationFault: "a development identity has none",
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
		p.Roles, p.Product, wantsName = []Role{RoleKeysVerify}, of, true
	case "dev-tenant":
		p.Type, p.Roles, p.TenantSlug, wantsName = TypeUser, []Role{RoleTenantAdmin}, of, true
	default:
		return Principal{}, &Refused{"there is no such development identity"}
	}
	if bound != wantsName || (bound && !devName.MatchString(of)) {
		return Principal{}, &Refused{
			kind + " is malformed: dev-product:KEY and dev-tenant:SLUG name something, the others do not",
		}
	}
	return p, nil
}

func forwarded(h http.Header) bool {
	for name := range h {
		name = http.CanonicalHeaderKey(name)
		if name == "Forwarded" || name == "Via" || strings.HasPrefix(name, "X-Forwarded-") {
			return true
		}
	}
	return false
}

func loopback(address string) bool {
	peer, err := netip.ParseAddrPort(address)
	return err == nil && peer.Addr().Unmap().IsLoopback()
}
