package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"
	metricpb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"go.uber.org/goleak"

	"github.com/breakpilot/tenant-registry/internal/telemetry/telemetrytest"
	"github.com/breakpilot/tenant-registry/internal/testkit"
)

const (
	inboundTrace  = "0af7651916cd43dd8448eb211c80319c"
	inboundParent = "b7ad6b7169203331"
)

// routes is a mux whose handler logs and runs a statement.
func routes(tel *Telemetry) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/things/{id}", func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if tracer := tel.PgxTracer(); tracer != nil {
			ctx := tracer.TraceQueryStart(ctx, nil, pgx.TraceQueryStartData{
				SQL: "SELECT 1 WHERE $1", Args: []any{true},
			})
			tracer.TraceQueryEnd(ctx, nil, pgx.TraceQueryEndData{})
		}
		tel.Logger().With("part", "things").InfoContext(ctx, "thing read", "trace", TraceID(ctx))
	})
	mux.HandleFunc("/", http.NotFound)
	return mux
}

func withTraceparent(r *http.Request) {
	r.Header.Set("traceparent", "00-"+inboundTrace+"-"+inboundParent+"-01")
}

func TestExport_oneTraceInAllThreeSignals(t *testing.T) {
	t.Parallel()
	rec := telemetrytest.New(t)
	tel, out := setup(t, Options{Getenv: env(
		"OTEL_EXPORTER_OTLP_ENDPOINT", rec.URL,
		"OTEL_EXPORTER_OTLP_HEADERS", "x-token=a%20b",
		"OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=stage, service.name=lost",
		"OTEL_SERVICE_NAME", "tenant-registry",
	)})
	get(tel.Wrap(routes(tel)), "/v1/things/42", withTraceparent)
	flush(t, tel)

	if got, want := rec.Paths(), []string{"/v1/logs", "/v1/metrics", "/v1/traces"}; !slices.Equal(got, want) {
		t.Fatalf("received %q, want %q", got, want)
	}
	if got := rec.Header().Get("X-Token"); got != "a b" {
		t.Errorf("the exporter sent the header %q, want %q", got, "a b")
	}
	for signal, from := range rec.Resources() {
		r := from[0]
		if telemetrytest.Attr(r.Attributes, "service.name") != "tenant-registry" ||
			telemetrytest.Attr(r.Attributes, "service.version") != "1.2.3" ||
			telemetrytest.Attr(r.Attributes, "deployment.environment.name") != "stage" ||
			telemetrytest.Attr(r.Attributes, "service.instance.id") == "" {
			t.Errorf("resource of %s: %v", signal, r.Attributes)
		}
	}

	server, query := rec.Span(t, "GET /v1/things/{id}"), rec.Span(t, "SELECT")
	if hex(server.TraceId) != inboundTrace || hex(server.ParentSpanId) != inboundParent {
		t.Errorf("the request's span is %x under %x, want the caller's trace", server.TraceId, server.ParentSpanId)
	}
	if hex(query.TraceId) != inboundTrace || !bytes.Equal(query.ParentSpanId, server.SpanId) {
		t.Errorf("the statement's span is %x under %x, want it under the request's %x",
			query.TraceId, query.ParentSpanId, server.SpanId)
	}
	if got := telemetrytest.Attr(server.Attributes, "http.route"); got != "/v1/things/{id}" {
		t.Errorf("http.route is %q", got)
	}
	record := rec.Records()[0]
	if hex(record.TraceId) != inboundTrace || telemetrytest.Attr(record.Attributes, "trace") != inboundTrace {
		t.Errorf("the record exported belongs to %x (TraceID: %q)",
			record.TraceId, telemetrytest.Attr(record.Attributes, "trace"))
	}
	isDuration := func(m *metricpb.Metric) bool { return m.Name == "http.server.request.duration" }
	if !slices.ContainsFunc(rec.Metrics(), isDuration) {
		t.Errorf("metrics are %v", rec.Metrics())
	}
	var line map[string]any
	if err := json.Unmarshal([]byte(out.String()), &line); err != nil {
		t.Fatal(err)
	}
	if line["trace_id"] != inboundTrace || line["span_id"] != hex(server.SpanId) || line["msg"] != "thing read" {
		t.Errorf("the log has %v", line)
	}
}

func hex(b []byte) string {
	if len(b) == 8 {
		return trace.SpanID(b).String()
	}
	return trace.TraceID(b).String()
}

