package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// call is one request as a handler sees it.
type call struct {
	ctx   context.Context // ends at the request's deadline; a change's does not end with the client
	r     *http.Request
	query *query
	body  []byte // one byte more than maxBody if it is too long
	by    registry.Caller

	maxBody int
}

// answer is what a handler has to say. Body nil means no body; raw is written as it is under contentType, and so is what stream writes.
type answer struct {
	status      int
	body        any
	raw         []byte
	stream      func(io.Writer) error // each write is sent at once
	contentType string                // of raw and stream
	filename    string                // under which a browser keeps what stream writes
	location    string
	etag        string
	cache       string // Cache-Control; no-store if empty
	repeated    bool   // an earlier request had the effect
}

// endpoint is a line of the route table, read.
type endpoint struct {
	route
	may     policy
	name    string // method and path
	params  []string
	maxBody int
	slow    bool
}

// endpoint turns a line of the route table into a handler of net/http.
func (s *Server) endpoint(rt route) http.Handler {
	may, err := parsePolicy(rt.allow)
	if err != nil {
		panic(fmt.Sprintf("route %s %s: %v", rt.method, rt.path, err))
	}
	may.unlimited = rt.has(unlimited)
	line := endpoint{
		route: rt, may: may, name: rt.method + " " + rt.path, params: strings.Fields(rt.params), maxBody: rt.maxBody(), slow: rt.has(slow),
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := exchangeOf(r)
		x.route, x.ctx = line.name, r.Context()
		a, err := s.answer(&line, w, r)
		if line.slow {
			within(w, writeTime)
		}
		switch {
		case err != nil:
			s.writeError(w, r, err)
		case a.stream != nil:
			s.stream(w, r, a)
		default:
			s.write(w, r, a)
		}
	})
}

// answer asks in this order: who is it, may they, is the query well formed, is the body there; and only then the handler, whose
// deadline begins when the client has said everything.
func (s *Server) answer(line *endpoint, w http.ResponseWriter, r *http.Request) (answer, error) {
	by, err := s.caller(line.may, r)
	if err != nil {
		return answer{}, err
	}
	if by.Idempotency, err = readIdempotency(&line.route, r); err != nil {
		return answer{}, err
	}
	q, err := readQuery(r.URL.RawQuery, line.params)
	if err != nil {
		return answer{}, err
	}
	body, err := readBody(r, line.maxBody)
	if err != nil {
		return answer{}, err
	}
	ctx := r.Context()
	if wantsFresh(r.Header) {
		ctx = registry.WithoutCache(ctx)
	}
	if line.event != "" {
		ctx = context.WithoutCancel(ctx)
	}
	if line.slow {
		unhurried(w)
	} else {
		within := &deadline{Context: ctx, at: time.Now().Add(s.callTimeout)}
		defer within.stop()
		ctx = within
	}
	a, err := line.handle(s, &call{ctx: ctx, r: r, query: q, body: body, maxBody: line.maxBody, by: by})
	a.repeated = by.Repeated()
	return a, err
}

// wantsFresh tells whether the caller takes no answer that was read before it asked.
func wantsFresh(h http.Header) bool {
	for _, header := range h["Cache-Control"] {
		for directive := range strings.SplitSeq(header, ",") {
			switch strings.ToLower(strings.TrimSpace(directive)) {
			case "no-cache", "max-age=0":
				return true
			}
		}
	}
	return false
}

// write sends an answer, which is encoded whole before the first byte leaves.
func (s *Server) write(w http.ResponseWriter, r *http.Request, a answer) {
	h := w.Header()
	switch a.cache {
	case "":
		h["Cache-Control"] = noStore
	case cacheable: // by whoever keeps it, and for that caller alone
		h["Cache-Control"], h["Vary"] = keepPrivately, perCaller
	default:
		setHeader(h, "Cache-Control", a.cache)
	}
	if a.etag != "" {
		setHeader(h, "Etag", a.etag)
		read := r.Method == http.MethodGet || r.Method == http.MethodHead // what a change has made is told in any case
		if read && matches(r.Header["If-None-Match"], a.etag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	if a.repeated {
		h.Set("Idempotent-Replayed", "true")
	}
	if a.location != "" {
		setHeader(h, "Location", a.location)
	}
	body, contentType := a.raw, a.contentType
	if a.body != nil {
		text, err := encode(a.body)
		if err != nil {
			s.writeError(w, r, err)
			return
		}
		defer text.release()
		body, h["Content-Type"] = text.b, ofJSON
	} else if contentType != "" {
		setHeader(h, "Content-Type", contentType)
	}
	if body != nil {
		setHeader(h, "Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(body) // a client that has gone cannot be told
}

// These header values are shared by all answers: nobody may change them in place.
var (
	noStore       = []string{"no-store"}
	keepPrivately = []string{cacheable}
	perCaller     = []string{"Authorization"}
	ofJSON        = []string{"application/json"}
	noSniffing    = []string{"nosniff"}
)

// setHeader is h.Set for a name in its canonical form.
func setHeader(h http.Header, name, value string) { h[name] = []string{value} }

// matches tells whether an If-None-Match names this entity tag, by the weak comparison of RFC 9110.
func matches(given []string, etag string) bool {
	for _, header := range given {
		if header == etag {
			return true
		}
		for _, tag := range strings.Split(header, ",") {
			tag = strings.TrimSpace(tag)
			if tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
				return true
			}
		}
	}
	return false
}

// pathID is the id in the path.
func (c *call) pathID() (uuid.UUID, error) {
	id, ok := parseID(c.r.PathValue("id"))
	if !ok {
		return id, invalid(registry.Violation{Parameter: "id", Message: idRule})
	}
	return id, nil
}

// noBody refuses a body where the route takes none, rather than to ignore what somebody meant.
func (c *call) noBody() error {
	if len(c.body) > 0 {
		return invalid(registry.Violation{Pointer: "", Message: "there must be no body"})
	}
	return nil
}

const idRule = "must be a UUID of 36 characters, such as 00000000-0000-0000-0000-000000000001"

// parseID takes the one form of a UUID that this API writes: 36 characters in lower or upper case, with dashes.
func parseID(s string) (uuid.UUID, bool) {
	if len(s) != 36 {
		return uuid.Nil, false
	}
	id, err := uuid.Parse(s)
	return id, err == nil
}
