package server

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-json-experiment/json"
)

// What is sent where no answer may repeat it. No id or hash can hold either by chance.
const (
	canary       = "zanzibar-canary"
	canaryNumber = "31415926535897"
)

// eachOperation runs a test for every operation that has what with asks for, on each store, and asserts that nothing was changed.
func eachOperation(t *testing.T, with func(operation) bool, test func(t *testing.T, api *client, o operation)) {
	t.Helper()
	eachStore(t, func(t *testing.T, api *client) {
		api.examples()
		before := len(api.events())
		api.canaries = []string{canary, canaryNumber}
		for _, o := range theContract().operations {
			if with(o) {
				t.Run(o.op.OperationID, func(t *testing.T) { test(t, api.in(t), o) })
			}
		}
		if after := len(api.events()); after != before {
			t.Errorf("bad input left %d events", after-before)
		}
	})
}

func hasBody(o operation) bool   { return o.op.RequestBody != nil }
func isAny(operation) bool       { return true }
func hasNoBody(o operation) bool { return o.op.RequestBody == nil && o.method != http.MethodGet }
func bodySchema(o operation) *openapi3.Schema {
	return o.op.RequestBody.Value.Content["application/json"].Schema.Value
}

// goodBody is the fullest of an operation's example bodies.
func goodBody(o operation) object {
	var best object
	for _, body := range exampleBodies(o) {
		if candidate, ok := body.(map[string]any); ok && len(candidate) > len(best) {
			best = candidate
		}
	}
	return best
}

// bodyLimit is how many bytes the operation takes.
func (o operation) bodyLimit() int {
	if o.path == "/v1/audit/bulk" {
		return 2 << 20
	}
	return 64 << 10
}

// withText is a POST of a body as it is.
func withText(o operation, text string) request {
	r := exampleRequest(o, goodBody(o))
	r.body = text
	return r
}

// badText is a body that is wrong whatever its members mean.
type badText struct {
	name, text, code string
	places           []string
}

