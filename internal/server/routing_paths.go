package server

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/breakpilot/tenant-registry/internal/server/web"
)

// pathList is the paths of a route table with their methods. Where several fit one request the first is meant: a fixed
// segment comes before a parameter.
type pathList []tablePath

// tablePath is one path of a route table.
type tablePath struct {
	segments []string // after the first slash
	methods  []string // in the order of web.Methods
}

func pathsOf(table []route) pathList {
	var list pathList
	for _, rt := range table {
		segments := segmentsOf(rt)
		i := slices.IndexFunc(list, func(p tablePath) bool { return slices.Equal(p.segments, segments) })
		if i < 0 {
			i, list = len(list), append(list, tablePath{segments: segments})
		}
		list[i].methods = append(list[i].methods, rt.Method)
	}
	for _, p := range list {
		slices.SortFunc(p.methods, func(a, b string) int {
			return slices.Index(web.Methods, a) - slices.Index(web.Methods, b)
		})
	}
	slices.SortFunc(list, func(a, b tablePath) int {
		return slices.Compare(a.segments, b.segments) // a parameter begins with a brace, which is behind every letter
	})
	return list
}

// find is the path that a request means; nil if there is none.
func (l pathList) find(path string) *tablePath {
	given := strings.Split(path[1:], "/")
	for i := range l {
		if l[i].fits(given) {
			return &l[i]
		}
	}
	return nil
}

// allowed lists the methods that the path of a request takes; none if there is no such path.
func (l pathList) allowed(path string) []string {
	p := l.find(path)
	if p == nil {
		return nil
	}
	allowed := slices.Clone(p.methods)
	if i := slices.Index(allowed, http.MethodGet); i >= 0 {
		allowed = slices.Insert(allowed, i+1, http.MethodHead)
	}
	return allowed
}

// before lists the paths that a request which fits the route may mean instead, and that do not take its method.
func (l pathList) before(rt route) pathList {
	route := segmentsOf(rt)
	var others pathList
	for _, p := range l {
		switch {
		case slices.Equal(p.segments, route):
			return others
		case p.overlaps(route) && !slices.Contains(p.methods, rt.Method):
			others = append(others, p)
		}
	}
	return others
}

// widened is the pattern of a route for the mux, which takes no two patterns of a method that fit the same path unless
// one of them fits less: a fixed segment becomes a parameter where such another has one.
func widened(rt route, table []route) string {
	segments := segmentsOf(rt)
	for _, other := range table {
		theirs := segmentsOf(other)
		if other.Method != rt.Method || !(tablePath{segments: theirs}).overlaps(segments) {
			continue
		}
		first := slices.IndexFunc(segments, isParameter)
		for i := range segments {
			fixed := first >= 0 && first < i && !isParameter(theirs[first])
			if fixed && isParameter(theirs[i]) && !isParameter(segments[i]) {
				segments = slices.Clone(segments)
				segments[i] = fmt.Sprintf("{segment%d}", i)
			}
		}
	}
	return "/" + strings.Join(segments, "/")
}

// fits reports whether the segments of a request are this path.
func (p tablePath) fits(given []string) bool {
	return slices.EqualFunc(p.segments, given, func(segment, given string) bool {
		return segment == given || isParameter(segment)
	})
}

// overlaps reports whether a request can fit both this path and the one with these segments.
func (p tablePath) overlaps(segments []string) bool {
	return slices.EqualFunc(p.segments, segments, func(a, b string) bool {
		return a == b || isParameter(a) || isParameter(b)
	})
}

func segmentsOf(rt route) []string { return strings.Split(strings.TrimSuffix(rt.Path, "{$}")[1:], "/") }

func isParameter(segment string) bool { return strings.HasPrefix(segment, "{") }
