package server

import (
	"net/http"
	"path"
	"strings"

	"github.com/breakpilot/tenant-registry/internal/server/web"
)

// mux routes by the table. What fits no line is answered by unrouted, never with the mux's own text.
func (s *Server) mux(table []route) *http.ServeMux {
	mux, paths := http.NewServeMux(), pathsOf(table)
	unrouted := s.unrouted(paths)
	wide := map[string]choice{}
	for _, rt := range table {
		handler := s.endpoint(rt)
		if others := paths.before(rt); len(others) > 0 {
			handler = except(others, unrouted, handler)
		}
		pattern := rt.Method + " " + widened(rt, table)
		if pattern == rt.name() || strings.HasSuffix(rt.Path, "{$}") {
			mux.Handle(rt.Method+" "+rt.Path, handler)
			continue
		}
		wide[pattern] = append(wide[pattern], chosen{rt, handler})
	}
	for pattern, choice := range wide {
		mux.Handle(pattern, choice.handler(unrouted))
	}
	mux.Handle("/", unrouted)
	return mux
}

// choice are routes that one pattern of the mux stands for.
type choice []chosen

type chosen struct {
	route
	handler http.Handler
}

// handler answers the route whose path a request has.
func (c choice) handler(unrouted http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given := strings.Split(r.URL.Path[1:], "/")
		for _, one := range c {
			if (tablePath{segments: segmentsOf(one.route)}).fits(given) {
				r.Pattern = one.name() // for telemetry, which reads it afterwards
				one.handler.ServeHTTP(w, r)
				return
			}
		}
		r.Pattern = "/"
		unrouted.ServeHTTP(w, r)
	})
}

// except leaves requests that mean one of other paths to another handler. net/http chooses among the paths that take
// the method: for it GET /v1/audit/bulk is a GET /v1/audit/{id}.
func except(others pathList, unrouted, handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if others.find(r.URL.Path) == nil {
			handler.ServeHTTP(w, r)
			return
		}
		r.Pattern = "/" // for telemetry, which reads it afterwards
		unrouted.ServeHTTP(w, r)
	})
}

// canonical refuses a path that is not written in its one form: percent-encoding, doubled slashes and dots name nothing
// here.
func (s *Server) canonical(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := r.URL.EscapedPath()
		if !strings.HasPrefix(p, "/") || strings.Contains(p, "%") || path.Clean(p) != p {
			s.missing(w, r, web.NewProblem(web.CodeNotFound, "There is nothing at this path; paths have one form, "+
				"without encoded characters, doubled or trailing slashes."))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// unrouted answers what no line of the table fits: 405 if another method would, else 404.
func (s *Server) unrouted(paths pathList) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		web.Info(r).Context = r.Context()
		allowed := paths.allowed(r.URL.Path)
		if len(allowed) == 0 {
			s.missing(w, r, web.NewProblem(web.CodeNotFound, "There is nothing at this path."))
			return
		}
		list := strings.Join(allowed, ", ")
		s.missing(w, r, web.NewProblem(web.CodeMethodNotAllowed, "This path takes "+list+"."), allowed...)
	})
}

// missing answers for a path or method that does not exist. Under /v1 even that is told to authenticated callers only.
func (s *Server) missing(w http.ResponseWriter, r *http.Request, problem *web.Problem, allowed ...string) {
	if r.URL.Path == "/v1" || strings.HasPrefix(r.URL.Path, "/v1/") {
		who, err := s.authenticate(r, s.clientIP(r))
		if err == nil {
			if wait := s.limits.principals.Take(who.ID); wait > 0 {
				err = web.TooManyRequests(wait)
			}
		}
		if err != nil {
			s.WriteError(w, r, err)
			return
		}
	}
	if len(allowed) > 0 {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
	}
	s.WriteProblem(w, r, problem)
}
