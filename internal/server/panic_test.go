package server

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

// inject makes the mux of a server panic.
func inject(fault func()) Config {
	return Config{Wrap: func(http.Handler) http.Handler {
		return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { fault() })
	}}
}

func TestPanic_isAnsweredByEveryRoute(t *testing.T) {
	t.Parallel()
	server := startServer(t, memory.New(), registry.Options{}, inject(func() { panic(errors.New(secretCause)) }))
	server.canaries = []string{"hunter2"}
	for _, o := range theContract().operations {
		for _, body := range exampleBodies(o) {
			t.Run(o.op.OperationID, func(t *testing.T) {
				api, id := server.in(t), fmt.Sprintf("request-%d", requestCount.Add(1))
				r := exampleRequest(o, body).with("X-Request-Id", id)
				if p := api.call(r).wantHeader("X-Request-Id", id).wantProblem("internal"); p.RequestID != id {
					t.Errorf("request_id is %q, want %q", p.RequestID, id)
				}
				if !api.logged(`"`+id+`"`, "goroutine") {
					t.Errorf("the log has no stack for this request: %s", api.log)
				}
			})
		}
	}
}

func TestPanic_inTheStoreUndoesTheChange(t *testing.T) {
	t.Parallel()
	healthy := newClient(t, memory.New(), registry.Options{})
	api := failing(healthy, func(call string) error {
		if call == "Tx.InsertAuditEvents" {
			panic("in the middle of a transaction")
		}
		return nil
	})
	api.post("/v1/tenants", object{"slug": "globex", "name": "Globex"}).wantProblem("internal")
	healthy.get("/v1/tenants/by-slug/globex").wantProblem("tenant_not_found")
	healthy.tenant("globex")
}

// An answer that has begun cannot become a problem: the connection is cut, so that no client takes half an answer for a
// whole one.
func TestPanic_afterTheAnswerBeganCutsTheConnection(t *testing.T) {
	t.Parallel()
	api := startServer(t, memory.New(), registry.Options{}, Config{Wrap: func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusOK)
			_, _ = w.Write([]byte("half"))
			_ = http.NewResponseController(w).Flush()
			panic("too late")
		})
	}})
	resp, err := api.http.Get(api.url + "/healthz")
	if err == nil {
		_, err = resp.Body.Read(make([]byte, 100))
		for err == nil {
			_, err = resp.Body.Read(make([]byte, 100))
		}
		resp.Body.Close()
	}
	if err == nil || err.Error() == "EOF" {
		t.Errorf("the client took it for a whole answer: %v", err)
	}
	api.http.CloseIdleConnections()
	if lines := api.logLines("request"); len(lines) != 1 {
		t.Errorf("the request is %d lines of the log", len(lines))
	}
}
