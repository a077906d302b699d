package server

import (
	"slices"
	"strings"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/auth"
)

// whoMayCall is the decision on who may do what, as it was made and not as the code has it. Rows of what there is no route for yet wait for
// one.
const whoMayCall = `
what                                    | anyone | portal                 | keys:verify | audit:write | tenant-admin | operator
health, root, spec, problem pages       | yes    | yes                    | yes         | yes         | yes          | yes
self-revoke                             | yes    | yes                    | yes         | yes         | yes          | yes
create tenant                           |        | yes                    |             |             |              | yes
list tenants                            |        |                        |             |             |              | yes
read tenant, by slug                    |        | yes                    |             |             | own          | yes
patch tenant                            |        | name, region, metadata |             |             |              | yes
activate, freeze, grant, approve        |        |                        |             |             |              | yes
cancel                                  |        |                        |             |             | own          | yes
entitlements                            |        | yes                    | own product |             | own          | yes
catalog                                 |        | yes                    |             |             | yes          | yes
request, trial-request                  |        | yes                    |             |             | own          | yes
API keys                                |        | yes                    |             |             | own          | yes
verify                                  |        |                        | own product |             |              | yes
append audit                            |        | yes                    | yes         | yes         |              | yes
query audit                             |        |                        |             |             | own          | yes
`

// cells are the rows of whoMayCall by their name, each as its cells by the name of the column.
func cells(t *testing.T) map[string]map[string]string {
	t.Helper()
	rows := map[string]map[string]string{}
	var columns []string
	for line := range strings.Lines(strings.TrimSpace(whoMayCall)) {
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

// kind is a kind of principal: what its token says.
type kind struct {
	name      string
	anonymous bool
	roles     []auth.Role
	org       string // whose organisation: "own" is that of the tenant called own; "" none; "unknown" nobody's; "slug" is the own tenant's slug
	product   string // the product it is bound to; "" none
}

const (
	ownProduct     = "widgets"
	foreignProduct = "gadgets"
)

// kinds are all kinds of principals that the matrix tries.
var kinds = func() []kind {
	const p, v, w, a, o = auth.RolePortal, auth.RoleKeysVerify, auth.RoleAuditWrite, auth.RoleTenantAdmin, auth.RoleOperator
	roles := func(r ...auth.Role) []auth.Role { return r }
	return []kind{
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

// reach is how far a principal comes in one row.
type reach struct{ anyone, all, own, product, operator bool }

// some tells whether it comes anywhere.
func (r reach) some() bool { return r.anyone || r.all || r.own || r.product }

// in is how far this kind comes in a row: as far as all of its roles together. A tenant-admin's yes ends at its own tenant, and without a
// tenant or a product to be bound to its role is worth nothing.
func (k kind) in(row map[string]string) reach {
	r := reach{anyone: row["anyone"] == "yes", operator: slices.Contains(k.roles, auth.RoleOperator)}
	for _, role := range k.roles {
		cell := row[string(role)]
		switch {
		case cell == "":
		case role == auth.RoleTenantAdmin:
			r.own = r.own || k.org == "own"
		case role == auth.RoleKeysVerify && k.product == "":
		case cell == "yes":
			r.all = true
		case cell == "own product":
			r.product = true
		}
	}
	return r
}

// An object of a request, as seen by the principal.
const (
	none     = "none"             // the request is about no tenant's object
	own      = "own"              // the tenant called own, or something of it
	foreign  = "foreign"          // another tenant, or something of it
	unknown  = "unknown"          // nobody's
	platform = "the platform"     // what belongs to no tenant
	others   = "another product"  // asked about by its name
	whole    = "the whole of all" // every tenant's at once
)

// sees tells whether the object is there for whoever comes this far.
func (r reach) sees(object string) bool {
	switch object {
	case none:
		return true
	case own:
		return r.all || r.own || r.product
	case foreign:
		return r.all || r.product
	case unknown:
		return false
	}
	return r.all // platform, others, whole
}
