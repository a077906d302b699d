package registry_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

// securityFixture is a fixture with a security log that must lose nothing. recorded ends it, and returns the events
// that it left in the platform's chain.
func securityFixture(
	t *testing.T, o ...func(*registry.Options),
) (f *fixture, l *registry.SecurityLog, recorded func() []audit.Event) {
	t.Helper()
	l = registry.NewSecurityLog(func(err error) { t.Errorf("an event is lost: %v", err) })
	f = newFixture(t, append(o, func(o *registry.Options) { o.Security = l })...)
	recorded = func() []audit.Event {
		t.Helper()
		if n := l.Close(t.Context()); n != 0 {
			t.Errorf("%d events are lost", n)
		}
		log := slices.DeleteFunc(f.log(), func(e audit.Event) bool { return e.GroupID != uuid.Nil })
		for _, e := range log {
			if e.Component != "tenant-registry" {
				t.Errorf("%s is of component %q", e.Action, e.Component)
			}
		}
		dense(t, f.log())
		return log
	}
	return f, l, recorded
}

func actions(events []audit.Event) []string {
	list := []string{}
	for _, e := range events {
		list = append(list, e.Action+" "+e.Target.ID)
	}
	return list
}

func TestSecurityLog_oneReadPerHour(t *testing.T) {
	t.Parallel()
	f, l, recorded := securityFixture(t)
	acme := f.tenant("acme", registry.StatusActive)
	other := f.by
	other.Actor.ID = "op-2"
	for range 100 {
		l.LogRead(f.by, &acme.ID)
		l.LogRead(f.by, nil)
		l.LogRead(f.by, &uuid.Nil)
		l.LogRead(other, &acme.ID)
	}
	f.sleep(time.Hour - time.Second)
	l.LogRead(f.by, &acme.ID)
	f.sleep(time.Second)
	l.LogRead(f.by, &acme.ID)
	got := recorded()
	want := []string{
		"audit.read " + acme.ID.String(), "audit.read all", "audit.read platform", "audit.read " + acme.ID.String(),
		"audit.read " + acme.ID.String(),
	}
	if fmt.Sprint(actions(got)) != fmt.Sprint(want) {
		t.Errorf("there is %v, want %v", actions(got), want)
	}
	if e := got[0]; e.Actor.ID != "op-1" || e.CRUD != audit.Read || e.Target.Type != "tenant" ||
		e.SourceIP != "192.0.2.7" || e.CorrelationID != "req-1" || e.IsFailure {
		t.Errorf("the event is %+v", e)
	}
}

func TestSecurityLog_everyExport(t *testing.T) {
	t.Parallel()
	f, l, recorded := securityFixture(t)
	acme := f.tenant("acme", registry.StatusActive)
	for range 3 {
		l.LogExported(f.by, acme.ID, map[string]string{"format": "csv"})
	}
	got := recorded()
	if len(got) != 3 || got[2].Action != "audit.export" || got[2].Fields["format"] != "csv" {
		t.Errorf("three exports left %v", actions(got))
	}
}

// A thousand refusals leave one event of each kind per second; the next says how many were suppressed.
func TestSecurityLog_oneRefusalPerSecond(t *testing.T) {
	t.Parallel()
	f, l, recorded := securityFixture(t)
	anonymous := registry.Caller{SourceIP: "192.0.2.9", RequestID: "req-2", Route: "GET /v1/audit"}
	f.by.Route = "POST /v1/tenants"
	for range 1000 {
		l.AuthenticationFailed(anonymous, "expired", "the token has expired")
		l.AuthorizationDenied(f.by, "none of its roles")
	}
	f.sleep(time.Second)
	l.AuthenticationFailed(anonymous, "expired", "the token has expired")
	f.sleep(time.Second)
	l.AuthenticationFailed(anonymous, "expired", "the token has expired")
	got := recorded()
	if want := "[token.refuse  function.deny  token.refuse  token.refuse ]"; fmt.Sprint(actions(got)) != want {
		t.Fatalf("there is %v, want %v", actions(got), want)
	}
	if e := got[0]; !e.IsAnonymous || !e.IsFailure || e.Actor.ID != "" || e.Fields["suppressed"] != "" ||
		e.Fields["reason"] == "" || e.SourceIP != "192.0.2.9" {
		t.Errorf("the refused token's event is %+v", e)
	}
	for i, route := range []string{"GET /v1/audit", "POST /v1/tenants", "GET /v1/audit", "GET /v1/audit"} {
		if got[i].Fields["route"] != route {
			t.Errorf("%s is of the route %q, want %q", got[i].Action, got[i].Fields["route"], route)
		}
	}
	if e := got[1]; e.IsAnonymous || e.Actor.ID != "op-1" || !e.IsFailure {
		t.Errorf("the denied caller's event is %+v", e)
	}
	if got[2].Fields["suppressed"] != "999" || got[3].Fields["suppressed"] != "" {
		t.Errorf("the next ones say %v and %v", got[2].Fields, got[3].Fields)
	}
}

