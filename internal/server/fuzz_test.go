package server

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

// wantRefusal asserts that an error is a refusal with one of these codes, whose words are fit for JSON.
func wantRefusal(t *testing.T, err error, codes ...string) {
	t.Helper()
	var refusal *web.Problem
	if !errors.As(err, &refusal) || !slices.Contains(codes, refusal.Code) {
		t.Fatalf("the error is %v, want one of %q", err, codes)
	}
	for _, v := range refusal.Violations {
		if !utf8.ValidString(v.Pointer+v.Parameter+v.Message) || utf8.RuneCountInString(v.Parameter) > 65 {
			t.Errorf("the violation %+v is not fit to be shown", v)
		}
	}
}

// bodies are the requests that a body can become.
func bodies() []any {
	all := []any{&verifyRequest{}}
	for _, m := range mutations {
		if m.body != nil {
			all = append(all, reflect.New(reflect.TypeOf(m.body).Elem()).Interface())
		}
	}
	return all
}

// decodeInto reads a body as a handler does.
func decodeInto(into any, body string) error {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	text, err := web.ReadBody(r, maxBody)
	if err != nil {
		return err
	}
	return (&web.Request{Request: r, Body: text, MaxBody: maxBody}).Decode(into)
}

// FuzzDecode asserts that what the decoder takes is one valid document, and what it does not is refused.
func FuzzDecode(f *testing.F) {
	for _, o := range theContract().operations {
		if hasBody(o) {
			good := string(mustJSON(goodBody(o)))
			if !slices.ContainsFunc(bodies(), func(into any) bool { return decodeInto(into, good) == nil }) {
				f.Fatalf("nothing takes %s", good)
			}
			f.Add(good)
			for _, bad := range badTexts(good, maxBody) {
				if len(bad.text) < 1000 {
					f.Add(bad.text)
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, body string) {
		for _, into := range bodies() {
			if err := decodeInto(into, body); err != nil {
				wantRefusal(t, err, "malformed_body", "invalid_request", "body_too_large")
				continue
			}
			if text := jsontext.Value(body); !text.IsValid() || text.Kind() != '{' || len(body) > maxBody ||
				strings.Contains(body, `\u0000`) && !strings.Contains(body, `\\`) {
				t.Errorf("%T takes %q", into, body)
			}
		}
	})
}

// FuzzCursor asserts that a cursor that opens is one that was made, and opens nothing else.
func FuzzCursor(f *testing.F) {
	f.Add(web.SealCursor("catalog:all", "a-b"), "catalog:all")
	f.Add(web.SealCursor("audit:true:all", "1"), "audit:true:all")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, cursor, list string) {
		if position, ok := web.OpenCursor(cursor, list); ok && web.SealCursor(list, position) != cursor {
			t.Errorf("%q opens as %q in %q, whose cursor is %q", cursor, position, list, web.SealCursor(list, position))
		}
		if !strings.Contains(list, "\x00") && len(cursor)+len(list) < 700 {
			if position, ok := web.OpenCursor(web.SealCursor(list, cursor), list); !ok || position != cursor {
				t.Errorf("the position %q in %q comes back as %q, %t", cursor, list, position, ok)
			}
		}
	})
}

// FuzzQuery asserts that what is read from a query obeys the rules, and that everything else is refused.
func FuzzQuery(f *testing.F) {
	for _, raw := range []string{
		"", "limit=1&order=asc", "limit=101", "limit=1&limit=2", "x=%ff", "%zz", "a;b", "is_failure=true&actor_id=%00",
		"tenant_id=x", "cursor=",
	} {
		f.Add(raw)
	}
	allowed := []string{"tenant_id", "limit", "order", "is_failure", "actor_id", "cursor"}
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := web.ReadQuery(raw, allowed, len(raw))
		if err != nil {
			wantRefusal(t, err, "invalid_request")
			return
		}
		id, limit, order, failure, actor :=
			q.UUID("tenant_id"), q.Limit(), q.OneOf(
				"order", "desc", "asc",
			), q.Flag("is_failure"), q.Text("actor_id", 200)
		_ = q.Cursor("list")
		if err := q.Err(); err != nil {
			wantRefusal(t, err, "invalid_request")
			return
		}
		given, err := url.ParseQuery(raw)
		if err != nil || (id == nil) == given.Has("tenant_id") || limit < 1 || limit > 100 ||
			(order != "asc" && order != "desc") ||
			(failure == nil) == given.Has("is_failure") || !utf8.ValidString(actor) || strings.Contains(actor, "\x00") {
			t.Errorf("%q is read as %v %d %q %v %q", raw, id, limit, order, failure, actor)
		}
	})
}

// FuzzHandler asserts that no request whatever has an answer of 500 and above, or one that openapi.yaml does not
// describe.
func FuzzHandler(f *testing.F) {
	for _, r := range storeRoutes() {
		f.Add(r.method, r.target, "application/json", "", r.body)
	}
	f.Add(http.MethodPost, "/v1/tenants", "application/json; charset=utf-8", "id", `{"slug":"globex","name":"\u0000"}`)
	f.Add(http.MethodPut, "/v1//tenants/%2F?x=%zz", "text/plain", "\x00", "{")
	f.Fuzz(func(t *testing.T, method, target, contentType, requestID, body string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || !strings.HasPrefix(target, "/") {
			return // net/http refuses it before any handler
		}
		r, err := http.NewRequest(method, "http://localhost/", strings.NewReader(body))
		if err != nil || method == "" || method == http.MethodConnect {
			return
		}
		r.URL, r.RemoteAddr, r.RequestURI = u, "127.0.0.1:1", target
		r.Header["Content-Type"], r.Header["X-Request-Id"] = []string{contentType}, []string{requestID}
		store := memory.New()
		domain := registry.New(store, registry.Options{})
		if _, err := registry.Seed(t.Context(), store, registry.Options{}); err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		New(Config{Registry: domain, Auth: everyoneIsOperator{}, Logger: slog.New(slog.DiscardHandler)}).ServeHTTP(w, r)
		got := &reply{t: t, what: method + " " + target, status: w.Code, header: w.Header(), body: w.Body.Bytes()}
		if method == http.MethodHead {
			got.body = nil // which net/http does
		}
		if got.status >= 500 {
			t.Errorf("%s → %d %s", got.what, got.status, got.body)
		}
		if err := theContract().checkReply(request{method: method, target: target}, got); err != nil {
			t.Errorf("%s → %d %s: %v", got.what, got.status, got.body, err)
		}
	})
}
