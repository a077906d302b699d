package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
	"github.com/breakpilot/tenant-registry/internal/store/storetest/faultstore"
)

// failing is a server on the store of another one, whose calls fail as fault says.
func failing(api *client, fault func(call string) error) *client {
	api.t.Helper()
	return newClient(api.t, faultstore.New(api.store, fault), registry.Options{Now: api.clock.now})
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

// TestFaults_ofTheStoreAreAnsweredAndLogged asserts what is answered, and logged, if the store fails, by every route
// that asks it.
func TestFaults_ofTheStoreAreAnsweredAndLogged(t *testing.T) {
	t.Parallel()
	healthy := exampleServer(t)
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
		t.Run(name, func(t *testing.T) {
			api := failing(healthy.in(t), func(string) error { return fault.err })
			api.canaries = []string{"hunter2"}
			for route, r := range storeRoutes() {
				t.Run(route, func(t *testing.T) {
					got := api.in(t).call(r)
					got.wantProblem(fault.code)
					if fault.code == "unavailable" {
						got.wantHeader("Retry-After", "2")
					}
					if !api.logged(got.header.Get("X-Request-Id"), "hunter2") {
						t.Errorf("the log does not say why: %s", api.log)
					}
				})
			}
		})
	}
}

// A commit whose outcome is unknown is 503, and is not repeated.
func TestFaults_unknownCommitIsNotRepeated(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		commits := 0
		broken := failing(api, func(call string) error {
			if call != "Commit" {
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

// A change goes on although its client has gone; a read does not.
func TestFaults_changesOutliveTheirClients(t *testing.T) {
	t.Parallel()
	healthy := newClient(t, memory.New(), registry.Options{})
	entered, release, left := make(chan string), make(chan struct{}), make(chan struct{}, 1)
	api := failing(healthy, func(call string) error {
		switch call {
		case "Tx":
			entered <- call
			<-release
		case "Commit":
			left <- struct{}{}
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		req, _ := http.NewRequestWithContext(
			ctx, http.MethodPost, api.url+"/v1/tenants", strings.NewReader(`{"slug":"globex","name":"Globex"}`),
		)
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

func TestFaults_callsHaveADeadline(t *testing.T) {
	t.Parallel()
	stuck := faultstore.New(memory.New(), func(string) error { return faultstore.ErrBlock })
	api := startServer(t, stuck, registry.Options{}, Config{CallTimeout: 20 * time.Millisecond})
	api.get("/v1/tenants/by-slug/globex").wantProblem("unavailable")
	api.post("/v1/tenants", object{"slug": "globex", "name": "Globex"}).wantProblem("unavailable")
}
