package telemetry

import (
	"context"
	"errors"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// The exporters below stand between the SDK's queues and the network, so what they do costs no request anything. They
// take out secrets, and they hide failures from the SDK, which would hand them to the global error handler.

// pgxScope is how otelpgx, which does not say so, calls itself in its spans.
const pgxScope = "github.com/exaring/otelpgx"

type spanExporter struct {
	sdktrace.SpanExporter
	*delivery
}

// ExportSpans implements sdktrace.SpanExporter.
func (e spanExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	clean := make([]sdktrace.ReadOnlySpan, len(spans))
	for i, s := range spans {
		clean[i] = cleanSpan{s}
	}
	e.ended(e.SpanExporter.ExportSpans(ctx, clean))
	return nil
}

// Shutdown implements sdktrace.SpanExporter.
func (e spanExporter) Shutdown(ctx context.Context) error {
	return errors.Join(e.lost(), e.SpanExporter.Shutdown(ctx))
}

type metricExporter struct {
	sdkmetric.Exporter
	*delivery
}

// Export implements sdkmetric.Exporter. Metrics need no redaction: their labels are known words.
func (e metricExporter) Export(ctx context.Context, m *metricdata.ResourceMetrics) error {
	e.ended(e.Exporter.Export(ctx, m))
	return nil
}

// Shutdown implements sdkmetric.Exporter.
func (e metricExporter) Shutdown(ctx context.Context) error {
	return errors.Join(e.lost(), e.Exporter.Shutdown(ctx))
}

type logExporter struct {
	sdklog.Exporter
	*delivery
}

// Export implements sdklog.Exporter.
func (e logExporter) Export(ctx context.Context, records []sdklog.Record) error {
	clean := make([]sdklog.Record, len(records))
	for i := range records {
		clean[i] = records[i].Clone()
		var attrs []attribute.KeyValue
		clean[i].WalkAttributes(func(kv attribute.KeyValue) bool {
			attrs = append(attrs, kv)
			return true
		})
		clean[i].SetBody(redactValue(clean[i].Body()))
		clean[i].SetAttributes(redactAttrs(attrs)...)
	}
	e.ended(e.Exporter.Export(ctx, clean))
	return nil
}

// Shutdown implements sdklog.Exporter.
func (e logExporter) Shutdown(ctx context.Context) error {
	return errors.Join(e.lost(), e.Exporter.Shutdown(ctx))
}

// cleanSpan is a span as it may leave.
type cleanSpan struct{ sdktrace.ReadOnlySpan }

// Name implements sdktrace.ReadOnlySpan.
func (s cleanSpan) Name() string { return redact(s.ReadOnlySpan.Name()) }

// Attributes implements sdktrace.ReadOnlySpan.
func (s cleanSpan) Attributes() []attribute.KeyValue {
	return redactAttrs(s.ReadOnlySpan.Attributes())
}

// Status implements sdktrace.ReadOnlySpan.
func (s cleanSpan) Status() sdktrace.Status {
	status := s.ReadOnlySpan.Status()
	status.Description = redact(status.Description)
	if s.ofDatabase() {
		status.Description = ""
	}
	return status
}

// Events implements sdktrace.ReadOnlySpan.
func (s cleanSpan) Events() []sdktrace.Event {
	events := slices.Clone(s.ReadOnlySpan.Events())
	for i := range events {
		events[i].Attributes = redactAttrs(events[i].Attributes)
		if s.ofDatabase() {
			events[i].Attributes = slices.DeleteFunc(events[i].Attributes,
				func(kv attribute.KeyValue) bool { return kv.Key == semconv.ExceptionMessageKey })
		}
	}
	return events
}

// ofDatabase tells a span of a statement. The texts of its errors quote parameters (`invalid input syntax for type
// uuid: "…"`); its SQLSTATE is an attribute and stays.
func (s cleanSpan) ofDatabase() bool {
	return s.InstrumentationScope().Name == pgxScope
}
