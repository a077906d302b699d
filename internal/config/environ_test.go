package config

import (
	"slices"
	"strings"
	"testing"
)

func TestGetenv(t *testing.T) {
	t.Parallel()
	getenv := Getenv([]string{"A=1", "B=", "C=x=y", "A=2", "D"})
	for name, want := range map[string]string{"A": "1", "B": "", "C": "x=y", "D": "", "E": ""} {
		if got := getenv(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestMisspellings(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"DATABSE_URL": "DATABASE_URL", "DATABASE_UR": "DATABASE_URL", "DATABASE_URLS": "DATABASE_URL",
		"DATABASEURL": "DATABASE_URL", "DATABAES_URL": "DATABASE_URL", "database_url": "DATABASE_URL",
		"OIDC_AUDIENC": "OIDC_AUDIENCE", "ODIC_AUDIENCE": "OIDC_AUDIENCE", "OIDC_AUDIANCES": "OIDC_AUDIENCE",
		"APP_ENVS": "APP_ENV", "ADR": "ADDR", "DB_MAX_CONN": "DB_MAX_CONNS", "CACHE_KEY": "CACHE_KEYS",
		// ours, and those of others
		"DATABASE_URL": "", "CACHE": "", "CACHES_HOST": "", "PGHOST": "", "DATABASE_NAME": "", "DB_NAME": "", "AD": "",
		"DOCKER": "", "GOMEMLIMIT": "", "LOG": "", "OTEL_SDK_DISABLED": "", "RATE": "", "PATH": "", "HOME": "", "": "",
		"MIGRATE_DATABASE_URL": "", "APP_NAME": "",
	} {
		got := Misspellings([]string{"HOME=/", name + "=DATABSE_URL"})
		if want == "" && len(got) > 0 || want != "" && !slices.Equal(got, []Misspelling{{name, want}}) {
			t.Errorf("%s is taken for %v, want %q", name, got, want)
		}
	}
}

// TestVariables_differ asserts that no setting is taken for another one.
func TestVariables_differ(t *testing.T) {
	t.Parallel()
	for _, v := range Variables {
		if got := Misspellings([]string{v.Name + "=x"}); len(got) > 0 {
			t.Errorf("%s is taken for %v", v.Name, got)
		}
	}
}

// A line feed at the end of a value, as it comes from a file, is no part of it.
func TestLoad_lineFeed(t *testing.T) {
	t.Parallel()
	const dsn = "postgres://u:p@127.0.0.1:5432/d"
	for _, end := range []string{"", "\n", "\r\n", "\n\n"} {
		values := safe()
		for name, value := range map[string]string{"DATABASE_URL": dsn, "ADDR": ":8091", "OIDC_AUDIENCE": "registry"} {
			values[name] = value + end
		}
		c, err := Load(env(values))
		if err != nil || c.DatabaseURL.Reveal() != dsn || c.Addr != ":8091" || c.Audience != "registry" {
			t.Errorf("with %q at the end: %v, %q, %q, %q", end, err, c.DatabaseURL.Reveal(), c.Addr, c.Audience)
		}
	}
}

func TestLoad_charset(t *testing.T) {
	t.Parallel()
	for _, given := range []string{
		"postgres://h/d?charset=utf8", "postgres://h/d?sslmode=disable&charset=UTF-8",
		"postgres://u:p%3Fcharset=x@h1:1,h2:2/d?charset=utf8mb4", "charset=utf8 host=h",
		"host=h charset = 'utf8' user=u", "host=h password=mycharset=latin1",
	} {
		c, err := Load(env(map[string]string{"DATABASE_URL": given}))
		if err != nil || c.DatabaseURL.Reveal() != given {
			t.Errorf("%s: %v", given, err)
		}
	}
	for _, given := range []string{"postgres://h/d?charset=latin1", "host=h charset=latin1"} {
		_, err := Load(env(map[string]string{"DATABASE_URL": given}))
		if err == nil || !strings.HasPrefix(err.Error(), "DATABASE_URL: must not have another charset") {
			t.Errorf("%s: %v", given, err)
		}
	}
}