func badTexts(good string, limit int) []badText {
	inside := func(members string) string { return strings.TrimSuffix(good, "}") + "," + members + "}" }
	deep := func(levels int) string { return strings.Repeat("[", levels) + strings.Repeat("]", levels) }
	var all []badText
	for name, text := range map[string]string{
		"empty": "", "blank": " \n", "null": "null", "array": "[" + good + "]", "string": `"` + canary + `"`, "number": canaryNumber, "true": "true",
		"cut": good[:len(good)-1], "half": good[:len(good)/2], "trailing comma": strings.TrimSuffix(good, "}") + ",}",
		"trailing data": good + canary, "second document": good + good, "second value": good + " null", "trailing NUL": good + "\x00",
		"trailing no-break space": good + "\u00a0", "byte order mark": "\ufeff" + good, "comment": "/*" + canary + "*/" + good,
		"bare name": "{" + canary + ":1}", "single quotes": "{'" + canary + "':1}", "NaN": inside(`"x":NaN`),
		"form": "slug=" + canary, "XML": "<a>" + canary + "</a>",
		"raw NUL in a text": inside(`"x":"` + canary + "\x00\""), "raw line break in a text": inside(`"x":"` + canary + "\n\""),
		"bad escape": inside(`"x":"\x` + canary + `"`), "number with a plus": inside(`"x":+` + canaryNumber), "leading zero": inside(`"x":0` + canaryNumber),
		"invalid UTF-8 in a text": inside(`"x":"` + canary + "\xff\""), "invalid UTF-8 in a name": inside("\"\xff\":1"),
		"overlong UTF-8": inside("\"x\":\"\xc0\xaf\""), "UTF-8 of half a surrogate": inside("\"x\":\"\xed\xa0\x80\""),
		"lone high surrogate": inside(`"x":"\ud800` + canary + `"`), "lone low surrogate": inside(`"x":"\udc00"`),
		"lone surrogate in a name": inside(`"\ud800":1`), "two high surrogates": inside(`"x":"\ud800\ud800"`),
		"33 levels": inside(`"x":` + deep(32)), "30,000 levels": inside(`"x":` + deep(30000)), "30,000 open levels": strings.Repeat(`{"a":`, 10000),
	} {
		all = append(all, badText{name, text, "malformed_body", nil})
	}
	long := strings.Repeat("n", 300)
	return append(all,
		badText{"unknown member", inside(`"x":"` + canary + `"`), "invalid_request", []string{"/x"}},
		badText{"unknown member of an odd name", inside(`"a/b~":` + canaryNumber), "invalid_request", []string{"/a~1b~0"}},
		badText{"unknown member of a long name", inside(`"` + long + `":"` + canary + `"`), "invalid_request", []string{"/" + long[:64] + "…"}},
		badText{"member without a name", inside(`"":"` + canary + `"`), "invalid_request", []string{"/"}},
		badText{"NUL in a name", inside(`"a\u0000b":"` + canary + `"`), "invalid_request", []string{"/a\x00b"}},
		badText{"32 levels", inside(`"x":` + deep(31)), "invalid_request", []string{"/x"}},
		badText{"a text that is half a surrogate", inside(`"x":"` + canary + `\ud800"`), "malformed_body", []string{"/x"}},
		badText{"a value that is none", inside(`"x":tru`), "malformed_body", []string{"/x"}},
		badText{"a level too many", inside(`"x":` + strings.Repeat(`{"a":`, 32)), "malformed_body", []string{"/x" + strings.Repeat("/a", 31)}},
		badText{"something behind", good + "1", "malformed_body", []string{""}},
		badText{"unknown member there twice", inside(`"x":1,"x":"` + canary + `"`), "malformed_body", []string{"/x"}},
		badText{"too large", good + strings.Repeat(" ", limit+1-len(good)), "body_too_large", nil},
		badText{"too large and broken", strings.Repeat("{", limit+1), "body_too_large", nil},
		badText{"too large a text", inside(`"x":"` + canary + strings.Repeat("x", limit) + `"`), "body_too_large", nil},
	)
}

func TestBadInput_bodies(t *testing.T) {
	eachOperation(t, hasBody, func(t *testing.T, api *client, o operation) {
		for _, bad := range badTexts(string(mustJSON(goodBody(o))), o.bodyLimit()) {
			if bad.text == "" && !o.op.RequestBody.Value.Required {
				continue
			}
			t.Run(bad.name, func(t *testing.T) {
				api.in(t).send(withText(o, bad.text)).wantProblem(bad.code, bad.places...)
			})
		}
	})
}

// The largest body that is allowed, and the deepest, are no fault: what is refused beside them is refused for its size.
func TestBadInput_largestBody(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		good := `{"slug":"globex","name":"Globex"}`
		r := jsonRequest("/v1/tenants", nil).with("Content-Type", "application/json")
		r.body = strings.Repeat(" ", 65536-len(good)) + good
		api.send(r).want(http.StatusCreated)
	})
}

// member is one member of a body, wherever it stands in it.
type member struct {
	at     []string // the names that lead to it
	schema *openapi3.Schema
	must   bool // it may not be null
}

func (m member) pointer() string { return "/" + strings.Join(m.at, "/") }

// membersOf lists the members that a schema allows, with one item of each array and one entry of each map.
func membersOf(schema *openapi3.Schema, at ...string) []member {
	var all []member
	add := func(name string, s *openapi3.Schema) {
		s = resolved(s)
		m := member{append(slices.Clone(at), name), s, !s.PermitsNull()}
		all = append(append(all, m), membersOf(s, m.at...)...)
	}
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		add(name, schema.Properties[name].Value)
	}
	if schema.Items != nil {
		add("0", schema.Items.Value)
	}
	if schema.AdditionalProperties.Schema != nil {
		add("entry", schema.AdditionalProperties.Schema.Value)
	}
	return all
}

