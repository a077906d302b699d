package auth

import (
	"context"
	"crypto"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	maxKeys    = 32 // of one key set: a token without a kid is tried with each
	minKeyBits = 2048
	maxKeyBits = 8192
)

// keySet is one state of the issuer's keys, and the tokens verified with them: when the keys change there is another
// keySet, and what the old ones verified is gone with it. The keys never change.
type keySet struct {
	keys        []jose.JSONWebKey
	fingerprint string // equal for equal sets
	verifier    *oidc.IDTokenVerifier
	tokens      tokenCache
}

// parseKeySet takes from a JWK Set the public RSA keys that can verify RS256. Others, also malformed ones, are left
// out; to have none is an error.
func parseKeySet(text []byte) (*keySet, error) {
	var set struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, errors.New("the answer is not a JWK Set")
	}
	k := &keySet{tokens: newTokenCache()}
	var thumbprints []string
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(raw) != nil || !usable(key) || len(k.keys) == maxKeys {
			continue
		}
		thumb, err := key.Thumbprint(crypto.SHA256)
		if err != nil {
			continue
		}
		k.keys = append(k.keys, key)
		thumbprints = append(thumbprints, hex.EncodeToString(thumb)+" "+key.KeyID)
	}
	if len(k.keys) == 0 {
		return nil, errors.New("the JWK Set holds no RSA key of 2048 bits or more for RS256 signatures")
	}
	slices.Sort(thumbprints)
	k.fingerprint = strings.Join(thumbprints, "\n")
	return k, nil
}

func usable(key jose.JSONWebKey) bool {
	public, ok := key.Key.(*rsa.PublicKey)
	if !ok || (key.Use != "" && key.Use != "sig") || (key.Algorithm != "" && key.Algorithm != "RS256") {
		return false
	}
	bits := public.N.BitLen()
	return bits >= minKeyBits && bits <= maxKeyBits
}

var (
	errNoSuchKey    = errors.New("the issuer has no key with the token's kid")
	errBadSignature = errors.New("the token's signature is not that of the issuer's key")
)

// VerifySignature returns the payload of a token that one of the keys signed. It is for the verifier, which has made
// sure that the token is signed with RS256, and fetches nothing.
func (k *keySet) VerifySignature(_ context.Context, token string) ([]byte, error) {
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return nil, err
	}
	kid, failure := signed.Signatures[0].Header.KeyID, errNoSuchKey
	for _, key := range k.keys {
		if kid != "" && kid != key.KeyID {
			continue
		}
		payload, err := signed.Verify(key.Key)
		if err == nil {
			return payload, nil
		}
		failure = errBadSignature
	}
	return nil, failure
}
