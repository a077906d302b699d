package auth

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// OIDCConfig says whose tokens are accepted and for whom they must be. Issuer, Audience and Client are required.
type OIDCConfig struct {
	Issuer   string // as tokens carry it in iss
	JWKSURL  string // of the key set; empty: as the issuer's discovery document says
	Audience string // must be in aud; "account", which Keycloak puts into every token, is not accepted here
	Client   string // the client in resource_access whose roles count

	// host:port to connect to instead of the one in the URL; TLS still expects the URL's name
	DialAddress    string
	AllowedAZP     []string          // the clients whose tokens are accepted; empty: any
	ProductClients map[string]string // client (azp) to product key, for service accounts without a claim product

	Logger        *slog.Logger      // nil: nothing is logged
	Now           func() time.Time  // for a token's times; nil: time.Now
	HTTPTransport http.RoundTripper // nil: an ordinary one; DialAddress does not apply to another
}

// OIDC verifies the access tokens of one Keycloak realm.
//
// The key set is loaded in the background: nothing waits for the issuer, and no outage of it takes anything away from
// callers whose keys are known. A token that no known key verifies makes it load the set again, at most twice in any
// minute however many such tokens come. Verified tokens are cached until they expire, at most for five minutes, and are
// dropped when the keys change.
type OIDC struct {
	config OIDCConfig
	source *source
}

// NewOIDC starts loading the key set; Close ends that. The error is about the configuration and never about the issuer.
func NewOIDC(c OIDCConfig) (*OIDC, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	o := &OIDC{config: c}
	o.source = newSource(newFetcher(&o.config), o.adopt, c.Logger)
	return o, nil
}

func (c *OIDCConfig) check() error {
	if err := checkURL(c.Issuer); err != nil {
		return fmt.Errorf("the issuer %w", err)
	}
	if c.JWKSURL != "" {
		if err := checkURL(c.JWKSURL); err != nil {
			return fmt.Errorf("the key set's URL %w", err)
		}
	}
	if _, _, err := net.SplitHostPort(c.DialAddress); c.DialAddress != "" && err != nil {
		return errors.New("the dial address is not host:port")
	}
	if c.Audience == "" || strings.EqualFold(c.Audience, "account") {
		return errors.New("the audience must be this service's own: not empty, and not account, which every token has")
	}
	if c.Client == "" {
		return errors.New("the client whose roles count is not set")
	}
	return nil
}

// adopt gives a new key set its verifier. Times are checked by claims.check, with leeway, which go-oidc does not have.
func (o *OIDC) adopt(set *keySet) {
	set.verifier = oidc.NewVerifier(o.config.Issuer, set, &oidc.Config{
		ClientID:             o.config.Audience,
		SupportedSigningAlgs: []string{oidc.RS256},
		SkipExpiryCheck:      true,
	})
}

// Close ends the loading of key sets and waits until it has. Known keys go on serving.
func (o *OIDC) Close() { o.source.close() }

// Authenticate verifies the token in the Authorization header. While no key set was loaded it answers ErrNoKeys for
// everything that has the form of a token; a request without one is refused even then. It waits for the issuer only if
// no known key verifies the token, and then at most two seconds.
func (o *OIDC) Authenticate(r *http.Request) (Principal, error) {
	token, refused := bearer(r.Header)
	if refused != nil {
		return Principal{}, refused
	}
	now, set := o.config.Now(), o.source.set.Load()
	hash := hashToken(token)
	if set != nil {
		if p := set.tokens.get(hash, now); p != nil {
			return *p, nil
		}
	}
	c, refused := unpack(token)
	if refused != nil {
		return Principal{}, refused
	}
	if set == nil {
		return Principal{}, ErrNoKeys
	}
	// What costs nothing is checked before the signature, so that tokens for others cost neither RSA nor a fetch of the
	// key set.
	if refused := c.check(&o.config, now); refused != nil {
		return Principal{}, refused
	}
	set, err := o.verify(r, set, token)
	if err != nil {
		return Principal{}, &Refused{clip(err.Error())}
	}
	p := c.principal(&o.config)
	set.tokens.put(hash, &p, now, instant(*c.Expires))
	return p, nil
}

// verify holds the token's signature, issuer and audience to set, and if that fails to newer keys. It returns the set
// that verified it.
func (o *OIDC) verify(r *http.Request, set *keySet, token string) (*keySet, error) {
	_, err := set.verifier.Verify(r.Context(), token)
	if err == nil {
		return set, nil
	}
	newer := o.source.newer(r.Context(), set)
	if newer == set {
		return nil, err
	}
	_, err = newer.verifier.Verify(r.Context(), token)
	return newer, err
}