func TestSetup_signals(t *testing.T) {
	t.Parallel()
	const base = "OTEL_EXPORTER_OTLP_ENDPOINT"
	for name, tc := range map[string]struct {
		env  []string // in values, URL stands for the receiver's
		want string
	}{
		"all": {[]string{base, "URL/"}, "/v1/logs /v1/metrics /v1/traces"},
		"all, under a path": {
			[]string{base, "URL/otlp", "OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"},
			"/otlp/v1/logs /otlp/v1/metrics /otlp/v1/traces",
		},
		"traces":  {[]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "URL/v1/traces"}, "/v1/traces"},
		"metrics": {[]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "URL/v1/metrics"}, "/v1/metrics"},
		"logs":    {[]string{"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "URL/v1/logs"}, "/v1/logs"},
		"an own endpoint": {
			[]string{base, "URL", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "URL/own"}, "/own /v1/logs /v1/metrics",
		},
		"no traces": {[]string{base, "URL", "OTEL_TRACES_EXPORTER", "none"}, "/v1/logs /v1/metrics"},
		"no metrics": {
			[]string{base, "URL", "OTEL_METRICS_EXPORTER", "none", "OTEL_LOGS_EXPORTER", "otlp"}, "/v1/logs /v1/traces",
		},
		"no logs": {[]string{base, "URL", "OTEL_LOGS_EXPORTER", "none"}, "/v1/metrics /v1/traces"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec := telemetrytest.New(t)
			for i := 1; i < len(tc.env); i += 2 {
				tc.env[i] = strings.Replace(tc.env[i], "URL", rec.URL, 1)
			}
			tel, _ := setup(t, Options{Getenv: env(tc.env...)})
			get(tel.Wrap(routes(tel)), "/v1/things/42")
			flush(t, tel)
			if got := strings.Join(rec.Paths(), " "); got != tc.want {
				t.Errorf("received %q, want %q", got, tc.want)
			}
		})
	}
}

// It is not parallel, so that whatever goroutine is new is its own.
func TestSetup_offStartsNothing(t *testing.T) {
	for _, tc := range []struct {
		name string
		env  []string // in values, URL stands for the receiver's
		on   bool
	}{
		{name: "nothing set"},
		{name: "exporters without a place", env: []string{"OTEL_TRACES_EXPORTER", "otlp", "OTEL_SERVICE_NAME", "x"}},
		{name: "disabled", env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "URL", "OTEL_SDK_DISABLED", "True"}},
		{name: "none of any", env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "URL",
			"OTEL_TRACES_EXPORTER", "none", "OTEL_METRICS_EXPORTER", "none", "OTEL_LOGS_EXPORTER", "none"}},
		{name: "control", env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "URL"}, on: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rec := telemetrytest.New(t)
			for i := 1; i < len(tc.env); i += 2 {
				tc.env[i] = strings.Replace(tc.env[i], "URL", rec.URL, 1)
			}
			before := goleak.IgnoreCurrent()
			tel, _ := setup(t, Options{Getenv: env(tc.env...)})
			mux := routes(tel)
			wrapped := tel.Wrap(mux)
			if (wrapped != http.Handler(mux)) != tc.on {
				t.Errorf("Wrap gave a %T", wrapped)
			}
			if (tel.PgxTracer() != nil) != tc.on {
				t.Errorf("PgxTracer gave a %T", tel.PgxTracer())
			}
			get(wrapped, "/v1/things/42", withTraceparent)
			if leaked := goleak.Find(before); (leaked != nil) != tc.on {
				t.Errorf("goroutines: %v", leaked)
			}
			flush(t, tel)
			if conns := rec.Connections(); (conns > 0) != tc.on {
				t.Errorf("%d connections were made", conns)
			}
		})
	}
}