// resolved is a schema with what an allOf of one part says.
func resolved(s *openapi3.Schema) *openapi3.Schema {
	if len(s.AllOf) != 1 {
		return s
	}
	same := *s.AllOf[0].Value
	same.Nullable = same.Nullable || s.Nullable
	if s.MaxLength != nil {
		same.MaxLength = s.MaxLength
	}
	return &same
}

// put is a copy of a body with a value at one place; what leads there is made if it is not there.
func put(body any, at []string, value any) any {
	if len(at) == 0 {
		return value
	}
	if at[0] == "0" {
		return []any{put(firstOf(body), at[1:], value)}
	}
	inner, _ := body.(map[string]any)
	same := maps.Clone(inner)
	if same == nil {
		same = object{}
	}
	same[at[0]] = put(inner[at[0]], at[1:], value)
	return same
}

func firstOf(body any) any {
	if list, ok := body.([]any); ok && len(list) > 0 {
		return list[0]
	}
	return nil
}

// wrongTypes are values that the schema's type does not allow.
func wrongTypes(m member) map[string]any {
	all := map[string]any{
		openapi3.TypeString: canary, openapi3.TypeNumber: 31415926535897, openapi3.TypeBoolean: true,
		openapi3.TypeArray: []any{canary}, openapi3.TypeObject: object{"k": canary},
	}
	for _, own := range m.schema.Type.Slice() {
		delete(all, own)
	}
	if m.schema.Type.Is(openapi3.TypeInteger) {
		delete(all, openapi3.TypeNumber)
	}
	if m.must {
		all["null"] = nil
	}
	return all
}

// brokenRules are values of the right type that the schema does not allow.
func brokenRules(m member) map[string]any {
	all, s := map[string]any{}, m.schema
	if s.Type.Is(openapi3.TypeString) {
		if s.MaxLength != nil {
			all["too long"] = strings.Repeat("x", int(*s.MaxLength)) + canary
		}
		if s.MinLength > 0 || len(s.Enum) > 0 && m.must {
			all["empty"] = ""
		}
		if (s.Pattern != "" && s.Pattern != `^[^\u0000]*$`) || len(s.Enum) > 0 || s.Format != "" || len(s.AnyOf) > 0 {
			all["against the rule"] = canary + "\u202e"
		}
		all["with NUL"] = canary + "\x00"
	}
	if s.Type.Is(openapi3.TypeInteger) {
		all["a fraction"], all["too small"], all["too large"], all["beyond 64 bits"] = *s.Min+0.5, *s.Min-1, *s.Max+1, 1e30
	}
	if s.Type.Is(openapi3.TypeObject) && s.MaxProps != nil {
		many := object{}
		for i := range *s.MaxProps + 1 {
			many[fmt.Sprint("k", i)] = canary
		}
		all["too many entries"] = many
	}
	if s.Type.Is(openapi3.TypeArray) && s.MaxItems != nil {
		var many []any
		for i := range *s.MaxItems + 1 {
			if s.Items.Value.Type.Is(openapi3.TypeObject) {
				many = append(many, object{})
				continue
			}
			many = append(many, fmt.Sprint(canary, i))
		}
		all["too many items"] = many
	}
	return all
}

func TestBadInput_members(t *testing.T) {
	eachOperation(t, hasBody, func(t *testing.T, api *client, o operation) {
		for _, m := range membersOf(bodySchema(o)) {
			for kind, values := range map[string]map[string]any{"of type": wrongTypes(m), "that is": brokenRules(m)} {
				for name, value := range values {
					t.Run(m.pointer()+" "+kind+" "+name, func(t *testing.T) {
						body := put(goodBody(o), m.at, value)
						api.in(t).send(withText(o, string(mustJSON(body)))).wantProblem("invalid_request", m.pointer())
					})
				}
			}
		}
	})
}

