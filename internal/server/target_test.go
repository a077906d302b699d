package server

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/breakpilot/tenant-registry/internal/server/web"
)

// The forms of a UUID that its parser would take, and others.
var badIDs = []string{
	"urn:uuid:00000000-0000-0000-0000-000000000001", "00000000000000000000000000000001", "1", canary,
	"00000000-0000-0000-0000-00000000000",
	"00000000-0000-0000-0000-0000000000011", "00000000-0000-0000-0000-00000000000g",
	"0000000000000-0000-0000-000000000001", "-",
}

func TestTarget_idsHaveOneForm(t *testing.T) {
	bracketed := "{00000000-0000-0000-0000-000000000001}"
	eachOperation(t, isAny, func(t *testing.T, api *client, o operation) {
		var good any
		if hasBody(o) {
			good = goodBody(o)
		}
		r := exampleRequest(o, good)
		if strings.Contains(o.path, "{id}") {
			for _, id := range badIDs {
				r.target = strings.ReplaceAll(o.path, "{id}", id)
				api.send(r).wantProblem("invalid_request", "?id")
			}
			for _, id := range []string{
				bracketed, "%7B00000000-0000-0000-0000-000000000001%7D", "00000000-0000-0000-0000-000000000001%20",
				"%00", "%2F", "..", ".",
			} {
				r.target = strings.ReplaceAll(o.path, "{id}", id)
				api.send(r).wantProblem("not_found")
			}
		}
		if p := o.op.Parameters.GetByInAndName(openapi3.ParameterInQuery, "tenant_id"); p != nil {
			for _, id := range append(badIDs, bracketed) {
				api.send(request{
					method: o.method, target: newQuery(o.path).set("tenant_id", id).String(),
				}).wantProblem("invalid_request", "?tenant_id")
			}
		}
		if hasBody(o) && bodySchema(o).Properties["tenant_id"] != nil {
			for _, id := range append(badIDs, bracketed, "") {
				api.send(jsonRequest(
					o.path, put(good, []string{"tenant_id"}, id),
				)).wantProblem("invalid_request", "/tenant_id")
			}
		}
	})
}

// An id may be written in either case; it is always answered in lower case.
func TestTarget_idsMayBeUpperCase(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.tenant("globex")
		got := as[tenantBody](api.get("/v1/tenants/" + strings.ToUpper(x.ID.String())).want(http.StatusOK))
		wantEqual(t, "the tenant", got, x)
	})
}

