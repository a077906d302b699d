package telemetry

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/attribute"
	spanpb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/breakpilot/tenant-registry/internal/telemetry/telemetrytest"
)

// What must be nowhere: a key, a token, a database's password, a query's value, a parameter of a statement.
const (
	canaryKey      = "bp_live_Canary0Canary0Canary0Canary0Canary0Canary00R30v6"
	canaryToken    = "eyJDanary0.eyJDanary0.Danary0-_x"
	canaryPassword = "Eanary0"
	canaryQuery    = "Fanary0"
	canaryArg      = "Ganary0"
)

var canaries = []string{canaryKey[len("bp_live_"):], "Danary0", canaryPassword, canaryQuery, canaryArg}

// leaky is a mux whose handlers let the canaries slip wherever they can.
func leaky(tel *Telemetry) *http.ServeMux {
	mux := routes(tel)
	mux.HandleFunc("GET /leak/{id}", func(_ http.ResponseWriter, r *http.Request) {
		failure := fmt.Errorf("lookup of %s: %w", canaryKey, errors.New("postgres://u:"+canaryPassword+"@db/x"))
		log := tel.Logger().With("earlier", canaryToken).WithGroup("g")
		log.ErrorContext(r.Context(), "message "+canaryKey, "plain", canaryKey, "err", failure,
			slog.Group("deep", "inner", canaryKey, "err", failure), "list", []string{canaryKey, canaryToken},
			"struct", struct{ Key string }{canaryKey}, "map", map[string]any{"key": []any{canaryKey}})

		tracer := tel.PgxTracer()
		ctx := tracer.TraceQueryStart(r.Context(), nil, pgx.TraceQueryStartData{
			SQL: "UPDATE t SET a = $1", Args: []any{canaryArg},
		})
		tracer.TraceQueryEnd(ctx, nil, pgx.TraceQueryEndData{Err: &pgconn.PgError{
			Code: "22P02", Message: `invalid input syntax for type uuid: "` + canaryArg + `"`, Detail: canaryArg}})
		panic("cannot use " + canaryKey)
	})
	return mux
}

func TestExport_noSecretLeaves(t *testing.T) {
	t.Parallel()
	rec := telemetrytest.New(t)
	tel, out := setup(t, Options{Getenv: env("OTEL_EXPORTER_OTLP_ENDPOINT", rec.URL), Prometheus: true})
	handler := tel.Wrap(leaky(tel))
	hostile := func(r *http.Request) {
		withTraceparent(r)
		r.Host = canaryKey
		r.Header.Set("User-Agent", canaryToken)
		r.Header.Set("X-Forwarded-For", canaryKey)
		r.Header.Set("Baggage", "key="+canaryKey)
		r.Header.Set("Tracestate", "vendor="+canaryKey)
	}
	get(handler, "/v1/things/"+canaryKey+"?key="+canaryQuery, hostile)
	get(handler, "/nowhere/"+canaryToken+"?"+canaryQuery, hostile)
	get(handler, "/nowhere", hostile, func(r *http.Request) { r.Method = canaryKey })
	func() {
		defer func() {
			if fault := recover(); fault != "cannot use "+canaryKey {
				t.Errorf("the panic came out as %v", fault)
			}
		}()
		get(handler, "/leak/"+canaryKey, hostile)
	}()
	scraped := get(tel.AdminHandler(), "/metrics").Body.String()
	flush(t, tel)

	for _, canary := range canaries {
		for sink, text := range map[string][]byte{
			"OTLP": rec.Raw(), "the log": []byte(out.String()), "Prometheus": []byte(scraped),
		} {
			if i := bytes.Index(text, []byte(canary)); i >= 0 {
				t.Errorf("%s has %q: …%q…", sink, canary, text[max(0, i-80):i+len(canary)])
			}
		}
	}

	// Controls: each place where a canary went was really exported.
	things, leak, query := rec.Span(t, "GET /v1/things/{id}"), rec.Span(t, "GET /leak/{id}"), rec.Span(t, "UPDATE")
	if got := telemetrytest.Attr(things.Attributes, "url.path"); got != "/v1/things/bp_live_[redacted]" {
		t.Errorf("url.path is %q", got)
	}
	if things.TraceState != "" || leak.Status.GetCode() != spanpb.Status_STATUS_CODE_ERROR || len(leak.Events) != 1 ||
		!strings.Contains(leak.Events[0].String(), "cannot use bp_live_[redacted]") {
		t.Errorf("the panic's span is %v", leak)
	}
	if telemetrytest.Attr(query.Attributes, "pgx.sql_state") != "22P02" ||
		telemetrytest.Attr(query.Attributes, "db.query.text") != "UPDATE t SET a = $1" {
		t.Errorf("the statement's span is %v", query)
	}
	if n := strings.Count(fmt.Sprint(rec.Records()), "bp_live_[redacted]"); n < 8 {
		t.Errorf("%d redactions in exported logs: %v", n, rec.Records())
	}
	if n := strings.Count(out.String(), "bp_live_[redacted]"); n != 8 ||
		!strings.Contains(out.String(), "postgres://u:[redacted]@db/x") {
		t.Errorf("%d redactions in the log: %s", n, out)
	}
}

