package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	logpb "go.opentelemetry.io/proto/otlp/logs/v1"
	metricpb "go.opentelemetry.io/proto/otlp/metrics/v1"
	spanpb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/internal/telemetry/telemetrytest"
)

// token has the form of an access token.
var token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjNG40cnkifQ." + strings.Repeat("c2ln", 86)

const (
	traceID  = "0af7651916cd43dd8448eb211c80319c"
	parentID = "b7ad6b7169203331"
)

// fetch reads a URL that must answer 200.
func (p *program) fetch(t *testing.T, address string) string {
	t.Helper()
	resp, err := p.client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s answers %s (%v)", address, resp.Status, err)
	}
	return string(text)
}

func TestTelemetry(t *testing.T) {
	t.Parallel()
	collector := telemetrytest.New(t)
	p := launch(t, "DATABASE_URL="+postgrestest.New(t), "OTEL_EXPORTER_OTLP_ENDPOINT="+collector.URL, "LOG_FORMAT=json")
	const requestID = "a.callers-own_id"
	created, err := p.try("POST", "/v1/tenants", `{"slug":"globex","name":"Globex"}`, func(r *http.Request) {
		r.Header.Set("traceparent", "00-"+traceID+"-"+parentID+"-01")
		r.Header.Set("X-Request-Id", requestID)
	})
	if err != nil || created.status != http.StatusCreated || created.header.Get("X-Request-Id") != requestID {
		t.Fatalf("%d %s %v (%v)", created.status, created.text, created.header, err)
	}
	events := p.get(t, "/v1/audit").items()
	if len(events) != 1 || events[0]["correlation_id"] != requestID {
		t.Errorf("the event of request %s is %v", requestID, events)
	}
	p.signal(t, syscall.SIGTERM)
	if code := p.exit(t); code != 0 {
		t.Fatalf("exit %d", code)
	}

	resources := collector.Resources()
	for _, signal := range []string{"traces", "metrics", "logs"} {
		if len(resources[signal]) == 0 ||
			telemetrytest.Attr(resources[signal][0].Attributes, "service.name") != "tenant-registry" {
			t.Errorf("%s come from %v", signal, resources[signal])
		}
	}
	checkTrace(t, collector)
	checkMetrics(t, collector)
	checkLog(t, p, collector, requestID)
}

// checkTrace holds that one trace leads from the caller through the request to each statement.
func checkTrace(t *testing.T, collector *telemetrytest.Receiver) {
	t.Helper()
	byID := map[string]*spanpb.Span{}
	var statements []string
	for _, s := range collector.Spans() {
		if hex.EncodeToString(s.TraceId) == traceID {
			byID[hex.EncodeToString(s.SpanId)] = s
		}
	}
	request := collector.Span(t, "POST /v1/tenants")
	for _, s := range byID {
		at := s
		for at != nil && at != request {
			at = byID[hex.EncodeToString(at.ParentSpanId)]
		}
		if at == nil {
			t.Errorf("the span %q does not descend from the request's", s.Name)
		}
		statement := telemetrytest.Attr(s.Attributes, "db.query.text")
		statements = append(statements, strings.Join(strings.Fields(statement), " "))
	}
	if hex.EncodeToString(request.TraceId) != traceID || hex.EncodeToString(request.ParentSpanId) != parentID {
		t.Errorf("the request's span is of trace %x under %x", request.TraceId, request.ParentSpanId)
	}
	for _, want := range []string{"INSERT INTO tenants", "INSERT INTO audit_log"} {
		if !slices.ContainsFunc(statements, func(s string) bool { return strings.HasPrefix(s, want) }) {
			t.Errorf("no span has %q, only %q", want, statements)
		}
	}
}

func checkMetrics(t *testing.T, collector *telemetrytest.Receiver) {
	t.Helper()
	for _, want := range []string{"http.server.request.duration", "pgxpool.total_connections"} {
		isWanted := func(m *metricpb.Metric) bool { return strings.Contains(m.Name, want) }
		if !slices.ContainsFunc(collector.Metrics(), isWanted) {
			t.Errorf("there is no metric %s", want)
		}
	}
}

// checkLog holds that the line of the access log has the request's and the trace's id, on standard error and exported.
func checkLog(t *testing.T, p *program, collector *telemetrytest.Receiver, requestID string) {
	t.Helper()
	found := 0
	for line := range strings.Lines(p.stderr.String()) {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Errorf("a line of the log is not JSON: %s", line)
		}
		if record["msg"] == "request" && record["request_id"] == requestID {
			found++
			if record["trace_id"] != traceID || record["route"] != "POST /v1/tenants" ||
				record["status"] != float64(201) {
				t.Errorf("the access log has %s", line)
			}
		}
	}
	if found != 1 {
		t.Errorf("the access log has %d lines of the request", found)
	}
	exported := slices.ContainsFunc(collector.Records(), func(r *logpb.LogRecord) bool {
		return r.Body.GetStringValue() == "request" && telemetrytest.Attr(r.Attributes, "request_id") == requestID &&
			hex.EncodeToString(r.TraceId) == traceID
	})
	if !exported {
		t.Error("the line of the access log was not exported with its trace")
	}
}

