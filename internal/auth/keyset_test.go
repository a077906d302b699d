package auth_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/auth/authtest"
)

var algs = []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"}

// TestAlgorithms asserts that a key verifies the algorithm that the issuer uses it for, and no other, even if the
// issuer signs it.
func TestAlgorithms(t *testing.T) {
	t.Parallel()
	for _, alg := range algs {
		i := authtest.NewInMemory()
		i.RotateTo(alg)
		o := loaded(t, i, nil)
		accepted(t, o, i.Sign(i.Claims(auth.RoleOperator)))
		old := i.Claims()
		old["iat"] = time.Now().Add(-time.Minute).Unix()
		for _, other := range append([]string{"RS384", "PS512", "ES512", "ES256K", "HS256", "none", ""}, algs...) {
			if other != alg { // the signature stays the key's own
				refused(t, o, bearer(i.SignWith(map[string]any{"alg": other}, old)))
			}
		}
	}
	i := authtest.NewInMemory()
	o := loaded(t, i, nil)
	claims := i.Claims()
	claims["iat"] = time.Now().Add(-time.Minute).Unix()
	i.Repurpose("PS256")
	refusedAs(t, o, auth.KindUnknownKey, bearer(i.Sign(claims))) // signed by the key, but the set says RS256
}

// TestKeyOfNoAlgorithm asserts that a key without alg verifies what its type allows.
func TestKeyOfNoAlgorithm(t *testing.T) {
	t.Parallel()
	for _, alg := range algs {
		i := authtest.NewInMemory()
		i.RotateTo(alg)
		i.Publish(i.JWK("alg", nil, "use", nil))
		o := loaded(t, i, nil)
		accepted(t, o, i.Sign(i.Claims()))
		if strings.HasSuffix(alg, "S256") && alg != "ES256" { // the two of an RSA key
			for _, other := range []string{"RS256", "PS256"} {
				i.Repurpose(other)
				accepted(t, o, i.Sign(i.Claims()))
			}
		}
	}
}

// TestOddKeys asserts which keys of a set are used: those whose own parameters are good, whatever else they carry.
func TestOddKeys(t *testing.T) {
	t.Parallel()
	const certificate = "MIIBkTCCATegAwIBAgIUe" // which is cut off
	for name, test := range map[string]struct {
		alg    string
		change []any
		used   bool
	}{
		"as it is":                        {"RS256", nil, true},
		"x5c that Go cannot parse":        {"RS256", []any{"x5c", []string{certificate}}, true},
		"x5c of no list":                  {"RS256", []any{"x5c", certificate}, true},
		"x5t of another length":           {"RS256", []any{"x5t", "AAAA"}, true},
		"x5t#S256 that is no base64":      {"ES256", []any{"x5t#S256", "%"}, true},
		"x5u that is no URL":              {"EdDSA", []any{"x5u", "://"}, true},
		"a member that is unknown":        {"ES384", []any{"ext", true}, true},
		"to encrypt with":                 {"RS256", []any{"use", "enc"}, false},
		"alg that does not fit the type":  {"RS256", []any{"alg", "ES256"}, false},
		"alg that does not fit the curve": {"ES384", []any{"alg", "ES256"}, false},
		"alg that is not accepted":        {"RS256", []any{"alg", "RS512"}, false},
		"alg that encrypts":               {"RS256", []any{"alg", "RSA-OAEP"}, false},
		"kty of another":                  {"ES256", []any{"kty", "OKP"}, false},
		"crv of another":                  {"ES256", []any{"crv", "P-384"}, false},
		"crv that is unknown":             {"EdDSA", []any{"crv", "Ed448"}, false},
		"a point off the curve":           {"ES256", []any{"x", strings.Repeat("A", 43)}, false},
		"a short x":                       {"EdDSA", []any{"x", "AAAA"}, false},
		"an RSA key of 1368 bits":         {"RS256", []any{"n", strings.Repeat("w", 228)}, false},
		"an RSA key of 8200 bits":         {"RS256", []any{"n", "_" + strings.Repeat("w", 1366)}, false},
		"an exponent of one":              {"RS256", []any{"e", "AQ"}, false},
		"a private key":                   {"RS256", []any{"d", "AAAA"}, false},
		"a secret":                        {"RS256", []any{"kty", "oct", "k", "AAAA"}, false},
		"kid of a number":                 {"RS256", []any{"kid", 1}, false},
	} {
		i := authtest.NewInMemory()
		i.RotateTo(test.alg)
		i.Publish(i.JWK(test.change...))
		o := loaded(t, i, nil)
		claims := i.Claims()
		claims["iat"] = time.Now().Add(-time.Minute).Unix()
		if token := i.Sign(claims); test.used {
			accepted(t, o, token)
		} else if _, err := o.Authenticate(bearer(token)); !isUnknownKey(err) {
			t.Errorf("%s: %v, want the key not to be there", name, err)
		}
		i.Publish(i.JWK(test.change...), i.JWK())
		if o := loaded(t, i, nil); !test.used {
			accepted(t, o, i.Sign(claims)) // by the other, which it does not take along
		}
	}
}

