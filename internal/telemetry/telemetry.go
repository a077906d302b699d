// Package telemetry gives the program its logger and, where they are asked for, its traces and metrics.
//
// The log always goes to Options.LogOutput. Traces, metrics and a copy of the log also leave by OTLP over HTTP, but
// only if the standard variables name an endpoint; see readSettings for the list. Without one nothing is exported,
// dialled or started.
//
// Whatever leaves, by whichever way, is free of API keys, JSON web tokens, passwords in URLs, query strings and SQL
// parameters. No global of OpenTelemetry is set, so several Telemetry may live in one process.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
)

// ServiceName is what the service calls itself in telemetry unless OTEL_SERVICE_NAME says otherwise.
const ServiceName = "tenant-registry"

// Options says what Setup should set up. The zero value logs JSON at info level to standard output.
type Options struct {
	ServiceVersion string                   // of the program
	Getenv         func(name string) string // nothing is set if nil
	// os.Stdout if nil; gets whole records, those below a warning up to 50 ms late
	LogOutput  io.Writer
	LogFormat  string     // "json", the default, or "text"
	LogLevel   slog.Level // what is below it is neither written nor exported
	Prometheus bool       // measure for AdminHandler, even if no metrics leave by OTLP
}

// Telemetry is what Setup made. Its methods may be called from several goroutines.
type Telemetry struct {
	logger   *slog.Logger
	traces   trace.TracerProvider // no-op unless tracing
	metrics  metric.MeterProvider // no-op unless measuring
	registry *prometheus.Registry

	tracing, measuring bool

	mu    sync.Mutex
	stops []func(context.Context) error // flush and stop each signal; emptied by Shutdown
}

// Setup reads the environment and starts what it asks for. It dials nothing: a collector that is not there is a warning
// in the log, at most one a minute for each signal, never an error. An error is one sentence that names the option or
// variable.
func Setup(ctx context.Context, o Options) (*Telemetry, error) {
	if o.Getenv == nil {
		o.Getenv = func(string) string { return "" }
	}
	if o.LogOutput == nil {
		o.LogOutput = os.Stdout
	}
	local, buffer, err := localHandler(o)
	if err != nil {
		return nil, err
	}
	s, err := readSettings(o.Getenv)
	if err != nil {
		return nil, err
	}
	t := &Telemetry{
		logger:   slog.New(local),
		stops:    []func(context.Context) error{func(context.Context) error { buffer.end(); return nil }},
		traces:   tracenoop.NewTracerProvider(),
		metrics:  metricnoop.NewMeterProvider(),
		registry: newRegistry(),
	}
	if err := t.start(ctx, o, s); err != nil {
		return nil, errors.Join(fmt.Errorf("telemetry: %w", err), t.Shutdown(ctx))
	}
	return t, nil
}

// Logger writes to LogOutput, with trace_id and span_id if the context has a span, and to the collector if logs leave.
// Inside of a WithGroup the two ids belong to the group.
func (t *Telemetry) Logger() *slog.Logger { return t.logger }

// TraceID is the id of the context's trace in hexadecimal, or empty.
func TraceID(ctx context.Context) string {
	if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
		return sc.TraceID().String()
	}
	return ""
}

// Wrap puts a span and metrics around each request. next must be the mux itself, because the route's pattern is read
// from the request afterwards. If neither traces nor metrics are on, next is returned unchanged and costs nothing.
func (t *Telemetry) Wrap(next http.Handler) http.Handler {
	if !t.tracing && !t.measuring {
		return next
	}
	return instrument(next, t.traces, t.metrics)
}

// PgxTracer makes spans of statements that run inside of a request's trace, with the SQL and never its parameters. It
// is nil if traces are off.
func (t *Telemetry) PgxTracer() pgx.QueryTracer {
	if !t.tracing {
		return nil
	}
	return otelpgx.NewTracer(otelpgx.WithTracerProvider(t.traces), otelpgx.WithMeterProvider(t.metrics),
		// which would also copy the connection's configuration each time
		otelpgx.WithDisableConnectionDetailsInAttributes())
}

// ObservePool measures the pool from now on, if metrics are on. Call it once: there is one pool.
func (t *Telemetry) ObservePool(pool *pgxpool.Pool) error {
	if !t.measuring {
		return nil
	}
	name := semconv.DBClientConnectionPoolName("main") // the default is the database's host, port and name
	return otelpgx.RecordStats(pool, otelpgx.WithStatsMeterProvider(t.metrics), otelpgx.WithStatsAttributes(name))
}

// meterName is the scope of the metrics that the program itself measures.
const meterName = "github.com/breakpilot/tenant-registry"

// Counter makes a counter, and returns the function that adds one to it. It costs nothing if metrics are off.
func (t *Telemetry) Counter(name, description string) (func(), error) {
	counter, err := t.metrics.Meter(meterName).Int64Counter(name, metric.WithDescription(description))
	return func() { counter.Add(context.Background(), 1) }, err
}

// ObserveCacheLease reports from now on whether the lease of the cache is valid (1) or not (0), if metrics are on.
func (t *Telemetry) ObserveCacheLease(valid func() bool) error {
	if !t.measuring {
		return nil
	}
	const description = "1 while the cache may answer; 0 while invalidations of other replicas are not received," +
		" or with CACHE=off"
	_, err := t.metrics.Meter(meterName).Int64ObservableGauge("tenant_registry.cache.lease.valid",
		metric.WithDescription(description),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			value := int64(0)
			if valid() {
				value = 1
			}
			o.Observe(value)
			return nil
		}))
	return err
}

// Shutdown sends what is waiting and stops. It returns when all is sent or when ctx ends, whichever is first, and its
// error says what was not delivered. The logger still writes to LogOutput afterwards, and then at once. A second call
// does nothing.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	t.mu.Lock()
	stops := t.stops
	t.stops = nil
	t.mu.Unlock()
	stopped := make(chan error, len(stops))
	for _, stop := range stops {
		go func() { stopped <- stop(ctx) }()
	}
	var failed error
	for range stops {
		select {
		case err := <-stopped:
			failed = errors.Join(failed, err)
		case <-ctx.Done():
			return errors.Join(failed, ctx.Err())
		}
	}
	return failed
}
