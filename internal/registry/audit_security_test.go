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
	"github.com/breakpilot/tenant-registry/internal/testkit"
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
	written := func(count int) {
		testkit.Eventually(t, "the events are written", func() bool { return len(f.log()) == count })
	}
	written(6)
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

// An export's event is written when RecordExport returns, each time; a store that cannot write it is an error.
func TestSecurityLog_everyExport(t *testing.T) {
	t.Parallel()
	store := &mute{Store: memory.New()}
	l := registry.NewSecurityLog(func(err error) { t.Errorf("an event is lost: %v", err) })
	f := fixtureOn(t, store, func(o *registry.Options) { o.Security = l })
	acme := f.tenant("acme", registry.StatusActive)
	before := len(f.log())
	for i := range 3 {
		f.must(l.RecordExport(f.ctx, f.by, acme.ID, map[string]string{"format": "csv"}))
		if e := f.last(); e.Action != "audit.export" || e.Fields["format"] != "csv" || len(f.log()) != before+i+1 {
			t.Errorf("export %d left %+v", i, e)
		}
	}
	store.silent = true
	if err := l.RecordExport(f.ctx, f.by, acme.ID, nil); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("an export that cannot be recorded: %v", err)
	}
	if _, err := f.s.Export(f.ctx, f.by, registry.ExportRequest{GroupID: &acme.ID}); !errors.Is(
		err, registry.ErrUnavailable,
	) {
		t.Errorf("it begins: %v", err)
	}
	store.silent = false
	x, err := f.s.Export(f.ctx, f.by, registry.ExportRequest{GroupID: &acme.ID})
	f.must(err)
	x.Close()
	l.Close(f.ctx)
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
	want := "[token.refuse  function.deny  token.refuse  token.refuse  function.deny ]"
	if fmt.Sprint(actions(got)) != want {
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

// reads logs that many callers read a log.
func reads(f *fixture, l *registry.SecurityLog, from, to int) {
	for i := from; i < to; i++ {
		by := f.by
		by.Actor.ID = fmt.Sprint("op-", i)
		l.LogRead(by, nil)
	}
}

// A caller waits for none of its security events; the queue is bounded, and what does not fit is counted.
func TestSecurityLog_isBounded(t *testing.T) {
	t.Parallel()
	store := stuck{memory.New(), make(chan struct{}, 10_000), make(chan struct{})}
	var lost atomic.Int64
	l := registry.NewSecurityLog(func(error) { lost.Add(1) })
	f := fixtureOn(t, store, func(o *registry.Options) { o.Security = l })
	reads(f, l, 0, 1)
	<-store.begun
	reads(f, l, 1, 3001)
	if n := lost.Load(); n != 3000-1024 {
		t.Errorf("%d of 3000 are lost while nothing can be written", n)
	}
	close(store.open)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if n := l.Close(ctx); n != 1025 || lost.Load() != 3000-1024 {
		t.Errorf("%d are lost at the end, %d before", n, lost.Load())
	}
	var none *registry.SecurityLog
	none.LogRead(f.by, nil)
	none.AuthenticationFailed(f.by, "", "")
	none.AuthorizationDenied(f.by, "")
	f.must(none.RecordExport(f.ctx, f.by, uuid.Nil, nil))
	none.Close(t.Context())
}

// What waits while the store is unavailable is written when it is available again, in batches, and nothing twice.
func TestSecurityLog_outlastsAnOutage(t *testing.T) {
	t.Parallel()
	store := &mute{Store: memory.New()}
	store.down.Store(true)
	l := registry.NewSecurityLog(func(err error) { t.Errorf("an event is lost: %v", err) })
	f := fixtureOn(t, store, func(o *registry.Options) { o.Security = l })
	reads(f, l, 0, 500)
	reads(f, l, 0, 500) // the same ones, which wait to be recorded
	testkit.Eventually(t, "it has tried", func() bool { return store.tries.Load() > 0 })
	store.down.Store(false)
	if n := l.Close(t.Context()); n != 0 {
		t.Errorf("%d events are lost", n)
	}
	if n := len(f.log()); n != 500 {
		t.Errorf("%d events are written, want 500", n)
	}
	if n := store.tries.Load(); n > 20 {
		t.Errorf("500 events took %d transactions", n)
	}
}

// A read whose event could not be written is not recorded: the next read of that log is. The control is one that was.
func TestSecurityLog_readIsRecordedWhenItWasWritten(t *testing.T) {
	t.Parallel()
	store := stuck{memory.New(), make(chan struct{}, 10_000), make(chan struct{})}
	var lost atomic.Int64
	l := registry.NewSecurityLog(func(error) { lost.Add(1) })
	f := fixtureOn(t, store, func(o *registry.Options) { o.Security = l })
	reads(f, l, 0, 1)
	<-store.begun
	reads(f, l, 1, 1025) // the queue is full
	reads(f, l, 2000, 2001)
	reads(f, l, 2000, 2001)
	reads(f, l, 1, 1025)
	if n := lost.Load(); n != 2 {
		t.Errorf("%d events did not fit, want 2: the read that was not recorded is tried again, the others are not", n)
	}
	close(store.open)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	l.Close(ctx)
}

// At its end the log says how many refusals were suppressed since the last event of their kind.
func TestSecurityLog_closeRecordsSuppressed(t *testing.T) {
	t.Parallel()
	f, l, recorded := securityFixture(t)
	f.by.Route = "POST /v1/tenants"
	for range 10 {
		l.AuthorizationDenied(f.by, "none of its roles")
	}
	got := recorded()
	if len(got) != 2 || got[0].Fields["suppressed"] != "" || got[1].Fields["suppressed"] != "8" {
		t.Errorf("ten refusals left %+v", got)
	}
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
			reads(f, l, 0, events)
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
			return closed(f.s.Export(f.ctx, by, registry.ExportRequest{GroupID: group, Format: "ndjson", To: 1}))
		}, export},
		"head of an export": {func(f *fixture, by registry.Caller, group *uuid.UUID, _ uuid.UUID) error {
			return closed(f.s.Export(f.ctx, by, registry.ExportRequest{GroupID: group, Head: true}))
		}, read},
		"empty export": {func(f *fixture, by registry.Caller, group *uuid.UUID, _ uuid.UUID) error {
			return closed(f.s.Export(f.ctx, by, registry.ExportRequest{GroupID: group, From: 2}))
		}, read},
		"tenant export": {func(f *fixture, by registry.Caller, group *uuid.UUID, _ uuid.UUID) error {
			return closed(f.s.ExportTenant(f.ctx, by, *group, false))
		}, export},
		"head of a tenant export": {func(f *fixture, by registry.Caller, group *uuid.UUID, _ uuid.UUID) error {
			return closed(f.s.ExportTenant(f.ctx, by, *group, true))
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
			if format := map[bool]string{true: "tenant", false: "ndjson"}[name == "tenant export"]; c.want == export {
				f.fields(log[0], map[string]string{"format": format, "from_seq": "1", "to_seq": "1"})
			}
		})
	}
}

// closed ends an export that nothing is written of.
func closed[X interface{ Close() }](x X, err error) error {
	if err == nil {
		x.Close()
	}
	return err
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
