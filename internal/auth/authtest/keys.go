package authtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"sync"
)

// signingKey is a key as a realm has it: for one algorithm, under a kid that is made of the public key.
type signingKey struct {
	private crypto.Signer
	alg     string
	kid     string
}

// nextKey makes a key that differs from another. RSA keys take a tenth of a second each, so they are shared.
func nextKey(after signingKey, alg string) signingKey {
	var private crypto.Signer
	switch alg {
	case "ES256":
		private = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	case "ES384":
		private = must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	case "EdDSA":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		private = must(key, err)
	default:
		last, _ := after.private.(*rsa.PrivateKey)
		private = next(last)
	}
	return signingKey{private: private, alg: alg, kid: keyID(private.Public())}
}

// sign makes a token of a header and a payload as they are.
func (k signingKey) sign(header, payload string) string {
	switch private := k.private.(type) {
	case *ecdsa.PrivateKey:
		return signECDSA(private, header, payload)
	case ed25519.PrivateKey:
		input := unsigned(header, payload)
		return input + "." + encode(ed25519.Sign(private, []byte(input)))
	case *rsa.PrivateKey:
		if k.alg == "PS256" {
			return signPS256(private, header, payload)
		}
		return signRS256(private, header, payload)
	}
	panic("no key of an issuer's")
}

// jwk is the public key as Keycloak shows it.
func (k signingKey) jwk() map[string]any {
	var shown map[string]any
	switch public := k.private.Public().(type) {
	case *rsa.PublicKey:
		shown = rsaJWK(public)
	case *ecdsa.PublicKey:
		point := must(public.Bytes())[1:] // behind the byte that says it is not compressed
		x, y := point[:len(point)/2], point[len(point)/2:]
		shown = map[string]any{"kty": "EC", "crv": public.Curve.Params().Name, "x": encode(x), "y": encode(y)}
	case ed25519.PublicKey:
		shown = map[string]any{"kty": "OKP", "crv": "Ed25519", "x": encode(public)}
	}
	shown["kid"], shown["use"], shown["alg"] = k.kid, "sig", k.alg
	return shown
}

func rsaJWK(key *rsa.PublicKey) map[string]any {
	return map[string]any{"kty": "RSA", "n": encode(key.N.Bytes()), "e": "AQAB"}
}

func keyID(public crypto.PublicKey) string {
	sum := sha256.Sum256(must(x509.MarshalPKIXPublicKey(public)))
	return encode(sum[:])
}

// keys are made once for all issuers of a process, in order.
var keys struct {
	sync.Mutex
	made []*rsa.PrivateKey
}

// next returns the key that follows one, the first for nil.
func next(after *rsa.PrivateKey) *rsa.PrivateKey {
	keys.Lock()
	defer keys.Unlock()
	at := 0
	for n, key := range keys.made {
		if key == after {
			at = n + 1
		}
	}
	if at == len(keys.made) {
		keys.made = append(keys.made, newKey())
	}
	return keys.made[at]
}

// stranger is a key that no issuer signs with.
var stranger = sync.OnceValue(newKey)

func newKey() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) }

// must returns a value that there is unless the machine is broken.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