func TestRedact(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                                  "",
		"bp_":                               "bp_",
		"bp_stage_abc":                      "bp_stage_abc",
		"a bp_test_0aZ, b bp_live_1":        "a bp_test_[redacted], b bp_live_[redacted]",
		"Bearer eyJh.eyJz.s-_g":             "Bearer eyJ[redacted]",
		"http://localhost:8090/a@b":         "http://localhost:8090/a@b",
		"postgres://u:p%40w@h/d?sslmode=no": "postgres://u:[redacted]@h/d?sslmode=no",
	} {
		if got := redact(in); got != want {
			t.Errorf("redact(%q) is %q, want %q", in, got, want)
		}
		if got := redactValue(attribute.StringSliceValue([]string{"", in})).AsStringSlice(); got[1] != want {
			t.Errorf("in a list %q became %q, want %q", in, got[1], want)
		}
	}
}

func TestWrap_namesAreBounded(t *testing.T) {
	t.Parallel()
	rec := telemetrytest.New(t)
	tel, _ := setup(t, Options{Getenv: env("OTEL_EXPORTER_OTLP_ENDPOINT", rec.URL), Prometheus: true})
	handler := tel.Wrap(routes(tel))
	for i := range 100 {
		stranger := func(r *http.Request) {
			r.Host, r.Proto = fmt.Sprintf("host%d:%d", i, 1000+i), fmt.Sprintf("HTTP/%d.1", i)
		}
		get(handler, fmt.Sprintf("/v1/things/%d", i), stranger)
		get(handler, fmt.Sprintf("/nowhere/%d", i), stranger)
		get(handler, "/nowhere", stranger, func(r *http.Request) { r.Method = fmt.Sprintf("METHOD%d", i) })
	}
	scraped := get(tel.AdminHandler(), "/metrics").Body.String()
	flush(t, tel)

	series := regexp.MustCompile(`(?m)^http_server_request_duration_seconds_count\{(.*)\} \d+$`)
	var got []string
	for _, s := range series.FindAllStringSubmatch(scraped, -1) {
		got = append(got, s[1])
	}
	slices.Sort(got)
	want := []string{
		`http_request_method="GET",http_response_status_code="200",http_route="/v1/things/{id}"`,
		`http_request_method="GET",http_response_status_code="404",http_route="/"`,
		`http_request_method="_OTHER",http_response_status_code="404",http_route="/"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("series are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !strings.Contains(scraped, `le="0.005"`) {
		t.Error("the buckets of the view are not those for seconds")
	}
	exported := 0
	for _, m := range rec.Metrics() {
		if strings.HasPrefix(m.Name, "http.server.") {
			exported++
			if points := m.GetHistogram().GetDataPoints(); len(points) != 3 || len(points[0].Exemplars) != 0 {
				t.Errorf("%s left as %v, want 3 series without exemplars", m.Name, points)
			}
		}
	}
	if exported != 3 {
		t.Errorf("%d metrics of HTTP left, want duration and both sizes", exported)
	}
	names := map[string]int{}
	for _, s := range rec.Spans() {
		names[s.Name]++
	}
	if fmt.Sprint(names) != "map[GET /v1/things/{id}:100 SELECT:100 unmatched:200]" {
		t.Errorf("spans are %v", names)
	}
}

func TestAdminHandler(t *testing.T) {
	t.Parallel()
	tel, _ := setup(t, Options{Getenv: env(), Prometheus: true})
	get(tel.Wrap(routes(tel)), "/v1/things/42")
	if tel.PgxTracer() != nil {
		t.Error("Prometheus alone switched traces on")
	}
	// dials nothing before it is used
	pool, err := pgxpool.New(t.Context(), "postgres://u:p@127.0.0.1:1/secret_database")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if err := tel.ObservePool(pool); err != nil {
		t.Fatal(err)
	}
	if err := tel.ObserveCacheLease(func() bool { return true }); err != nil {
		t.Fatal(err)
	}
	admin := tel.AdminHandler()
	metrics := get(admin, "/metrics").Body.String()
	for _, name := range []string{
		"http_server_request_duration_seconds_bucket", "pgxpool_max_connections", "go_goroutines",
		"process_start_time_seconds", "\ntenant_registry_cache_lease_valid 1", `service_name="tenant-registry"`,
	} {
		if !strings.Contains(metrics, name) {
			t.Errorf("/metrics has no %s", name)
		}
	}
	if strings.Contains(metrics, "secret_database") {
		t.Error("/metrics names the database")
	}
	for path, want := range map[string]int{
		"/debug/pprof/": 200, "/debug/pprof/heap": 200, "/debug/pprof/cmdline": 200, "/debug/pprof/symbol": 200,
		"/": 404, "/debug/vars": 404,
	} {
		if got := get(admin, path).Code; got != want {
			t.Errorf("%s answers %d, want %d", path, got, want)
		}
	}
}

func TestAdminHandler_disabled(t *testing.T) {
	t.Parallel()
	tel, _ := setup(t, Options{Getenv: env("OTEL_SDK_DISABLED", "true"), Prometheus: true})
	mux := routes(tel)
	if tel.Wrap(mux) != http.Handler(mux) {
		t.Error("the handler was wrapped")
	}
	if metrics := get(tel.AdminHandler(), "/metrics").Body.String(); !strings.Contains(metrics, "go_goroutines") {
		t.Error("/metrics says nothing of the process")
	}
}
