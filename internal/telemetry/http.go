package telemetry

import (
	"context"
	"net/http"
	"net/http/pprof"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// unmatched names the span of every request that fits no route. A mux's "/" is taken for such a one.
const unmatched = "unmatched"

// instrument puts a span and metrics around each request. Both are named by the route's pattern, never by the path.
func instrument(mux http.Handler, traces trace.TracerProvider, metrics metric.MeterProvider) http.Handler {
	return otelhttp.NewHandler(routed(mux), unmatched,
		otelhttp.WithTracerProvider(traces), otelhttp.WithMeterProvider(metrics),
		otelhttp.WithPropagators(traceparent{}),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return spanName(r) }))
}

func spanName(r *http.Request) string {
	if r.Pattern == "" || r.Pattern == "/" {
		return unmatched
	}
	return r.Pattern
}

// routed tells the span its route, which otelhttp tells the metrics only, and does so even if the handler panics.
func routed(mux http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		finished := false
		defer func() {
			span := trace.SpanFromContext(r.Context())
			span.SetName(spanName(r))
			if i := strings.IndexByte(r.Pattern, '/'); i >= 0 {
				span.SetAttributes(semconv.HTTPRoute(r.Pattern[i:]))
			}
			if !finished {
				span.SetStatus(codes.Error, "panic")
			}
		}()
		mux.ServeHTTP(w, r)
		finished = true
	})
}

// traceparent takes and gives the trace id and the parent, and nothing else: baggage and tracestate hold what strangers
// wrote.
type traceparent struct{ propagation.TraceContext }

// Extract implements propagation.TextMapPropagator.
func (p traceparent) Extract(ctx context.Context, carrier propagation.TextMapCarrier) context.Context {
	ctx = p.TraceContext.Extract(ctx, carrier)
	sc := trace.SpanContextFromContext(ctx)
	return trace.ContextWithSpanContext(ctx, sc.WithTraceState(trace.TraceState{}))
}

// AdminHandler answers /metrics for Prometheus and /debug/pprof/. It shows the inside of the program to every caller
// that can reach it: serve it on an address of its own. The service's own metrics are there if Options.Prometheus was
// set.
func (t *Telemetry) AdminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}
