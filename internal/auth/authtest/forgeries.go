package authtest

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/breakpilot/tenant-registry/internal/auth"
)

// Forgery is one way not to show who one is: the rights are an operator's, the form is not what Config accepts.
type Forgery struct {
	Name  string
	Apply func(*http.Request) // puts it into a request that has no Authorization header yet
}

// Forgeries are made of tokens of i, each with one fault. A verifier with i.Config must refuse every one of them,
// and accept the token that they are made of: i.Sign(i.Claims(auth.RoleOperator)).
func Forgeries(i *Issuer) []Forgery {
	f := &forger{Issuer: i}
	f.requests()
	f.algorithms()
	f.keys()
	f.forms()
	f.claims()
	f.times()
	f.duplicates()
	return f.made
}

type forger struct {
	*Issuer
	made []Forgery
}

func (f *forger) add(name string, apply func(*http.Request)) {
	f.made = append(f.made, Forgery{name, apply})
}

func (f *forger) header(name string, values ...string) {
	f.add(name, func(r *http.Request) { r.Header["Authorization"] = values })
}

func (f *forger) token(name, token string) { f.header(name, "Bearer "+token) }

// good is the token that the others are made of.
func (f *forger) good() string { return f.Sign(f.base()) }

func (f *forger) base() map[string]any { return f.Claims(auth.RoleOperator) }

// old are the claims of a token that was issued before the key set was loaded, so that it is known which keys there
// were then. Of a token that says it is newer, nothing is known while the key set may not be fetched.
func (f *forger) old() map[string]any {
	c := f.base()
	c["iat"] = time.Now().Add(-2 * time.Minute).Unix()
	return c
}

// without signs the claims with one of them left out.
func (f *forger) without(claim string) string {
	c := f.base()
	delete(c, claim)
	return f.Sign(c)
}

// with signs the claims with some of them replaced, given as name and value in turn.
func (f *forger) with(pairs ...any) string {
	c := f.base()
	for n := 0; n < len(pairs); n += 2 {
		c[pairs[n].(string)] = pairs[n+1]
	}
	return f.Sign(c)
}

func (f *forger) requests() {
	good := f.good()
	f.add("no header", func(*http.Request) {})
	f.header("empty header", "")
	f.header("scheme without token", "Bearer")
	f.header("token without scheme", good)
	f.header("Basic", "Basic "+base64.StdEncoding.EncodeToString([]byte("portal:secret")))
	f.header("DPoP scheme", "DPoP "+good)
	f.header("two headers", "Bearer "+good, "Bearer "+good)
	f.header("two tokens in one header", "Bearer "+good+", Bearer "+good)
	f.header("a parameter behind the token", "Bearer "+good+" realm=x")
	f.header("a quoted token", `Bearer "`+good+`"`)
	f.header("development identity", "Bearer dev-operator")
	f.header("API key", "Bearer bp_live_"+strings.Repeat("0", 49))
	f.add("in the query", func(r *http.Request) { r.URL.RawQuery = url.Values{"access_token": {good}}.Encode() })
	f.add("in a form", func(r *http.Request) {
		form := url.Values{"access_token": {good}}.Encode()
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(form)), int64(len(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	})
	f.add("in a cookie", func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "access_token", Value: good}) })
	f.add("in another header", func(r *http.Request) { r.Header.Set("Proxy-Authorization", "Bearer "+good) })
	f.token("100 kB", f.with("padding", strings.Repeat("x", 75_000)))
}

