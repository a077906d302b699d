package registry

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
)

// The actions of security events. They stand in the platform's chain, so that who follows a tenant's log never reads about itself.
const (
	actionRefused  = "token.refuse"   // a credential was not accepted
	actionDenied   = "function.deny"  // a caller may not do what it asked for
	actionRead     = "audit.read"     // somebody read a log
	actionExported = "audit.export"   // somebody took a copy of one
	targetLog      = "audit_log"      // the type of the target where it is no tenant's log
	wholeLog       = "all"            // the id of that target: every tenant's
	platformLog    = "platform"       // or the platform's own
	guardQueue     = 1024             // events that may wait to be written
	guardMemory    = 10_000           // readers that are remembered
	readEvery      = time.Hour        // one event for all that a principal reads of a log meanwhile
	refusedEvery   = time.Second      // one event for all that is refused of a kind meanwhile
	guardTimeout   = 10 * time.Second // to write one
)

var errGuardFull = errors.New("too many security events wait to be written")

// Guard writes security events: after the answer was decided, and without making anybody wait. It bounds how many there are, so
// that nobody fills the log by being refused. A nil Guard writes nothing.
type Guard struct {
	service *Service
	lost    func(error)
	queue   chan AuditEvent
	done    chan struct{}

	mu      sync.Mutex
	closed  bool
	reads   map[read]time.Time // when the event about it was written
	refused map[string]*refusals
}

// read is who read which log.
type read struct{ principal, log string }

// refusals of one kind.
type refusals struct {
	at         time.Time // of the last event
	suppressed int       // since then
}

// NewGuard makes a Guard that writes until Close. lost is called for each event that could not be written, with the reason.
func NewGuard(s *Service, lost func(error)) *Guard {
	g := &Guard{
		service: s, lost: lost, queue: make(chan AuditEvent, guardQueue), done: make(chan struct{}), reads: map[read]time.Time{},
		refused: map[string]*refusals{},
	}
	go g.write()
	return g
}

// Close writes what waits and ends. What is reported afterwards is lost.
func (g *Guard) Close() {
	if g == nil {
		return
	}
	g.mu.Lock()
	g.closed = true
	close(g.queue)
	g.mu.Unlock()
	<-g.done
}

func (g *Guard) write() {
	defer close(g.done)
	for e := range g.queue {
		ctx, cancel := context.WithTimeout(context.Background(), guardTimeout)
		if err := guarded(func() error { return g.service.appendOwn(ctx, e) }); err != nil {
			g.lost(err)
		}
		cancel()
	}
}

// Refused reports a credential that was not accepted; reason is for operators and holds nothing of the credential.
func (g *Guard) Refused(by Caller, route, reason string) {
	g.refuse(by, AuditEvent{Action: actionRefused, IsAnonymous: true, Fields: map[string]string{"route": route, "reason": reason}})
}

// Denied reports a caller who may not do what it asked for.
func (g *Guard) Denied(by Caller, route, reason string) {
	g.refuse(by, AuditEvent{Action: actionDenied, Fields: map[string]string{"route": route, "reason": reason}})
}

// Read reports that a caller read a log: a tenant's, the platform's (the nil UUID), or, if group is nil, all of them.
func (g *Guard) Read(by Caller, group *uuid.UUID) {
	if g == nil {
		return
	}
	target := logTarget(group)
	now := g.service.clock()
	g.mu.Lock()
	key := read{by.Actor.ID, target.ID}
	last, known := g.reads[key]
	due := !known || now.Sub(last) >= readEvery
	if due {
		g.forget(now)
		g.reads[key] = now
	}
	g.mu.Unlock()
	if due {
		g.report(by, AuditEvent{Action: actionRead, Target: target})
	}
}

// forget makes room: for those that are due anyhow or, if that is not enough, by forgetting all.
func (g *Guard) forget(now time.Time) {
	if len(g.reads) < guardMemory {
		return
	}
	maps.DeleteFunc(g.reads, func(_ read, at time.Time) bool { return now.Sub(at) >= readEvery })
	if len(g.reads) >= guardMemory {
		clear(g.reads)
	}
}

// Exported reports that a caller took a copy of a log, each time; fields say which part.
func (g *Guard) Exported(by Caller, group uuid.UUID, fields map[string]string) {
	g.report(by, AuditEvent{Action: actionExported, Target: logTarget(&group), Fields: fields})
}

func logTarget(group *uuid.UUID) Party {
	switch {
	case group == nil:
		return Party{ID: wholeLog, Type: targetLog}
	case *group == uuid.Nil:
		return Party{ID: platformLog, Type: targetLog}
	}
	return Party{ID: group.String(), Type: "tenant"}
}

// refuse reports at most one event of a kind each refusedEvery; the next one says how many there were meanwhile.
func (g *Guard) refuse(by Caller, e AuditEvent) {
	if g == nil {
		return
	}
	now := g.service.clock()
	g.mu.Lock()
	kind := g.refused[e.Action]
	if kind == nil {
		kind = &refusals{}
		g.refused[e.Action] = kind
	}
	if now.Sub(kind.at) < refusedEvery {
		kind.suppressed++
		g.mu.Unlock()
		return
	}
	if kind.suppressed > 0 {
		e.Fields["suppressed"] = strconv.Itoa(kind.suppressed)
	}
	*kind = refusals{at: now}
	g.mu.Unlock()
	e.IsFailure = true
	g.report(by, e)
}

func (g *Guard) report(by Caller, e AuditEvent) {
	if g == nil {
		return
	}
	e.CRUD = Read
	if !g.enqueue(g.service.own(e, by, g.service.clock())) {
		g.lost(errGuardFull)
	}
}

func (g *Guard) enqueue(e AuditEvent) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	select {
	case g.queue <- e:
		return true
	default:
		return false
	}
}

// appendOwn appends an event of this service's own that belongs to no change.
func (s *Service) appendOwn(ctx context.Context, e AuditEvent) error {
	r := &appending{at: func(int) string { return "" }, done: make(chan struct{})}
	r.add(e)
	err := s.appender.append(ctx, s.store, r)
	if err == nil {
		s.tail.wake(e.GroupID)
	}
	return err
}
