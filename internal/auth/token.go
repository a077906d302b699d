package auth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	leeway = 30 * time.Second // by how much the issuer's clock and ours may differ
	maxID  = 200              // of a sub or an organisation's id, in characters: what an audit event takes

	latest = 253402300799 // 9999-12-31T23:59:59Z
)

// keyed are headers that say how, or with which key, a token wants to be verified. That is not the token's business, so
// one that has any of them is refused, and crit, which names headers that must be understood, with them.
var keyed = []string{"b64", "crit", "jku", "jwk", "x5c", "x5u"}

// claims is what is read of a token's payload.
type claims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  audience `json:"aud"`
	Type      string   `json:"typ"`
	AZP       string   `json:"azp"`
	ClientID  string   `json:"client_id"`
	Username  string   `json:"preferred_username"`
	Expires   *float64 `json:"exp"`
	NotBefore *float64 `json:"nbf"`
	IssuedAt  *float64 `json:"iat"`

	// Confirmation binds a token to a key that the sender has to show (DPoP, mTLS).
	Confirmation jsontext.Value `json:"cnf"`

	// Of these a wrong shape costs the caller rights and not the whole token.
	Access       jsontext.Value `json:"resource_access"`
	Scope        jsontext.Value `json:"scope"`
	Organization jsontext.Value `json:"organization"`
	Product      jsontext.Value `json:"product"`
}

// audience is one text or a list of them.
type audience []string

// UnmarshalJSON reads both shapes.
func (a *audience) UnmarshalJSON(text []byte) error {
	if jsontext.Value(text).Kind() == '"' {
		*a = make(audience, 1)
		return json.Unmarshal(text, &(*a)[0])
	}
	return json.Unmarshal(text, (*[]string)(a))
}

// unpack reads a token's parts without trusting them. A member that occurs twice, at whatever depth, refuses the token:
// a reader that takes the other one would see another token.
func unpack(token string) (claims, *Refused) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || slices.Contains(parts, "") {
		return claims{}, malformed("the token is not header, payload and signature")
	}
	if strings.ContainsAny(token, "\r\n") { // which base64 would skip
		return claims{}, malformed("the token is not in base64url")
	}
	var header map[string]jsontext.Value
	if err := part(parts[0], &header); err != nil {
		return claims{}, malformed("the token's header " + err.Error())
	}
	if err := checkHeader(header); err != nil {
		return claims{}, err
	}
	var c claims
	if err := part(parts[1], &c); err != nil {
		return claims{}, malformed("the token's payload " + err.Error())
	}
	if _, err := base64.RawURLEncoding.Strict().DecodeString(parts[2]); err != nil {
		return claims{}, malformed("the token's signature is not in base64url")
	}
	return c, nil
}

// part decodes one part of a token. Its errors name no value of it.
func part(text string, into any) error {
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return errors.New("is not in base64url")
	}
	if jsontext.Value(decoded).Kind() != '{' {
		return errors.New("is not a JSON object")
	}
	err = json.Unmarshal(decoded, into)
	if wrong, ok := errors.AsType[*json.SemanticError](err); ok {
		return fmt.Errorf("has the wrong type at %q", clip(string(wrong.JSONPointer)))
	}
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return errors.New("has a member twice")
	}
	if err != nil {
		return errors.New("is not valid JSON")
	}
	return nil
}

func checkHeader(header map[string]jsontext.Value) *Refused {
	for _, name := range keyed {
		if _, found := header[name]; found {
			return malformed("the token's header has a " + name)
		}
	}
	if alg := headerText(header, "alg"); !slices.Contains(algorithms, jose.SignatureAlgorithm(alg)) {
		return malformed(fmt.Sprintf("the token is signed with %q, which is none of %v", clip(alg), algorithms))
	}
	switch typ := headerText(header, "typ"); strings.ToLower(typ) {
	case "", "jwt", "at+jwt", "application/at+jwt":
		return nil
	default:
		return malformed(fmt.Sprintf("the token's header says it is a %q", clip(typ)))
	}
}

// headerText is a member of a header: empty if it is not there, and its JSON if it is not a text.
func headerText(header map[string]jsontext.Value, name string) string {
	var text string
	if given, found := header[name]; found && json.Unmarshal(given, &text) != nil {
		return given.String()
	}
	return text
}

// check holds the claims to what o accepts at an instant; only the signature is left then. Expiry comes first: a caller
// is told of it, and must not learn from that what else would be accepted.
func (c *claims) check(o *OIDCConfig, now time.Time) *Refused {
	switch refused := c.checkTimes(now); {
	case refused != nil:
		return refused
	case c.Issuer != o.Issuer:
		return wrong("the token is of the issuer %q, not %q", clip(c.Issuer), o.Issuer)
	case !slices.Contains(c.Audience, o.Audience):
		return wrong("the token is for %q, not %q", clip(strings.Join(c.Audience, " ")), o.Audience)
	case c.Type != "Bearer":
		return wrong("the token is not an access token: its typ is %q, not Bearer", clip(c.Type))
	case len(c.Confirmation) > 0:
		return wrong("the token is bound to a key of its sender (cnf), which is not supported")
	case !fit(c.Subject):
		return wrong("the token has no sub, or one that is too long or not printable")
	case c.AZP != "" && !fit(c.AZP):
		return wrong("the token's client (azp) is too long or not printable")
	case len(o.AllowedAZP) > 0 && !slices.Contains(o.AllowedAZP, c.AZP):
		return wrong("the token's client (azp) %q is not allowed", clip(c.AZP))
	}
	return nil
}

// wrong refuses a token by a claim.
func wrong(reason string, values ...any) *Refused {
	return &Refused{Kind: KindClaims, Reason: fmt.Sprintf(reason, values...)}
}

func (c *claims) checkTimes(now time.Time) *Refused {
	if c.Expires == nil {
		return wrong("the token never expires: it has no exp")
	}
	for _, t := range []*float64{c.Expires, c.NotBefore, c.IssuedAt} {
		if t != nil && (*t < 0 || *t > latest) {
			return wrong("a time in the token is out of range")
		}
	}
	switch {
	case !now.Before(instant(*c.Expires).Add(leeway)):
		return &Refused{
			Kind: KindExpired, Detail: "The access token has expired.",
			Reason: "the token expired at " + instant(*c.Expires).UTC().Format(time.RFC3339),
		}
	case c.NotBefore != nil && now.Add(leeway).Before(instant(*c.NotBefore)):
		return wrong("the token is not valid before %s", instant(*c.NotBefore).UTC().Format(time.RFC3339))
	case c.IssuedAt != nil && now.Add(leeway).Before(instant(*c.IssuedAt)):
		return wrong("the token was issued in the future, at %s", instant(*c.IssuedAt).UTC().Format(time.RFC3339))
	}
	return nil
}

// issuedBy reports whether the token claims to have been issued by an instant, with some time to spare.
func (c *claims) issuedBy(t time.Time, spare time.Duration) bool {
	return c.IssuedAt != nil && !instant(*c.IssuedAt).Add(spare).After(t)
}

// instant is a NumericDate, which may have a fraction, as a time.
func instant(seconds float64) time.Time {
	whole := int64(seconds)
	return time.Unix(whole, int64((seconds-float64(whole))*1e9))
}
