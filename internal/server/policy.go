package server

import (
	"cmp"
	"context"
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
// registry keeps to.
func (s *Server) caller(p policy, r *http.Request) (registry.Caller, error) {
	by := registry.Caller{SourceIP: s.clientAddress(r), RequestID: exchangeOf(r).requestID}
	if p.anyone {
		return by, nil
	}
	who, err := s.authenticate(r, by.SourceIP)
	if err != nil {
		return by, err
	}
	by.Actor = registry.Party{ID: who.ID, Name: who.Name, Type: who.Type}
	if who.AZP != "" {
		by.Actor.Fields = map[string]string{"azp": who.AZP}
	}
	if !p.unlimited && !s.limits.principal(who.ID) {
		return by, tooMany
	}
	var missing string
	if by.Scope, missing, err = s.scope(r.Context(), p, who); err != nil {
		return by, err
	}
	if missing != "" {
		return by, s.deny(r, by, missing)
	}
	by.OnBehalfOf, err = onBehalfOf(r.Header, who)
	return by, err
}

// authenticate verifies the request's credential. Why one is refused is for the log only.
func (s *Server) authenticate(r *http.Request, address string) (auth.Principal, error) {
	x := exchangeOf(r)
	who, err := s.auth.Authenticate(r)
	if err == nil {
		x.principal = who.ID
		return who, nil
	}
	var refused *auth.Refused
	switch {
	case errors.As(err, &refused):
		s.guard.Refused(registry.Caller{SourceIP: address, RequestID: x.requestID}, x.route, refused.Reason)
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

// deny refuses a caller who may not call the route. Why is for the logs only.
func (s *Server) deny(r *http.Request, by registry.Caller, reason string) error {
	x := exchangeOf(r)
	s.guard.Denied(by, x.route, reason)
	s.log.WarnContext(x.ctx, "caller refused", "reason", reason, "principal", by.Actor.ID, "azp", by.Actor.Fields["azp"], "route", x.route, "request_id", x.requestID)
	return edgeProblem("forbidden", "The caller may not do this.")
}

// scope is what the caller's roles reach on a route, all of them together; if that is nothing, missing says why.
func (s *Server) scope(ctx context.Context, p policy, who auth.Principal) (scope registry.Scope, missing string, err error) {
	granted, reason := false, "it has none of the roles that the route is for"
	for _, role := range p.roles {
		if !who.Has(role) {
			continue
		}
		missing, err := s.grant(ctx, &scope, role, who)
		if err != nil {
			return scope, "", err
		}
		if missing == "" {
			granted = true
		} else {
			reason = missing
		}
	}
	if granted {
		reason = ""
	}
	return scope, reason, nil
}

// grant widens the scope by what a role reaches. If that is nothing it says what is missing, in a sentence for an administrator.
func (s *Server) grant(ctx context.Context, scope *registry.Scope, role auth.Role, who auth.Principal) (missing string, err error) {
	switch role {
	case auth.RoleOperator:
		scope.Operator, scope.Tenants = true, true
	case auth.RolePortal:
		scope.Tenants = true
	case auth.RoleKeysVerify:
		if scope.Product = who.Product; who.Product == "" {
			missing = "the service account is bound to no product: set the claim product or OIDC_PRODUCT_CLIENTS"
		}
	case auth.RoleTenantAdmin:
		ctx, cancel := context.WithTimeout(ctx, s.callTimeout)
		defer cancel()
		tenant, found, err := s.registry.OwnTenant(ctx, who.Organization, who.TenantSlug)
		if err != nil {
			return "", err
		}
		if scope.Tenant = tenant; !found {
			missing = cmp.Or(who.OrganizationFault, "the user's organisation is no tenant's keycloak_org_id")
		}
	}
	return missing, nil
}

// onBehalfOf reads whom the portal says it acts for. It is a claim of the portal's, so nobody else may make it.
func onBehalfOf(h http.Header, who auth.Principal) (registry.Party, error) {
	const id, name = "X-On-Behalf-Of-Id", "X-On-Behalf-Of-Name"
	if len(h[id]) == 0 && len(h[name]) == 0 {
		return registry.Party{}, nil
	}
	var claimed registry.Party
	var faults []registry.Violation
	for _, part := range []struct {
		header string
		into   *string
	}{{id, &claimed.ID}, {name, &claimed.Name}} {
		given := h.Values(part.header)
		switch {
		case len(given) == 0:
		case !who.Has(auth.RolePortal):
			faults = append(faults, registry.Violation{Parameter: part.header, Message: "is for callers with the role portal"})
		case len(given) > 1 || !fitsHeader(given[0]):
			faults = append(faults, registry.Violation{Parameter: part.header, Message: "must be there once, with 1 to 200 visible characters"})
		default:
			*part.into = given[0]
		}
	}
	if faults == nil && claimed.Name != "" && claimed.ID == "" {
		faults = []registry.Violation{{Parameter: id, Message: "is required beside " + name}}
	}
	if faults != nil {
		return registry.Party{}, invalid(faults...)
	}
	return claimed, nil
}

func fitsHeader(s string) bool {
	return s != "" && utf8.ValidString(s) && utf8.RuneCountInString(s) <= registry.MaxID && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}
