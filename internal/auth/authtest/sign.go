package authtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
)

func signRS256(key *rsa.PrivateKey, header, payload string) string {
	input := unsigned(header, payload)
	sum := sha256.Sum256([]byte(input))
	return signed(input)(rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:]))
}

func signRS512(key *rsa.PrivateKey, header, payload string) string {
	input := unsigned(header, payload)
	sum := sha512.Sum512([]byte(input))
	return signed(input)(rsa.SignPKCS1v15(nil, key, crypto.SHA512, sum[:]))
}

func signPS256(key *rsa.PrivateKey, header, payload string) string {
	input := unsigned(header, payload)
	sum := sha256.Sum256([]byte(input))
	return signed(input)(rsa.SignPSS(rand.Reader, key, crypto.SHA256, sum[:], &rsa.PSSOptions{
		SaltLength: rsa.PSSSaltLengthEqualsHash,
	}))
}

// signECDSA signs with the digest that goes with the key's curve.
func signECDSA(key *ecdsa.PrivateKey, header, payload string) string {
	input := unsigned(header, payload)
	hash := crypto.SHA256
	if key.Curve == elliptic.P384() {
		hash = crypto.SHA384
	}
	digest := hash.New()
	digest.Write([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest.Sum(nil))
	if err != nil {
		panic(err)
	}
	size := (key.Params().BitSize + 7) / 8
	return input + "." + encode(append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...))
}

func signHS256(secret []byte, header, payload string) string {
	input := unsigned(header, payload)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(input))
	return input + "." + encode(mac.Sum(nil))
}

// signed joins an input and what a signer said of it. A key of ours does not fail to sign.
func signed(input string) func([]byte, error) string {
	return func(signature []byte, err error) string {
		if err != nil {
			panic(err)
		}
		return input + "." + encode(signature)
	}
}

// publicPEM is what a verifier that confuses algorithms would take for an HMAC secret.
func publicPEM(key *rsa.PublicKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}
