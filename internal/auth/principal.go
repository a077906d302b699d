package auth

import (
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
		p.Product, p.ProductFault = c.product(o.ProductClients)
	} else {
		p.ProductFault = faultNoService
	}
	if !fit(p.Name) || strings.Contains(p.Name, "@") {
		p.Name = ""
	}
	p.Organization, p.OrganizationFault = c.organization()
	return p
}

// isService recognises a service account by the claim client_id, which Keycloak writes for one only. Names say nothing:
// a user may have any, service-account-<client> too.
func (c *claims) isService() bool { return c.AZP != "" && c.ClientID == c.AZP }

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

// Why a caller is bound to no product, and what an administrator does about it.
const (
	faultNoService = "the caller is no service account of the token's client (its claim client_id is not azp), and" +
		" only service accounts are bound to a product"
	faultNoProduct = "the service account is bound to no product: set the claim product or OIDC_PRODUCT_CLIENTS"
	faultProduct   = "the claim product is not the key of one product: let one mapper write it, as a text"
)

// product is the catalogue key that a service account is bound to, or why there is none. A claim that is there and not
// a text binds to nothing: it must not fall back to something wider than was meant.
func (c *claims) product(clients map[string]string) (key, fault string) {
	if len(c.Product) == 0 {
		if key = clients[c.AZP]; key == "" {
			return "", faultNoProduct
		}
		return key, ""
	}
	if json.Unmarshal(c.Product, &key) != nil || !fit(key) {
		return "", faultProduct
	}
	return key, ""
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
