package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"
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
// callers whose keys are known. A key set that the issuer answers with replaces the one before, whatever is in it: a
// key that is no longer there verifies nothing. A token of an unknown key makes it load the set again, at most twice in
// any minute however many such tokens come, and with a growing pause while the issuer does not answer. Verified tokens
// are cached until they expire, at most for five minutes, and are dropped when the keys change.
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
	o.source = newSource(newFetcher(&o.config), c.Logger)
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

// Close ends the loading of key sets and waits until it has. Known keys go on serving.
func (o *OIDC) Close() { o.source.close() }

// Authenticate verifies the token in the Authorization header. It answers *KeysUnavailable for everything that has the
// form of a token while no key set was loaded, and for a token whose key is unknown while the set cannot be renewed; a
// request without a token is refused even then. A token of a known key never waits for the issuer, one of an unknown
// key at most two seconds.
func (o *OIDC) Authenticate(r *http.Request) (Principal, error) {
	token, refused := bearer(r.Header)
	if refused != nil {
		return Principal{}, refused
	}
	now, newest := o.config.Now(), o.source.newest.Load()
	hash := hashToken(token)
	if newest != nil {
		if p := newest.set.tokens.get(hash, now); p != nil {
			return *p, nil
		}
	}
	c, refused := unpack(token)
	if refused != nil {
		return Principal{}, refused
	}
	if newest == nil {
		return Principal{}, o.source.unavailable()
	}
	// What costs nothing is checked before the signature, so that tokens for others cost neither RSA nor a fetch of the
	// key set.
	if refused := c.check(&o.config, now); refused != nil {
		return Principal{}, refused
	}
	set, err := o.verify(r.Context(), newest, &c, token)
	if err != nil {
		return Principal{}, err
	}
	p := c.principal(&o.config)
	set.tokens.put(hash, &p, now, instant(*c.Expires))
	return p, nil
}

// verify holds the token's signature to the newest keys, and if its key may be newer than those, to newer ones. It
// returns the set that verified it.
func (o *OIDC) verify(ctx context.Context, newest *snapshot, c *claims, token string) (*keySet, error) {
	ctx, cancel := context.WithTimeout(ctx, maxFetchWait)
	defer cancel()
	refused := newest.set.verify(ctx, &o.config, token)
	for since := o.source.lastBegun(); refused != nil; {
		// A set that was asked for after the token was issued, or after this request came, has its key or never will.
		spare := leeway
		if refused == errWithdrawn { // which hardly ever comes back: no time is spared for clocks that differ
			spare = 0
		}
		if !newerMayVerify(refused) || c.issuedBy(newest.at, spare) || newest.ordinal > since {
			return nil, refused
		}
		var unavailable *KeysUnavailable
		if newest, unavailable = o.source.newer(ctx, newest); unavailable != nil {
			return nil, unavailable
		}
		refused = newest.set.verify(ctx, &o.config, token)
	}
	return newest.set, nil
}