// Refusals of one kind suppress no other: a flood of forged tokens does not hide the first expired one.
func TestSecurityLog_eachKindOfRefusalIsRecorded(t *testing.T) {
	t.Parallel()
	f, l, recorded := securityFixture(t)
	anonymous := registry.Caller{SourceIP: "192.0.2.9", RequestID: "req-2", Route: "GET /v1/audit"}
	for range 100 {
		l.AuthenticationFailed(anonymous, "bad_signature", "the signature is wrong")
	}
	l.AuthenticationFailed(anonymous, "expired", "the token has expired")
	l.AuthorizationDenied(f.by, "none of its roles")
	f.sleep(time.Second)
	l.AuthenticationFailed(anonymous, "expired", "the token has expired")
	l.AuthenticationFailed(anonymous, "bad_signature", "the signature is wrong")
	got := []string{}
	for _, e := range recorded() {
		got = append(got, strings.TrimSpace(e.Action+" "+e.Fields["kind"]+" "+e.Fields["suppressed"]))
	}
	want := []string{
		"token.refuse bad_signature", "token.refuse expired", "function.deny", "token.refuse expired",
		"token.refuse bad_signature 99",
	}
	if !slices.Equal(got, want) {
		t.Errorf("there is %q, want %q", got, want)
	}
}

// stuck is a store whose transactions wait until it is open, and then fail.
type stuck struct {
	registry.Store
	begun chan struct{}
	open  chan struct{}
}

func (s stuck) Tx(context.Context, func(registry.Tx) error) error {
	s.begun <- struct{}{}
	<-s.open
	return registry.ErrUnavailable
}

// A caller waits for none of its security events; what cannot be written is counted, and the queue is bounded.
func TestSecurityLog_isBounded(t *testing.T) {
	t.Parallel()
	store := stuck{memory.New(), make(chan struct{}, 10_000), make(chan struct{})}
	var lost, unavailable atomic.Int64
	l := registry.NewSecurityLog(func(err error) {
		lost.Add(1)
		if errors.Is(err, registry.ErrUnavailable) {
			unavailable.Add(1)
		}
	})
	f := fixtureOn(t, store, func(o *registry.Options) { o.Security = l })
	l.LogExported(f.by, uuid.Nil, nil)
	<-store.begun
	for range 3000 {
		l.LogExported(f.by, uuid.Nil, nil)
	}
	if n := lost.Load(); n != 3000-1024 {
		t.Errorf("%d of 3000 are lost while nothing can be written", n)
	}
	close(store.open)
	if n := l.Close(t.Context()); n != 0 || lost.Load() != 3001 || unavailable.Load() != 1025 {
		t.Errorf("%d are lost, %d of them by the store, %d by the end", lost.Load(), unavailable.Load(), n)
	}
	var none *registry.SecurityLog
	none.LogRead(f.by, nil)
	none.AuthenticationFailed(f.by, "", "")
	none.AuthorizationDenied(f.by, "")
	none.LogExported(f.by, uuid.Nil, nil)
	none.Close(t.Context())
}

// Close writes what is queued as long as it may, and counts the rest, without a call for each. The control is a store
// that takes the events: none is lost.
func TestSecurityLog_closeIsBounded(t *testing.T) {
	t.Parallel()
	const events = 100
	for name, tc := range map[string]struct {
		isStuck bool
		lost    int
	}{
		"stuck": {true, events}, "control": {false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var store registry.Store = memory.New()
			if tc.isStuck {
				never := make(chan struct{})
				t.Cleanup(func() { close(never) })
				store = stuck{store, make(chan struct{}, events), never}
			}
			l := registry.NewSecurityLog(func(err error) { t.Errorf("an event is lost by itself: %v", err) })
			f := fixtureOn(t, store, func(o *registry.Options) { o.Security = l })
			for range events {
				l.LogExported(f.by, uuid.Nil, nil)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if !tc.isStuck {
				ctx = t.Context()
			}
			if n := l.Close(ctx); n != tc.lost {
				t.Errorf("%d events are lost, want %d", n, tc.lost)
			}
			if n := len(f.log()); n != events-tc.lost {
				t.Errorf("%d events were written", n)
			}
		})
	}
}

