package registry_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

// guarded runs fn with a guard, and returns the events that it left in the platform's chain.
func guarded(w *world, fn func(g *registry.Guard)) []registry.AuditEvent {
	w.t.Helper()
	before := len(w.log())
	g := registry.NewGuard(w.s, func(err error) { w.t.Errorf("an event is lost: %v", err) })
	fn(g)
	g.Close()
	log := w.log()[before:]
	for _, e := range log {
		if e.GroupID != uuid.Nil || e.Component != "tenant-registry" {
			w.t.Errorf("%s is in the chain of %s, of component %q", e.Action, e.GroupID, e.Component)
		}
	}
	dense(w.t, w.log())
	return log
}

func actions(events []registry.AuditEvent) []string {
	list := []string{}
	for _, e := range events {
		list = append(list, e.Action+" "+e.Target.ID)
	}
	return list
}

func TestGuard_reads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.tenant("acme", registry.StatusActive)
	other := w.by
	other.Actor.ID = "op-2"
	got := guarded(w, func(g *registry.Guard) {
		for range 100 {
			g.Read(w.by, &acme.ID)
			g.Read(w.by, nil)
			g.Read(w.by, &uuid.Nil)
			g.Read(other, &acme.ID)
		}
		w.sleep(time.Hour - time.Second)
		g.Read(w.by, &acme.ID)
		w.sleep(time.Second)
		g.Read(w.by, &acme.ID)
	})
	want := []string{"audit.read " + acme.ID.String(), "audit.read all", "audit.read platform", "audit.read " + acme.ID.String(), "audit.read " + acme.ID.String()}
	if fmt.Sprint(actions(got)) != fmt.Sprint(want) {
		t.Errorf("there is %v, want %v", actions(got), want)
	}
	if e := got[0]; e.Actor.ID != "op-1" || e.CRUD != registry.Read || e.Target.Type != "tenant" || e.SourceIP != "192.0.2.7" || e.CorrelationID != "req-1" || e.IsFailure {
		t.Errorf("the event is %+v", e)
	}
}

func TestGuard_exportsEachTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.tenant("acme", registry.StatusActive)
	got := guarded(w, func(g *registry.Guard) {
		for range 3 {
			g.Exported(w.by, acme.ID, map[string]string{"format": "csv"})
		}
	})
	if len(got) != 3 || got[2].Action != "audit.export" || got[2].Fields["format"] != "csv" {
		t.Errorf("three exports left %v", actions(got))
	}
}

// A thousand refusals leave one event a second of each kind, and the next says how many it stands for.
func TestGuard_refusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	nobody := registry.Caller{SourceIP: "192.0.2.9", RequestID: "req-2"}
	got := guarded(w, func(g *registry.Guard) {
		for range 1000 {
			g.Refused(nobody, "GET /v1/audit", "the token has expired")
			g.Denied(w.by, "POST /v1/tenants", "none of its roles")
		}
		w.sleep(time.Second)
		g.Refused(nobody, "GET /v1/audit", "the token has expired")
		w.sleep(time.Second)
		g.Refused(nobody, "GET /v1/audit", "the token has expired")
	})
	if want := "[token.refuse  function.deny  token.refuse  token.refuse ]"; fmt.Sprint(actions(got)) != want {
		t.Fatalf("there is %v, want %v", actions(got), want)
	}
	if e := got[0]; !e.IsAnonymous || !e.IsFailure || e.Actor.ID != "" || e.Fields["suppressed"] != "" || e.Fields["reason"] == "" || e.SourceIP != "192.0.2.9" {
		t.Errorf("the refused token's event is %+v", e)
	}
	if e := got[1]; e.IsAnonymous || e.Actor.ID != "op-1" || !e.IsFailure {
		t.Errorf("the denied caller's event is %+v", e)
	}
	if got[2].Fields["suppressed"] != "999" || got[3].Fields["suppressed"] != "" {
		t.Errorf("the next ones say %v and %v", got[2].Fields, got[3].Fields)
	}
}

// stuck is a store whose transactions fail when they are let go.
type stuck struct {
	registry.Store
	begun chan struct{}
	go_   chan struct{}
}

func (s stuck) Tx(context.Context, func(registry.Tx) error) error {
	s.begun <- struct{}{}
	<-s.go_
	return registry.ErrUnavailable
}

// Whoever is read about waits for nothing; what cannot be written is counted, and what waits is bounded.
func TestGuard_lost(t *testing.T) {
	t.Parallel()
	store := stuck{memory.New(), make(chan struct{}, 10_000), make(chan struct{})}
	w := worldOn(t, store)
	var lost, unavailable atomic.Int64
	g := registry.NewGuard(w.s, func(err error) {
		lost.Add(1)
		if errors.Is(err, registry.ErrUnavailable) {
			unavailable.Add(1)
		}
	})
	g.Exported(w.by, uuid.Nil, nil)
	<-store.begun
	for range 3000 {
		g.Exported(w.by, uuid.Nil, nil)
	}
	if n := lost.Load(); n != 3000-1024 {
		t.Errorf("%d of 3000 are lost while nothing can be written", n)
	}
	close(store.go_)
	g.Close()
	if lost.Load() != 3001 || unavailable.Load() != 1025 {
		t.Errorf("%d are lost, %d of them by the store", lost.Load(), unavailable.Load())
	}
	var none *registry.Guard
	none.Read(w.by, nil)
	none.Refused(w.by, "", "")
	none.Exported(w.by, uuid.Nil, nil)
	none.Close()
}
