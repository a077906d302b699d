package auth

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// principal is who the claims of a verified token are about.
func (c *claims) principal(o *OIDCConfig) Principal {
	p := Principal{ID: c.Subject, Type: TypeUser, AZP: c.AZP, Name: c.Username, Roles: c.roles(o.Client)}
	if c.isService() {
		p.Type, p.Name = TypeService, c.AZP
		p.Product = c.product(o.ProductClients)
	}
	if !fit(p.Name) || strings.Contains(p.Name, "@") {
		p.Name = ""
	}
	p.Organization, p.OrganizationFault = c.organization()
	return p
}

// isService recognises a service account by what Keycloak writes for one: the claim client_id, or the name of the
// client's account. Both are compared with azp, so that a user who chose such a name is still a user.
func (c *claims) isService() bool {
	return c.AZP != "" && (c.ClientID == c.AZP || strings.EqualFold(c.Username, "service-account-"+c.AZP))
}

// roles are the known ones of the client's. A shape that is not Keycloak's gives none.
func (c *claims) roles(client string) []Role {
	var access map[string]jsontext.Value
	var of struct {
		Roles []Role `json:"roles"`
	}
	if json.Unmarshal(c.Access, &access) != nil || json.Unmarshal(access[client], &of) != nil {
		return nil
	}
	var held []Role
	for _, role := range Roles() {
		if slices.Contains(of.Roles, role) {
			held = append(held, role)
		}
	}
	return held
}

// product is the catalogue key that a service account is bound to. A claim that is there and not a text binds to
// nothing: it must not fall back to something wider than was meant.
func (c *claims) product(clients map[string]string) string {
	if len(c.Product) == 0 {
		return clients[c.AZP]
	}
	var key string
	if json.Unmarshal(c.Product, &key) != nil || !fit(key) {
		return ""
	}
	return key
}

// Why a user has no organisation, and what an administrator does about it.
const (
	faultNoOrganization = "the token has no claim organization: make the caller a member of one organisation, and" +
		" make the client scope organization a default scope of the client that asks for the token"
	faultList = "the claim organization is a list of names without ids: in the client scope organization, open" +
		" the mapper Organization Membership and switch on 'Add organization id'"
	faultText = "the claim organization is one name without an id: in the client scope organization, open the mapper" +
		" Organization Membership and switch on 'Multivalued' and 'Add organization id'"
	faultNoID = "the claim organization holds an organisation without an id: in the client scope organization, open" +
		" the mapper Organization Membership and switch on 'Add organization id'"
	faultBadID = "the claim organization holds an id that is not a text: an attribute of the organisation that is" +
		" called id covers it; rename the attribute, or switch off 'Add organization attributes' in the mapper" +
		" Organization Membership"
	faultSeveral = "the claim organization holds %d organisations and must hold one: let the client ask for the scope" +
		" organization or organization:<alias> instead of organization:*, or end the other memberships"
	faultShape = "the claim organization is not an object of alias to {id}: let the mapper Organization Membership" +
		" alone write it"
)

// organization is the id of the one organisation, or why there is none.
func (c *claims) organization() (id, fault string) {
	switch c.Organization.Kind() {
	case '{':
	case '[':
		return "", faultList
	case '"':
		return "", faultText
	case 'n', 0:
		return "", faultNoOrganization
	default:
		return "", faultShape
	}
	var byAlias map[string]jsontext.Value
	if json.Unmarshal(c.Organization, &byAlias) != nil {
		return "", faultShape
	}
	switch len(byAlias) {
	case 0:
		return "", faultNoOrganization
	case 1:
		for _, one := range byAlias {
			return organizationID(one)
		}
	}
	return "", fmt.Sprintf(faultSeveral, len(byAlias))
}

func organizationID(one jsontext.Value) (id, fault string) {
	var members map[string]jsontext.Value
	if one.Kind() != '{' || json.Unmarshal(one, &members) != nil {
		return "", faultShape
	}
	given, found := members["id"]
	switch {
	case !found:
		return "", faultNoID
	case json.Unmarshal(given, &id) != nil || !fit(id):
		return "", faultBadID
	}
	return id, ""
}

// fit reports whether a text of a token can be stored as an id or a name: not empty, not too long, without invisible
// characters.
func fit(s string) bool {
	return s != "" && utf8.RuneCountInString(s) <= maxID &&
		!strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// clip shortens what a log line quotes of a token.
func clip(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
