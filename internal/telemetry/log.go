package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/trace"
)

// localHandler writes records without secrets to the output.
func localHandler(o Options) (slog.Handler, *logBuffer, error) {
	format := func(to io.Writer) slog.Handler {
		out, options := redactingWriter{to}, &slog.HandlerOptions{Level: o.LogLevel}
		if o.LogFormat == "text" {
			return slog.NewTextHandler(out, options)
		}
		return slog.NewJSONHandler(out, options)
	}
	if o.LogFormat != "" && o.LogFormat != "json" && o.LogFormat != "text" {
		return nil, nil, fmt.Errorf("the log format must be json or text, not %q", o.LogFormat)
	}
	buffer := &logBuffer{out: o.LogOutput, lost: format(o.LogOutput)}
	return flushing{traced{format(buffer)}, buffer}, buffer, nil
}

// traced adds the ids of the context's span to a record.
type traced struct{ slog.Handler }

// Handle implements slog.Handler.
func (h traced) Handle(ctx context.Context, r slog.Record) error {
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		r = r.Clone()
		r.AddAttrs(slog.String("trace_id", sc.TraceID().String()), slog.String("span_id", sc.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h traced) WithAttrs(attrs []slog.Attr) slog.Handler { return traced{h.Handler.WithAttrs(attrs)} }

// WithGroup implements slog.Handler.
func (h traced) WithGroup(name string) slog.Handler { return traced{h.Handler.WithGroup(name)} }

// redactingWriter removes secrets from what slog's handlers write. They write a record at once, with names, groups,
// errors and values, so nothing passes by it.
type redactingWriter struct{ io.Writer }

// Write implements io.Writer.
func (w redactingWriter) Write(p []byte) (int, error) {
	clean := p
	if mayContainSecret(p) {
		clean = []byte(redact(string(p)))
	}
	if _, err := w.Writer.Write(clean); err != nil {
		return 0, err
	}
	return len(p), nil
}

// leveled leaves out records below a severity.
type leveled struct {
	*sdklog.BatchProcessor
	least log.Severity
}

// Enabled implements sdklog.Processor.
func (p leveled) Enabled(_ context.Context, q sdklog.EnabledParameters) bool {
	return q.Severity >= p.least
}
