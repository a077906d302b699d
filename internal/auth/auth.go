// Package auth says who calls. It turns the Authorization header of a request into a Principal: OIDC verifies access
// tokens of a Keycloak realm, Dev hands out identities for development. What a role may do is not decided here, nor
// which tenant an organisation is.
package auth

import (
	"net/http"
	"slices"
	"time"
)

// Role is a role of this service's client in Keycloak. Roles add up.
type Role string

// The roles there are; others in a token mean nothing here.
const (
	RoleAuditWrite  Role = "audit:write"  // a service that appends audit events
	RoleKeysVerify  Role = "keys:verify"  // a product that verifies its API keys
	RoleOperator    Role = "operator"     // a person of the platform
	RolePortal      Role = "portal"       // the portal's backend
	RoleTenantAdmin Role = "tenant-admin" // a person who manages one tenant
)

// Roles returns every role there is, sorted.
func Roles() []Role {
	return []Role{RoleAuditWrite, RoleKeysVerify, RoleOperator, RolePortal, RoleTenantAdmin}
}

// What a Principal's Type can be.
const (
	TypeUser    = "user"
	TypeService = "service" // a client's service account
)

// Principal is a verified caller. It is shared between requests: what Roles points to must not be changed.
type Principal struct {
	ID    string // the token's sub, of dev identities the identity's own name; never empty, at most 200 characters
	Name  string // a user's preferred_username, a service's azp; may be empty, is never an e-mail address
	Type  string // TypeUser or TypeService
	AZP   string // the client that the token was issued to; may be empty
	Roles []Role // sorted, known ones only; may be empty

	// Organization is the id of the one organisation that the caller belongs to. If it is empty, OrganizationFault says
	// why, in a sentence for an administrator that holds nothing of the token.
	Organization      string
	OrganizationFault string

	TenantSlug string // the tenant of a dev identity; empty for all others

	// Product is the catalogue key that a service is bound to. If it is empty, ProductFault says why, as
	// OrganizationFault does.
	Product      string
	ProductFault string
}

// Has reports whether the caller has a role.
func (p Principal) Has(role Role) bool { return slices.Contains(p.Roles, role) }

// Authenticator finds out who sent a request. It reads the header, the host and the connection's address, never the
// query or the body, and is safe for concurrent use. Its errors are *Refused and *KeysUnavailable.
type Authenticator interface {
	Authenticate(r *http.Request) (Principal, error)
}

// RefusalKind groups refusals by what an operator would look into. The kinds are a closed set.
type RefusalKind string

// The kinds of refusals there are.
const (
	KindNoCredential RefusalKind = "no_credential" // there is no Authorization header
	KindMalformed    RefusalKind = "malformed"     // it holds nothing that is an access token by its form
	KindUnknownKey   RefusalKind = "unknown_key"   // the issuer has no such key: a withdrawn one, or a forgery
	KindBadSignature RefusalKind = "bad_signature" // the issuer's key did not sign this: a forgery
	KindExpired      RefusalKind = "expired"       // by its own claim exp
	KindClaims       RefusalKind = "claims"        // by another claim: issuer, audience, client, type, times
	KindDev          RefusalKind = "dev"           // a development identity, or where it came from
)

// Refused means that the request does not show who sent it.
type Refused struct {
	Kind   RefusalKind
	Reason string // for the log only: it helps an attacker; it holds no token
	Detail string // a sentence for the caller that helps no attacker; empty: the caller is told no reason
}

// Error is the reason.
func (e *Refused) Error() string { return "refused: " + e.Reason }

// KeysUnavailable means that it cannot be decided now whether a token is good: no key set of the issuer was loaded yet,
// or the token's key may be newer than the newest one, which cannot be renewed now. The same token may be accepted
// later.
type KeysUnavailable struct {
	RetryAfter time.Duration // until the key set may be newer; above zero
}

// Error says what is missing.
func (e *KeysUnavailable) Error() string {
	return "the issuer's keys are unavailable for " + e.RetryAfter.String()
}
