// Package config reads the program's settings from the environment, once, at the start, and refuses what would be unsafe or
// is not understood. Nothing else in the program reads the environment but what golang's and OpenTelemetry's own variables need.
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
	MaxConns       int    // of the pool
	MaxKeys        int    // unrevoked API keys per tenant
	DrainDelay     time.Duration
	LogLevel       slog.Level
	LogFormat      string
}

// Variable describes one setting; the README's table is held to this list.
type Variable struct{ Name, Default, Purpose string }

// Variables are all settings of the server, in the order in which the README lists them.
var Variables = []Variable{
	{"APP_ENV", "dev", "one of `dev`, `stage`, `prod`; until there is authentication only `dev` starts"},
	{"ADDR", ":8090", "listen address"},
	{"KEYCLOAK_ISSUER", "http://localhost:8080/realms/breakpilot-dev", "OIDC issuer URL"},
	{"DATABASE_URL", "", "Postgres DSN; empty means the in-memory store"},
	{"DB_MAX_CONNS", "10", "connections to Postgres, 1 to 1000; one more is kept for `/readyz`"},
	{"MAX_KEYS_PER_TENANT", "10000", "API keys of a tenant that are not revoked"},
	{"DRAIN_DELAY", "1s", "how long `/readyz` answers 503 before the listener closes on SIGTERM, at most 1m"},
	{"ADMIN_ADDR", "", "address of `/metrics` (Prometheus) and `/debug/pprof/`; empty means neither"},
	{"LOG_LEVEL", "info", "one of `debug`, `info`, `warn`, `error`"},
	{"LOG_FORMAT", "text in dev, else json", "one of `text`, `json`"},
}

var levels = map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}

// Load reads the settings. Its error is one sentence for each setting that is wrong, each naming the variable.
func Load(getenv func(string) string) (Config, error) {
	r := reader{getenv: getenv}
	c := Config{
		Env:            r.oneOf("APP_ENV", "dev", "stage", "prod"),
		Addr:           r.addr("ADDR"),
		AdminAddr:      r.addr("ADMIN_ADDR"),
		KeycloakIssuer: r.url("KEYCLOAK_ISSUER"),
		DatabaseURL:    r.dsn("DATABASE_URL"),
		MaxConns:       r.number("DB_MAX_CONNS", 1, 1000),
		MaxKeys:        r.number("MAX_KEYS_PER_TENANT", 1, 1_000_000),
		DrainDelay:     r.duration("DRAIN_DELAY", time.Minute),
		LogLevel:       levels[r.oneOf("LOG_LEVEL", "debug", "info", "warn", "error")],
	}
	if c.LogFormat = "json"; c.Env == "dev" {
		c.LogFormat = "text"
	}
	if getenv("LOG_FORMAT") != "" {
		c.LogFormat = r.oneOf("LOG_FORMAT", "text", "json")
	}
	if c.Env != "dev" && r.faults == nil {
		r.fault("APP_ENV", "%s cannot start: there is no authentication yet, so only dev does", c.Env)
	}
	return c, errors.Join(r.faults...)
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
	value := r.get(name)
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
	if u, err := url.Parse(value); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		r.fault(name, "must be an http or https URL")
	}
	return value
}

func (r *reader) dsn(name string) Secret {
	value := r.get(name)
	if value != "" && !strings.HasPrefix(value, "postgres://") && !strings.HasPrefix(value, "postgresql://") && !strings.Contains(value, "=") {
		r.fault(name, "must be a Postgres DSN, such as postgres://user:password@host:5432/database")
	}
	return Secret(value)
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
