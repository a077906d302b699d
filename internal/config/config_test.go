package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
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
	if c.Env != "dev" || c.Addr != ":8090" || c.KeycloakIssuer != "http://localhost:8080/realms/breakpilot-dev" || c.DatabaseURL.Set() {
		t.Errorf("the defaults are not those of the specification: %+v", c)
	}
	if c.LogFormat != "text" || c.MaxKeys != 10_000 || c.MaxConns != 10 {
		t.Errorf("unexpected defaults: %+v", c)
	}
}

func TestLoad_refusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, value string }{
		{"APP_ENV", "production"}, {"APP_ENV", "DEV"}, {"ADDR", "8090"}, {"ADDR", "localhost:"}, {"ADMIN_ADDR", "x"},
		{"KEYCLOAK_ISSUER", "localhost:8080"}, {"KEYCLOAK_ISSUER", "ftp://x/y"}, {"DATABASE_URL", "hunter2"},
		{"DB_MAX_CONNS", "0"}, {"DB_MAX_CONNS", "many"}, {"DB_MAX_CONNS", "1001"}, {"MAX_KEYS_PER_TENANT", "-1"},
		{"DRAIN_DELAY", "1"}, {"DRAIN_DELAY", "-1s"}, {"DRAIN_DELAY", "2m"}, {"LOG_LEVEL", "trace"}, {"LOG_FORMAT", "xml"},
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

func TestLoad_onlyDevWithoutAuthentication(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"stage", "prod"} {
		_, err := Load(env(map[string]string{"APP_ENV": name, "DATABASE_URL": "postgres://h/d"}))
		if err == nil || !strings.Contains(err.Error(), "no authentication yet") {
			t.Errorf("%s: got %v", name, err)
		}
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
