package registry

import (
	"slices"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/violation"
)

// Caller is on whose behalf a use case runs. Its Actor becomes the actor of the events that the use case writes, and no
// use case reaches anything outside of its Access.
type Caller struct {
	Actor  audit.Party
	Access Access
	// OnBehalfOf is whom the actor claims to act for; recorded as claimed. Absent if its ID is empty.
	OnBehalfOf audit.Named
	// Idempotency makes a command repeatable; nil: every request is a command of its own.
	Idempotency *Idempotency
	// ExpectedVersions are the versions of the object named by its id that a change is meant for; nil: any. A replay
	// expects none.
	ExpectedVersions []int64
	SourceIP         string // canonical text of the peer's address, or empty
	RequestID        string // becomes the events' correlation id
	Route            string // recorded in security events

	urgent bool // the change is a revocation: no share of its tenant refuses it
}

// OnBehalfOf stands between an actor and whom it claimed to act for, in the records of who created something.
const OnBehalfOf = " on behalf of "

// createdBy is the text that a record stores of its creator: the actor's id, and whom it claimed to act for.
func (c Caller) createdBy() string {
	if c.OnBehalfOf.ID == "" {
		return c.Actor.ID
	}
	return c.Actor.ID + OnBehalfOf + c.OnBehalfOf.ID
}

// expectVersion refuses a change of an object that is in none of the expected versions.
func (c Caller) expectVersion(version int64, what string) error {
	if c.ExpectedVersions == nil || slices.Contains(c.ExpectedVersions, version) {
		return nil
	}
	return &Error{
		Kind: PreconditionFailed, Code: CodePrecondition,
		Detail: "The " + what + " is not in the version that If-Match names.",
	}
}

// Access is which objects a caller reaches. Everything outside of it is answered exactly as if it did not exist. The
// zero Access reaches nothing.
type Access struct {
	Operator bool      // everything: also private products, and the whole audit log
	Tenants  bool      // every tenant
	Reports  bool      // events that are reported for any tenant
	Tenant   uuid.UUID // this tenant
	Slug     string    // of this tenant, as far as is known; empty: unknown
	Product  string    // what every tenant has of this product
}

// FullAccess is the access of an operator.
var FullAccess = Access{Operator: true, Tenants: true}

// tenant reports whether the access covers this tenant.
func (a Access) tenant(id uuid.UUID) bool {
	return a.Tenants || (a.Tenant != uuid.Nil && a.Tenant == id)
}

// slug is false for a slug that is known to be none of the access's: to say so costs no read, so a foreign tenant's
// takes no longer than one that does not exist.
func (a Access) slug(slug string) bool { return a.Tenants || a.Slug == "" || a.Slug == slug }

// product is the one product that the access is limited to; empty if it covers the tenant, and so every product.
func (a Access) product(tenant uuid.UUID) string {
	if a.tenant(tenant) {
		return ""
	}
	return a.Product
}

// sees reports whether the access covers something of this tenant.
func (a Access) sees(tenant uuid.UUID) bool { return a.tenant(tenant) || a.Product != "" }

// audit refuses a chain that the access does not cover: another tenant's as if there were no such tenant, and the whole
// log by requiring a tenant_id.
func (a Access) audit(group *uuid.UUID) error {
	switch {
	case a.Operator:
		return nil
	case group == nil:
		return invalidParameter("tenant_id", violation.Required)
	case *group == uuid.Nil || !a.tenant(*group):
		return inParameter(notFound(CodeTenantNotFound, "tenant"), "tenant_id")
	}
	return nil
}
