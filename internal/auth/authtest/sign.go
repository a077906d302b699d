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

func signES256(header, payload string) string {
	input := unsigned(header, payload)
	sum := sha256.Sum256([]byte(input))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		panic(err)
	}
	return input + "." + encode(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
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