// Every use case that shows a part of a log records the read, each time that it succeeds and never when it is refused;
// what leaves the service as a copy is recorded as an export.
func TestSecurityLog_useCasesRecordReads(t *testing.T) {
	t.Parallel()
	const read, export = "audit.read", "audit.export"
	follow := registry.AuditQuery{Ascending: true, PageRequest: registry.PageRequest{Limit: 10}}
	type use = func(f *fixture, by registry.Caller, group *uuid.UUID, event uuid.UUID) error
	for name, c := range map[string]struct {
		use  use
		want string
	}{
		"audit": {func(f *fixture, by registry.Caller, group *uuid.UUID, _ uuid.UUID) error {
			return second(f.s.Audit(f.ctx, by, registry.AuditQuery{
				GroupID: group, PageRequest: registry.PageRequest{Limit: 1},
			}))
		}, read},
		"follow": {func(f *fixture, by registry.Caller, group *uuid.UUID, _ uuid.UUID) error {
			q := follow
			q.GroupID = group
			return second(f.s.Follow(f.ctx, by, q, registry.MaxWait))
		}, read},
		"event": {func(f *fixture, by registry.Caller, _ *uuid.UUID, event uuid.UUID) error {
			return second(f.s.Event(f.ctx, by, event))
		}, read},
		"chain": {func(f *fixture, by registry.Caller, group *uuid.UUID, _ uuid.UUID) error {
			return second(f.s.Chain(f.ctx, by, group))
		}, read},
		"checkpoint": {func(f *fixture, by registry.Caller, group *uuid.UUID, _ uuid.UUID) error {
			return second(f.s.Checkpoint(f.ctx, by, group))
		}, read},
		"export": {func(f *fixture, by registry.Caller, group *uuid.UUID, _ uuid.UUID) error {
			return second(f.s.Export(f.ctx, by, registry.ExportRequest{GroupID: group, Format: "ndjson", To: 1}))
		}, export},
		"head of an export": {func(f *fixture, by registry.Caller, group *uuid.UUID, _ uuid.UUID) error {
			return second(f.s.Export(f.ctx, by, registry.ExportRequest{GroupID: group, Head: true}))
		}, read},
		"empty export": {func(f *fixture, by registry.Caller, group *uuid.UUID, _ uuid.UUID) error {
			return second(f.s.Export(f.ctx, by, registry.ExportRequest{GroupID: group, Cursor: 1}))
		}, read},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, signed := signing(t)
			f, _, recorded := securityFixture(t, signed)
			acme := f.tenant("acme", registry.StatusTrial)
			event := f.last().ID
			stranger := f.by
			stranger.Access = registry.Access{Tenant: uuid.New()}
			if err := c.use(f, stranger, &acme.ID, event); err == nil {
				t.Error("a stranger is answered")
			}
			f.must(c.use(f, f.by, &acme.ID, event))
			log := recorded()
			if len(log) != 1 || log[0].Action != c.want || log[0].Target.ID != acme.ID.String() ||
				log[0].Actor.ID != "op-1" {
				t.Fatalf("recorded are %+v", log)
			}
			if c.want == export {
				f.fields(log[0], map[string]string{"format": "ndjson", "from_seq": "1", "to_seq": "1"})
			}
		})
	}
}

// A read of the whole log, and one of the platform's, are reads of logs of their own.
func TestSecurityLog_eachLogIsATarget(t *testing.T) {
	t.Parallel()
	f, _, recorded := securityFixture(t)
	for _, group := range []*uuid.UUID{nil, new(uuid.Nil)} {
		_, err := f.s.Audit(f.ctx, f.by, registry.AuditQuery{
			GroupID: group, PageRequest: registry.PageRequest{Limit: 1},
		})
		f.must(err)
	}
	_, err := f.s.Chain(f.ctx, f.by, nil) // the platform's: the second read within the hour
	f.must(err)
	if got, want := fmt.Sprint(actions(recorded())), "[audit.read all audit.read platform]"; got != want {
		t.Errorf("recorded are %s, want %s", got, want)
	}
}

// Verify records a product that asks for another one's keys.
func TestSecurityLog_verifyRecordsDenial(t *testing.T) {
	t.Parallel()
	f, _, recorded := securityFixture(t)
	scanner := registry.Caller{
		Actor: audit.Party{ID: "svc-1"}, Access: registry.Access{Product: "scanner"}, Route: "POST /v1/api-keys/verify",
	}
	_, err := f.s.Verify(f.ctx, scanner, registry.VerifyQuery{Key: "x", Product: "other"}, registry.ReadOptions{})
	f.refusal(err, registry.Forbidden, registry.CodeForbidden)
	_, err = f.s.Verify(f.ctx, scanner, registry.VerifyQuery{Key: "x", Product: "scanner"}, registry.ReadOptions{})
	f.must(err)
	log := recorded()
	if len(log) != 1 || log[0].Action != "function.deny" || log[0].Actor.ID != "svc-1" || !log[0].IsFailure {
		t.Fatalf("recorded are %+v", log)
	}
	f.fields(log[0], map[string]string{"route": "POST /v1/api-keys/verify", "reason": "it is bound to another product"})
}