func (f *forger) algorithms() {
	key, claims, good := f.rsaKey(), text(f.base()), f.good()
	head := func(alg string) string { return text(map[string]any{"alg": alg, "typ": "JWT", "kid": f.KeyID()}) }
	f.token("alg none", unsigned(head("none"), claims)+".")
	f.token("alg none without the last dot", unsigned(head("none"), claims))
	f.token("alg nOnE with a signature", unsigned(head("nOnE"), claims)+good[strings.LastIndex(good, "."):])
	f.token("no alg", f.SignText(`{"typ":"JWT","kid":"`+f.KeyID()+`"}`, claims))
	f.token("alg is a number", f.SignText(`{"alg":256,"kid":"`+f.KeyID()+`"}`, claims))
	f.token("HS256 with the public key as PEM", signHS256(publicPEM(&key.PublicKey), head("HS256"), claims))
	f.token("HS256 with the modulus", signHS256(key.N.Bytes(), head("HS256"), claims))
	f.token("HS256 with an empty secret", signHS256(nil, head("HS256"), claims))
	f.token("RS512 by the right key", signRS512(key, head("RS512"), claims))
	f.token("PS256 by the right key", signPS256(key, head("PS256"), text(f.old())))
	f.token("PS256 that says RS256", signPS256(key, head("RS256"), claims))
	f.token("PS256 by another key", signPS256(stranger(), head("PS256"), claims))
	for _, alg := range []string{"ES256", "ES384", "EdDSA"} {
		own := nextKey(signingKey{}, alg)
		f.token(alg+" under the kid of an RSA key", own.sign(head(alg), claims))
		f.token(alg+" that says RS256", own.sign(head("RS256"), claims))
	}
}

func (f *forger) keys() {
	claims := text(f.old())
	own := signingKey{stranger(), "RS256", keyID(stranger().Public())}.jwk()
	sign := func(header map[string]any) string {
		h := map[string]any{"alg": "RS256", "typ": "JWT", "kid": own["kid"]}
		for name, value := range header {
			h[name] = value
		}
		return signRS256(stranger(), text(h), claims)
	}
	f.token("unknown kid", sign(nil))
	f.token("known kid, another key", sign(map[string]any{"kid": f.KeyID()}))
	f.token("the encryption key, under its kid", sign(map[string]any{"kid": "enc-" + f.KeyID()}))
	f.token("kid is a path", sign(map[string]any{"kid": "../../../dev/null"}))
	f.token("embedded jwk", sign(map[string]any{"jwk": own}))
	f.token("jku", sign(map[string]any{"jku": f.KeysURL()}))
	f.token("x5u", sign(map[string]any{"x5u": f.KeysURL()}))
	f.token("x5c", sign(map[string]any{"x5c": []string{"MIIB"}}))
	f.token("jwk by the right key", f.SignWith(map[string]any{"jwk": own}, f.base()))
	f.token("jku by the right key", f.SignWith(map[string]any{"jku": f.KeysURL()}, f.base()))
	f.token("crit", f.SignWith(map[string]any{"crit": []string{"exp"}, "exp": 1}, f.base()))
	f.token("b64 false", f.SignWith(map[string]any{"b64": false, "crit": []string{"b64"}}, f.base()))

	good := strings.Split(f.good(), ".")
	other := strings.Split(f.with("sub", "another-user"), ".")
	f.token("another token's payload", strings.Join([]string{good[0], other[1], good[2]}, "."))
	f.token("no signature", good[0]+"."+good[1]+".")
	f.token("half a signature", good[0]+"."+good[1]+"."+good[2][:len(good[2])/8*4])
	f.token("a signature with other bits behind its end", good[0]+"."+good[1]+"."+respell(good[2]))
	f.token("a signature of zeros", good[0]+"."+good[1]+"."+strings.Repeat("A", len(good[2])))
}

// respell changes the last character of a base64url text in bits that stand for nothing, so that a lenient reader
// decodes the same.
func respell(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(s) - 1
	return s[:last] + string(alphabet[strings.IndexByte(alphabet, s[last])^1])
}

func (f *forger) forms() {
	good := strings.Split(f.good(), ".")
	head := `{"alg":"RS256","typ":"JWT","kid":"` + f.KeyID() + `"}`
	claims := text(f.base())
	f.token("not a token", "x.y.z")
	f.token("dots only", "..")
	f.token("five parts, as a JWE", strings.Join(append(good, "AAAA", "AAAA"), "."))
	f.token("JSON serialisation", `{"protected":"`+good[0]+`","payload":"`+good[1]+`","signature":"`+good[2]+`"}`)
	f.token("padded base64", good[0]+"=."+good[1]+"."+good[2])
	f.token("a space within", good[0]+". "+good[1]+"."+good[2])
	f.token("header is a list", f.SignText(`["RS256"]`, claims))
	f.token("header says it is a logout token", f.SignWith(map[string]any{"typ": "logout+jwt"}, f.base()))
	f.token("header says it holds a token", f.SignWith(map[string]any{"typ": "JWE"}, f.base()))
	f.token("payload is a list", f.SignText(head, "["+claims+"]"))
	f.token("payload is null", f.SignText(head, "null"))
	f.token("payload is not JSON", f.SignText(head, "sub=operator"))
	f.token("something behind the payload", f.SignText(head, claims+"{}"))
	f.token("payload is not UTF-8", f.SignText(head, strings.Replace(claims, `"acme-admin"`, "\"\xff\"", 1)))
}