func TestTarget_pathsHaveOneForm(t *testing.T) {
	eachOperation(t, isAny, func(t *testing.T, api *client, o operation) {
		var good any
		if hasBody(o) {
			good = goodBody(o)
		}
		r := exampleRequest(o, good)
		path, query, _ := strings.Cut(r.target, "?")
		last := strings.LastIndex(path, "/")
		odd := []string{
			path + "/", "/" + path, "/." + path, "/x/.." + path, path + "/.", path + "/..",
			path[:last] + "/" + path[last:], path + "%00", path + "%20",
			path + "%ff", path + "%2F", path + "%3Fx=1", path + `\`, path + "\xc3\xa4",
			strings.Replace(path, "/", "/%2E/", 1), path + "/" + canary + "/a/b/c",
		}
		if last > 0 {
			odd = append(odd, path[:last]+"%2F"+path[last+1:])
		}
		for _, target := range odd {
			r.target = strings.TrimSuffix(target+"?"+query, "?")
			api.send(r).wantProblem("not_found")
		}
		if strings.ContainsAny(path, "v") {
			r.target = strings.Replace(path, "v", "%76", 1)
			api.send(r).wantProblem("not_found")
			r.target = strings.Replace(path, "v", "V", 1)
			if got := api.send(r); got.status != http.StatusNotFound && got.status != http.StatusBadRequest {
				t.Errorf("%s → %d", got.what, got.status)
			}
		}
	})
}

func TestTarget_otherMethodsAreNamed(t *testing.T) {
	eachOperation(t, isAny, func(t *testing.T, api *client, o operation) {
		r := exampleRequest(o, nil)
		var allowed []string
		for _, method := range web.Methods { // of the document, which a path with a parameter may fit as well
			if theContract().doc.Paths.Value(o.path).GetOperation(method) == nil {
				continue
			}
			if allowed = append(allowed, method); method == http.MethodGet {
				allowed = append(allowed, http.MethodHead)
			}
		}
		for _, method := range []string{
			http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodPatch, http.MethodPost, http.MethodDelete,
			http.MethodGet, http.MethodHead, "BREW", "get", canary,
		} {
			if slices.Contains(allowed, method) {
				continue
			}
			r.method = method
			got := api.send(r).want(http.StatusMethodNotAllowed).wantHeader("Allow", strings.Join(allowed, ", "))
			if method == http.MethodHead { // which has no body
				continue
			}
			p := got.wantProblem("method_not_allowed")
			if p.Detail != "This path takes "+strings.Join(allowed, ", ")+"." {
				t.Errorf("%s: %s", method, p.Detail)
			}
		}
		head := request{method: http.MethodHead, target: r.target}
		switch {
		case !slices.Contains(allowed, http.MethodGet):
			api.send(head).want(http.StatusMethodNotAllowed)
			return
		case o.method != http.MethodGet:
			return
		}
		got, want := api.send(head), api.get(r.target)
		if got.status != want.status || got.header.Get("Content-Type") != want.header.Get("Content-Type") ||
			got.header.Get("Content-Length") != want.header.Get("Content-Length") {
			t.Errorf("HEAD %s → %d %v, GET → %d %v", r.target, got.status, got.header, want.status, want.header)
		}
	})
}

// TestTarget_fixedSegmentsComeFirst asserts that a request means the path with the fixed segments, whatever its method,
// in any table: net/http would choose among the paths that take the method.
func TestTarget_fixedSegmentsComeFirst(t *testing.T) {
	t.Parallel()
	var table []route
	for _, name := range []string{
		"GET /v1/x", "GET /v1/x/{id}", "PATCH /v1/x/{id}", "DELETE /v1/x/{id}", "POST /v1/x/fixed", "GET /v1/x/page",
		"POST /v1/x/{id}/end", "GET /v1/x/named/{name}", "PUT /v1/x/named/{name}", "POST /v1/x/{id}/{part}",
		"GET /{$}",
	} {
		method, path, _ := strings.Cut(name, " ")
		table = append(table, route{
			Method: method, Path: path, Roles: anyone, Handle: func(_ *Server, c *call) (web.Response, error) {
				return web.Response{Status: http.StatusOK, Raw: []byte(name)}, nil
			},
		})
	}
	server := newServer(Config{Auth: everyoneIsOperator{}, Logger: slog.New(slog.DiscardHandler)}, table)
	for target, want := range map[string]string{ // the route, or what Allow names
		"GET /": "GET /{$}", "POST /": "GET, HEAD",
		"GET /v1/x/1": "GET /v1/x/{id}", "PATCH /v1/x/1": "PATCH /v1/x/{id}",
		"POST /v1/x/1":     "GET, HEAD, PATCH, DELETE",
		"OPTIONS /v1/x/1":  "GET, HEAD, PATCH, DELETE",
		"POST /v1/x/fixed": "POST /v1/x/fixed", "GET /v1/x/fixed": "POST", "PATCH /v1/x/fixed": "POST",
		"HEAD /v1/x/fixed": "POST", "PUT /v1/x/fixed": "POST",
		"GET /v1/x/page": "GET /v1/x/page", "DELETE /v1/x/page": "GET, HEAD",
		"GET /v1/x/1/end": "POST", "POST /v1/x/1/end": "POST /v1/x/{id}/end",
		"POST /v1/x/1/x":      "POST /v1/x/{id}/{part}",
		"GET /v1/x/named/end": "GET /v1/x/named/{name}", "POST /v1/x/named/end": "GET, HEAD, PUT",
		"POST /v1/x/named/x": "GET, HEAD, PUT", "POST /v1/x": "GET, HEAD", "GET /v1/y": "", "GET /v1/x/1/end/x": "",
	} {
		method, path, _ := strings.Cut(target, " ")
		w := httptest.NewRecorder()
		server.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		status := http.StatusOK
		switch {
		case want == "":
			status = http.StatusNotFound
		case !strings.Contains(want, "/"):
			status = http.StatusMethodNotAllowed
		}
		if got := w.Body.String(); w.Code != status || (status == http.StatusOK && got != want) ||
			(status == http.StatusMethodNotAllowed && w.Header().Get("Allow") != want) {
			t.Errorf("%s → %d %s, Allow %q, want %q", target, w.Code, got, w.Header().Get("Allow"), want)
		}
	}
}