// withPassword returns a DSN that has a password, and the password.
func withPassword(t *testing.T, dsn string) (string, string) {
	t.Helper()
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	if config.Password != "" {
		return dsn, config.Password
	}
	u, err := url.Parse(dsn)
	if err != nil || u.User == nil {
		return dsn + " password=" + canary, canary
	}
	u.User = url.UserPassword(u.User.Username(), canary)
	return u.String(), canary
}

// pasted are requests with a key wherever one might be pasted by mistake.
func pasted(key string) (all []func() *http.Request) {
	add := func(method, path, body string, change func(*http.Request)) {
		all = append(all, func() *http.Request {
			r, err := http.NewRequest(method, "http://replaced"+path, strings.NewReader(body))
			if err != nil {
				panic(err)
			}
			r.Header.Set("Content-Type", "application/json")
			if change != nil {
				change(r)
			}
			return r
		})
	}
	for _, path := range []string{
		"/" + key, "/v1/tenants/" + key, "/v1/tenants/by-slug/" + key, "/problems/" + key, "/v1/audit/" + key,
		"/%62p_" + key[3:], "/?" + key, "/v1/catalog?tenant_id=" + key,
		"/v1/api-keys?tenant_id=" + acme + "&cursor=" + key, "/v1/audit?action=" + key, "/v1/audit?" + key + "=1",
		"/healthz?key=" + key, "/v1/tenants/" + acme + "?a=%zz" + key,
	} {
		add("GET", path, "", nil)
	}
	add("DELETE", "/v1/api-keys/"+key, "", nil)
	add(key, "/v1/tenants", "", nil)
	for _, body := range []string{
		key, `"` + key + `"`, `{"key":"` + key + `"`, `{"key":["` + key + `"]}`,
		`{"key":"` + key + `","key":"` + key + `"}`, `{"key":"` + key + `","product":"` + key + `"}`,
		`{"key":"` + key + `","scopes":["` + key + `"]}`, `{"key":"` + key + `"}`, `{"key":"` + key + `x"}`,
	} {
		add("POST", "/v1/internal/api-keys/verify", body, nil)
		add("POST", "/v1/tenants", body, nil)
		add("POST", "/v1/audit", body, nil)
	}
	for _, header := range []string{
		"Authorization", "X-Api-Key", "Cookie", "User-Agent", "Referer", "X-Request-Id", "traceparent", "tracestate",
		"baggage", "If-None-Match", "Accept", "Content-Type", "X-On-Behalf-Of-Id",
	} {
		for _, value := range []string{key, "Bearer " + key, "k=" + key} {
			change := func(r *http.Request) {
				r.Header.Set("traceparent", "00-"+traceID+"-"+parentID+"-01")
				r.Header.Set(header, value)
			}
			add("GET", "/v1/tenants/by-slug/acme", "", change)
			add("POST", "/v1/audit", `{"action":"a.b","crud":"c","actor":{"id":"u1"}}`, change)
		}
	}
	add("GET", "/v1/catalog", "", func(r *http.Request) { r.Host = key })
	return all
}

// TestTelemetry_canaries asserts that keys, tokens and the password of the database are in no answer, log, metric,
// profile or table.
func TestTelemetry_canaries(t *testing.T) {
	t.Parallel()
	collector := telemetrytest.New(t)
	direct := postgrestest.New(t)
	seedDatabase(t, direct)
	dsn, network := proxied(t, direct)
	dsn, password := withPassword(t, dsn)
	p := launch(t, "DATABASE_URL="+dsn, "OTEL_EXPORTER_OTLP_ENDPOINT="+collector.URL,
		"ADMIN_ADDR=127.0.0.1:0", "LOG_LEVEL=debug")
	r := p.call(t, http.StatusCreated, "POST", "/v1/api-keys", `{"tenant_id":"`+acme+`","name":"canary"}`)
	key, _ := r.member("key").(string)
	if !keyText.MatchString(key) {
		t.Fatalf("the key is %q", key)
	}
	secrets := []string{key, token, password}
	pasteAll(t, p, secrets, func(*http.Request) bool { return true })
	network.Cut()
	pasteAll(t, p, secrets, func(r *http.Request) bool { return r.Method == "GET" })
	p.becomesUnready(t, "cannot be reached")
	network.Heal()
	sinks := map[string]string{
		"the metrics":     p.fetch(t, p.Admin+"/metrics"),
		"the arguments":   p.fetch(t, p.Admin+"/debug/pprof/cmdline"),
		"the goroutines":  p.fetch(t, p.Admin+"/debug/pprof/goroutine?debug=2"),
		"the database":    contents(t, connect(t, direct)),
		"standard output": p.stdout.String(),
	}
	p.signal(t, syscall.SIGTERM)
	if code := p.exit(t); code != 0 {
		t.Errorf("exit %d", code)
	}
	sinks["the log"], sinks["telemetry"] = p.stderr.String(), string(collector.Raw())
	for sink, text := range sinks {
		for _, secret := range append(secrets, key[8:51]) {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s has %q: …%s…", sink, secret, text[max(0, i-200):min(len(text), i+100)])
			}
		}
	}
	// The controls: what should have been seen was, without the secret in it.
	for sink, want := range map[string]string{
		"telemetry": "bp_live_[redacted]", "the log": "store unavailable", "the database": "canary",
		"the metrics": "http_server_request_duration",
	} {
		if !strings.Contains(sinks[sink], want) {
			t.Errorf("%s has no %q", sink, want)
		}
	}
}

