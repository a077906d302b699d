package auth_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/auth/authtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start makes an OIDC of an issuer in memory, with what change does to its configuration. It is closed with the test.
func start(t testing.TB, i *authtest.Issuer, change func(*auth.OIDCConfig)) *auth.OIDC {
	t.Helper()
	c := i.Config()
	if change != nil {
		change(&c)
	}
	o, err := auth.NewOIDC(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Close)
	return o
}

// loaded is start and waits for the first key set.
func loaded(t testing.TB, i *authtest.Issuer, change func(*auth.OIDCConfig)) *auth.OIDC {
	t.Helper()
	o := start(t, i, change)
	probe := bearer(i.Sign(i.Claims()))
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := o.Authenticate(probe); !isUnavailable(err) {
			return o
		}
		if time.Now().After(deadline) {
			t.Fatal("no key set was loaded in 10 s")
		}
	}
}

// part writes one part of a token.
func part(members map[string]any) string {
	text, err := json.Marshal(members)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func request() *http.Request { return httptest.NewRequest("GET", "/v1/catalog", nil) }

func bearer(token string) *http.Request {
	r := request()
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

// accepted fails the test unless a accepts the token.
func accepted(t testing.TB, a auth.Authenticator, token string) auth.Principal {
	t.Helper()
	p, err := a.Authenticate(bearer(token))
	if err != nil {
		t.Fatalf("a good token: %v", err)
	}
	return p
}

func isUnavailable(err error) bool {
	_, is := errors.AsType[*auth.KeysUnavailable](err)
	return is
}

// unavailable fails the test unless a says that the request cannot be decided yet, and returns when to ask again.
func unavailable(t testing.TB, a auth.Authenticator, r *http.Request) time.Duration {
	t.Helper()
	p, err := a.Authenticate(r)
	later, is := errors.AsType[*auth.KeysUnavailable](err)
	if !is || later.RetryAfter <= 0 || p.ID != "" || p.Roles != nil {
		t.Fatalf("got %v with %+v, want the keys to be unavailable", err, p)
	}
	return later.RetryAfter
}

// refusedAs is refused with the kind.
func refusedAs(t testing.TB, a auth.Authenticator, kind auth.RefusalKind, r *http.Request) string {
	t.Helper()
	_, err := a.Authenticate(r)
	no, ok := errors.AsType[*auth.Refused](err)
	if !ok || no.Kind != kind {
		t.Fatalf("got %+v, want it refused as %s", err, kind)
	}
	return no.Reason
}

var kinds = []auth.RefusalKind{
	auth.KindNoCredential, auth.KindMalformed, auth.KindUnknownKey, auth.KindBadSignature, auth.KindExpired,
	auth.KindClaims, auth.KindDev,
}

// refused fails the test unless a refuses the request with a reason and no principal.
func refused(t testing.TB, a auth.Authenticator, r *http.Request) string {
	t.Helper()
	p, err := a.Authenticate(r)
	no, ok := errors.AsType[*auth.Refused](err)
	if !ok {
		t.Fatalf("got %v, want it refused", err)
	}
	if no.Reason == "" || !slices.Contains(kinds, no.Kind) || p.ID != "" || p.Roles != nil {
		t.Fatalf("refused with reason %q and principal %+v", no.Reason, p)
	}
	return no.Reason
}