func TestSetup_refusesInOneSentence(t *testing.T) {
	t.Parallel()
	const base, url = "OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"
	for name, tc := range map[string]struct {
		options Options
		want    string
	}{
		"grpc": {
			Options{Getenv: env(base, url, "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")},
			"OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf",
		},
		"a signal's own": {
			Options{Getenv: env(base, url, "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/json")},
			"OTEL_EXPORTER_OTLP_LOGS_PROTOCOL must be http/protobuf",
		},
		"no scheme": {Options{Getenv: env(base, "s3cret:4318")}, "OTEL_EXPORTER_OTLP_ENDPOINT must be a URL"},
		"unparsable": {
			Options{Getenv: env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://u:s3cret@[")},
			"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT must be a URL",
		},
		"another exporter": {
			Options{Getenv: env(base, url, "OTEL_METRICS_EXPORTER", "console")},
			"OTEL_METRICS_EXPORTER must be otlp or none",
		},
		"headers": {
			Options{Getenv: env(base, url, "OTEL_EXPORTER_OTLP_HEADERS", "s3cret")},
			"OTEL_EXPORTER_OTLP_HEADERS must be name=value",
		},
		"escapes in headers": {
			Options{Getenv: env(base, url, "OTEL_EXPORTER_OTLP_LOGS_HEADERS", "a=s3cret%zz")},
			"OTEL_EXPORTER_OTLP_LOGS_HEADERS must be name=value",
		},
		"resource": {
			Options{Getenv: env("OTEL_RESOURCE_ATTRIBUTES", "=s3cret")}, "OTEL_RESOURCE_ATTRIBUTES must be name=value",
		},
		"log format": {
			Options{Getenv: env(), LogFormat: "xml"}, `the log format must be json or text, not "xml"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tel, err := Setup(t.Context(), tc.options)
			if err == nil || tel != nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("Setup gave %v and %v, want an error with %q", tel, err, tc.want)
			}
			if strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "\n") {
				t.Errorf("the error is not a sentence: %q", err)
			}
		})
	}
}

// TestSetup_refusesWhatTheSDKCannotUse asserts that a value at which the SDK panics, or for which it allocates without
// measure, or which it ignores, is refused by its name. The controls are at the ends of what is allowed.
func TestSetup_refusesWhatTheSDKCannotUse(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "none.pem")
	for _, tc := range []struct{ name, value, want string }{
		{"OTEL_BSP_MAX_QUEUE_SIZE", "-1", "a whole number from 1 to 100000"},
		{"OTEL_BSP_MAX_QUEUE_SIZE", "99999999999", "a whole number from 1 to 100000"},
		{"OTEL_BSP_MAX_QUEUE_SIZE", "99999999999999999999", "a whole number from 1 to 100000"},
		{"OTEL_BSP_MAX_QUEUE_SIZE", "2048 ", "a whole number from 1 to 100000"},
		{"OTEL_BSP_MAX_QUEUE_SIZE", "100000", ""},
		{"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "-1", "a whole number"},
		{"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1", ""},
		{"OTEL_BSP_SCHEDULE_DELAY", "0", "a whole number from 1 to 3600000"},
		{"OTEL_BSP_EXPORT_TIMEOUT", "10s", "a whole number"},
		{"OTEL_BLRP_MAX_QUEUE_SIZE", "99999999999", "a whole number"},
		{"OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "99999999999", "a whole number"},
		{"OTEL_BLRP_SCHEDULE_DELAY", "-1", "a whole number"},
		{"OTEL_BLRP_EXPORT_TIMEOUT", "many", "a whole number"},
		{"OTEL_METRIC_EXPORT_INTERVAL", "9223372036854775807", "a whole number"},
		{"OTEL_METRIC_EXPORT_INTERVAL", "1000", ""},
		{"OTEL_METRIC_EXPORT_TIMEOUT", "0", "a whole number"},
		{"OTEL_EXPORTER_OTLP_TIMEOUT", "-10000", "a whole number"},
		{"OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "10s", "a whole number"},
		{"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "-2", "a whole number from -1 to 1000000"},
		{"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "-1", ""},
		{"OTEL_SPAN_EVENT_COUNT_LIMIT", "1e3", "a whole number"},
		{"OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "99999999999", "a whole number"},
		{"OTEL_TRACES_SAMPLER", "sometimes", "one of always_on, always_off"},
		{"OTEL_TRACES_SAMPLER", "parentbased_always_off", ""},
		{"OTEL_EXPORTER_OTLP_COMPRESSION", "zip", "one of gzip, none"},
		{"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "both", "one of cumulative, delta, lowmemory"},
		{"OTEL_EXPORTER_OTLP_CERTIFICATE", file, "a file with certificates"},
	} {
		t.Run(tc.name+"="+tc.value, func(t *testing.T) {
			t.Parallel()
			_, err := readSettings(env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1", tc.name, tc.value))
			if tc.want == "" && err != nil {
				t.Errorf("refused: %v", err)
			}
			if tc.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tc.name+" must be "+tc.want)) {
				t.Errorf("the error is %v, want that %s must be %s", err, tc.name, tc.want)
			}
			if _, err := readSettings(env(tc.name, tc.value)); err != nil {
				t.Errorf("refused although nothing is exported: %v", err)
			}
		})
	}
	for part, ok := range map[string]bool{
		"0.25": true, "0": true, "1.5": false, "NaN": false, "-1": false, "x": false,
	} {
		_, err := readSettings(env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1",
			"OTEL_TRACES_SAMPLER", "traceidratio", "OTEL_TRACES_SAMPLER_ARG", part))
		if (err == nil) != ok {
			t.Errorf("a part of %s: %v", part, err)
		}
	}
}

func TestLogger_levelAndFormat(t *testing.T) {
	t.Parallel()
	rec := telemetrytest.New(t)
	tel, out := setup(t, Options{
		Getenv: env("OTEL_EXPORTER_OTLP_ENDPOINT", rec.URL), LogFormat: "text", LogLevel: slog.LevelWarn,
	})
	log := tel.Logger().With("part", "x").WithGroup("g")
	log.Info("too low")
	log.Warn("high enough", "n", 1)
	flush(t, tel)
	log.Error("after the end")
	if got := out.String(); strings.Contains(got, "too low") ||
		!strings.Contains(got, `level=WARN msg="high enough" part=x g.n=1`) ||
		!strings.Contains(got, "after the end") {
		t.Errorf("the log has %s", got)
	}
	if got := rec.Records(); len(got) != 1 || got[0].Body.GetStringValue() != "high enough" ||
		got[0].SeverityText != "WARN" ||
		telemetrytest.Attr(got[0].Attributes, "part") != "x" {
		t.Errorf("exported were %v", got)
	}
}

func TestShutdown_unreachableCollector(t *testing.T) {
	t.Parallel()
	rec := telemetrytest.New(t)
	rec.Close()
	tel, out := setup(t, Options{Getenv: env("OTEL_EXPORTER_OTLP_ENDPOINT", rec.URL)})
	get(tel.Wrap(routes(tel)), "/v1/things/42")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := tel.Shutdown(ctx)
	for _, signal := range []string{"traces", "metrics", "logs"} {
		if err == nil || !strings.Contains(err.Error(), signal+" were not delivered") {
			t.Errorf("the error says nothing of %s: %v", signal, err)
		}
		if n := strings.Count(out.String(), `"signal":"`+signal+`"`); n != 1 {
			t.Errorf("%d warnings of %s in the log, want one: %s", n, signal, out)
		}
	}
	if err := tel.Shutdown(ctx); err != nil {
		t.Errorf("the second Shutdown: %v", err)
	}
}

// hang starts a collector that takes requests and answers none before the test's end; entered is closed by the first.
func hang(t *testing.T) (url string, entered chan struct{}) {
	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		once.Do(func() { close(entered) })
		<-release
	}))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(release) })
	return s.URL, entered
}

func TestShutdown_hangingCollector(t *testing.T) {
	t.Parallel()
	url, entered := hang(t)
	tel, _ := setup(t, Options{Getenv: env("OTEL_EXPORTER_OTLP_ENDPOINT", url)})
	handler := tel.Wrap(routes(tel))
	serve := func(n int) <-chan struct{} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range n {
				get(handler, "/v1/things/42")
			}
		}()
		return done
	}
	within(t, patience, "the first requests", serve(600)) // more than a batch, so that an export begins
	within(t, patience, "the collector", entered)
	within(t, patience, "requests past full queues", serve(3000)) // 6,000 spans and 3,000 records for queues of 2,048

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	done := make(chan struct{})
	var err error
	go func() {
		defer close(done)
		err = tel.Shutdown(ctx)
	}()
	within(t, bound, "Shutdown", done) // alone, the exporters would wait for 10 s and longer
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown says %v, want that its time was over", err)
	}
}

const (
	patience = 20 * time.Second // for what takes a moment on an idle machine
	bound    = 5 * time.Second  // for what must not wait for the exporters, which give up after 10 s
)

// within fails if done is not closed in time.
func within(t *testing.T, limit time.Duration, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatalf("%s: still waiting after %s", what, limit)
	}
}

func TestShutdown_boundsWhatIgnoresItsContext(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	defer close(release)
	tel := &Telemetry{stops: []func(context.Context) error{
		func(context.Context) error { <-release; return nil },
		func(context.Context) error { return errors.New("refused") },
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := tel.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) ||
		!strings.Contains(err.Error(), "refused") {
		t.Errorf("Shutdown says %v, want both that one refused and that time was over", err)
	}
}

func TestDelivery_warnsOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &testkit.Output{}
		d := &delivery{signal: "traces", log: slog.New(slog.NewTextHandler(out, nil))}
		for range 10 {
			d.ended(errors.New("refused"))
		}
		if n := strings.Count(out.String(), "level=WARN"); n != 1 {
			t.Errorf("%d lines for ten failures at once, want one", n)
		}
		time.Sleep(time.Minute) // of the bubble's clock
		d.ended(errors.New("refused"))
		if !strings.Contains(out.String(), "failures_not_logged=9") {
			t.Errorf("a minute later the log is %s", out)
		}
		d.ended(nil)
		if err := d.lost(); err != nil {
			t.Errorf("after a success: %v", err)
		}
	})
}