// pasteAll sends the requests that are wanted, with a key and with a token in each place.
func pasteAll(t *testing.T, p *program, secrets []string, wanted func(*http.Request) bool) {
	t.Helper()
	for _, secret := range secrets[:2] {
		for _, request := range pasted(secret) {
			if wanted(request()) {
				p.paste(t, request(), secret, secrets)
			}
		}
	}
}

// paste sends a request. The answer must hold no secret.
func (p *program) paste(t *testing.T, r *http.Request, name string, secrets []string) {
	t.Helper()
	base, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	r.URL.Host = base.Host
	if r.Host != name { // which no test sets but to the secret
		r.Host = base.Host
	}
	resp, err := p.client.Do(r)
	if err != nil {
		t.Errorf("%s %s: %v", r.Method, r.URL, err)
		return
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	said := string(text) + fmt.Sprint(resp.Header)
	for _, secret := range secrets {
		if strings.Contains(said, secret) {
			t.Errorf("%s %s %v is answered with what was pasted: %s", r.Method, r.URL, r.Header, said)
		}
	}
}

// contents is every row of every table.
func contents(t *testing.T, conn *pgx.Conn) string {
	t.Helper()
	var all strings.Builder
	for _, table := range tables {
		rows, err := conn.Query(t.Context(), `SELECT t::text FROM `+table+` t`)
		if err != nil {
			t.Fatal(err)
		}
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(strings.Join(found, "\n"))
	}
	return all.String()
}

// TestTelemetry_off asserts that without an endpoint nothing that could send is started. The control has an endpoint.
func TestTelemetry_off(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		env []string // in values, URL stands for the collector's
		on  bool
	}{
		"nothing set": {nil, false},
		"exporters and no place": {
			[]string{"OTEL_TRACES_EXPORTER=otlp", "OTEL_METRICS_EXPORTER=otlp", "OTEL_LOGS_EXPORTER=otlp"}, false,
		},
		"disabled": {[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=URL", "OTEL_SDK_DISABLED=true"}, false},
		"control":  {[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=URL"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			collector := telemetrytest.New(t)
			env := []string{"ADMIN_ADDR=127.0.0.1:0"}
			for _, variable := range tc.env {
				env = append(env, strings.Replace(variable, "URL", collector.URL, 1))
			}
			p := launch(t, env...)
			p.get(t, "/v1/tenants/by-slug/acme")
			goroutines := p.fetch(t, p.Admin+"/debug/pprof/goroutine?debug=2")
			senders := strings.Count(goroutines, "created by go.opentelemetry.io/otel")
			p.signal(t, syscall.SIGTERM)
			if code := p.exit(t); code != 0 {
				t.Errorf("exit %d", code)
			}
			if (senders > 0) != tc.on || (collector.Connections() > 0) != tc.on {
				t.Errorf("%d goroutines that send, %d connections", senders, collector.Connections())
			}
		})
	}
}

func TestAdmin(t *testing.T) {
	t.Parallel()
	p := launch(t, "DATABASE_URL="+postgrestest.New(t), "ADMIN_ADDR=127.0.0.1:0")
	p.get(t, "/v1/catalog")
	scraped := p.fetch(t, p.Admin+"/metrics")
	for _, want := range []string{
		"go_goroutines ", "process_cpu_seconds_total ", `http_route="/v1/catalog"`, "pgxpool_total_connections",
	} {
		if !strings.Contains(scraped, want) {
			t.Errorf("/metrics has no %s:\n%s", want, scraped)
		}
	}
	if index := p.fetch(t, p.Admin+"/debug/pprof/"); !strings.Contains(index, "goroutine") {
		t.Errorf("/debug/pprof/ is %s", index)
	}
	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/heap"} {
		p.call(t, http.StatusNotFound, "GET", path, "")
	}
	if off := launch(t); off.Admin != "" {
		t.Errorf("with no ADMIN_ADDR there is %s", off.Admin)
	}
}
