package server

import (
	"cmp"
	"io"
	"net/http"
	"time"
)

// writeTime is how long a client may take to read one part of a long answer, or an answer that it waited for.
const writeTime = 30 * time.Second

// unhurried lifts the listener's limit on how long an answer takes, for a route that has limits of its own. That on reading has ended
// with the request.
func unhurried(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // where there is no connection there is no limit
}

// within limits how long what is written next may take.
func within(w http.ResponseWriter, d time.Duration) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d))
}

// stream sends an answer part by part. If it cannot be finished the connection is cut, so that nobody takes it for a whole one.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, a answer) {
	h := w.Header()
	h.Set("Cache-Control", cmp.Or(a.cache, "no-store"))
	h.Set("Content-Type", a.contentType)
	h.Set("Content-Disposition", `attachment; filename="`+a.filename+`"`)
	w.WriteHeader(a.status)
	if r.Method == http.MethodHead {
		return
	}
	if err := a.stream(parts{w}); err != nil {
		x := exchangeOf(r)
		s.log.WarnContext(x.ctx, "answer cut short", "error", err, "route", x.route, "request_id", x.requestID)
		panic(http.ErrAbortHandler)
	}
}

// parts sends each write at once, and gives it a deadline of its own.
type parts struct{ http.ResponseWriter }

// Write implements io.Writer.
func (w parts) Write(b []byte) (int, error) {
	within(w.ResponseWriter, writeTime)
	n, err := w.ResponseWriter.Write(b)
	if err == nil {
		err = http.NewResponseController(w.ResponseWriter).Flush()
	}
	return n, err
}

var _ io.Writer = parts{}