// TestRSASizes asserts that RSA keys of 2048 to 8192 bits are used, and no others.
func TestRSASizes(t *testing.T) {
	t.Parallel()
	for bits, used := range map[int]bool{1024: false, 2040: false, 2048: true, 4104: true, 8192: true, 8200: false} {
		modulus := bytes.Repeat([]byte{0xff}, bits/8)
		i := authtest.NewInMemory()
		i.Publish(i.JWK("n", base64.RawURLEncoding.EncodeToString(modulus)))
		claims := i.Claims()
		o := loaded(t, i, nil)
		claims["iat"] = time.Now().Add(-time.Minute).Unix()
		_, err := o.Authenticate(bearer(i.Sign(claims)))
		no, is := errors.AsType[*auth.Refused](err)
		if want := map[bool]auth.RefusalKind{true: auth.KindBadSignature, false: auth.KindUnknownKey}[used]; !is ||
			no.Kind != want {
			t.Errorf("%d bits: %v, want %s", bits, err, want)
		}
	}
}

func isUnknownKey(err error) bool {
	no, is := errors.AsType[*auth.Refused](err)
	return is && no.Kind == auth.KindUnknownKey
}

// TestWithoutUsableKeys asserts that a key set which the issuer answers with is its answer even if nothing in it can be
// used: the keys before are gone at the next renewal, tokens are refused and not undecided, and it is logged loudly.
func TestWithoutUsableKeys(t *testing.T) {
	t.Parallel()
	publish := func(key map[string]any) func(*authtest.Issuer) {
		return func(i *authtest.Issuer) { i.Publish(key) }
	}
	for name, test := range map[string]struct {
		publish func(*authtest.Issuer)
		log     string
	}{
		"none":          {func(i *authtest.Issuer) { i.Publish() }, "unusable=0"},
		"another type":  {publish(map[string]any{"kty": "X", "kid": "x"}), "unusable=1"},
		"another curve": {publish(map[string]any{"kty": "EC", "crv": "P-1"}), "unusable=1"},
		"short": {func(i *authtest.Issuer) {
			i.Publish(i.JWK("n", strings.Repeat("w", 171)))
		}, "unusable=1"},
		"another alg": {func(i *authtest.Issuer) { i.Publish(i.JWK("alg", "RS512")) }, "unusable=1"},
		"for encryption": {func(i *authtest.Issuer) {
			i.Publish(i.JWK("use", "enc", "alg", "RSA-OAEP"))
		}, "unusable=0"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := watch()
			var log bytes.Buffer
			o := start(t, w.Issuer, func(c *auth.OIDCConfig) {
				c.HTTPTransport, c.Logger = w, slog.New(slog.NewTextHandler(&log, nil))
			})
			synctest.Wait()
			claims := w.Claims()
			claims["exp"] = time.Now().Add(time.Hour).Unix()
			stolen := w.Sign(claims)
			accepted(t, o, stolen)
			test.publish(w.Issuer)
			time.Sleep(5 * time.Minute)
			synctest.Wait()
			for range 5 {
				refusedAs(t, o, auth.KindUnknownKey, bearer(stolen))
			}
			claims["jti"] = "another"
			refusedAs(t, o, auth.KindUnknownKey, bearer(w.Sign(claims)))
			if text := log.String(); strings.Count(text, "level=ERROR") != 1 || !strings.Contains(text, test.log) {
				t.Errorf("%s: the log has no error with %s: %s", name, test.log, text)
			}
			w.Answer(nil)
			w.Rotate()
			accepted(t, o, w.Sign(w.Claims()))
		})
		synctest.Test(t, func(t *testing.T) { // from the start
			w := watch()
			test.publish(w.Issuer)
			o := w.start(t)
			refusedAs(t, o, auth.KindUnknownKey, bearer(w.Sign(w.Claims())))
			unavailable(t, o, bearer(w.Sign(w.Claims()))) // a key may have come since
		})
	}
}

