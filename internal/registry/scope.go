package registry

import "github.com/google/uuid"

// Scope is which objects a caller may touch. What is outside of it is answered exactly as if it did not exist. The zero Scope
// touches nothing.
type Scope struct {
	Operator bool      // everything: also private products, and the whole audit log
	Tenants  bool      // every tenant
	Tenant   uuid.UUID // this tenant
	Product  string    // what every tenant has of this product
}

// Everything is the scope of an operator.
var Everything = Scope{Operator: true, Tenants: true}

// tenant tells whether the scope has this tenant.
func (s Scope) tenant(id uuid.UUID) bool {
	return s.Tenants || (s.Tenant != uuid.Nil && s.Tenant == id)
}

// product is the one product that the scope is about; empty if it is about all, or if it has the tenant anyhow.
func (s Scope) product(tenant uuid.UUID) string {
	if s.tenant(tenant) {
		return ""
	}
	return s.Product
}

// sees tells whether the scope has something of this tenant.
func (s Scope) sees(tenant uuid.UUID) bool { return s.tenant(tenant) || s.Product != "" }

// audit refuses a chain that the scope has not: another tenant's as if there were no such tenant, and the whole log by asking for one.
func (s Scope) audit(group *uuid.UUID) error {
	switch {
	case s.Operator:
		return nil
	case group == nil:
		return &Error{Kind: Invalid, Code: CodeInvalid, Detail: "The request breaks a rule; errors says which.",
			Violations: []Violation{{Parameter: "tenant_id", Message: "is required"}}}
	case *group == uuid.Nil || !s.tenant(*group):
		return inParameter(notFound(CodeTenantNotFound, "tenant"), "tenant_id")
	}
	return nil
}
