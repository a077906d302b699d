package auth_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/auth/authtest"
)

func TestKeySetByItsURL(t *testing.T) {
	t.Parallel()
	i := authtest.NewInMemory()
	var asked sync.Map
	o := loaded(t, i, func(c *auth.OIDCConfig) {
		c.JWKSURL = "http://inside.test/realms/test/protocol/openid-connect/certs"
		c.HTTPTransport = roundTrip(func(r *http.Request) (*http.Response, error) {
			asked.Store(r.URL.String(), true)
			return i.RoundTrip(r)
		})
	})
	accepted(t, o, i.Sign(i.Claims()))
	asked.Range(func(url, _ any) bool {
		if !strings.HasPrefix(url.(string), "http://inside.test/") {
			t.Errorf("asked %s although the key set's URL is given", url)
		}
		return true
	})
}

// TestDiscovery holds that the background loading does not believe a document that is not the issuer's, and says why.
func TestDiscovery(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		document map[string]any
		says     string
	}{
		"another issuer": {map[string]any{"issuer": "http://evil.test/realms/test"}, "calls itself"},
		"a slash more":   {map[string]any{"issuer": "http://issuer.test/realms/test/"}, "calls itself"},
		"no jwks_uri":    {map[string]any{"jwks_uri": nil}, "jwks_uri is not an http"},
		"jwks_uri file":  {map[string]any{"jwks_uri": "file:///etc/passwd"}, "jwks_uri is not an http"},
		"jwks_uri path":  {map[string]any{"jwks_uri": "/certs"}, "jwks_uri is not an http"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				i := authtest.NewInMemory()
				document := map[string]any{"issuer": i.URL(), "jwks_uri": i.KeysURL()}
				for member, value := range test.document {
					document[member] = value
				}
				var log bytes.Buffer
				o := start(t, i, func(c *auth.OIDCConfig) {
					c.Logger = slog.New(slog.NewTextHandler(&log, nil))
					c.HTTPTransport = discovering(i, document)
				})
				synctest.Wait()
				unavailable(t, o, bearer(i.Sign(i.Claims())))
				if !strings.Contains(log.String(), test.says) {
					t.Errorf("the log does not say %q: %s", test.says, log.String())
				}
			})
		})
	}
}

func TestDiscoveryControl(t *testing.T) {
	t.Parallel()
	i := authtest.NewInMemory()
	o := loaded(t, i, func(c *auth.OIDCConfig) {
		c.HTTPTransport = discovering(i, map[string]any{"issuer": i.URL(), "jwks_uri": i.KeysURL(), "more": true})
	})
	accepted(t, o, i.Sign(i.Claims()))
}

// TestKeySetMoves holds that discovery is asked again when the key set is no longer where it was.
func TestKeySetMoves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := authtest.NewInMemory()
		where := "http://issuer.test/old"
		o := start(t, i, func(c *auth.OIDCConfig) {
			c.HTTPTransport = roundTrip(func(r *http.Request) (*http.Response, error) {
				switch {
				case strings.HasSuffix(r.URL.Path, "/openid-configuration"):
					return discovering(i, map[string]any{"issuer": i.URL(), "jwks_uri": where})(r)
				case r.URL.String() != where:
					return &http.Response{StatusCode: http.StatusGone, Body: http.NoBody}, nil
				}
				r = r.Clone(r.Context())
				r.URL.Path = strings.TrimPrefix(i.KeysURL(), "http://issuer.test")
				return i.RoundTrip(r)
			})
		})
		synctest.Wait()
		accepted(t, o, i.Sign(i.Claims()))
		where = "http://issuer.test/new"
		i.Rotate()
		unavailable(t, o, bearer(i.Sign(i.Claims()))) // the old place is tried first
		time.Sleep(time.Second)
		accepted(t, o, i.Sign(i.Claims()))
	})
}

func TestDiscoveryDoesNotLeaveTLS(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := authtest.NewInMemory()
		asked := false
		start(t, i, func(c *auth.OIDCConfig) {
			c.Issuer = "https://issuer.test/realms/test"
			document := discovering(i, map[string]any{"issuer": c.Issuer, "jwks_uri": i.KeysURL()})
			c.HTTPTransport = roundTrip(func(r *http.Request) (*http.Response, error) {
				asked = asked || r.URL.Scheme == "http"
				return document(r)
			})
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		if asked {
			t.Error("the key set of an https issuer was fetched without TLS")
		}
	})
}

// discovering answers discovery with a document and leaves the rest to i.
func discovering(i *authtest.Issuer, document map[string]any) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		if !strings.HasSuffix(r.URL.Path, "/openid-configuration") {
			return i.RoundTrip(r)
		}
		rec := httptest.NewRecorder()
		err := json.NewEncoder(rec).Encode(document)
		return rec.Result(), err
	}
}

func TestRedirectOnTheSameHost(t *testing.T) {
	t.Parallel()
	i := authtest.NewInMemory()
	o := loaded(t, i, func(c *auth.OIDCConfig) {
		c.JWKSURL = "http://issuer.test/moved"
		c.HTTPTransport = roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path != "/moved" {
				return i.RoundTrip(r)
			}
			rec := httptest.NewRecorder()
			http.Redirect(rec, r, i.KeysURL(), http.StatusFound)
			return rec.Result(), nil
		})
	})
	accepted(t, o, i.Sign(i.Claims()))
}

func TestDialAddress(t *testing.T) {
	t.Parallel()
	i := authtest.NewInMemory()
	hosts := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case hosts <- r.Host:
		default:
		}
		i.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	o := loaded(t, i, func(c *auth.OIDCConfig) {
		c.HTTPTransport = nil
		c.DialAddress = server.Listener.Addr().String()
	})
	accepted(t, o, i.Sign(i.Claims()))
	if host := <-hosts; host != "issuer.test" {
		t.Errorf("the server was asked for %q, want the issuer's own name", host)
	}
}

func TestDialAddressKeepsTheNameInTLS(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	o, err := auth.NewOIDC(auth.OIDCConfig{
		Issuer: "https://sso.test/realms/test", Audience: authtest.Audience, Client: authtest.Audience,
		DialAddress: listener.Addr().String(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Close)
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	var name string
	_ = tls.Server(conn, &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		name = hello.ServerName
		return nil, errors.New("that is all we want to know")
	}}).Handshake()
	if name != "sso.test" {
		t.Errorf("TLS expects %q, want the issuer's own name", name)
	}
}
