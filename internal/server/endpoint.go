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
	"correlation_id": registry.MaxID,
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

// answer asks in this order: who is it, may they, is the query well formed, is the body there; and only then the
// handler, whose deadline begins when the client has sent everything.
func (s *Server) answer(rt *route, maxQuery int, w http.ResponseWriter, r *http.Request) (web.Response, error) {
	by, err := s.caller(rt, r)
	if err != nil {
		return web.Response{}, err
	}
	if by.Idempotency, err = readIdempotency(rt, r); err != nil {
		return web.Response{}, err
	}
	query, err := web.ReadQuery(r.URL.RawQuery, rt.Query, maxQuery)
	if err != nil {
		return web.Response{}, err
	}
	limit := maxBody
	if rt.Bulk {
		limit = maxBulkBody
	}
	if rt.Appends {
		size := web.BodySize(r, limit)
		done, err := s.registry.BeginAppend(by, size)
		if err != nil {
			web.LeaveBody(w, size)
			return web.Response{}, err
		}
		defer done()
	}
	body, err := web.ReadBody(r, limit)
	if err != nil {
		return web.Response{}, err
	}
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
		Request: web.Request{Request: r, Ctx: ctx, Query: query, Body: body, MaxBody: limit},
		by:      by, read: registry.ReadOptions{Fresh: web.WantsFresh(r.Header)},
	}
	if rt.Event != "" && len(r.Header["If-Match"]) > 0 { // the object of a change is the one in its path
		if id, err := c.PathID(); err == nil {
			c.by.ExpectedVersions = web.IfMatch(r.Header, id)
		}
	}
	return rt.Handle(s, c)
}