// Each member of each object is there twice, and under a name in other letters.
func TestBadInput_memberNames(t *testing.T) {
	eachOperation(t, hasBody, func(t *testing.T, api *client, o operation) {
		good := goodBody(o)
		for _, m := range membersOf(bodySchema(o)) {
			value, there := lookUp(good, m.at)
			if !there || m.at[len(m.at)-1] == "0" {
				continue
			}
			name := m.at[len(m.at)-1]
			parent := m.at[:len(m.at)-1]
			twice := func(again string) string {
				marked := put(good, append(slices.Clone(parent), "MARK"), "MARK")
				return strings.Replace(string(mustJSON(marked)), `"MARK":"MARK"`, string(mustJSON(again))+":"+string(mustJSON(value)), 1)
			}
			t.Run(m.pointer(), func(t *testing.T) {
				api := api.in(t)
				api.canaries = nil
				api.send(withText(o, twice(name))).wantProblem("malformed_body", m.pointer())
				other := append(slices.Clone(parent), strings.ToUpper(name))
				if parentOf(bodySchema(o), parent).AdditionalProperties.Schema == nil { // any name is fine in a map
					api.send(withText(o, twice(strings.ToUpper(name)))).wantProblem("invalid_request", member{at: other}.pointer())
				}
			})
		}
	})
}

func parentOf(schema *openapi3.Schema, at []string) *openapi3.Schema {
	for _, name := range at {
		if name == "0" {
			schema = resolved(schema.Items.Value)
			continue
		}
		schema = resolved(schema.Properties[name].Value)
	}
	return schema
}

func lookUp(body any, at []string) (any, bool) {
	for _, name := range at {
		if first := firstOf(body); name == "0" && first != nil {
			body = first
			continue
		}
		inner, ok := body.(map[string]any)
		if !ok {
			return nil, false
		}
		if body, ok = inner[name]; !ok {
			return nil, false
		}
	}
	return body, true
}

func TestBadInput_mediaTypes(t *testing.T) {
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, _ = w.Write([]byte(`{"slug":"globex","name":"Globex"}`))
	_ = w.Close()
	eachOperation(t, hasBody, func(t *testing.T, api *client, o operation) {
		good := withText(o, string(mustJSON(goodBody(o))))
		for _, values := range [][]string{
			nil, {""}, {"text/plain"}, {"application/xml"}, {"application/x-www-form-urlencoded"}, {"multipart/form-data; boundary=x"}, {"text/json"},
			{"application/jsonx"}, {"application/vnd.api+json"}, {"application/json, text/plain"}, {"application/json; charset"}, {"application/json; charset=latin1"},
			{"application/json; charset=utf-16"}, {"application/json; charset=utf-8; charset=latin1"}, {"application/json", "application/json"}, {"application/json", "text/plain"}, {"*/*"}, {canary}, {"application"}, {";"},
		} {
			api.send(good.with("Content-Type", values...)).wantProblem("unsupported_media_type")
		}
		for _, coding := range [][]string{{"gzip"}, {"deflate"}, {"br"}, {"identity"}, {canary}, {"", "gzip"}} {
			r := good.with("Content-Encoding", coding...)
			api.send(r).wantProblem("unsupported_media_type")
			r.body = zipped.String()
			api.send(r).wantProblem("unsupported_media_type")
		}
	})
}

func TestBadInput_goodMediaTypes(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		for _, value := range []string{"application/json", "Application/JSON", "application/json; charset=UTF-8", `application/json;charset="utf-8"`} {
			r := jsonRequest("/v1/internal/api-keys/verify", object{"key": unknownKey}).with("Content-Type", value)
			api.send(r).want(http.StatusOK)
		}
	})
}

