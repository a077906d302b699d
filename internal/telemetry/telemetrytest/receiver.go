// Package telemetrytest is a collector that stores what telemetry sends it by OTLP over HTTP, for tests.
package telemetrytest

import (
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	metricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logpb "go.opentelemetry.io/proto/otlp/logs/v1"
	metricpb "go.opentelemetry.io/proto/otlp/metrics/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	spanpb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Receiver is a collector on the loopback address. Its methods may be called at any time, and answer what has come so
// far, in the order in which it came.
type Receiver struct {
	URL string // its base, for OTEL_EXPORTER_OTLP_ENDPOINT

	server      *httptest.Server
	connections atomic.Int32

	mu      sync.Mutex
	paths   []string
	header  http.Header
	raw     []byte
	traces  []*spanpb.ResourceSpans
	metrics []*metricpb.ResourceMetrics
	logs    []*logpb.ResourceLogs
}

// New starts a Receiver that ends with the test.
func New(t testing.TB) *Receiver {
	t.Helper()
	r := &Receiver{}
	r.server = httptest.NewUnstartedServer(http.HandlerFunc(r.receive))
	r.server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			r.connections.Add(1)
		}
	}
	r.server.Start()
	r.URL = r.server.URL
	t.Cleanup(r.Close)
	return r
}

// Close ends the Receiver; its address then refuses connections.
func (r *Receiver) Close() { r.server.Close() }

// receive answers 400 to whatever it cannot decode, which the sender reports.
func (r *Receiver) receive(w http.ResponseWriter, req *http.Request) {
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
		err = r.store(req, data)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

func (r *Receiver) store(req *http.Request, data []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.paths, r.header, r.raw = append(r.paths, req.URL.Path), req.Header, append(r.raw, data...)
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

// Connections is how many were ever accepted.
func (r *Receiver) Connections() int { return int(r.connections.Load()) }

// Paths are those of all requests, sorted, each once.
func (r *Receiver) Paths() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	paths := slices.Clone(r.paths)
	slices.Sort(paths)
	return slices.Compact(paths)
}

// Header is that of the last request.
func (r *Receiver) Header() http.Header {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.header.Clone()
}

// Raw is every body, decompressed: what to search for secrets.
func (r *Receiver) Raw() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.raw)
}

// Resources say who sent what, by "traces", "metrics" and "logs".
func (r *Receiver) Resources() map[string][]*resourcepb.Resource {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := map[string][]*resourcepb.Resource{}
	for _, from := range r.traces {
		all["traces"] = append(all["traces"], from.Resource)
	}
	for _, from := range r.metrics {
		all["metrics"] = append(all["metrics"], from.Resource)
	}
	for _, from := range r.logs {
		all["logs"] = append(all["logs"], from.Resource)
	}
	return all
}

// Spans are all spans.
func (r *Receiver) Spans() (all []*spanpb.Span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range r.traces {
		for _, scope := range resource.ScopeSpans {
			all = append(all, scope.Spans...)
		}
	}
	return all
}

// Span is the first span of this name; without one the test fails.
func (r *Receiver) Span(t testing.TB, name string) *spanpb.Span {
	t.Helper()
	var names []string
	for _, s := range r.Spans() {
		if s.Name == name {
			return s
		}
		names = append(names, s.Name)
	}
	t.Fatalf("no span %q was received, only %q", name, names)
	return nil
}

// Records are all records of the log.
func (r *Receiver) Records() (all []*logpb.LogRecord) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range r.logs {
		for _, scope := range resource.ScopeLogs {
			all = append(all, scope.LogRecords...)
		}
	}
	return all
}

// Metrics are all metrics, each as often as it was sent.
func (r *Receiver) Metrics() (all []*metricpb.Metric) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range r.metrics {
		for _, scope := range resource.ScopeMetrics {
			all = append(all, scope.Metrics...)
		}
	}
	return all
}

// Attr is the text of an attribute, empty if it is not there or no text.
func Attr(attrs []*commonpb.KeyValue, key string) string {
	for _, kv := range attrs {
		if kv.Key == key {
			return kv.Value.GetStringValue()
		}
	}
	return ""
}
