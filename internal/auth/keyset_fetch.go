package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

const (
	fetchTimeout = 5 * time.Second // for discovery and key set together
	maxAnswer    = 1 << 20         // bytes of either
	maxRedirects = 3
)

// fetcher gets the issuer's key set over HTTP. It is used by one goroutine at a time.
type fetcher struct {
	issuer  string
	jwksURL string // given, else discovered
	found   string // what discovery said, until it does not work
	client  *http.Client
}

func newFetcher(o *OIDCConfig) *fetcher {
	return &fetcher{issuer: o.Issuer, jwksURL: o.JWKSURL, client: &http.Client{
		Transport:     transport(o),
		CheckRedirect: sameHost,
	}}
}

// transport dials DialAddress, if one is set, whatever host the URL names: TLS still holds the peer to the URL's name.
func transport(o *OIDCConfig) http.RoundTripper {
	if o.HTTPTransport != nil {
		return o.HTTPTransport
	}
	// A fetch is rare, so each has a connection of its own and looks the host up anew.
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, DisableKeepAlives: true}
	if o.DialAddress != "" {
		var dialer net.Dialer
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, o.DialAddress)
		}
	}
	return t
}

func sameHost(r *http.Request, via []*http.Request) error {
	first := via[0].URL
	switch {
	case len(via) > maxRedirects:
		return errors.New("too many redirects")
	case r.URL.Scheme != first.Scheme || r.URL.Host != first.Host:
		return errors.New("it redirects to another host")
	}
	return nil
}

// fetch gets the key set once.
func (f *fetcher) fetch(ctx context.Context) (*keySet, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	where := f.jwksURL
	if where == "" {
		var err error
		if where, err = f.discover(ctx); err != nil {
			return nil, fmt.Errorf("discovery: %w", err)
		}
	}
	text, err := f.get(ctx, where)
	if err == nil {
		var set *keySet
		if set, err = parseKeySet(text); err == nil {
			return set, nil
		}
	}
	f.found = ""
	return nil, fmt.Errorf("key set: %w", err)
}

// discover asks the issuer where its key set is, and remembers the answer.
func (f *fetcher) discover(ctx context.Context) (string, error) {
	if f.found != "" {
		return f.found, nil
	}
	text, err := f.get(ctx, strings.TrimSuffix(f.issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return "", err
	}
	var said struct {
		Issuer  string `json:"issuer"`
		JWKSURL string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(text, &said); err != nil {
		return "", errors.New("the answer is not a discovery document")
	}
	if said.Issuer != f.issuer {
		return "", fmt.Errorf("the issuer calls itself %q, not %q: set KEYCLOAK_ISSUER to what its tokens carry as iss",
			clip(said.Issuer), f.issuer)
	}
	if err := checkURL(said.JWKSURL); err != nil {
		return "", fmt.Errorf("jwks_uri %w", err)
	}
	if strings.HasPrefix(f.issuer, "https:") && !strings.HasPrefix(said.JWKSURL, "https:") {
		return "", errors.New("jwks_uri is not https although the issuer is")
	}
	f.found = said.JWKSURL
	return f.found, nil
}

func (f *fetcher) get(ctx context.Context, where string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Cache-Control", "no-cache")
	answer, err := f.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %d", where, answer.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxAnswer:
		return nil, fmt.Errorf("%s answered more than %d bytes", where, maxAnswer)
	}
	return text, nil
}

func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return errors.New("is not an http or https URL")
	}
	return nil
}
