package web

import (
	"cmp"
	"io"
	"net/http"
	"time"
)

// WriteTimeout is how long a client may take to read the answer to a long poll.
const WriteTimeout = 30 * time.Second

// A client must read a long answer at a pace: each part within some seconds and at least so many bytes in each of them,
// or its connection is cut.
const (
	minPace   = 32 << 10
	paceGrace = 5 * time.Second
)

// partTimeout is how long a client may take to read a part of so many bytes.
func partTimeout(bytes int) time.Duration {
	return paceGrace + time.Duration(bytes)*time.Second/minPace
}

// LiftWriteDeadline lifts the listener's limit on how long an answer takes, for a route that has limits of its own. The
// limit on reading ended with the request.
func LiftWriteDeadline(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // where there is no connection there is no limit
}

// SetWriteDeadline limits how long what is written next may take.
func SetWriteDeadline(w http.ResponseWriter, d time.Duration) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d))
}

// stream sends an answer part by part. If it cannot be finished the connection is cut, so that no client takes it for
// complete.
func (rs *Responder) stream(w http.ResponseWriter, r *http.Request, a Response) {
	h := w.Header()
	h.Set("Cache-Control", cmp.Or(a.CacheControl, "no-store"))
	h.Set("Content-Type", a.ContentType)
	h.Set("Content-Disposition", `attachment; filename="`+a.Filename+`"`)
	w.WriteHeader(a.Status)
	if r.Method == http.MethodHead {
		return
	}
	defer rs.Drain.watch(w)()
	if err := a.Stream(parts{w, rs.Drain}); err != nil {
		info := Info(r)
		rs.Log.WarnContext(info.Context, "answer cut short", "error", err, "route", info.Route, "request_id", info.ID)
		panic(http.ErrAbortHandler)
	}
}

// parts sends each write at once, and gives it a deadline of its own.
type parts struct {
	http.ResponseWriter
	drain *Drain
}

// Write implements io.Writer.
func (w parts) Write(b []byte) (int, error) {
	w.drain.limit(w.ResponseWriter, partTimeout(len(b)))
	n, err := w.ResponseWriter.Write(b)
	if err == nil {
		err = http.NewResponseController(w.ResponseWriter).Flush()
	}
	return n, err
}

var _ io.Writer = parts{}
