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

	Warnings []string // what is allowed outside of development and most likely not meant; each names its variable
}

// Variable describes one setting; the README's table is held to this list.
type Variable struct{ Name, Default, Purpose string }

// Variables are all settings of the server, in the order in which the README lists them.
var Variables = []Variable{
	{"APP_ENV", "dev", "one of `dev`, `stage`, `prod`; `stage` and `prod` refuse to start unsafely"},
	{"ADDR", ":8090", "listen address"},
	{"AUTH_MODE", "dev in dev, else oidc", "one of `dev`, `oidc`; `dev` only with `APP_ENV=dev`"},
	{"DEV_ALLOW_REMOTE", "false", "`true` lets dev identities in from other machines than this one"},
	{"KEYCLOAK_ISSUER", "http://localhost:8080/realms/breakpilot-dev", "OIDC issuer URL; https outside dev"},
	{"OIDC_AUDIENCE", "tenant-registry", "the audience that a token must have"},
	{"OIDC_ALLOWED_AZP", "", "clients whose tokens are taken, separated by commas; empty means any"},
	{
		"OIDC_PRODUCT_CLIENTS", "",
		"product of a service account without the claim `product`: `azp=key`, separated by commas",
	},
	{"OIDC_JWKS_URL", "", "where the key set is, if not where the issuer's discovery says; https outside dev"},
	{"OIDC_DIAL_ADDRESS", "", "HOST:PORT to dial instead of the issuer's, where it has another address from here"},
	{
		"RATE_LIMIT", "0 in dev, else 100",
		"requests a second of one principal, twice as many at once, on each replica; `0` means no limit",
	},
	{"TRUSTED_PROXIES", "0", "how many proxies stand in front and append to `X-Forwarded-For`, 0 to 10"},
	{
		"MAX_CONNECTIONS", "4096",
		"connections of clients at most, 1 to 1000000; a further one takes the place of the longest idle",
	},
	{"DATABASE_URL", "", "Postgres DSN; empty means the in-memory store"},
	{"DATABASE_URL_FILE", "", "file that holds it instead, read again for each new connection"},
	{
		"DATABASE_DIRECT_URL", "DATABASE_URL",
		"Postgres DSN of the same database without a pooler; invalidations are received there",
	},
	{"DATABASE_DIRECT_URL_FILE", "", "file that holds it instead, read again for each new connection"},
	{
		"DB_TLS", "verify",
		"one of `verify`, `insecure`; `insecure` lets a DSN outside dev be without `sslmode=verify-full`",
	},
	{"CACHE", "on", "one of `on`, `off`; `off` reads the store at every verify and by-slug"},
	{
		"CACHE_KEYS", "1000000",
		"cached API keys at most, 1 to 100000000; each takes 0.4 KB, the only one of a tenant 1.5 KB",
	},
	{
		"DB_MAX_CONNS", "10",
		"connections to Postgres, 1 to 1000, a third for changes; four more for `/readyz` and cache invalidation",
	},
	{"MAX_KEYS_PER_TENANT", "10000", "API keys of a tenant that are not revoked"},
	{
		"AUDIT_SIGNING_KEY", "",
		"signs checkpoints of the audit log, as `tenant-registry audit keygen` makes it; empty means none",
	},
	{"AUDIT_SIGNING_KEY_FILE", "", "file that holds it instead"},
	{"DRAIN_DELAY", "1s", "how long `/readyz` answers 503 before the listener closes on SIGTERM, at most 1m"},
	{"ADMIN_ADDR", "", "address of `/metrics` (Prometheus) and `/debug/pprof/`; empty means neither"},
	{"DOCS", "on in dev, else off", "one of `on`, `off`; `on` serves the documentation pages at `/docs`"},
	{"GC_PERCENT", "400", "growth of the heap before it is collected, in percent, 10 to 10000; `GOGC` overrides it"},
	{"LOG_LEVEL", "info", "one of `debug`, `info`, `warn`, `error`"},
	{"LOG_FORMAT", "text in dev, else json", "one of `text`, `json`"},
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
