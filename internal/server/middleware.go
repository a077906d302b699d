package server

import (
	"context"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"path"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// exchange is what is known of one request; the parts inside fill it in, the access log reads it. It is the request's context, too.
type exchange struct {
	context.Context
	requestID string
	principal string          // who called, if that was asked
	route     string          // the pattern, never the path: a path may hold what somebody pasted there
	ctx       context.Context // the innermost, which carries the span
	answer    recorder
}

type exchangeKey struct{}

// Value implements context.Context.
func (x *exchange) Value(key any) any {
	if key == (exchangeKey{}) {
		return x
	}
	return x.Context.Value(key)
}

func exchangeOf(r *http.Request) *exchange {
	if x, ok := r.Context().Value(exchangeKey{}).(*exchange); ok {
		return x
	}
	return &exchange{ctx: r.Context()}
}

var (
	requestIDPattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)
	pastedKey        = regexp.MustCompile(`bp_(live|test)_`) // an id is kept in audit events for ever
)

// requestID takes the caller's id if there is exactly one and it is fit to be logged, or makes one.
func requestID(h http.Header, now time.Time) string {
	if given := h.Values("X-Request-Id"); len(given) == 1 && requestIDPattern.MatchString(given[0]) && !pastedKey.MatchString(given[0]) {
		return given[0]
	}
	return newRequestID(now)
}

// newRequestID makes a UUID of version 7, as uuid.NewV7 does but without a call of the system: nobody must be unable to guess it.
func newRequestID(now time.Time) string {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], uint64(now.UnixMilli())<<16|uint64(rand.Uint32()&0x0fff)|0x7000)
	binary.BigEndian.PutUint64(id[8:], rand.Uint64()>>2|1<<63)
	var text [36]byte
	return string(appendID(text[:0], id))
}

// observe gives each request its id, writes one line of access log for it, and turns a panic into a problem.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		x := &exchange{Context: r.Context(), requestID: requestID(r.Header, start), answer: recorder{ResponseWriter: w}}
		x.ctx = x
		r = r.WithContext(x)
		rec := &x.answer
		setHeader(w.Header(), "X-Request-Id", x.requestID)
		w.Header()["X-Content-Type-Options"] = noSniffing
		if s.authMode == "dev" {
			setHeader(w.Header(), "X-Auth-Mode", "dev")
		}
		defer s.logAccess(r, x, rec, start) // also if recovered cuts the connection
		defer func() {
			if fault := recover(); fault != nil {
				s.recovered(rec, r, fault)
			}
		}()
		next.ServeHTTP(rec, r)
	})
}

// logAccess writes the line of a request that began at start. It leaves out what slog.Logger would look up and nobody asked for: the
// place in the source.
func (s *Server) logAccess(r *http.Request, x *exchange, rec *recorder, start time.Time) {
	log, level := s.log.Handler(), accessLevel(x.route)
	if !log.Enabled(x.ctx, level) {
		return
	}
	now := time.Now()
	line := slog.NewRecord(now, level, "request", 0)
	line.AddAttrs(
		slog.String("method", methodLabel(r.Method)), slog.String("route", x.route), slog.Int("status", rec.status),
		slog.Int64("bytes", rec.bytes), slog.Float64("ms", float64(now.Sub(start).Microseconds())/1000),
		slog.String("principal", x.principal), slog.String("request_id", x.requestID))
	_ = log.Handle(x.ctx, line) // there is nowhere to tell that the log is full
}

// recovered answers a request whose handler panicked, unless the answer has begun; then the connection is cut.
func (s *Server) recovered(w *recorder, r *http.Request, fault any) {
	if fault == http.ErrAbortHandler {
		panic(fault)
	}
	x := exchangeOf(r)
	s.log.ErrorContext(x.ctx, "panic", "fault", fault, "route", x.route, "request_id", x.requestID, "stack", string(debug.Stack()))
	if w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	s.writeProblem(w, r, edgeProblem("internal", "The request could not be carried out; the log has the reason under this request id."))
}

// accessLevel keeps probes out of the log unless somebody wants to see everything.
func accessLevel(route string) slog.Level {
	if route == "GET /healthz" || route == "GET /readyz" {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// methodLabel keeps invented methods out of the log.
func methodLabel(method string) string {
	if slices.Contains(methods, method) || method == http.MethodHead {
		return method
	}
	return "OTHER"
}

// canonical refuses a path that is not written in its one form: percent-encoding, doubled slashes and dots name nothing here.
func (s *Server) canonical(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := r.URL.EscapedPath()
		if !strings.HasPrefix(p, "/") || strings.Contains(p, "%") || path.Clean(p) != p {
			s.missing(w, r, edgeProblem("not_found", "There is nothing at this path; paths have one form, without encoded characters, doubled or trailing slashes."))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// methods are those that the API uses.
var methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// unrouted answers what no line of the table fits: 405 if another method would, else 404.
func (s *Server) unrouted(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		exchangeOf(r).ctx = r.Context()
		var allowed []string
		for _, method := range methods {
			other := &http.Request{Method: method, URL: r.URL, Host: r.Host}
			if _, pattern := mux.Handler(other); pattern != "/" {
				allowed = append(allowed, method)
			}
		}
		if len(allowed) == 0 {
			s.missing(w, r, edgeProblem("not_found", "There is nothing at this path."))
			return
		}
		s.missing(w, r, edgeProblem("method_not_allowed", "This path takes "+strings.Join(allowed, ", ")+"."), allowed...)
	})
}

// missing answers for a path or method that is not there. Under /v1 nobody learns even that without a credential.
func (s *Server) missing(w http.ResponseWriter, r *http.Request, refusal *registry.Error, allowed ...string) {
	if r.URL.Path == "/v1" || strings.HasPrefix(r.URL.Path, "/v1/") {
		who, err := s.authenticate(r, s.clientAddress(r))
		if err == nil && !s.limits.principal(who.ID) {
			err = tooMany
		}
		if err != nil {
			s.writeError(w, r, err)
			return
		}
	}
	if len(allowed) > 0 {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
	}
	s.writeProblem(w, r, refusal)
}

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// WriteHeader remembers the status.
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write counts what is written.
func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
