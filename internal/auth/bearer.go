package auth

import (
	"net/http"
	"strings"
)

// maxToken is the most a token may have, in bytes. Keycloak's are about 1 KiB, with many roles a few more.
const maxToken = 16 << 10

var (
	errNoHeader   = &Refused{"there is no Authorization header"}
	errTwoHeaders = &Refused{"there is more than one Authorization header"}
	errScheme     = &Refused{"the Authorization header is not Bearer and one token"}
	errTooLong    = &Refused{"the token has more than 16 KiB"}
)

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
