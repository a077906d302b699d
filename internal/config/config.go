// Package config reads the program's settings from the environment, once, at the start, and refuses what would be
// unsafe or is not understood. Nothing else in the program reads the environment, but the Go runtime and OpenTelemetry
// read their own variables.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/breakpilot/tenant-registry/internal/share"
)

// Config is what the server runs with.
type Config struct {
	Env            string // dev, stage or prod
	Addr           string
	AdminAddr      string // of /metrics and /debug/pprof; empty: none
	KeycloakIssuer string
	DatabaseURL    Secret // empty: the in-memory store
	DirectURL      Secret // where to listen for changes; empty: DatabaseURL
	// the files that DatabaseURL and DirectURL are in, to be read again; empty: they are in the environment
	DatabaseURLFile, DirectURLFile string
	Cache                          bool   // verify and by-slug are answered from a cache
	CacheKeys                      int    // cached API keys at most
	GCPercent                      int    // how much the heap grows before it is collected
	Docs                           bool   // the documentation pages are served
	MaxConns                       int    // of the pool
	MaxKeys                        int    // unrevoked API keys per tenant
	AuditSigning                   Secret // of checkpoints; empty: there are none
	DrainDelay                     time.Duration
	LogLevel                       slog.Level
	LogFormat                      string

	AuthMode       string // dev or oidc
	DevAllowRemote bool   // dev identities from other machines too
	Audience       string
	JWKSURL        string            // empty: as the issuer's discovery says
	DialAddress    string            // dialled instead of the issuer's host; empty: the host itself
	AllowedAZP     []string          // empty: any
	ProductClients map[string]string // product by azp
	RateLimit      int               // requests a second of one principal on one replica; 0: no limit
	TrustedProxies int               // how many stand in front and write X-Forwarded-For
	MaxConnections int               // of clients at a time

	Shares        map[string]share.Caps // by variable: what callers share on one replica
	MaxKeyChanges int                   // creations and rotations of API keys of a tenant in a day; 0: no limit

	Warnings []string // what is allowed outside of development and most likely not meant; each names its variable
}

var levels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

// Load reads the settings and refuses those of stage and prod that would be unsafe. Its error is one sentence for each
// setting that is wrong, each naming the variable. A line feed at the end of a value, as files have one, is no part of
// it.
func Load(getenv func(string) string) (Config, error) {
	r := reader{getenv: func(name string) string { return strings.TrimRight(getenv(name), "\r\n") }}
	c := Config{
		Env:            r.oneOf("APP_ENV", "dev", "stage", "prod"),
		Addr:           r.addr("ADDR"),
		AdminAddr:      r.addr("ADMIN_ADDR"),
		KeycloakIssuer: r.url("KEYCLOAK_ISSUER"),
		Cache:          r.oneOf("CACHE", "on", "off") == "on",
		CacheKeys:      r.number("CACHE_KEYS", 1, 100_000_000),
		GCPercent:      r.number("GC_PERCENT", 10, 10_000),
		MaxConns:       r.number("DB_MAX_CONNS", 1, 1000),
		MaxKeys:        r.number("MAX_KEYS_PER_TENANT", 1, 1_000_000),
		DrainDelay:     r.duration("DRAIN_DELAY", time.Minute),
		LogLevel:       levels[r.oneOf("LOG_LEVEL", "debug", "info", "warn", "error")],
	}
	c.LogFormat = r.oneOfOr("LOG_FORMAT", map[bool]string{true: "text", false: "json"}[c.Env == "dev"], "text", "json")
	c.Docs = r.oneOfOr("DOCS", map[bool]string{true: "on", false: "off"}[c.Env == "dev"], "on", "off") == "on"
	c.DatabaseURL, c.DatabaseURLFile = r.dsn("DATABASE_URL")
	c.DirectURL, c.DirectURLFile = r.dsn("DATABASE_DIRECT_URL")
	c.AuditSigning, _ = r.secret("AUDIT_SIGNING_KEY")
	r.authentication(&c)
	r.shares(&c)
	verified := r.oneOf("DB_TLS", "verify", "insecure") == "verify"
	if c.Env == "stage" || c.Env == "prod" {
		r.safe(c)
		r.warn(&c)
		if verified {
			r.secureDSN("DATABASE_URL", c.DatabaseURL)
			r.secureDSN("DATABASE_DIRECT_URL", c.DirectURL)
		}
	}
	return c, errors.Join(r.faults...)
}

