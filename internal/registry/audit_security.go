package registry

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/maypok86/otter/v2"

	"github.com/breakpilot/tenant-registry/internal/audit"
)

// The actions of security events. They stand in the platform's chain, so that a reader who follows a tenant's log never
// reads about itself.
const (
	actionAuthenticationFailed = "token.refuse"  // a credential was not accepted
	actionAuthorizationDenied  = "function.deny" // a caller may not do what it asked for
	actionLogRead              = "audit.read"    // a caller read a log
	actionLogExported          = "audit.export"  // a caller took a copy of a log

	targetLog   = "audit_log" // the type of the target where it is no tenant's log
	wholeLog    = "all"       // the id of that target: the logs of all groups
	platformLog = "platform"  // or the platform's log
)

const (
	securityQueueSize    = 1024             // events that may wait to be written
	maxRecordedReads     = 10_000           // reads whose time is cached, by principal and log
	readInterval         = time.Hour        // one event for all reads of a log by a principal meanwhile
	refusalInterval      = time.Second      // one event for all refusals of a kind meanwhile
	securityWriteTimeout = 10 * time.Second // of one event
)

var errSecurityQueueFull = errors.New("too many security events wait to be written")

// SecurityLog writes security events: after the answer was decided, and without delaying it. It bounds how many there
// are, so that no caller can fill the log by being refused. A nil SecurityLog writes nothing.
type SecurityLog struct {
	service *Service
	lost    func(error)
	queue   chan audit.Event
	life    context.Context // of the writes; ended when Close has waited long enough
	end     context.CancelFunc
	done    chan struct{}
	unsaved int // events that were not written when life had ended; to be read after done

	mu       sync.Mutex
	closed   bool
	reads    *otter.Cache[logRead, time.Time] // when the event about it was written
	refusals map[string]*refusals             // by action and kind
}

// logRead is a principal that read a log.
type logRead struct{ principal, log string }

// refusals of one kind.
type refusals struct {
	at         time.Time // of the last event
	suppressed int       // since then
}

// NewSecurityLog makes a SecurityLog for Options.Security of one Service. It writes from New until Close. lost is
// called for each event that could not be written, with the reason.
func NewSecurityLog(lost func(error)) *SecurityLog {
	life, end := context.WithCancel(context.Background())
	return &SecurityLog{
		lost: lost, queue: make(chan audit.Event, securityQueueSize), life: life, end: end, done: make(chan struct{}),
		reads:    otter.Must(&otter.Options[logRead, time.Time]{MaximumSize: maxRecordedReads}),
		refusals: map[string]*refusals{},
	}
}

// start makes the log write its events through a service.
func (l *SecurityLog) start(s *Service) {
	if l == nil {
		return
	}
	l.service = s
	go l.write()
}

// Close writes what is queued until ctx ends, and returns how many events were left then. Those are lost, without a
// call each, and so is what is recorded afterwards.
func (l *SecurityLog) Close(ctx context.Context) (lost int) {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	l.closed = true
	close(l.queue)
	l.mu.Unlock()
	stop := context.AfterFunc(ctx, l.end)
	defer stop()
	<-l.done
	l.end()
	return l.unsaved
}

func (l *SecurityLog) write() {
	defer close(l.done)
	for e := range l.queue {
		err := l.writeOne(e)
		switch {
		case err == nil:
		case l.life.Err() != nil:
			l.unsaved++
		default:
			l.lost(err)
		}
	}
}

func (l *SecurityLog) writeOne(e audit.Event) error {
	ctx, cancel := context.WithTimeout(l.life, securityWriteTimeout)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return err
	}
	return recoverToError(func() error { return l.service.appendOwnEvent(ctx, e) })
}

// AuthenticationFailed records a credential that was not accepted; reason is for operators and holds nothing of the
// credential. Refusals of one kind suppress no other kind; kinds are a closed set, since each has its own bound.
func (l *SecurityLog) AuthenticationFailed(by Caller, kind, reason string) {
	l.refuse(by, audit.Event{
		Action: actionAuthenticationFailed, IsAnonymous: true,
		Fields: map[string]string{"route": by.Route, "kind": kind, "reason": reason},
	})
}

// AuthorizationDenied records a caller that may not do what it asked for.
func (l *SecurityLog) AuthorizationDenied(by Caller, reason string) {
	l.refuse(by, audit.Event{
		Action: actionAuthorizationDenied, Fields: map[string]string{"route": by.Route, "reason": reason},
	})
}

// LogRead records that a caller read a log: a tenant's, the platform's (the nil UUID), or, if group is nil, all of
// them.
func (l *SecurityLog) LogRead(by Caller, group *uuid.UUID) {
	if l == nil {
		return
	}
	target := logTarget(group)
	if l.readIsDue(logRead{by.Actor.ID, target.ID}) {
		l.record(by, audit.Event{Action: actionLogRead, Target: target})
	}
}

func (l *SecurityLog) readIsDue(read logRead) bool {
	now := l.service.clock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if last, known := l.reads.GetIfPresent(read); known && now.Sub(last) < readInterval {
		return false
	}
	l.reads.Set(read, now)
	return true
}

// LogExported records that a caller took a copy of a log, each time; fields name the part.
func (l *SecurityLog) LogExported(by Caller, group uuid.UUID, fields map[string]string) {
	l.record(by, audit.Event{Action: actionLogExported, Target: logTarget(&group), Fields: fields})
}

func logTarget(group *uuid.UUID) audit.Party {
	switch {
	case group == nil:
		return audit.Party{ID: wholeLog, Type: targetLog}
	case *group == uuid.Nil:
		return audit.Party{ID: platformLog, Type: targetLog}
	}
	return audit.Party{ID: group.String(), Type: "tenant"}
}

// refuse records at most one event of an action and a kind each refusalInterval; the next one holds how many were
// suppressed meanwhile.
func (l *SecurityLog) refuse(by Caller, e audit.Event) {
	if l == nil {
		return
	}
	suppressed, due := l.refusalIsDue(e.Action + " " + e.Fields["kind"])
	if !due {
		return
	}
	if suppressed > 0 {
		e.Fields["suppressed"] = strconv.Itoa(suppressed)
	}
	e.IsFailure = true
	l.record(by, e)
}

func (l *SecurityLog) refusalIsDue(bucket string) (suppressed int, due bool) {
	now := l.service.clock()
	l.mu.Lock()
	defer l.mu.Unlock()
	kind := l.refusals[bucket]
	if kind == nil {
		kind = &refusals{}
		l.refusals[bucket] = kind
	}
	if now.Sub(kind.at) < refusalInterval {
		kind.suppressed++
		return 0, false
	}
	suppressed = kind.suppressed
	*kind = refusals{at: now}
	return suppressed, true
}

func (l *SecurityLog) record(by Caller, e audit.Event) {
	if l == nil {
		return
	}
	e.CRUD = audit.Read
	if !l.enqueue(l.service.own(e, by, l.service.clock())) {
		l.lost(errSecurityQueueFull)
	}
}

func (l *SecurityLog) enqueue(e audit.Event) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	select {
	case l.queue <- e:
		return true
	default:
		return false
	}
}
