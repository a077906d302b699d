package server

import (
	"slices"
	"strings"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/auth"
)

// policyTable is the decision on who may do what, as it was made and not as the code has it. It has rows for endpoints
// that are to come.
const policyTable = `
what                             | anyone | portal                 | keys:verify | audit:write | tenant-admin | operator
health, root, spec, problems     | yes    | yes                    | yes         | yes         | yes          | yes
self-revoke                      | yes    | yes                    | yes         | yes         | yes          | yes
create tenant                    |        | yes                    |             |             |              | yes
list tenants                     |        |                        |             |             |              | yes
read tenant, by slug             |        | yes                    |             |             | own          | yes
patch tenant                     |        | name, region, metadata |             |             |              | yes
activate, freeze, grant, approve |        |                        |             |             |              | yes
cancel                           |        |                        |             |             | own          | yes
entitlements                     |        | yes                    | own product |             | own          | yes
catalog                          |        | yes                    |             |             | yes          | yes
request, trial-request           |        | yes                    |             |             | own          | yes
API keys                         |        | yes                    |             |             | own          | yes
verify                           |        |                        | own product |             |              | yes
append audit                     |        | yes                    | own product | yes         |              | yes
query audit                      |        |                        |             |             | own          | yes
erase audit                      |        |                        |             |             |              | yes
`

// policyRows are the rows of policyTable by their name, each as its cells by the name of the column.
func policyRows(t *testing.T) map[string]map[string]string {
	t.Helper()
	rows := map[string]map[string]string{}
	var columns []string
	for line := range strings.Lines(strings.TrimSpace(policyTable)) {
		row := strings.Split(line, "|")
		for i := range row {
			row[i] = strings.TrimSpace(row[i])
		}
		if columns == nil {
			columns = row
			continue
		}
		byColumn := map[string]string{}
		for i, cell := range row {
			byColumn[columns[i]] = cell
		}
		rows[row[0]] = byColumn
	}
	return rows
}

// principalKind is a kind of caller: what its token says.
type principalKind struct {
	name      string
	anonymous bool
	roles     []auth.Role
	// whose organisation: "own" of the tenant called own; "" none; "unknown" of no tenant; "slug" is the own tenant's
	// slug
	org     string
	product string // the product it is bound to; "" none
}

// principalKinds are all kinds of callers that TestIsolation_holdsAtEveryRoute tries.
var principalKinds = func() []principalKind {
	const (
		p, v = auth.RolePortal, auth.RoleKeysVerify
		w, a = auth.RoleAuditWrite, auth.RoleTenantAdmin
		o    = auth.RoleOperator
	)
	roles := func(r ...auth.Role) []auth.Role { return r }
	return []principalKind{
		{"anonymous", true, nil, "", ""},
		{"no role, but an organisation and a product", false, nil, "own", ownProduct},
		{"portal", false, roles(p), "", ""},
		{"product", false, roles(v), "", ownProduct},
		{"product without binding", false, roles(v), "", ""},
		{"product without binding, but an organisation", false, roles(v), "own", ""},
		{"audit:write", false, roles(w), "", ""},
		{"admin", false, roles(a), "own", ""},
		{"admin without organisation", false, roles(a), "", ""},
		{"admin without organisation, but a product", false, roles(a), "", ownProduct},
		{"admin of an unknown organisation", false, roles(a), "unknown", ""},
		{"admin whose organisation is called like the tenant", false, roles(a), "slug", ""},
		{"operator", false, roles(o), "", ""},
		{"portal and admin", false, roles(p, a), "own", ""},
		{"portal and admin without organisation", false, roles(p, a), "", ""},
		{"product and admin", false, roles(v, a), "own", ownProduct},
		{"product without binding and admin", false, roles(v, a), "own", ""},
		{"product and admin without organisation", false, roles(v, a), "", ownProduct},
		{"product and portal", false, roles(v, p), "", ownProduct},
		{"product and audit:write", false, roles(v, w), "", ownProduct},
		{"product without binding and audit:write", false, roles(v, w), "", ""},
		{"audit:write and admin", false, roles(w, a), "own", ""},
		{"product without binding and admin without organisation", false, roles(v, a), "", ""},
		{"operator and product", false, roles(o, v), "", ownProduct},
		{"operator and admin without organisation", false, roles(o, a), "", ""},
		{"every role but the operator's", false, roles(p, v, w, a), "own", ownProduct},
		{"every role", false, roles(p, v, w, a, o), "own", ownProduct},
	}
}()

// expectedAccess is what the policy gives a caller at one route.
type expectedAccess struct{ anyone, all, own, product, operator bool }

// any reports whether the caller may call the route at all.
func (a expectedAccess) any() bool { return a.anyone || a.all || a.own || a.product }

// access is what this kind of caller reaches by a row of policyTable: as much as all of its roles together. A
// tenant-admin's yes ends at its own tenant, and without a tenant or a product to be bound to its role gives nothing.
func (k principalKind) access(row map[string]string) expectedAccess {
	a := expectedAccess{anyone: row["anyone"] == "yes", operator: slices.Contains(k.roles, auth.RoleOperator)}
	for _, role := range k.roles {
		cell := row[string(role)]
		switch {
		case cell == "":
		case role == auth.RoleTenantAdmin:
			a.own = a.own || k.org == "own"
		case role == auth.RoleKeysVerify && k.product == "":
		case cell == "yes":
			a.all = true
		case cell == "own product":
			a.product = true
		}
	}
	return a
}

// An object of a request, as seen by the caller.
const (
	none     = "none"             // the request is about no tenant's object
	own      = "own"              // the tenant called own, or something of it
	foreign  = "foreign"          // another tenant, or something of it
	unknown  = "unknown"          // does not exist
	platform = "the platform"     // what belongs to no tenant
	reported = "platform's log"   // to report to
	others   = "another product"  // asked about by its name
	whole    = "the whole of all" // every tenant's at once
)

// sees reports whether the object exists for a caller with this access.
func (a expectedAccess) sees(object string) bool {
	switch object {
	case none:
		return true
	case own:
		return a.all || a.own || a.product
	case foreign:
		return a.all || a.product
	case unknown:
		return false
	case reported:
		return a.operator
	}
	return a.all // platform, others, whole
}
