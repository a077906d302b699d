package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/config"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
)

// TestTelemetry_hostile asserts that a value at which the SDK would panic, or take all memory, ends the start by its
// name. The control is one that it can use.
func TestTelemetry_hostile(t *testing.T) {
	t.Parallel()
	const collector = "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1"
	for _, hostile := range []string{
		"OTEL_BSP_MAX_QUEUE_SIZE=-1", "OTEL_BSP_MAX_QUEUE_SIZE=99999999999", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=-1",
		"OTEL_BLRP_MAX_QUEUE_SIZE=99999999999", "OTEL_METRIC_EXPORT_INTERVAL=x",
		"OTEL_SPAN_LINK_COUNT_LIMIT=9999999999",
	} {
		t.Run(hostile, func(t *testing.T) {
			t.Parallel()
			p := start(t, []string{collector, hostile})
			name, _, _ := strings.Cut(hostile, "=")
			said := "tenant-registry: " + name + " must be a whole number"
			if code := p.exit(t); code != 2 || !strings.HasPrefix(p.stderr.String(), said) {
				t.Errorf("exit %d, want 2 and %q: %s", code, said, &p.stderr)
			}
		})
	}
	launch(t, collector, "OTEL_BSP_MAX_QUEUE_SIZE=100", "OTEL_BLRP_MAX_QUEUE_SIZE=100").get(t, "/healthz")
}

// withParameter adds a parameter to a DSN of either form.
func withParameter(dsn, name, value string) string {
	switch {
	case !strings.Contains(dsn, "://"):
		return dsn + " " + name + "=" + value
	case strings.Contains(dsn, "?"):
		return dsn + "&" + name + "=" + value
	}
	return dsn + "?" + name + "=" + value
}

// TestDSN_asOthersWriteIt asserts that a DSN from a file, or one that was written for another driver, is taken. The
// control has a parameter that Postgres refuses.
func TestDSN_asOthersWriteIt(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.New(t)
	for _, given := range []string{dsn + "\n", withParameter(dsn, "charset", "utf8")} {
		launch(t, "DATABASE_URL="+given, "DATABASE_DIRECT_URL="+given).get(t, "/v1/catalog")
	}
	unknown := withParameter(dsn, "kharset", "utf8")
	refused(t, 1, "unrecognized configuration parameter", []string{"DATABASE_URL=" + unknown})
}

// TestMisspelledVariable asserts that a variable that has no effect and looks like a setting is named in the log, with
// the setting; and beside the faults of an environment that is refused.
func TestMisspelledVariable(t *testing.T) {
	t.Parallel()
	p := launch(t, "DATABSE_URL=postgres://u:"+canary+"@h/d", "OIDC_AUDIENC=x", "UNRELATED=x")
	eventually(t, patience, func() error {
		said := p.stderr.String()
		for name, ours := range map[string]string{"DATABSE_URL": "DATABASE_URL", "OIDC_AUDIENC": "OIDC_AUDIENCE"} {
			want := fmt.Sprintf("level=WARN msg=\"unknown variable\" name=%s similar_setting=%s\n", name, ours)
			if !strings.Contains(said, want) {
				return fmt.Errorf("the log is %q, want %s", said, want)
			}
		}
		return nil
	})
	if said := p.stderr.String(); strings.Contains(said, "UNRELATED") || strings.Contains(said, canary) {
		t.Errorf("the log is %s", said)
	}
	_, _, said := runHere(t, []string{
		"APP_ENV=stage", "KEYCLOAK_ISSUER=https://id.invalid/r", "DATABSE_URL=postgres://u:" + canary + "@h/d",
	})
	if !strings.Contains(said, "DATABASE_URL: must be set") || strings.Contains(said, canary) ||
		!strings.Contains(said, "DATABSE_URL: is no setting; is DATABASE_URL meant?\n") {
		t.Errorf("the start ends with %q", said)
	}
}

// TestHealthcheck_noProxy asserts that a proxy of the environment is not asked about the server. It would answer for a
// server that is not there.
func TestHealthcheck_noProxy(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(proxy.Close)
	p := start(t, []string{
		"ADDR=192.0.2.1:8090", "HTTP_PROXY=" + proxy.URL, "http_proxy=" + proxy.URL, "ALL_PROXY=" + proxy.URL,
	}, "healthcheck")
	if code := p.exit(t); code != 1 || asked.Load() > 0 {
		t.Errorf("exit %d, and the proxy was asked %d times: %s", code, asked.Load(), &p.stderr)
	}
}

// TestMemory_limits asserts that the collector keeps to the limit of the container, unless GOMEMLIMIT says otherwise.
// It changes the limits of this process, so it runs beside no other test.
func TestMemory_limits(t *testing.T) {
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(-1)
	defer func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}()
	const none = 1 << 50
	for name, tc := range map[string]struct {
		env         []string
		container   int64
		wantPercent int
		wantLimit   int64
	}{
		"no container": {nil, 0, 400, none},
		"64 MB":        {nil, 64 << 20, 400, (64 << 20) / 10 * 9},
		"GOMEMLIMIT":   {[]string{"GOMEMLIMIT=32MiB"}, 64 << 20, 400, none},
		"GOGC":         {[]string{"GOGC=50"}, 64 << 20, 100, (64 << 20) / 10 * 9},
	} {
		debug.SetGCPercent(100)
		debug.SetMemoryLimit(none)
		setMemory(400, tc.container, config.Getenv(tc.env))
		if got := debug.SetMemoryLimit(-1); got != tc.wantLimit {
			t.Errorf("%s: the memory limit is %d, want %d", name, got, tc.wantLimit)
		}
		if got := debug.SetGCPercent(100); got != tc.wantPercent {
			t.Errorf("%s: the percentage is %d, want %d", name, got, tc.wantPercent)
		}
	}
}

// TestMemory_warning asserts that a cache that cannot fit the container is a warning with the number that can.
func TestMemory_warning(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		limit int64
		keys  int
		want  string
	}{
		"no limit":    {0, 1_000_000, ""},
		"enough":      {512 << 20, 1_000_000, ""},
		"too small":   {64 << 20, 1_000_000, `remedy="CACHE_KEYS=55924 or less, or more memory"`},
		"few enough":  {64 << 20, 55_924, ""},
		"a full room": {64 << 20, 167_773, `remedy="CACHE_KEYS=55924 or less, or more memory"`},
	} {
		var log strings.Builder
		warnOfMemory(tc.limit, tc.keys, slog.New(slog.NewTextHandler(&log, nil)))
		if (log.Len() > 0) != (tc.want != "") || !strings.Contains(log.String(), tc.want) {
			t.Errorf("%s: the log is %q, want %q", name, log.String(), tc.want)
		}
	}
}