// TestMovedRealm is a realm that moves to another algorithm and deletes the keys that it had: what they signed, and
// what is forged with them, is refused from the next renewal on.
func TestMovedRealm(t *testing.T) {
	t.Parallel()
	for _, alg := range algs[1:] {
		synctest.Test(t, func(t *testing.T) {
			w := watch()
			o := w.start(t)
			claims := w.Claims(auth.RoleOperator)
			claims["exp"] = time.Now().Add(time.Hour).Unix()
			before := w.Sign(claims)
			claims["jti"] = "forged"
			forged := w.Sign(claims)
			accepted(t, o, before)
			w.RotateTo(alg)
			time.Sleep(5 * time.Minute)
			synctest.Wait()
			refusedAs(t, o, auth.KindUnknownKey, bearer(before))
			refusedAs(t, o, auth.KindUnknownKey, bearer(forged))
			accepted(t, o, w.Sign(w.Claims()))
		})
	}
}

// TestManyKeys asserts that of a very large set the first 32 are used, and that the log says how many are not.
func TestManyKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch()
		var set []map[string]any
		for n := range 34 {
			if w.RotateTo("EdDSA"); n == 31 {
				set = append(set, w.JWK("kid", "last"))
				continue
			}
			set = append(set, w.JWK("kid", strconv.Itoa(n)))
		}
		set = append([]map[string]any{w.JWK("use", "enc")}, set...) // which is not one of the 32
		w.Publish(set...)
		var log bytes.Buffer
		o := start(t, w.Issuer, func(c *auth.OIDCConfig) {
			c.HTTPTransport, c.Logger = w, slog.New(slog.NewTextHandler(&log, nil))
		})
		synctest.Wait()
		claims := w.Claims()
		refusedAs(t, o, auth.KindBadSignature, bearer(w.SignWith(map[string]any{"kid": "last"}, claims)))
		refusedAs(t, o, auth.KindUnknownKey, bearer(w.SignWith(map[string]any{"kid": "33"}, claims)))
		if text := log.String(); !strings.Contains(text, "level=WARN") || !strings.Contains(text, "left_out=2") {
			t.Errorf("the log does not say that two keys are left out: %s", text)
		}
	})
}

// TestWithdrawnKeyComesBack asserts that a token which was issued after its key was withdrawn makes the set be fetched:
// of several nodes one may have known less than the others.
func TestWithdrawnKeyComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch()
		one := w.JWK()
		w.Rotate()
		two := w.JWK()
		o := w.start(t)
		old := w.Sign(w.Claims())
		accepted(t, o, old)
		w.Publish(one)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		claims := w.Claims()
		claims["exp"], claims["iat"] = time.Now().Add(time.Hour).Unix(), time.Now().Add(-time.Second).Unix()
		fetches := len(w.fetches())
		refusedAs(t, o, auth.KindUnknownKey, bearer(w.Sign(claims)))
		if n := len(w.fetches()); n != fetches {
			t.Errorf("%d fetches for a token that is older than the withdrawal", n-fetches)
		}
		w.Publish(one, two)
		time.Sleep(time.Second)
		accepted(t, o, w.Sign(w.Claims()))
	})
}

// TestWithdrawnKeysAreForgotten asserts that the memory of withdrawn keys is bounded.
func TestWithdrawnKeysAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch()
		w.RotateTo("EdDSA")
		o := w.start(t)
		claims := w.Claims()
		claims["exp"] = time.Now().Add(24 * time.Hour).Unix()
		first := w.Sign(claims)
		for range 32 {
			w.RotateTo("EdDSA")
			time.Sleep(time.Minute)
			accepted(t, o, w.Sign(w.Claims()))
		}
		fetches := len(w.fetches())
		refusedAs(t, o, auth.KindUnknownKey, bearer(first))
		w.RotateTo("EdDSA")
		time.Sleep(time.Minute)
		accepted(t, o, w.Sign(w.Claims()))
		if n := len(w.fetches()); n > fetches+2 {
			t.Errorf("%d fetches for a withdrawn key", n-fetches)
		}
		if reason := refused(t, o, bearer(first)); strings.Contains(reason, "withdrawn") {
			t.Errorf("33 withdrawn keys are remembered: %s", reason)
		}
	})
}