func (f *forger) claims() {
	f.token("wrong issuer", f.with("iss", "http://evil.test/realms/test"))
	f.token("other realm of the same host", f.with("iss", f.base()["iss"].(string)+"2"))
	f.token("issuer with a slash more", f.with("iss", f.URL()+"/"))
	f.token("no issuer", f.without("iss"))
	f.token("aud is account alone", f.with("aud", "account"))
	f.token("aud is another service", f.with("aud", []string{"billing", "account"}))
	f.token("aud in capitals", f.with("aud", strings.ToUpper(Audience)))
	f.token("aud begins like ours", f.with("aud", Audience+"-admin"))
	f.token("aud is an object", f.with("aud", map[string]any{Audience: true}))
	f.token("no aud", f.without("aud"))
	f.token("ID token", f.with("typ", "ID", "aud", []string{Portal, Audience}, "at_hash", "x"))
	f.token("refresh token", f.with("typ", "Refresh"))
	f.token("offline token", f.with("typ", "Offline"))
	f.token("logout token", f.with("typ", "Logout"))
	f.token("DPoP token", f.with("typ", "DPoP", "cnf", map[string]any{"jkt": "x"}))
	f.token("token bound to a certificate", f.with("cnf", map[string]any{"x5t#S256": "x"}))
	f.token("no typ", f.without("typ"))
	f.token("typ in lower case", f.with("typ", "bearer"))
	f.token("no sub", f.without("sub"))
	f.token("empty sub", f.with("sub", ""))
	f.token("null sub", f.with("sub", nil))
	f.token("sub is a number", f.with("sub", 1))
	f.token("sub with a line break", f.with("sub", "a\nb"))
	f.token("sub too long", f.with("sub", strings.Repeat("a", 201)))
	f.token("azp not allowed", f.with("azp", "stranger"))
	f.token("no azp", f.without("azp"))
}

func (f *forger) times() {
	now := time.Now()
	f.token("no exp", f.without("exp"))
	f.token("null exp", f.with("exp", nil))
	f.token("exp past", f.with("exp", now.Add(-time.Minute).Unix()))
	f.token("exp is zero", f.with("exp", 0))
	f.token("exp is negative", f.with("exp", -1))
	f.token("exp is a text", f.with("exp", "9999999999"))
	f.token("exp after all time", f.with("exp", 1e300))
	f.token("nbf far ahead", f.with("nbf", now.Add(time.Hour).Unix()))
	f.token("nbf four minutes ahead", f.with("nbf", now.Add(4*time.Minute).Unix()))
	f.token("iat ahead", f.with("iat", now.Add(time.Hour).Unix()))
}

func (f *forger) duplicates() {
	head := `{"alg":"RS256","typ":"JWT","kid":"` + f.KeyID() + `"`
	claims := text(f.base())
	f.token("aud twice", f.SignText(head+"}", strings.Replace(claims, `{`, `{"aud":"billing",`, 1)))
	f.token("sub twice", f.SignText(head+"}", strings.TrimSuffix(claims, "}")+`,"sub":"another-user"}`))
	f.token("sub twice, once escaped",
		f.SignText(head+"}", strings.TrimSuffix(claims, "}")+`,"\u0073ub":"another-user"}`))
	f.token("an unknown claim twice", f.SignText(head+"}", strings.TrimSuffix(claims, "}")+`,"x":1,"x":2}`))
	f.token(
		"a role list twice",
		f.SignText(head+"}", strings.Replace(claims, `{"roles":["operator"]`, `{"roles":[],"roles":["operator"]`, 1)),
	)
	f.token("alg twice", f.SignText(head+`,"alg":"none"}`, claims))
	f.token("kid twice", f.SignText(head+`,"kid":"x"}`, claims))
}
