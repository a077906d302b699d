package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/hex"
	"slices"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	minKeyBits = 2048 // of an RSA key
	maxKeyBits = 8192
)

// go-jose refuses RSA keys of over 4096 bits unless it is told otherwise before it parses any.
func init() { jose.MaxRSAModulusBits = maxKeyBits }

// algorithms are the signatures that are accepted, each from the keys that it fits alone.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.ES384, jose.EdDSA}

var (
	// publicMembers of a JWK are all that is read of it. Not among them are x5c, x5t and x5u: the key is its
	// parameters, and a certificate that Go cannot parse takes nothing from them.
	publicMembers = []string{"kty", "crv", "alg", "use", "kid", "n", "e", "x", "y"}
	// secretMembers make a JWK one that anyone can sign with.
	secretMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}
)

// publicKey is a key of the issuer's for signatures. It never changes.
type publicKey struct {
	id          string // its kid; empty: it has none
	key         any
	fits        []jose.SignatureAlgorithm // those that a key of its type and size can verify
	only        jose.SignatureAlgorithm   // the one that the issuer uses it for; empty: any that fits
	fingerprint string                    // equal for equal keys
}

// allows reports whether the key may verify an algorithm.
func (k *publicKey) allows(alg jose.SignatureAlgorithm) bool {
	return slices.Contains(k.fits, alg) && (k.only == "" || k.only == alg)
}

// parseKey reads a JWK. It reports whether that is a public key which can verify one of the algorithms.
func parseKey(jwk map[string]jsontext.Value) (publicKey, bool) {
	public := map[string]jsontext.Value{}
	for name, value := range jwk {
		switch {
		case slices.Contains(secretMembers, name):
			return publicKey{}, false
		case slices.Contains(publicMembers, name):
			public[name] = value
		}
	}
	var parsed jose.JSONWebKey
	text, err := json.Marshal(public)
	if err != nil || parsed.UnmarshalJSON(text) != nil || (parsed.Use != "" && parsed.Use != "sig") {
		return publicKey{}, false
	}
	k := publicKey{
		id: parsed.KeyID, key: parsed.Key, fits: fitting(parsed.Key), only: jose.SignatureAlgorithm(parsed.Algorithm),
	}
	thumbprint, err := parsed.Thumbprint(crypto.SHA256)
	if err != nil || len(k.fits) == 0 || (k.only != "" && !slices.Contains(k.fits, k.only)) {
		return publicKey{}, false
	}
	k.fingerprint = hex.EncodeToString(thumbprint) + " " + string(k.only) + " " + k.id
	return k, true
}

// fitting are the algorithms that a key can verify by its type and size.
func fitting(key any) []jose.SignatureAlgorithm {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits >= minKeyBits && bits <= maxKeyBits {
			return []jose.SignatureAlgorithm{jose.RS256, jose.PS256}
		}
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return []jose.SignatureAlgorithm{jose.ES256}
		case elliptic.P384():
			return []jose.SignatureAlgorithm{jose.ES384}
		}
	case ed25519.PublicKey:
		return []jose.SignatureAlgorithm{jose.EdDSA}
	}
	return nil
}

// encrypts reports whether a JWK is one to encrypt with, which says nothing about signatures.
func encrypts(jwk map[string]jsontext.Value) bool {
	var use string
	return json.Unmarshal(jwk["use"], &use) == nil && use == "enc"
}
