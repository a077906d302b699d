package auth

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	maxKeys      = 32 // of one key set: a token without a kid is tried with each
	maxWithdrawn = 32 // kids that are remembered as withdrawn
)

// keySet is one state of the issuer's keys, and the tokens verified with them: when the keys change there is another
// keySet, and what the old ones verified is gone with it. The keys never change. There may be none: then the issuer
// signs nothing that is accepted.
type keySet struct {
	keys        []publicKey
	beyond      int    // keys that were left out because there are too many
	unusable    int    // keys that were left out because they verify none of the algorithms
	fingerprint string // equal for equal sets

	// since adopt
	withdrawn []string // kids that earlier sets had and this one has not
	tokens    tokenCache
}

// parseKeySet reads a JWK Set. Keys that can verify none of the algorithms, also malformed ones, are left out, and so
// is what comes after maxKeys. The error means that the text is no JWK Set.
func parseKeySet(text []byte) (*keySet, error) {
	var set struct {
		Keys *[]map[string]jsontext.Value `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil || set.Keys == nil {
		return nil, errors.New("the answer is not a JWK Set")
	}
	k := &keySet{}
	var fingerprints []string
	for _, jwk := range *set.Keys {
		key, ok := parseKey(jwk)
		switch {
		case ok && len(k.keys) == maxKeys:
			k.beyond++
		case ok:
			k.keys = append(k.keys, key)
			fingerprints = append(fingerprints, key.fingerprint)
		case !encrypts(jwk):
			k.unusable++
		}
	}
	slices.Sort(fingerprints)
	k.fingerprint = strings.Join(fingerprints, "\n")
	return k, nil
}

func (k *keySet) has(kid string) bool {
	return slices.ContainsFunc(k.keys, func(key publicKey) bool { return key.id == kid })
}

// adopt prepares a set for use in place of an old one, which may be nil: it remembers what that had and k has no
// longer.
func (k *keySet) adopt(old *keySet) {
	k.tokens = newTokenCache()
	if old == nil {
		return
	}
	kids := slices.Clone(old.withdrawn)
	for _, key := range old.keys {
		kids = append(kids, key.id)
	}
	for _, kid := range kids {
		if kid != "" && !k.has(kid) && !slices.Contains(k.withdrawn, kid) {
			k.withdrawn = append(k.withdrawn, kid)
		}
	}
	k.withdrawn = k.withdrawn[max(0, len(k.withdrawn)-maxWithdrawn):]
}

// Why the keys of a set do not verify a token.
var (
	errUnknownKey = &Refused{Kind: KindUnknownKey, Reason: "the issuer has no key with the token's kid"}
	errNoKid      = &Refused{Kind: KindUnknownKey, Reason: "the token has no kid, and no key of the issuer signed it"}
	errOtherAlg   = &Refused{
		Kind: KindUnknownKey, Reason: "the issuer's key with the token's kid is for another algorithm",
	}
	errWithdrawn    = &Refused{Kind: KindUnknownKey, Reason: "the issuer has withdrawn the key with the token's kid"}
	errBadSignature = &Refused{
		Kind: KindBadSignature, Reason: "the token's signature is not that of the issuer's key",
	}
)

// newerMayVerify reports whether a token that one set of keys does not verify may be verified by a newer set. It may
// not if the key is known: Keycloak makes the kid of the key, so another key never has the same. What an attacker can
// send without end, bad signatures under a kid that is public, therefore costs no fetch.
func newerMayVerify(refused *Refused) bool { return refused.Kind == KindUnknownKey }

// check returns the payload of a token that one of the keys signed, or why there is none.
func (k *keySet) check(signed *jose.JSONWebSignature) ([]byte, *Refused) {
	header := signed.Signatures[0].Header
	kid, alg := header.KeyID, jose.SignatureAlgorithm(header.Algorithm)
	refused := errUnknownKey
	switch {
	case kid == "":
		refused = errNoKid
	case slices.Contains(k.withdrawn, kid):
		refused = errWithdrawn
	}
	for i := range k.keys {
		key := &k.keys[i]
		if kid != "" && kid != key.id {
			continue
		}
		var payload []byte
		err := jose.ErrUnsupportedAlgorithm
		if slices.Contains(key.fits, alg) {
			payload, err = signed.Verify(key.key)
		}
		switch {
		case err == nil && key.allows(alg):
			return payload, nil
		case err == nil: // only the issuer can sign this: it may have changed what the key is for
			refused = errOtherAlg
		case refused == errUnknownKey:
			refused = errBadSignature
		}
	}
	return nil, refused
}

// attempt holds one token to a key set, for go-oidc, which keeps no error's type.
type attempt struct {
	keys    *keySet
	refused *Refused
	reached bool
}

// VerifySignature implements oidc.KeySet. It fetches nothing.
func (a *attempt) VerifySignature(_ context.Context, token string) ([]byte, error) {
	signed, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		return nil, err
	}
	var payload []byte
	a.reached = true
	if payload, a.refused = a.keys.check(signed); a.refused != nil {
		return nil, a.refused
	}
	return payload, nil
}

// verify holds a token's signature, issuer and audience to the keys and a configuration of go-oidc's. Times are checked
// by claims.check, with leeway, which go-oidc does not have.
func (k *keySet) verify(ctx context.Context, o *OIDCConfig, token string) *Refused {
	a := &attempt{keys: k}
	_, err := oidc.NewVerifier(o.Issuer, a, &oidc.Config{
		ClientID: o.Audience, SupportedSigningAlgs: algorithmNames, SkipExpiryCheck: true,
	}).Verify(ctx, token)
	switch {
	case err == nil:
		return nil
	case a.refused != nil:
		return a.refused
	case !a.reached:
		return malformed(clip(err.Error()))
	}
	return wrong("%s", clip(err.Error()))
}

// algorithmNames are the algorithms as go-oidc takes them.
var algorithmNames = func() (names []string) {
	for _, alg := range algorithms {
		names = append(names, string(alg))
	}
	return names
}()
