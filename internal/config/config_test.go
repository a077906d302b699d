package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func env(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

func TestLoad_defaults(t *testing.T) {
	t.Parallel()
	c, err := Load(env(nil))
	if err != nil {
		t.Fatal(err)
	}
	if c.Env != "dev" || c.Addr != ":8090" || c.KeycloakIssuer != "http://localhost:8080/realms/breakpilot-dev" ||
		c.DatabaseURL.Set() {
		t.Errorf("the defaults are not those of the specification: %+v", c)
	}
	if c.LogFormat != "text" || c.MaxKeys != 10_000 || c.MaxConns != 10 || c.MaxConnections != 4096 ||
		!c.Cache || c.CacheKeys != 1_000_000 ||
		c.DirectURL.Set() {
		t.Errorf("unexpected defaults: %+v", c)
	}
}

func TestLoad_refusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, value string }{
		{"APP_ENV", "production"}, {"APP_ENV", "DEV"}, {"ADDR", "8090"}, {"ADDR", "localhost:"}, {"ADMIN_ADDR", "x"},
		{"KEYCLOAK_ISSUER", "localhost:8080"}, {"KEYCLOAK_ISSUER", "ftp://x/y"}, {"DATABASE_URL", "hunter2"},
		{"DB_MAX_CONNS", "0"}, {"DB_MAX_CONNS", "many"}, {"DB_MAX_CONNS", "1001"}, {"MAX_KEYS_PER_TENANT", "-1"},
		{"DATABASE_DIRECT_URL", "hunter2"}, {"CACHE", "yes"}, {"CACHE_KEYS", "0"}, {"CACHE_KEYS", "100000001"},
		{"DRAIN_DELAY", "1"}, {"DRAIN_DELAY", "-1s"}, {"DRAIN_DELAY", "2m"}, {"LOG_LEVEL", "trace"},
		{"LOG_FORMAT", "xml"}, {"MAX_CONNECTIONS", "0"}, {"MAX_CONNECTIONS", "1000001"},
	} {
		t.Run(c.name+"="+c.value, func(t *testing.T) {
			t.Parallel()
			_, err := Load(env(map[string]string{c.name: c.value}))
			if err == nil || !strings.HasPrefix(err.Error(), c.name+": ") {
				t.Fatalf("got %v, want a sentence that begins with the variable", err)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the value is repeated: %v", err)
			}
		})
	}
}

// safe is an environment that prod starts with.
func safe() map[string]string {
	return map[string]string{
		"APP_ENV": "prod", "DATABASE_URL": "postgres://h/d?sslmode=verify-full",
		"KEYCLOAK_ISSUER": "https://id.example.org/realms/r",
	}
}

func TestLoad_refusesUnsafe(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, value, names string }{
		{"", "", ""},
		{"APP_ENV", "stage", ""},
		{"OIDC_JWKS_URL", "https://id.example.org/keys", ""},
		{"AUTH_MODE", "oidc", ""},
		{"AUTH_MODE", "dev", "AUTH_MODE"},
		{"AUTH_MODE", "none", "AUTH_MODE"},
		{"APP_ENV", "Prod", "APP_ENV"},
		{"DATABASE_URL", "", "DATABASE_URL"},
		{"KEYCLOAK_ISSUER", "", "KEYCLOAK_ISSUER"},
		{"KEYCLOAK_ISSUER", "http://id.example.org/realms/r", "KEYCLOAK_ISSUER"},
		{"KEYCLOAK_ISSUER", "HTTPS//x", "KEYCLOAK_ISSUER"},
		{"OIDC_JWKS_URL", "http://id.example.org/keys", "OIDC_JWKS_URL"},
		{"OIDC_JWKS_URL", "keys", "OIDC_JWKS_URL"},
		{"OIDC_AUDIENCE", " ", "OIDC_AUDIENCE"},
		{"OIDC_AUDIENCE", "account", "OIDC_AUDIENCE"},
		{"DEV_ALLOW_REMOTE", "true", "DEV_ALLOW_REMOTE"},
		{"DEV_ALLOW_REMOTE", "yes", "DEV_ALLOW_REMOTE"},
		{"OIDC_PRODUCT_CLIENTS", "a", "OIDC_PRODUCT_CLIENTS"},
		{"OIDC_PRODUCT_CLIENTS", "a=b,a=c", "OIDC_PRODUCT_CLIENTS"},
		{"OIDC_DIAL_ADDRESS", "host", "OIDC_DIAL_ADDRESS"},
		{"RATE_LIMIT", "-1", "RATE_LIMIT"},
		{"TRUSTED_PROXIES", "11", "TRUSTED_PROXIES"},
		{"DATABASE_URL", "postgres://h/d", "DATABASE_URL"},
		{"DATABASE_URL", "postgres://h/d?sslmode=require", "DATABASE_URL"},
		{"DATABASE_URL", "postgres://127.0.0.1,h/d", "DATABASE_URL"},
		{"DATABASE_URL", "postgres://127.0.0.1/d", ""},
		{"DATABASE_URL", "host=/run/postgresql dbname=d", ""},
		{"DATABASE_DIRECT_URL", "postgres://h/d", "DATABASE_DIRECT_URL"},
		{"DB_TLS", "off", "DB_TLS"},
	} {
		t.Run(c.name+"="+c.value, func(t *testing.T) {
			t.Parallel()
			values := safe()
			values[c.name] = c.value
			_, err := Load(env(values))
			if c.names == "" && err != nil {
				t.Fatalf("must start, got %v", err)
			}
			if c.names != "" && (err == nil || !strings.Contains(err.Error(), c.names+": ")) {
				t.Fatalf("got %v, want a sentence that names %s", err, c.names)
			}
		})
	}
}

