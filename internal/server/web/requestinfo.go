package web

import (
	"context"
	"net/http"
	"regexp"

	"github.com/google/uuid"
)

// RequestInfo is what is known of one request. The handlers fill it in; the access log reads it.
type RequestInfo struct {
	ID        string          // X-Request-Id: the caller's, or made here
	Given     bool            // it is the caller's
	Principal string          // the caller's id, once it is authenticated
	Route     string          // method and pattern, never the path: a path may hold what was pasted there
	Context   context.Context // the innermost, which carries the span
	answer    recorder
}

// OwnID is the request's id if it was made here; else empty: what a caller chose is not recorded before it is known.
func (i *RequestInfo) OwnID() string {
	if i.Given {
		return ""
	}
	return i.ID
}

type requestInfoKey struct{}

// Info returns what is known of a request; never nil.
func Info(r *http.Request) *RequestInfo {
	if info, ok := r.Context().Value(requestInfoKey{}).(*RequestInfo); ok {
		return info
	}
	return &RequestInfo{Context: r.Context()}
}

// withInfo gives a request its info.
func withInfo(r *http.Request, info *RequestInfo) *http.Request {
	ctx := context.WithValue(r.Context(), requestInfoKey{}, info)
	info.Context = ctx
	return r.WithContext(ctx)
}

var requestIDPattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

// requestID accepts the caller's id if there is exactly one, fit to be logged and no secret, or makes one.
func requestID(h http.Header, isSecret func(string) bool) (id string, given bool) {
	if sent := h["X-Request-Id"]; len(sent) == 1 && requestIDPattern.MatchString(sent[0]) && !isSecret(sent[0]) {
		return sent[0], true
	}
	return uuid.Must(uuid.NewV7()).String(), false
}

// recorder remembers what was answered. In a drain the answer says that its connection is closed.
type recorder struct {
	http.ResponseWriter
	drain  *Drain
	status int
	bytes  int64
}

// WriteHeader remembers the status.
func (w *recorder) WriteHeader(status int) {
	w.begin(status)
	w.ResponseWriter.WriteHeader(status)
}

// Write counts what is written.
func (w *recorder) Write(b []byte) (int, error) {
	w.begin(http.StatusOK)
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

func (w *recorder) begin(status int) {
	if w.status != 0 {
		return
	}
	w.status = status
	if w.drain.Begun() {
		w.Header()["Connection"] = closing
	}
}

// Unwrap lets http.ResponseController reach the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
