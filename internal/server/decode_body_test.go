package server

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
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

// eachOperation runs a test for every operation that has what with asks for, on each store, and asserts that nothing
// was changed.
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
		"empty": "", "blank": " \n", "null": "null", "array": "[" + good + "]", "string": `"` + canary + `"`,
		"number": canaryNumber, "true": "true",
		"cut": good[:len(good)-1], "half": good[:len(good)/2], "trailing comma": strings.TrimSuffix(good, "}") + ",}",
		"trailing data": good + canary, "second document": good + good, "second value": good + " null",
		"trailing NUL":            good + "\x00",
		"trailing no-break space": good + "\u00a0", "byte order mark": "\ufeff" + good,
		"comment":   "/*" + canary + "*/" + good,
		"bare name": "{" + canary + ":1}", "single quotes": "{'" + canary + "':1}", "NaN": inside(`"x":NaN`),
		"form": "slug=" + canary, "XML": "<a>" + canary + "</a>",
		"raw NUL in a text":         inside(`"x":"` + canary + "\x00\""),
		"raw line break in a text":  inside(`"x":"` + canary + "\n\""),
		"bad escape":                inside(`"x":"\x` + canary + `"`),
		"number with a plus":        inside(`"x":+` + canaryNumber),
		"leading zero":              inside(`"x":0` + canaryNumber),
		"invalid UTF-8 in a text":   inside(`"x":"` + canary + "\xff\""),
		"invalid UTF-8 in a name":   inside("\"\xff\":1"),
		"overlong UTF-8":            inside("\"x\":\"\xc0\xaf\""),
		"UTF-8 of half a surrogate": inside("\"x\":\"\xed\xa0\x80\""),
		"lone high surrogate":       inside(`"x":"\ud800` + canary + `"`), "lone low surrogate": inside(`"x":"\udc00"`),
		"lone surrogate in a name": inside(`"\ud800":1`), "two high surrogates": inside(`"x":"\ud800\ud800"`),
		"33 levels": inside(`"x":` + deep(32)), "30,000 levels": inside(`"x":` + deep(30000)),
		"30,000 open levels": strings.Repeat(`{"a":`, 10000),
	} {
		all = append(all, badText{name, text, "malformed_body", nil})
	}
	long := strings.Repeat("n", 300)
	return append(all,
		badText{"unknown member", inside(`"x":"` + canary + `"`), "invalid_request", []string{"/x"}},
		badText{
			"unknown member of an odd name", inside(`"a/b~":` + canaryNumber), "invalid_request", []string{"/a~1b~0"},
		},
		badText{
			"unknown member of a long name", inside(`"` + long + `":"` + canary + `"`), "invalid_request",
			[]string{"/" + long[:64] + "…"},
		},
		badText{"member without a name", inside(`"":"` + canary + `"`), "invalid_request", []string{"/"}},
		badText{"NUL in a name", inside(`"a\u0000b":"` + canary + `"`), "invalid_request", []string{"/a\x00b"}},
		badText{"32 levels", inside(`"x":` + deep(31)), "invalid_request", []string{"/x"}},
		badText{
			"a text that is half a surrogate", inside(`"x":"` + canary + `\ud800"`), "malformed_body", []string{"/x"},
		},
		badText{"a value that is none", inside(`"x":tru`), "malformed_body", []string{"/x"}},
		badText{
			"a level too many", inside(`"x":` + strings.Repeat(`{"a":`, 32)), "malformed_body",
			[]string{"/x" + strings.Repeat("/a", 31)},
		},
		badText{"something behind", good + "1", "malformed_body", []string{""}},
		badText{"unknown member there twice", inside(`"x":1,"x":"` + canary + `"`), "malformed_body", []string{"/x"}},
		badText{"too large", good + strings.Repeat(" ", limit+1-len(good)), "body_too_large", nil},
		badText{"too large and broken", strings.Repeat("{", limit+1), "body_too_large", nil},
		badText{"too large a text", inside(`"x":"` + canary + strings.Repeat("x", limit) + `"`), "body_too_large", nil},
	)
}

func TestBody_malformedIsRefused(t *testing.T) {
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
func TestBody_largestIsTaken(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		good := `{"slug":"globex","name":"Globex"}`
		r := jsonRequest("/v1/tenants", nil).with("Content-Type", "application/json")
		r.body = strings.Repeat(" ", 65536-len(good)) + good
		api.send(r).want(http.StatusCreated)
	})
}

func TestBody_otherMediaTypesAreRefused(t *testing.T) {
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, _ = w.Write([]byte(`{"slug":"globex","name":"Globex"}`))
	_ = w.Close()
	eachOperation(t, hasBody, func(t *testing.T, api *client, o operation) {
		good := withText(o, string(mustJSON(goodBody(o))))
		for _, values := range [][]string{
			nil, {""}, {"text/plain"}, {"application/xml"}, {"application/x-www-form-urlencoded"},
			{"multipart/form-data; boundary=x"}, {"text/json"},
			{"application/jsonx"}, {"application/vnd.api+json"}, {"application/json, text/plain"},
			{"application/json; charset"}, {"application/json; charset=latin1"},
			{"application/json; charset=utf-16"}, {"application/json; charset=utf-8; charset=latin1"},
			{"application/json", "application/json"}, {"application/json", "text/plain"}, {"*/*"}, {canary},
			{"application"}, {";"},
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

func TestBody_mediaTypeMayHaveParameters(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		for _, value := range []string{
			"application/json", "Application/JSON", "application/json; charset=UTF-8",
			`application/json;charset="utf-8"`,
		} {
			r := jsonRequest("/v1/internal/api-keys/verify", object{"key": unknownKey}).with("Content-Type", value)
			api.send(r).want(http.StatusOK)
		}
	})
}

// A route that takes no body refuses one instead of ignoring it. It needs no Content-Type.
func TestBody_isRefusedWhereNoneIsTaken(t *testing.T) {
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

// Every 4xx of a body that names a tenant is the same whether it is known or not, and comes before anything is looked
// up.
func TestBody_isCheckedBeforeLookUp(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.tenant("globex").ID
		var answers []string
		for _, id := range []string{x.String(), unknownID.String()} {
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
func TestBody_halfSentIsRefused(t *testing.T) {
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
		_, _ = fmt.Fprintf(
			conn, "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			r.method, r.target, len(r.body)+1, r.body,
		)
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