// What takes no body refuses one, rather than to ignore what somebody meant; it needs no Content-Type.
func TestBadInput_noBody(t *testing.T) {
	eachOperation(t, hasNoBody, func(t *testing.T, api *client, o operation) {
		for _, text := range []string{"{}", " ", "null", canary, strings.Repeat("x", 65537)} {
			r := exampleRequest(o, nil)
			r.body = text
			for _, kind := range []string{"application/json", "text/plain"} {
				api.send(r.with("Content-Type", kind)).wantProblem("invalid_request", "")
			}
		}
	})
}

// at is a target with something more in its query, byte for byte.
func at(target, more string) string {
	if strings.Contains(target, "?") {
		return target + "&" + more
	}
	return target + "?" + more
}

func TestBadInput_queries(t *testing.T) {
	long := strings.Repeat("n", 300)
	eachOperation(t, isAny, func(t *testing.T, api *client, o operation) {
		var good any
		if hasBody(o) {
			good = goodBody(o)
		}
		r := exampleRequest(o, good)
		bad := func(target string, places ...string) {
			t.Helper()
			same := r
			same.target = target
			api.send(same).wantProblem("invalid_request", places...)
		}
		bad(at(r.target, "x="+canary), "?x")
		bad(at(r.target, "x"), "?x")
		bad(at(r.target, "="+canary), "?(empty)")
		bad(at(r.target, long+"="+canary), "?"+long[:64]+"…")
		bad(at(r.target, "x%00y="+canary), "?x\x00y")
		bad(at(r.target, "x%ff="+canary), "?x\uFFFD")
		bad(at(r.target, "x=1&y=2&x=3"), "?x", "?y")
		for garbled, name := range map[string]string{
			"%zz": "(unreadable)", "x=%": "x", "%": "(unreadable)", "x=%4": "x", "a;b": "(unreadable)", "%gg=" + canary: "(unreadable)",
		} {
			bad(at(r.target, garbled), "?"+name)
		}
		for _, ref := range o.op.Parameters {
			if p := ref.Value; p.In == openapi3.ParameterInQuery {
				badParameter(r.target, p, bad)
			}
		}
	})
}

// badParameter tries values that a parameter does not take.
func badParameter(base string, p *openapi3.Parameter, bad func(target string, places ...string)) {
	q := newQuery(base)
	delete(q.values, p.Name)
	if p.Required {
		bad(q.String(), "?"+p.Name)
	}
	bad(at(at(q.String(), p.Name+"=1"), p.Name+"=1"), "?"+p.Name)
	bad(at(at(q.String(), p.Name+"="+canary), strings.ToUpper(p.Name)+"="+canary), "?"+strings.ToUpper(p.Name))
	for _, raw := range []string{"%ff", "%00", "", canary + "%00"} {
		bad(at(q.String(), p.Name+"="+raw), "?"+p.Name)
	}
	m := member{schema: p.Schema.Value}
	for _, value := range brokenRules(m) {
		bad(q.set(p.Name, value).String(), "?"+p.Name)
	}
	if !m.schema.Type.Is(openapi3.TypeString) {
		bad(q.set(p.Name, canary).String(), "?"+p.Name)
	}
}

// The forms of a UUID that its parser would take, and others.
var badIDs = []string{
	"urn:uuid:00000000-0000-0000-0000-000000000001", "00000000000000000000000000000001", "1", canary, "00000000-0000-0000-0000-00000000000",
	"00000000-0000-0000-0000-0000000000011", "00000000-0000-0000-0000-00000000000g", "0000000000000-0000-0000-000000000001", "-",
}

