package telemetry

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	metricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logpb "go.opentelemetry.io/proto/otlp/logs/v1"
	metricpb "go.opentelemetry.io/proto/otlp/metrics/v1"
	spanpb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// receiver is an OTLP collector on loopback that keeps what it is sent.
type receiver struct {
	*httptest.Server
	conns   atomic.Int32 // ever accepted
	mu      sync.Mutex
	paths   []string
	headers http.Header // of the last request
	raw     []byte      // every body, decompressed
	traces  []*spanpb.ResourceSpans
	metrics []*metricpb.ResourceMetrics
	logs    []*logpb.ResourceLogs
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewUnstartedServer(r)
	r.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			r.conns.Add(1)
		}
	}
	r.Start()
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var body io.Reader = req.Body
	if req.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = unzipped
	}
	data, err := io.ReadAll(body)
	if err == nil {
		err = r.keep(req, data)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

func (r *receiver) keep(req *http.Request, data []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.paths, r.headers, r.raw = append(r.paths, req.URL.Path), req.Header, append(r.raw, data...)
	var traces tracepb.ExportTraceServiceRequest
	var metrics metricspb.ExportMetricsServiceRequest
	var logs logspb.ExportLogsServiceRequest
	var message proto.Message = &traces
	switch path.Base(req.URL.Path) {
	case "metrics":
		message = &metrics
	case "logs":
		message = &logs
	}
	err := proto.Unmarshal(data, message)
	r.traces = append(r.traces, traces.ResourceSpans...)
	r.metrics = append(r.metrics, metrics.ResourceMetrics...)
	r.logs = append(r.logs, logs.ResourceLogs...)
	return err
}

func (r *receiver) seen() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	paths := slices.Clone(r.paths)
	slices.Sort(paths)
	return slices.Compact(paths)
}

func (r *receiver) spans() (all []*spanpb.Span) {
	for _, resource := range r.traces {
		for _, scope := range resource.ScopeSpans {
			all = append(all, scope.Spans...)
		}
	}
	return all
}

func (r *receiver) span(t *testing.T, name string) *spanpb.Span {
	t.Helper()
	var names []string
	for _, s := range r.spans() {
		if s.Name == name {
			return s
		}
		names = append(names, s.Name)
	}
	t.Fatalf("no span %q was received, only %q", name, names)
	return nil
}

func (r *receiver) records() (all []*logpb.LogRecord) {
	for _, resource := range r.logs {
		for _, scope := range resource.ScopeLogs {
			all = append(all, scope.LogRecords...)
		}
	}
	return all
}

func (r *receiver) allMetrics() (all []*metricpb.Metric) {
	for _, resource := range r.metrics {
		for _, scope := range resource.ScopeMetrics {
			all = append(all, scope.Metrics...)
		}
	}
	return all
}

// attr is the text of an attribute, empty if it is not there.
func attr(attrs []*commonpb.KeyValue, key string) string {
	for _, kv := range attrs {
		if kv.Key == key {
			return kv.Value.GetStringValue()
		}
	}
	return ""
}

// env is a Getenv over a list of names and values.
func env(pairs ...string) func(string) string {
	values := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		values[pairs[i]] = pairs[i+1]
	}
	return func(name string) string { return values[name] }
}

// setup starts a Telemetry whose log is kept.
func setup(t *testing.T, o Options) (*Telemetry, *lockedBuffer) {
	t.Helper()
	out := &lockedBuffer{}
	o.LogOutput, o.ServiceVersion = out, "1.2.3"
	tel, err := Setup(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = tel.Shutdown(ctx)
	})
	return tel, out
}

// flush shuts down in time or fails.
func flush(t *testing.T, tel *Telemetry) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := tel.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
}

// get sends a request through a handler.
func get(h http.Handler, target string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
