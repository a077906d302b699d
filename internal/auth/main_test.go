package auth_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
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
		if _, err := o.Authenticate(probe); !errors.Is(err, auth.ErrNoKeys) {
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

// refused fails the test unless a refuses the request with a reason and no principal.
func refused(t testing.TB, a auth.Authenticator, r *http.Request) string {
	t.Helper()
	p, err := a.Authenticate(r)
	no, ok := errors.AsType[*auth.Refused](err)
	if !ok {
		t.Fatalf("got %v, want it refused", err)
	}
	if no.Reason == "" || p.ID != "" || p.Roles != nil {
		t.Fatalf("refused with reason %q and principal %+v", no.Reason, p)
	}
	return no.Reason
}
