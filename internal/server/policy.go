package server

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

// policy is who may call a route: the roles of its column in the route table, or anybody.
type policy struct {
	anyone    bool
	roles     []auth.Role
	unlimited bool // products and portals call it on every request of theirs
}

// parsePolicy reads a cell of the route table. A route that names no role or an unknown one is a mistake of ours.
func parsePolicy(cell string) (policy, error) {
	if cell == "anyone" {
		return policy{anyone: true}, nil
	}
	var p policy
	for name := range strings.FieldsSeq(cell) {
		if !slices.Contains(auth.Roles(), auth.Role(name)) {
			return p, fmt.Errorf("%q is no role", name)
		}
		p.roles = append(p.roles, auth.Role(name))
	}
	if p.roles == nil {
		return p, errors.New("it has no policy")
	}
	return p, nil
}

// caller finds out who asks, and whether they may call the route at all. What they may touch there is the Scope it returns, which
// registry keeps to. Roles add up.
func (s *Server) caller(p policy, r *http.Request) (registry.Caller, error) {
	x := exchangeOf(r)
	by := registry.Caller{SourceIP: s.clientAddress(r), RequestID: x.requestID}
	if p.anyone {
		return by, nil
	}
	who, err := s.authenticate(r, by.SourceIP)
	if err != nil {
		return by, err
	}
	x.principal = who.ID
	by.Actor = registry.Party{ID: who.ID, Name: who.Name, Type: who.Type}
	if who.AZP != "" {
		by.Actor.Fields = map[string]string{"azp": who.AZP}
	}
	if !p.unlimited && !s.limits.principal(who.ID) {
		return by, tooMany
	}
	if by.OnBehalfOf, err = onBehalfOf(r.Header, who); err != nil {
		return by, err
	}
	granted := false
	for _, role := range p.roles {
		if who.Has(role) {
			reached, err := s.grant(r, &by.Scope, role, who)
			if err != nil {
				return by, err
			}
			granted = granted || reached
		}
	}
	if !granted {
		return by, edgeProblem("forbidden", "The caller may not do this.")
	}
	return by, nil
}

// authenticate verifies the request's credential. Why one is refused is for the log only.
func (s *Server) authenticate(r *http.Request, address string) (auth.Principal, error) {
	x := exchangeOf(r)
	who, err := s.auth.Authenticate(r)
	var refused *auth.Refused
	switch {
	case errors.As(err, &refused):
		if !s.limits.failure(address) {
			return who, tooMany
		}
		s.log.InfoContext(x.ctx, "credential refused", "reason", refused.Reason, "source_ip", address, "route", x.route, "request_id", x.requestID)
		return who, edgeProblem("unauthenticated", "The request needs a valid bearer token.")
	case errors.Is(err, auth.ErrNoKeys):
		return who, edgeProblem("unavailable", "Tokens cannot be verified yet.")
	}
	return who, err
}

// grant widens the scope by what a role reaches, and tells whether it reaches anything.
func (s *Server) grant(r *http.Request, scope *registry.Scope, role auth.Role, who auth.Principal) (bool, error) {
	switch role {
	case auth.RoleOperator:
		scope.Operator, scope.Tenants = true, true
	case auth.RolePortal:
		scope.Tenants = true
	case auth.RoleKeysVerify:
		scope.Product = who.Product
		if who.Product == "" {
			s.unbound(r, who, "the product's service account is bound to no product: set the claim product or OIDC_PRODUCT_CLIENTS")
		}
		return who.Product != "", nil
	case auth.RoleTenantAdmin:
		tenant, found, err := s.registry.OwnTenant(r.Context(), who.Organization, who.TenantSlug)
		if err != nil {
			return false, err
		}
		if !found {
			s.unbound(r, who, orElse(who.OrganizationFault, "the user's organisation is no tenant's keycloak_org_id"))
		}
		scope.Tenant = tenant
		return found, nil
	}
	return true, nil
}

func (s *Server) unbound(r *http.Request, who auth.Principal, reason string) {
	x := exchangeOf(r)
	s.log.WarnContext(x.ctx, "caller reaches nothing", "reason", reason, "principal", who.ID, "azp", who.AZP, "request_id", x.requestID)
}

// onBehalfOf reads whom the portal says it acts for. It is a claim of the portal's, so nobody else may make it.
func onBehalfOf(h http.Header, who auth.Principal) (registry.Party, error) {
	var claimed registry.Party
	for name, into := range map[string]*string{"X-On-Behalf-Of-Id": &claimed.ID, "X-On-Behalf-Of-Name": &claimed.Name} {
		given := h.Values(name)
		switch {
		case len(given) == 0:
			continue
		case !who.Has(auth.RolePortal):
			return claimed, invalid(registry.Violation{Parameter: name, Message: "is for callers with the role portal"})
		case len(given) > 1 || !fitsHeader(given[0]):
			return claimed, invalid(registry.Violation{Parameter: name, Message: "must be there once, with 1 to 200 visible characters"})
		}
		*into = given[0]
	}
	if claimed.Name != "" && claimed.ID == "" {
		return claimed, invalid(registry.Violation{Parameter: "X-On-Behalf-Of-Id", Message: "is required beside X-On-Behalf-Of-Name"})
	}
	return claimed, nil
}

func fitsHeader(s string) bool {
	return s != "" && utf8.ValidString(s) && utf8.RuneCountInString(s) <= registry.MaxID && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}