// authentication reads who is let in, and how.
func (r *reader) authentication(c *Config) {
	c.AuthMode = r.oneOfOr("AUTH_MODE", map[bool]string{true: "dev", false: "oidc"}[c.Env == "dev"], "dev", "oidc")
	c.DevAllowRemote = r.oneOf("DEV_ALLOW_REMOTE", "true", "false") == "true"
	c.Audience = r.get("OIDC_AUDIENCE")
	if strings.TrimSpace(c.Audience) == "" || strings.EqualFold(c.Audience, "account") {
		r.fault("OIDC_AUDIENCE", "must name this service, and account is every client's")
	}
	if c.JWKSURL = r.getenv("OIDC_JWKS_URL"); c.JWKSURL != "" {
		r.url("OIDC_JWKS_URL")
	}
	c.DialAddress = r.addr("OIDC_DIAL_ADDRESS")
	c.AllowedAZP = list(r.get("OIDC_ALLOWED_AZP"))
	c.ProductClients = r.pairs("OIDC_PRODUCT_CLIENTS")
	if c.RateLimit = 100; c.Env == "dev" {
		c.RateLimit = 0
	}
	if r.getenv("RATE_LIMIT") != "" {
		c.RateLimit = r.number("RATE_LIMIT", 0, 1_000_000)
	}
	c.TrustedProxies = r.number("TRUSTED_PROXIES", 0, 10)
	c.MaxConnections = r.number("MAX_CONNECTIONS", 1, 1_000_000)
}

// shares reads what callers share.
func (r *reader) shares(c *Config) {
	c.Shares = map[string]share.Caps{}
	for _, v := range Variables {
		if !strings.HasPrefix(v.Name, "SHARE_") {
			continue
		}
		caps, err := share.ParseCaps(r.get(v.Name))
		if err != nil {
			r.fault(v.Name, "%v", err)
		}
		c.Shares[v.Name] = caps
	}
	c.MaxKeyChanges = r.number("MAX_KEY_CHANGES_PER_DAY", 0, 100_000_000)
}

// safe refuses what must not be so outside of development.
func (r *reader) safe(c Config) {
	if c.AuthMode == "dev" {
		r.fault("AUTH_MODE", "must be oidc when APP_ENV is %s: dev takes every caller for an operator", c.Env)
	}
	if c.DevAllowRemote {
		r.fault("DEV_ALLOW_REMOTE", "must not be set when APP_ENV is %s", c.Env)
	}
	if !c.DatabaseURL.Set() {
		r.fault("DATABASE_URL", "must be set when APP_ENV is %s: the in-memory store forgets everything", c.Env)
	}
	for name, value := range map[string]string{"KEYCLOAK_ISSUER": c.KeycloakIssuer, "OIDC_JWKS_URL": c.JWKSURL} {
		u, err := url.Parse(value)
		if err == nil && strings.HasPrefix(u.Scheme, "http") && !strings.HasPrefix(value, "https://") {
			r.fault(name, "must be an https URL when APP_ENV is %s", c.Env)
		}
	}
}

// reader reads one variable after the other and collects what is wrong. It never repeats a value that may be a secret.
type reader struct {
	getenv func(string) string
	faults []error
}

func (r *reader) fault(name, format string, args ...any) {
	r.faults = append(r.faults, fmt.Errorf("%s: %s", name, fmt.Sprintf(format, args...)))
}

// get is the value, or the default that Variables states.
func (r *reader) get(name string) string {
	if value := r.getenv(name); value != "" {
		return value
	}
	i := slices.IndexFunc(Variables, func(v Variable) bool { return v.Name == name })
	return Variables[i].Default
}

func (r *reader) oneOf(name string, allowed ...string) string {
	return r.oneOfOr(name, r.get(name), allowed...)
}

// oneOfOr is oneOf with a default that depends on other settings.
func (r *reader) oneOfOr(name, otherwise string, allowed ...string) string {
	value := r.getenv(name)
	if value == "" {
		value = otherwise
	}
	if !slices.Contains(allowed, value) {
		r.fault(name, "must be one of %s", strings.Join(allowed, ", "))
	}
	return value
}

func (r *reader) addr(name string) string {
	value := r.get(name)
	if value == "" {
		return ""
	}
	if _, port, err := net.SplitHostPort(value); err != nil || port == "" {
		r.fault(name, "must be HOST:PORT or :PORT")
	}
	return value
}

func (r *reader) url(name string) string {
	value := r.get(name)
	if u, err := url.Parse(value); err != nil || u.Host == "" || u.User != nil ||
		(u.Scheme != "http" && u.Scheme != "https") {
		r.fault(name, "must be an http or https URL, without a user or password")
	}
	return value
}

func (r *reader) number(name string, least, most int) int {
	n, err := strconv.Atoi(r.get(name))
	if err != nil || n < least || n > most {
		r.fault(name, "must be a whole number from %d to %d", least, most)
	}
	return n
}

func (r *reader) duration(name string, most time.Duration) time.Duration {
	d, err := time.ParseDuration(r.get(name))
	if err != nil || d < 0 || d > most {
		r.fault(name, "must be a duration from 0s to %s, such as 500ms", most)
	}
	return d
}

// list reads values that are separated by commas.
func list(value string) []string {
	var values []string
	for part := range strings.SplitSeq(value, ",") {
		if part = strings.TrimSpace(part); part != "" {
			values = append(values, part)
		}
	}
	return values
}

func (r *reader) pairs(name string) map[string]string {
	pairs := map[string]string{}
	for _, part := range list(r.get(name)) {
		key, value, ok := strings.Cut(part, "=")
		if _, twice := pairs[key]; !ok || key == "" || value == "" || twice {
			r.fault(name, "must be azp=key, separated by commas, each azp once")
		}
		pairs[key] = value
	}
	return pairs
}
