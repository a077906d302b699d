package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

// failing is a server on the store of another one that fails as fault says.
func failing(api *client, fault func(method string) error) *client {
	api.t.Helper()
	return newClient(api.t, faulty{api.store, fault}, registry.Options{Now: api.clock.now})
}

// snapshot is all that can be read of a tenant, and the whole log.
func snapshot(api *client, tenant uuid.UUID) string {
	api.t.Helper()
	var all strings.Builder
	for _, target := range []string{
		join("/v1/tenants", tenant), "/v1/catalog?tenant_id=" + tenant.String(), "/v1/entitlements?tenant_id=" + tenant.String(),
		"/v1/api-keys?tenant_id=" + tenant.String(), "/v1/audit?limit=100",
	} {
		fmt.Fprintf(&all, "%s\n", api.get(target).want(http.StatusOK).body)
	}
	return all.String()
}

// TestMutations_undoneWithoutEvent asserts that a change whose event cannot be written has not happened. The control is the same request
// without the fault.
func TestMutations_undoneWithoutEvent(t *testing.T) {
	eachMutation(t, func(t *testing.T, api *client, s stage, m mutation) {
		broken := failing(api, func(method string) error {
			if method == "InsertEvent" {
				return registry.ErrUnavailable
			}
			return nil
		})
		read := func() string { return snapshot(api, s.trial) + snapshot(api, s.active) }
		before := read()
		broken.call(m.succeed).wantProblem("unavailable")
		if after := read(); after != before {
			t.Errorf("the change happened without its event: before\n%s\nafter\n%s", before, after)
		}
		api.call(m.succeed)
		if read() == before {
			t.Error("without the fault nothing changes either")
		}
	})
}

// storeRoutes are the examples of every operation that asks the store.
func storeRoutes() map[string]request {
	all := map[string]request{}
	for _, o := range theContract().operations {
		if !strings.HasPrefix(o.path, "/v1/") {
			continue
		}
		for name, body := range exampleBodies(o) {
			if name != "malformed" { // which is known without the store
				all[strings.TrimSpace(o.op.OperationID+" "+name)] = exampleRequest(o, body)
			}
		}
	}
	return all
}

// secretCause stands for what a database says of itself.
const secretCause = "dial tcp db.internal:5432: password=hunter2 SQLSTATE 57P01"

func TestFaults_ofTheStore(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct {
		err  error
		code string
	}{
		"unavailable": {fmt.Errorf("%w: %s", registry.ErrUnavailable, secretCause), "unavailable"},
		"too slow":    {fmt.Errorf("%s: %w", secretCause, context.DeadlineExceeded), "unavailable"},
		"cancelled":   {fmt.Errorf("%s: %w", secretCause, context.Canceled), "unavailable"},
		"broken":      {errors.New(secretCause), "internal"},
		"doomed":      {fmt.Errorf("%w: %s", registry.ErrTxDoomed, secretCause), "internal"},
	} {
		for route, r := range storeRoutes() {
			t.Run(name+" "+route, func(t *testing.T) {
				t.Parallel()
				api := failing(exampleServer(t), func(string) error { return fault.err })
				api.canaries = []string{"hunter2"}
				got := api.call(r)
				got.wantProblem(fault.code)
				if fault.code == "unavailable" {
					got.wantHeader("Retry-After", "2")
				}
				if log := api.log.String(); !strings.Contains(log, "hunter2") || !strings.Contains(log, got.header.Get("X-Request-Id")) {
					t.Errorf("the log does not say why: %s", log)
				}
			})
		}
	}
}

// A commit whose outcome is unknown is 503, and nobody repeats it.
func TestFaults_unknownCommit(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		commits := 0
		broken := failing(api, func(method string) error {
			if method != "commit" {
				return nil
			}
			commits++
			return registry.ErrUnavailable
		})
		broken.post("/v1/tenants", object{"slug": "globex", "name": "Globex"}).wantProblem("unavailable")
		if commits != 1 {
			t.Errorf("there were %d commits", commits)
		}
		api.get("/v1/tenants/by-slug/globex").want(http.StatusOK)
	})
}

// inject makes the mux of a server panic.
func inject(fault func()) Config {
	return Config{Wrap: func(http.Handler) http.Handler {
		return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { fault() })
	}}
}

func TestPanic_everyRoute(t *testing.T) {
	t.Parallel()
	for _, o := range theContract().operations {
		for _, body := range exampleBodies(o) {
			t.Run(o.op.OperationID, func(t *testing.T) {
				t.Parallel()
				api := startServer(t, memory.New(), registry.Options{}, inject(func() { panic(errors.New(secretCause)) }))
				api.canaries = []string{"hunter2"}
				r := exampleRequest(o, body).with("X-Request-Id", "the-request")
				if p := api.call(r).wantHeader("X-Request-Id", "the-request").wantProblem("internal"); p.RequestID != "the-request" {
					t.Errorf("request_id is %q", p.RequestID)
				}
				if log := api.log.String(); !strings.Contains(log, "the-request") || !strings.Contains(log, "goroutine") {
					t.Errorf("the log has no stack for this request: %s", log)
				}
			})
		}
	}
}

func TestPanic_inTheStore(t *testing.T) {
	t.Parallel()
	healthy := newClient(t, memory.New(), registry.Options{})
	api := failing(healthy, func(method string) error {
		if method == "InsertEvent" {
			panic("in the middle of a transaction")
		}
		return nil
	})
	api.post("/v1/tenants", object{"slug": "globex", "name": "Globex"}).wantProblem("internal")
	healthy.get("/v1/tenants/by-slug/globex").wantProblem("tenant_not_found")
	healthy.tenant("globex")
}

// An answer that has begun cannot become a problem: the connection is cut, so that nobody takes half an answer for a whole one.
func TestPanic_afterTheAnswerBegan(t *testing.T) {
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

// A change goes on although its client has gone; a read does not.
func TestDeadlines_clientGone(t *testing.T) {
	t.Parallel()
	healthy := newClient(t, memory.New(), registry.Options{})
	entered, release, left := make(chan string), make(chan struct{}), make(chan struct{}, 1)
	api := failing(healthy, func(method string) error {
		switch method {
		case "Tx":
			entered <- method
			<-release
		case "commit":
			left <- struct{}{}
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, api.url+"/v1/tenants", strings.NewReader(`{"slug":"globex","name":"Globex"}`))
		req.Header.Set("Content-Type", "application/json")
		resp, err := api.http.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		gone <- err
	}()
	<-entered
	cancel()
	if err := <-gone; err == nil {
		t.Fatal("the client did not go")
	}
	close(release)
	select {
	case <-left:
	case <-time.After(patience):
		t.Fatal("the change was given up")
	}
	healthy.get("/v1/tenants/by-slug/globex").want(http.StatusOK)
}

// stuck answers nothing until its context ends.
type stuck struct{ registry.Store }

func (stuck) Tx(ctx context.Context, _ func(registry.Tx) error) error {
	<-ctx.Done()
	return ctx.Err()
}

func (stuck) TenantBySlug(ctx context.Context, _ string) (registry.Tenant, error) {
	<-ctx.Done()
	return registry.Tenant{}, ctx.Err()
}

func TestDeadlines_ofACall(t *testing.T) {
	t.Parallel()
	api := startServer(t, stuck{memory.New()}, registry.Options{}, Config{CallTimeout: 20 * time.Millisecond})
	api.get("/v1/tenants/by-slug/globex").wantProblem("unavailable")
	api.post("/v1/tenants", object{"slug": "globex", "name": "Globex"}).wantProblem("unavailable")
}
