package server

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

// TestDocs_areServedOnDemand asserts that the documentation is served where it is switched on, and nowhere else.
func TestDocs_areServedOnDemand(t *testing.T) {
	t.Parallel()
	api := newClient(t, memory.New(), registry.Options{})
	for _, path := range []string{"/docs", "/docs/concepts"} {
		got := api.get(path).want(http.StatusOK).wantHeader("Content-Type", "text/html; charset=utf-8")
		if !strings.Contains(string(got.body), "</html>") || got.header.Get("Content-Security-Policy") == "" {
			t.Errorf("%s is %.200s", path, got.body)
		}
	}
	api.get("/docs/unknown").wantProblem("not_found")
	api.send(fetch("/docs/UPPER")).wantProblem("not_found")
	off := New(Config{Registry: api.registry, Auth: everyoneIsOperator{}, Logger: slog.New(slog.DiscardHandler)})
	for _, path := range []string{"/docs", "/docs/concepts"} {
		w := httptest.NewRecorder()
		off.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		got := &reply{t: t, what: "GET " + path, status: w.Code, header: w.Header(), body: w.Body.Bytes()}
		if err := theContract().checkReply(fetch(path), got); err != nil {
			t.Error(err)
		}
		got.wantProblem("not_found")
	}
}