func TestBadInput_ids(t *testing.T) {
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
			for _, id := range []string{bracketed, "%7B00000000-0000-0000-0000-000000000001%7D", "00000000-0000-0000-0000-000000000001%20", "%00", "%2F", "..", "."} {
				r.target = strings.ReplaceAll(o.path, "{id}", id)
				api.send(r).wantProblem("not_found")
			}
		}
		if p := o.op.Parameters.GetByInAndName(openapi3.ParameterInQuery, "tenant_id"); p != nil {
			for _, id := range append(badIDs, bracketed) {
				api.send(request{method: o.method, target: newQuery(o.path).set("tenant_id", id).String()}).wantProblem("invalid_request", "?tenant_id")
			}
		}
		if hasBody(o) && bodySchema(o).Properties["tenant_id"] != nil {
			for _, id := range append(badIDs, bracketed, "") {
				api.send(jsonRequest(o.path, put(good, []string{"tenant_id"}, id))).wantProblem("invalid_request", "/tenant_id")
			}
		}
	})
}

// An id may be written in either case; it is always answered in lower case.
func TestBadInput_upperCaseID(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.tenant("globex")
		got := as[tenantBody](api.get("/v1/tenants/" + strings.ToUpper(x.ID.String())).want(http.StatusOK))
		wantEqual(t, "the tenant", got, x)
	})
}

func TestBadInput_paths(t *testing.T) {
	eachOperation(t, isAny, func(t *testing.T, api *client, o operation) {
		var good any
		if hasBody(o) {
			good = goodBody(o)
		}
		r := exampleRequest(o, good)
		path, query, _ := strings.Cut(r.target, "?")
		last := strings.LastIndex(path, "/")
		odd := []string{
			path + "/", "/" + path, "/." + path, "/x/.." + path, path + "/.", path + "/..", path[:last] + "/" + path[last:], path + "%00", path + "%20",
			path + "%ff", path + "%2F", path + "%3Fx=1", path + `\`, path + "\xc3\xa4", strings.Replace(path, "/", "/%2E/", 1), path + "/" + canary + "/a/b/c",
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

func TestBadInput_methods(t *testing.T) {
	eachOperation(t, isAny, func(t *testing.T, api *client, o operation) {
		r := exampleRequest(o, nil)
		path, _, _ := strings.Cut(r.target, "?")
		var allowed []string
		for _, method := range methods {
			if _, _, found := theContract().find(method, path); found {
				allowed = append(allowed, method)
			}
		}
		for _, method := range []string{http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodPatch, http.MethodPost, http.MethodDelete, "BREW", "get", canary} {
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
		if got.status != want.status || got.header.Get("Content-Type") != want.header.Get("Content-Type") || got.header.Get("Content-Length") != want.header.Get("Content-Length") {
			t.Errorf("HEAD %s → %d %v, GET → %d %v", r.target, got.status, got.header, want.status, want.header)
		}
	})
}

// Every 4xx of a body that names a tenant is the same whether it is known or not, and comes before anything is looked up.
func TestBadInput_beforeLookUp(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.tenant("globex").ID
		var answers []string
		for _, id := range []string{x.String(), nobody.String()} {
			got := api.send(jsonRequest("/v1/api-keys", object{"tenant_id": id, "name": "", "scopes": []string{"No"}}))
			var p problem
			if err := json.Unmarshal(got.body, &p, json.MatchCaseInsensitiveNames(true)); err != nil {
				t.Fatal(err)
			}
			p.RequestID = ""
			answers = append(answers, string(mustJSON(p)))
		}
		if answers[0] != answers[1] {
			t.Errorf("the answers differ:\n%s\n%s", answers[0], answers[1])
		}
	})
}

// A body that ends before it was complete is refused, whatever of it has come.
func TestBadInput_halfSent(t *testing.T) {
	eachOperation(t, hasBody, func(t *testing.T, api *client, o operation) {
		r := withText(o, string(mustJSON(goodBody(o))))
		conn, err := net.Dial("tcp", strings.TrimPrefix(api.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", r.method, r.target, len(r.body)+1, r.body)
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		got := &reply{t: t, what: r.method + " " + r.target, status: resp.StatusCode, header: resp.Header, body: body}
		if err := theContract().checkReply(r, got); err != nil {
			t.Error(err)
		}
		got.wantProblem("malformed_body")
	})
}
