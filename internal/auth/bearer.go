package auth

import (
	"net/http"
	"strings"
)

// maxToken is the most a token may have, in bytes. Keycloak's are about 1 KiB; many roles or groups make them larger.
const maxToken = 32 << 10

const notBearer = "The Authorization header must be Bearer and one access token."

var (
	errNoHeader = &Refused{
		Kind: KindNoCredential, Reason: "there is no Authorization header",
		Detail: "The request has no Authorization header.",
	}
	errTwoHeaders = &Refused{
		Kind: KindMalformed, Reason: "there is more than one Authorization header", Detail: notBearer,
	}
	errScheme = &Refused{
		Kind: KindMalformed, Reason: "the Authorization header is not Bearer and one token", Detail: notBearer,
	}
	errTooLong = &Refused{
		Kind: KindMalformed, Reason: "the token has more than 32 KiB",
		Detail: "The access token has more than 32 KiB.",
	}
)

// malformed refuses what is no access token by its form.
func malformed(reason string) *Refused { return &Refused{Kind: KindMalformed, Reason: reason} }

// bearer returns what the one Authorization header holds behind Bearer. It may be anything but empty or too long.
func bearer(h http.Header) (string, *Refused) {
	given := h["Authorization"]
	switch {
	case len(given) == 0:
		return "", errNoHeader
	case len(given) > 1:
		return "", errTwoHeaders
	}
	scheme, token, found := strings.Cut(given[0], " ")
	token = strings.TrimLeft(token, " ")
	switch {
	case !found || token == "" || !strings.EqualFold(scheme, "Bearer"):
		return "", errScheme
	case len(token) > maxToken:
		return "", errTooLong
	}
	return token, nil
}
