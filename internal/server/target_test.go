package server

import (
	"net/http"
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
		path, _, _ := strings.Cut(r.target, "?")
		var allowed []string
		for _, method := range web.Methods {
			if _, _, found := theContract().find(method, path); found {
				allowed = append(allowed, method)
			}
		}
		for _, method := range []string{
			http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodPatch, http.MethodPost, http.MethodDelete,
			"BREW", "get", canary,
		} {
			if slices.Contains(allowed, method) {
				continue
			}
			r.method = method
			p := api.send(r).wantHeader("Allow", strings.Join(allowed, ", ")).wantProblem("method_not_allowed")
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
