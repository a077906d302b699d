package web

import (
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"time"
)

// Methods are those that an API uses.
var Methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// Observer surrounds all handlers.
type Observer struct {
	*Responder
	DevMode bool     // every answer says X-Auth-Mode: dev
	Probes  []string // routes that are logged at debug level
}

// Wrap gives each request its info, writes one line of access log for it, and turns a panic into a problem.
func (o *Observer) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		info := &RequestInfo{answer: recorder{ResponseWriter: w, drain: o.Drain}}
		info.ID, info.Given = requestID(r.Header, o.isSecret)
		r = withInfo(r, info)
		setHeader(w.Header(), "X-Request-Id", info.ID)
		w.Header()["X-Content-Type-Options"] = noSniffing
		if len(r.TransferEncoding) > 0 { // net/http drops a Content-Length beside it: the sign of a smuggled request
			w.Header()["Connection"] = closing
		}
		if o.DevMode {
			setHeader(w.Header(), "X-Auth-Mode", "dev")
		}
		defer o.logAccess(r, info, start) // also if recovered cuts the connection
		defer func() {
			if fault := recover(); fault != nil {
				o.recovered(r, info, fault)
			}
		}()
		next.ServeHTTP(&info.answer, r)
	})
}

// logAccess writes the line of a request that began at start. It calls the handler itself: slog.Logger would look up
// the place in the source, which is always this one.
func (o *Observer) logAccess(r *http.Request, info *RequestInfo, start time.Time) {
	log, level := o.Log.Handler(), slog.LevelInfo
	if slices.Contains(o.Probes, info.Route) {
		level = slog.LevelDebug
	}
	if !log.Enabled(info.Context, level) {
		return
	}
	now := time.Now()
	line := slog.NewRecord(now, level, "request", 0)
	line.AddAttrs(
		slog.String("method", methodLabel(r.Method)), slog.String("route", info.Route),
		slog.Int("status", info.answer.status),
		slog.Int64("bytes", info.answer.bytes), slog.Float64("ms", float64(now.Sub(start).Microseconds())/1000),
		slog.String("principal", info.Principal), slog.String("request_id", info.ID))
	_ = log.Handle(info.Context, line) // there is nowhere to report that the log is full
}

// recovered answers a request whose handler panicked, unless the answer has begun; then the connection is cut.
func (o *Observer) recovered(r *http.Request, info *RequestInfo, fault any) {
	if fault == http.ErrAbortHandler {
		panic(fault)
	}
	o.Log.ErrorContext(
		info.Context, "panic", "fault", fault, "route", info.Route, "request_id", info.ID, "stack",
		string(debug.Stack()),
	)
	if info.answer.status != 0 {
		panic(http.ErrAbortHandler)
	}
	o.WriteProblem(&info.answer, r, internalError())
}

// methodLabel keeps invented methods out of the log.
func methodLabel(method string) string {
	if slices.Contains(Methods, method) || method == http.MethodHead {
		return method
	}
	return "OTHER"
}
