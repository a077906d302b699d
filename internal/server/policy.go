package server

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
	"github.com/breakpilot/tenant-registry/internal/violation"
)

// caller authenticates a request and reports whether its caller may call the route at all. What the caller reaches
// there is the Access that it returns, which registry keeps to.
func (s *Server) caller(rt *route, r *http.Request) (registry.Caller, error) {
	info := web.Info(r)
	by := registry.Caller{SourceIP: s.clientIP(r), RequestID: info.OwnID(), Route: info.Route}
	if rt.Roles.anyone {
		return by, nil
	}
	who, err := s.authenticate(r, by.SourceIP)
	if err != nil {
		return by, err
	}
	by.RequestID = info.ID
	by.Actor = audit.Party{ID: who.ID, Name: who.Name, Type: who.Type}
	if who.AZP != "" {
		by.Actor.Fields = map[string]string{"azp": who.AZP}
	}
	if !rt.exempt(who) {
		if wait := s.limits.principals.Take(who.ID); wait > 0 {
			return by, web.TooManyRequests(wait)
		}
	}
	var missing string
	if by.Access, missing, err = s.access(r.Context(), rt.Roles, who); err != nil {
		return by, err
	}
	if missing != "" {
		return by, s.deny(r, by, missing)
	}
	by.OnBehalfOf, err = onBehalfOf(r.Header, who)
	return by, err
}

// clientIP is the address that events and limits name. The first request that shows a proxy of which no setting says
// anything is logged: behind it all callers have one address, and one limit.
func (s *Server) clientIP(r *http.Request) string {
	if s.trustedProxies == 0 && len(r.Header["X-Forwarded-For"]) > 0 {
		s.warnOfProxy.Do(func() {
			s.log.WarnContext(r.Context(), "X-Forwarded-For ignored", "remedy",
				"set TRUSTED_PROXIES to the number of proxies in front, or callers share the proxy's address and limit")
		})
	}
	return web.ClientIP(r, s.trustedProxies)
}

// kindUndecided is the kind of a token that can neither be accepted nor refused now, besides those of auth.
const kindUndecided = "undecided"

// authenticate verifies the request's credential. The reason of a refusal is for the logs; the caller is told what
// helps no attacker.
func (s *Server) authenticate(r *http.Request, address string) (auth.Principal, error) {
	info := web.Info(r)
	who, err := s.auth.Authenticate(r)
	if err == nil {
		info.Principal = who.ID
		return who, nil
	}
	var refused *auth.Refused
	var unavailable *auth.KeysUnavailable
	switch {
	case errors.As(err, &refused):
		s.security.AuthenticationFailed(
			registry.Caller{SourceIP: address, RequestID: info.OwnID(), Route: info.Route},
			string(refused.Kind), refused.Reason,
		)
		if wait := s.limits.failures.Take(web.Network(address)); wait > 0 {
			return who, web.TooManyRequests(wait)
		}
		s.log.InfoContext(info.Context, "authentication failed", "kind", refused.Kind,
			"reason", refused.Reason, "source_ip", address, "route", info.Route, "request_id", info.ID)
		return who, web.NewProblem(
			codeUnauthenticated, cmp.Or(refused.Detail, "The request needs a valid bearer token."),
		)
	case errors.As(err, &unavailable): // a forgery of an unknown key looks alike, so it leaves a trace
		s.security.AuthenticationFailed(
			registry.Caller{SourceIP: address, RequestID: info.OwnID(), Route: info.Route},
			kindUndecided, "its key is unknown, and the issuer's key set cannot be renewed now",
		)
		return who, &web.Problem{
			Code: web.CodeUnavailable, Detail: "The token cannot be verified yet.", RetryAfter: unavailable.RetryAfter,
		}
	}
	return who, err
}