func TestLoad_authDefaults(t *testing.T) {
	t.Parallel()
	values := safe()
	values["OIDC_PRODUCT_CLIENTS"] = "scanner=code-scanner, suite=compliance-suite"
	values["OIDC_ALLOWED_AZP"] = "portal,scanner"
	prod, err := Load(env(values))
	if err != nil {
		t.Fatal(err)
	}
	if prod.AuthMode != "oidc" || prod.RateLimit != 100 || prod.Audience != "tenant-registry" ||
		prod.LogFormat != "json" ||
		prod.ProductClients["scanner"] != "code-scanner" || len(prod.AllowedAZP) != 2 {
		t.Errorf("prod: %+v", prod)
	}
	dev, err := Load(env(nil))
	if err != nil || dev.AuthMode != "dev" || dev.RateLimit != 0 {
		t.Errorf("dev: %+v, %v", dev, err)
	}
}

func TestLoad_everyFaultAtOnce(t *testing.T) {
	t.Parallel()
	_, err := Load(env(map[string]string{"ADDR": "x", "LOG_LEVEL": "y"}))
	if err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("got %v, want two lines", err)
	}
}

func TestSecret_showsItselfNowhere(t *testing.T) {
	t.Parallel()
	const canary = "hunter2"
	c := struct{ S Secret }{Secret(canary)}
	asJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", c.S, "config", c)
	shown := []string{string(asJSON), log.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		shown = append(shown, fmt.Sprintf(verb, c), fmt.Sprintf(verb, c.S), fmt.Sprintf(verb, &c))
	}
	for _, text := range shown {
		if strings.Contains(text, canary) || strings.Contains(strings.ToLower(text), fmt.Sprintf("%x", canary)) {
			t.Errorf("shown: %s", text)
		}
	}
	if c.S.Reveal() != canary {
		t.Error("Reveal must return the text")
	}
}

// TestLoad_insecureDSN: a DSN without TLS is allowed by a setting that says so.
func TestLoad_insecureDSN(t *testing.T) {
	t.Parallel()
	values := safe()
	values["DATABASE_URL"], values["DB_TLS"] = "postgres://h/d", "insecure"
	if _, err := Load(env(values)); err != nil {
		t.Error(err)
	}
}

// TestLoad_secretsFromFiles: each secret may be in a file, and not in both places.
func TestLoad_secretsFromFiles(t *testing.T) {
	t.Parallel()
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	values := map[string]string{
		"DATABASE_URL_FILE":        file("postgres://u:hunter2@h/d\n"),
		"DATABASE_DIRECT_URL_FILE": file("postgres://u:hunter2@direct/d\r\n"),
		"AUDIT_SIGNING_KEY_FILE":   file("key"),
	}
	c, err := Load(env(values))
	if err != nil {
		t.Fatal(err)
	}
	if c.DatabaseURL.Reveal() != "postgres://u:hunter2@h/d" ||
		c.DirectURL.Reveal() != "postgres://u:hunter2@direct/d" ||
		c.AuditSigning.Reveal() != "key" || c.DatabaseURLFile != values["DATABASE_URL_FILE"] {
		t.Errorf("%q, %q, %q", c.DatabaseURL.Reveal(), c.DirectURL.Reveal(), c.AuditSigning.Reveal())
	}
	for name, fault := range map[string]map[string]string{
		"DATABASE_URL":      {"DATABASE_URL": "postgres://h/d"},
		"DATABASE_URL_FILE": {"DATABASE_URL_FILE": filepath.Join(t.TempDir(), "missing")},
	} {
		wrong := maps.Clone(values)
		maps.Copy(wrong, fault)
		if _, err := Load(env(wrong)); err == nil || !strings.HasPrefix(err.Error(), name+": ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLoad_warnings: what is allowed in prod and most likely not meant is named; in dev nothing is.
func TestLoad_warnings(t *testing.T) {
	t.Parallel()
	careless := map[string]string{
		"RATE_LIMIT": "0", "ADMIN_ADDR": ":9090", "AUDIT_SIGNING_KEY": "",
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
	}
	careful := map[string]string{
		"RATE_LIMIT": "100", "ADMIN_ADDR": "127.0.0.1:9090", "AUDIT_SIGNING_KEY": "key",
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318",
	}
	load := func(set map[string]string) []string {
		values := safe()
		maps.Copy(values, set)
		c, err := Load(env(values))
		if err != nil {
			t.Fatal(err)
		}
		return c.Warnings
	}
	if got := load(careful); len(got) > 0 {
		t.Errorf("warnings of a careful setting: %q", got)
	}
	got := strings.Join(load(careless), "\n")
	for name := range careless {
		if !strings.Contains(got, name+": ") {
			t.Errorf("nothing is said of %s: %s", name, got)
		}
	}
	careless["APP_ENV"] = "dev"
	if got := load(careless); len(got) > 0 {
		t.Errorf("warnings in dev: %q", got)
	}
}
