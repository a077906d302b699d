package server

import (
	"context"
	"net/http"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
)

// What a body may be at most, in bytes.
const (
	maxBody     = 64 << 10
	maxBulkBody = 2 << 20
)

// maxQuery is what a query may be at most, in bytes, besides the texts of any characters that its route takes.
const maxQuery = 4 << 10

// queryTexts are those texts, and how many characters they may have.
var queryTexts = map[string]int{
	"reason": registry.MaxText, "actor_id": registry.MaxID, "target_id": registry.MaxID,
	"correlation_id": registry.MaxID, "emitter_id": registry.MaxID,
}

func queryLimit(rt route) int {
	limit := maxQuery
	for _, name := range rt.Query {
		limit += 12 * queryTexts[name] // a character has four bytes in UTF-8, each of them %XX
	}
	return limit
}

// call is one request as a handler sees it.
type call struct {
	web.Request
	by   registry.Caller
	read registry.ReadOptions // as Cache-Control asks for
}

// endpoint turns a line of the route table into a handler of net/http.
func (s *Server) endpoint(rt route) http.Handler {
	if !rt.Roles.anyone && len(rt.Roles.roles) == 0 {
		panic("route " + rt.name() + " has no policy")
	}
	label, maxQuery := rt.Method+" "+rt.Path, queryLimit(rt)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info := web.Info(r)
		info.Route, info.Context = label, r.Context()
		a, err := s.answer(&rt, maxQuery, w, r)
		if rt.LongRunning {
			web.SetWriteDeadline(w, web.WriteTimeout)
		}
		s.Respond(w, r, a, err)
	})
}

// received is a request that its caller may make, with its body.
type received struct {
	by    registry.Caller
	query *web.Query
	body  []byte
	done  func() // gives back what the request has taken of a share
}

// receive asks in this order: who is it, may they, is the query well formed, is there room, and is the body there.
func (s *Server) receive(rt *route, maxQuery, limit int, r *http.Request) (in received, err error) {
	in.done = func() {}
	if in.by, err = s.caller(rt, r); err != nil {
		return in, err
	}
	if in.by.Idempotency, err = readIdempotency(rt, r); err != nil {
		return in, err
	}
	if in.query, err = web.ReadQuery(r.URL.RawQuery, rt.Query, maxQuery); err != nil {
		return in, err
	}
	size := web.BodySize(r, limit)
	announced := min(max(r.ContentLength, 0), size)
	if rt.Appends {
		if in.done, err = s.registry.BeginAppend(in.by, size, announced); err != nil {
			return in, err
		}
	}
	if in.body, err = web.ReadBody(r, limit); err != nil {
		in.done()
		return in, err
	}
	if rt.Appends {
		s.registry.AppendLength(in.by, announced, int64(len(in.body)))
	}
	return in, nil
}

// answer receives the request, and only then asks the handler, whose deadline begins when the client has sent
// everything.
func (s *Server) answer(rt *route, maxQuery int, w http.ResponseWriter, r *http.Request) (web.Response, error) {
	limit := maxBody
	if rt.Bulk {
		limit = maxBulkBody
	}
	in, err := s.receive(rt, maxQuery, limit, r)
	if err != nil {
		web.LeaveBody(w, web.BodySize(r, limit))
		return web.Response{}, err
	}
	defer in.done()
	ctx := r.Context()
	if rt.Event != "" { // a change goes on when its client has gone
		ctx = context.WithoutCancel(ctx)
	}
	switch {
	case rt.LongRunning:
		web.LiftWriteDeadline(w)
	case !rt.Cached:
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.callTimeout)
		defer cancel()
	}
	c := &call{
		Request: web.Request{Request: r, Ctx: ctx, Query: in.query, Body: in.body, MaxBody: limit},
		by:      in.by, read: registry.ReadOptions{Fresh: web.WantsFresh(r.Header)},
	}
	if rt.Event != "" && len(r.Header["If-Match"]) > 0 { // the object of a change is the one in its path
		if id, err := c.PathID(); err == nil {
			c.by.ExpectedVersions = web.IfMatch(r.Header, id)
		}
	}
	return rt.Handle(s, c)
}
