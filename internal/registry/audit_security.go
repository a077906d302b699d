package registry

import (
	"context"
	"errors"
	"maps"
	"slices"
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
	securityBatch        = 100              // of them are written together
	maxRecordedReads     = 10_000           // reads whose time is cached, by principal and log
	readInterval         = time.Hour        // one event for all reads of a log by a principal meanwhile
	refusalInterval      = time.Second      // one event for all refusals of a kind meanwhile
	securityWriteTimeout = 10 * time.Second // of one batch
	securityRetryPause   = time.Second      // between two attempts while the store is unavailable
)

var errSecurityQueueFull = errors.New("too many security events wait to be written")

// SecurityLog writes security events: that of an export before the export begins, the others after the answer was
// decided, and without delaying it. It bounds how many there are, so that no caller can fill the log by being refused.
// While the store is unavailable the others wait, as many as the queue holds. A nil SecurityLog writes nothing.
type SecurityLog struct {
	service *Service
	lost    func(error)
	queue   chan securityEvent
	life    context.Context // of the writes; ended when Close has waited long enough
	end     context.CancelFunc
	done    chan struct{}
	unsaved int // events that were not written when life had ended; to be read after done

	mu       sync.Mutex
	closed   bool
	reads    *otter.Cache[logRead, time.Time] // when the event about it was written
	pending  map[logRead]bool                 // the event about it waits to be written
	refusals map[string]*refusals             // by action and kind
}

// securityEvent is an event that waits to be written.
type securityEvent struct {
	audit.Event
	read logRead // that it is about; zero: it is about none
}

// logRead is a principal that read a log.
type logRead struct{ principal, log string }

// refusals of one kind.
type refusals struct {
	at         time.Time // of the last event
	suppressed int       // since then
	last       audit.Event
}

// NewSecurityLog makes a SecurityLog for Options.Security of one Service. It writes from New until Close. lost is
// called for each event that could not be written, with the reason.
func NewSecurityLog(lost func(error)) *SecurityLog {
	life, end := context.WithCancel(context.Background())
	return &SecurityLog{
		lost: lost, queue: make(chan securityEvent, securityQueueSize), life: life, end: end, done: make(chan struct{}),
		reads:    otter.Must(&otter.Options[logRead, time.Time]{MaximumSize: maxRecordedReads}),
		pending:  map[logRead]bool{},
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
	read := logRead{by.Actor.ID, target.ID}
	if l.readIsDue(read) {
		l.record(by, audit.Event{Action: actionLogRead, Target: target}, read)
	}
}

func (l *SecurityLog) readIsDue(read logRead) bool {
	now := l.service.clock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if last, known := l.reads.GetIfPresent(read); known && now.Sub(last) < readInterval || l.pending[read] {
		return false
	}
	l.pending[read] = true
	return true
}

// RecordExport records that a caller takes a copy of a log, each time, and returns when that is written: without its
// event there is no export. fields name the part.
func (l *SecurityLog) RecordExport(ctx context.Context, by Caller, group uuid.UUID, fields map[string]string) error {
	if l == nil {
		return nil
	}
	e := audit.Event{Action: actionLogExported, CRUD: audit.Read, Target: logTarget(&group), Fields: fields}
	return l.service.appendOwnEvents(ctx, l.service.own(e, by, l.service.clock()))
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
	e.IsFailure, e.CRUD = true, audit.Read
	e = l.service.own(e, by, l.service.clock())
	if suppressed, due := l.refusalIsDue(e); due {
		l.enqueue(securityEvent{Event: withSuppressed(e, suppressed)})
	}
}

// withSuppressed says in an event how many like it have none.
func withSuppressed(e audit.Event, count int) audit.Event {
	if count > 0 {
		e.Fields["suppressed"] = strconv.Itoa(count)
	}
	return e
}

func (l *SecurityLog) refusalIsDue(e audit.Event) (suppressed int, due bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	bucket := e.Action + " " + e.Fields["kind"]
	kind := l.refusals[bucket]
	if kind == nil {
		kind = &refusals{}
		l.refusals[bucket] = kind
	}
	if e.Created.Sub(kind.at) < refusalInterval {
		kind.suppressed++
		kind.last = e
		return 0, false
	}
	suppressed = kind.suppressed
	*kind = refusals{at: e.Created}
	return suppressed, true
}

// recordSuppressed records the last refusal of each kind that was suppressed, in the order of the kinds, with how many
// there were besides.
func (l *SecurityLog) recordSuppressed() {
	l.mu.Lock()
	var all []audit.Event
	for _, bucket := range slices.Sorted(maps.Keys(l.refusals)) {
		if kind := l.refusals[bucket]; kind.suppressed > 0 {
			all = append(all, withSuppressed(kind.last, kind.suppressed-1))
			*kind = refusals{at: kind.at}
		}
	}
	l.mu.Unlock()
	for _, e := range all {
		l.enqueue(securityEvent{Event: e})
	}
}

func (l *SecurityLog) record(by Caller, e audit.Event, read logRead) {
	e.CRUD = audit.Read
	l.enqueue(securityEvent{l.service.own(e, by, l.service.clock()), read})
}
