package auth

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Why a user has no organisation, and what an administrator does about it. Keycloak 26 leaves the claim out for several
// reasons, which only the scopes of the token tell apart; a disabled organisation is as if the user were no member.
const (
	faultNoScope = "the token has no claim organization, and no scope organization: make the client scope" +
		" organization a default scope of the client that asks for the token, with 'Include in token scope' on"
	faultNoneOrSeveral = "the token has no claim organization although it has the scope organization: the user" +
		" belongs to no organisation that is enabled, or to several of which the login chose none; make the user a" +
		" member of one enabled organisation, or let the client ask for the scope organization:<alias>"
	faultNone = "the token has no claim organization although it has the scope organization:*, so the user belongs to" +
		" no organisation that is enabled"
	faultNotThatOne = "the token has no claim organization although it has the scope of one organisation: that one is" +
		" disabled, or the user is no longer a member"
	faultNames = "the claim organization is a list of names without ids: in the client scope organization, open" +
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
	var byAlias map[string]jsontext.Value
	switch c.Organization.Kind() {
	case '{':
		if json.Unmarshal(c.Organization, &byAlias) != nil {
			return "", faultShape
		}
	case '[':
		return "", listFault(c.Organization)
	case 'n', 0:
	default: // with its type set to JSON a mapper writes the alias 2024 as a number
		return "", faultText
	}
	switch len(byAlias) {
	case 0:
		return "", c.absence()
	case 1:
		for _, one := range byAlias {
			return organizationID(one)
		}
	}
	return "", fmt.Sprintf(faultSeveral, len(byAlias))
}

// listFault is what is wrong with a claim that is a list.
func listFault(list jsontext.Value) string {
	var names []string
	switch {
	case json.Unmarshal(list, &names) != nil: // two mappers wrote an element each
		return faultShape
	case len(names) > 1:
		return fmt.Sprintf(faultSeveral, len(names)) + "; and " + faultNames
	}
	return faultNames
}

// absence is why the claim is not there, as far as the scopes say.
func (c *claims) absence() string {
	var scope string
	_ = json.Unmarshal(c.Scope, &scope) // another shape has no scopes
	scopes := strings.Fields(scope)
	switch {
	case slices.Contains(scopes, "organization"):
		return faultNoneOrSeveral
	case slices.Contains(scopes, "organization:*"):
		return faultNone
	case slices.ContainsFunc(scopes, func(s string) bool { return strings.HasPrefix(s, "organization:") }):
		return faultNotThatOne
	}
	return faultNoScope
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
