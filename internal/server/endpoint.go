package server

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

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

// answer is what a handler has to say. Body nil means no body; raw is written as it is under contentType.
type answer struct {
	status      int
	body        any
	raw         []byte
	contentType string // of raw
	location    string
	etag        string
	cache       string // Cache-Control; no-store if empty
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
		a, err := s.answer(&line, r)
		if err != nil {
			s.writeError(w, r, err)
			return
		}
		s.write(w, r, a)
	})
}

// answer asks in this order: who is it, may they, is the query well formed, is the body there; and only then the handler, whose
// deadline begins when the client has said everything.
func (s *Server) answer(line *endpoint, r *http.Request) (answer, error) {
	by, err := s.caller(line.may, r)
	if err != nil {
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
	if line.event != "" {
		ctx = context.WithoutCancel(ctx)
	}
	if !line.slow {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.callTimeout)
		defer cancel()
	}
	return line.handle(s, &call{ctx: ctx, r: r, query: q, body: body, maxBody: line.maxBody, by: by})
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