// deny refuses a caller that may not call the route. The reason is about the caller's own token, so the caller is told.
func (s *Server) deny(r *http.Request, by registry.Caller, reason string) error {
	info := web.Info(r)
	s.security.AuthorizationDenied(by, reason)
	s.log.WarnContext(info.Context, "authorization denied", "reason", reason, "principal", by.Actor.ID,
		"azp", by.Actor.Fields["azp"], "route", info.Route, "request_id", info.ID)
	return web.NewProblem(registry.CodeForbidden, "The caller may not do this: "+reason+".")
}

// access is what the caller's roles reach on a route, all of them together; if that is nothing, missing is the reason.
func (s *Server) access(
	ctx context.Context, p policy, who auth.Principal,
) (access registry.Access, missing string, err error) {
	granted := false
	for _, role := range p.roles {
		if !who.Has(role) {
			continue
		}
		reason, err := s.grant(ctx, &access, role, who)
		if err != nil {
			return access, "", err
		}
		if reason == "" {
			granted = true
		} else {
			missing = reason
		}
	}
	switch {
	case granted:
		missing = ""
	case missing == "":
		missing = p.unmet(who)
	}
	return access, missing, nil
}

// unmet says that a caller has none of the roles that a route is for.
func (p policy) unmet(who auth.Principal) string {
	if len(who.Roles) == 0 {
		return "its token has no role of this service's client"
	}
	needed := make([]string, len(p.roles))
	for i, role := range p.roles {
		needed[i] = string(role)
	}
	return "it has none of the roles that the route is for: " + strings.Join(needed, ", ")
}

// grant widens the access by what a role reaches. If that is nothing it returns what is missing, in a sentence for an
// administrator.
func (s *Server) grant(
	ctx context.Context, access *registry.Access, role auth.Role, who auth.Principal,
) (missing string, err error) {
	switch role {
	case operator:
		access.Operator, access.Tenants = true, true
	case portal:
		access.Tenants = true
	case auditWrite:
		access.Reports = true
	case keysVerify:
		if access.Product = who.Product; who.Product == "" {
			const unbound = "the service account is bound to no product: set the claim product or OIDC_PRODUCT_CLIENTS"
			missing = cmp.Or(who.ProductFault, unbound)
		}
	case tenantAdmin:
		ctx, cancel := context.WithTimeout(ctx, s.callTimeout)
		defer cancel()
		tenant, found, err := s.registry.OwnTenant(ctx, who.Organization, who.TenantSlug)
		if err != nil {
			return "", err
		}
		if access.Tenant, access.Slug = tenant.ID, tenant.Slug; !found {
			missing = cmp.Or(who.OrganizationFault, "the user's organisation is no tenant's keycloak_org_id")
		}
	}
	return missing, nil
}

// onBehalfOf reads whom the portal claims to act for. No other role may claim it.
func onBehalfOf(h http.Header, who auth.Principal) (audit.Named, error) {
	const id, name = "X-On-Behalf-Of-Id", "X-On-Behalf-Of-Name"
	if len(h[id]) == 0 && len(h[name]) == 0 {
		return audit.Named{}, nil
	}
	var claimed audit.Named
	var found []violation.Violation
	for _, part := range []struct {
		header string
		into   *string
	}{{id, &claimed.ID}, {name, &claimed.Name}} {
		given := h.Values(part.header)
		switch {
		case len(given) == 0:
		case !who.Has(portal):
			found = append(found, violation.Violation{
				Parameter: part.header, Message: violation.NotAllowed("callers with the role portal"),
			})
		case len(given) > 1 || !validHeader(given[0]):
			found = append(found, violation.Violation{
				Parameter: part.header, Message: violation.Visible,
			})
		case registry.HoldsCredential(given[0]):
			found = append(found, violation.Violation{Parameter: part.header, Message: violation.NoCredential})
		default:
			*part.into = given[0]
		}
	}
	if found == nil && claimed.Name != "" && claimed.ID == "" {
		found = []violation.Violation{{Parameter: id, Message: violation.Required}}
	}
	if found != nil {
		return audit.Named{}, web.Invalid(found...)
	}
	return claimed, nil
}

func validHeader(s string) bool {
	return s != "" && utf8.ValidString(s) && utf8.RuneCountInString(s) <= registry.MaxID &&
		!strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}
