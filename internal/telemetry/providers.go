package telemetry

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// start makes the providers that the settings ask for. What was started before an error is left to Shutdown.
func (t *Telemetry) start(ctx context.Context, o Options, s settings) error {
	if s.disabled {
		return nil
	}
	r, err := newResource(ctx, o.ServiceVersion, s.resource)
	if err != nil {
		return err
	}
	local := t.logger // failures are told here only: sent to the collector they would make more of themselves
	if s.traces != nil {
		if err := t.startTraces(ctx, r, s.traces, &delivery{signal: "traces", log: local}); err != nil {
			return err
		}
	}
	if s.metrics != nil || o.Prometheus {
		to := &delivery{signal: "metrics", log: local}
		if err := t.startMetrics(ctx, r, s.metrics, to, o.Prometheus); err != nil {
			return err
		}
	}
	if s.logs != nil {
		return t.startLogs(ctx, r, s.logs, &delivery{signal: "logs", log: local}, o.LogLevel)
	}
	return nil
}

// newResource describes this process. What the operator gave wins, so that a platform may name its own instance ids.
func newResource(ctx context.Context, version string, given map[string]string) (*resource.Resource, error) {
	attrs := []attribute.KeyValue{
		semconv.ServiceVersion(version),
		semconv.ServiceInstanceID(uuid.NewString()), // or the series of two replicas would be taken for one
	}
	for name, value := range given {
		attrs = append(attrs, attribute.String(name, value))
	}
	return resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(attrs...))
}

func (t *Telemetry) startTraces(ctx context.Context, r *resource.Resource, to *endpoint, d *delivery) error {
	exporter, err := otlptracehttp.New(ctx,
		otlptracehttp.WithEndpointURL(to.url), otlptracehttp.WithHeaders(to.headers))
	if err != nil {
		return fmt.Errorf("traces: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithResource(r),
		sdktrace.WithBatcher(spanExporter{exporter, d})) // a full queue drops; it never waits
	t.traces, t.tracing = provider, true
	t.stops = append(t.stops, provider.Shutdown)
	return nil
}

// startMetrics measures for Prometheus, by OTLP if to is not nil, or for both.
func (t *Telemetry) startMetrics(
	ctx context.Context, r *resource.Resource, to *endpoint, d *delivery, scraped bool,
) error {
	options := []sdkmetric.Option{
		sdkmetric.WithResource(r),
		sdkmetric.WithView(httpLabels),
		sdkmetric.WithExemplarFilter(exemplar.AlwaysOffFilter), // exemplars would carry the labels that the view drops
	}
	if scraped {
		reader, err := otelprometheus.New(otelprometheus.WithRegisterer(t.registry), otelprometheus.WithoutScopeInfo())
		if err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
		options = append(options, sdkmetric.WithReader(reader))
	}
	if to != nil {
		exporter, err := otlpmetrichttp.New(ctx,
			otlpmetrichttp.WithEndpointURL(to.url), otlpmetrichttp.WithHeaders(to.headers))
		if err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
		options = append(options, sdkmetric.WithReader(sdkmetric.NewPeriodicReader(metricExporter{exporter, d})))
	}
	provider := sdkmetric.NewMeterProvider(options...)
	t.metrics, t.measuring = provider, true
	t.stops = append(t.stops, provider.Shutdown)
	return nil
}

// httpLabels are the only labels of HTTP metrics. otelhttp adds the Host header's among others, which a client can
// invent.
var httpLabels = sdkmetric.NewView(
	sdkmetric.Instrument{Scope: instrumentation.Scope{Name: otelhttp.ScopeName}},
	sdkmetric.Stream{AttributeFilter: attribute.NewAllowKeysFilter(
		semconv.HTTPRequestMethodKey, semconv.HTTPRouteKey, semconv.HTTPResponseStatusCodeKey)},
)

func (t *Telemetry) startLogs(
	ctx context.Context, r *resource.Resource, to *endpoint, d *delivery, level slog.Level,
) error {
	exporter, err := otlploghttp.New(ctx, otlploghttp.WithEndpointURL(to.url), otlploghttp.WithHeaders(to.headers))
	if err != nil {
		return fmt.Errorf("logs: %w", err)
	}
	const severity = log.SeverityInfo - log.Severity(slog.LevelInfo)
	batches := sdklog.NewBatchProcessor(logExporter{exporter, d}) // a full queue loses the oldest; it never waits
	provider := sdklog.NewLoggerProvider(sdklog.WithResource(r),
		sdklog.WithProcessor(leveled{batches, log.Severity(level) + severity}))
	bridge := otelslog.NewHandler(ServiceName, otelslog.WithLoggerProvider(provider))
	t.logger = slog.New(slog.NewMultiHandler(t.logger.Handler(), bridge))
	t.stops = append(t.stops, provider.Shutdown)
	return nil
}

// newRegistry holds what AdminHandler shows at /metrics: of the Go runtime and the process always, of the service if
// metrics are on.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}
