package registry

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/timestamp"
	"github.com/breakpilot/tenant-registry/internal/violation"
)

// MaxExamined bounds how many events a store examines for one page.
const MaxExamined = 10_000

// AuditReader reads the audit log.
type AuditReader interface {
	// GetAuditEvent returns ErrNotFound if there is no event with this id.
	GetAuditEvent(ctx context.Context, id uuid.UUID) (audit.Event, error)
	// ListAuditEvents examines, in the order of q and after q.Position, the events of its group (of all if it names
	// none) that its driving filter selects, and returns those that match the others too. It ends when it has q.Limit
	// of them or has examined q.Bound(). An event is never before one that could be read earlier: ascending order from
	// the position examined is a tail that skips nothing.
	ListAuditEvents(ctx context.Context, q AuditQuery) (AuditRows, error)
	// GetNewestPosition is the Pos of the newest event of the whole log; 0 if there is none.
	GetNewestPosition(ctx context.Context) (int64, error)
	// ListGroupsAfter looks at the next events of the whole log after a position, at most limit of them, and returns
	// the groups that they belong to, each one time.
	ListGroupsAfter(ctx context.Context, position int64, limit int) (GroupsAfter, error)
	// GetChainHead is where a group's chain stands; of a group without events the zero ChainHead.
	GetChainHead(ctx context.Context, group uuid.UUID) (audit.ChainHead, error)
}

// AuditQuery selects events. Empty filters select everything; all given must match.
//
// One filter drives: the events that it selects are examined one by one, in the query's order. The others only narrow
// what is found among these, and after MaxExamined events the page ends, whatever it has.
type AuditQuery struct {
	PageRequest
	GroupID       *uuid.UUID // one tenant's chain, in the order of seq; nil: the whole log, in the order of pos
	Ascending     bool       // oldest first
	Action        string     // exactly this action
	Area          string     // any action whose first segment this is
	ActorID       string
	TargetID      string
	CorrelationID string
	IsFailure     *bool
	CRUD          audit.CRUD
	EmitterID     string    // who reported the event
	Own           *bool     // this service wrote it, or a caller reported it
	CreatedFrom   time.Time // what occurred then or later; zero: at any time
	CreatedBefore time.Time // what occurred before; zero: at any time

	// Set by the use case, for the store.
	Position int64 // of Cursor: the seq (or pos) after which the page begins, in its order; 0: the beginning

	MaxExamined int // events examined at most; 0: MaxExamined
}

// AuditFilter is one condition of a query: what it is on, and the value there.
type AuditFilter struct {
	On    FilterOn
	Value any // a string, a bool, a CRUD or a time.Time
}

// FilterOn is what a filter looks at.
type FilterOn string

// The filters. Those that can drive come first, in the order in which they are chosen; OnFailure does so only if it
// asks for failures.
const (
	OnCorrelation   FilterOn = "correlation_id"
	OnTarget        FilterOn = "target_id"
	OnActor         FilterOn = "actor_id"
	OnAction        FilterOn = "action"
	OnArea          FilterOn = "area"
	OnFailure       FilterOn = "is_failure"
	OnCRUD          FilterOn = "crud"
	OnEmitter       FilterOn = "emitter_id"
	OnOwn           FilterOn = "own"
	OnCreatedFrom   FilterOn = "created_from"
	OnCreatedBefore FilterOn = "created_before"
)

// Filters are the one that drives, if there is one, and those that narrow.
func (q AuditQuery) Filters() (driving, narrowing []AuditFilter) {
	var given []AuditFilter
	for _, f := range []AuditFilter{
		{OnCorrelation, q.CorrelationID}, {OnTarget, q.TargetID}, {OnActor, q.ActorID}, {OnAction, q.Action},
		{OnArea, q.Area},
	} {
		if f.Value != "" {
			given = append(given, f)
		}
	}
	if q.IsFailure != nil {
		given = append(given, AuditFilter{OnFailure, *q.IsFailure})
	}
	if len(given) > 0 && given[0].Value != false {
		driving, given = given[:1:1], given[1:]
	}
	if q.CRUD != "" {
		given = append(given, AuditFilter{OnCRUD, q.CRUD})
	}
	if q.EmitterID != "" {
		given = append(given, AuditFilter{OnEmitter, q.EmitterID})
	}
	if q.Own != nil {
		given = append(given, AuditFilter{OnOwn, *q.Own})
	}
	if !q.CreatedFrom.IsZero() {
		given = append(given, AuditFilter{OnCreatedFrom, timestamp.RoundUp(q.CreatedFrom)})
	}
	if !q.CreatedBefore.IsZero() {
		given = append(given, AuditFilter{OnCreatedBefore, timestamp.RoundUp(q.CreatedBefore)})
	}
	return driving, given
}

// Matches reports whether an event passes the filter.
func (f AuditFilter) Matches(e *audit.Event) bool {
	switch f.On {
	case OnCorrelation:
		return e.CorrelationID == f.Value
	case OnTarget:
		return e.Target.ID == f.Value
	case OnActor:
		return e.Actor.ID == f.Value
	case OnAction:
		return e.Action == f.Value
	case OnArea:
		return e.Area() == f.Value
	case OnFailure:
		return e.IsFailure == f.Value
	case OnCRUD:
		return e.CRUD == f.Value
	case OnEmitter:
		return e.EmitterID == f.Value
	case OnOwn:
		return (e.EmitterID == "") == f.Value
	case OnCreatedFrom:
		return !e.Created.Before(f.Value.(time.Time))
	case OnCreatedBefore:
		return e.Created.Before(f.Value.(time.Time))
	}
	return false
}

// MatchesAll reports whether an event passes all filters.
func MatchesAll(filters []AuditFilter, e *audit.Event) bool {
	return !slices.ContainsFunc(filters, func(f AuditFilter) bool { return !f.Matches(e) })
}

// Bound is how many events may be examined.
func (q AuditQuery) Bound() int { return cmp.Or(q.MaxExamined, MaxExamined) }

// PositionOf is the place of an event in the order of the query.
func (q AuditQuery) PositionOf(e audit.Event) int64 {
	if q.GroupID != nil {
		return e.Seq
	}
	return e.Pos
}

// GroupsAfter are the groups of some events.
type GroupsAfter struct {
	Groups []uuid.UUID
	// of the last event looked at; if there was none, where the look began, or the newest position if that is before
	Position int64
	More     bool // limit events were looked at: there may be more
}

// AuditRows is what a store finds for a query.
type AuditRows struct {
	Items []audit.Event
	Count int // events examined
	// Examined is the position after which a search continues: that of the last item if the limit was reached, else of
	// the last event examined, else where the query began.
	Examined  int64
	Truncated bool // as many were examined as may be before the limit was reached, and there are more
}

// Audit reads a page of the log, and records the read. In ascending order there is always a next page, which may be
// empty now: that is how to follow the log, and it skips nothing.
func (s *Service) Audit(ctx context.Context, by Caller, q AuditQuery) (Page[audit.Event], error) {
	release, err := s.takeAuditRead(by, s.shares.wideReads)
	if err != nil {
		return Page[audit.Event]{}, err
	}
	defer release()
	page, err := s.auditPage(ctx, by, q)
	if err != nil {
		return Page[audit.Event]{}, err
	}
	if err := s.confirmFollowed(ctx, q); err != nil {
		return Page[audit.Event]{}, err
	}
	s.security.LogRead(by, q.GroupID)
	return page.Page, nil
}

// confirmFollowed confirms a page in ascending order: who follows the log must not see an event, or continue after a
// position, that a later primary does not have.
func (s *Service) confirmFollowed(ctx context.Context, q AuditQuery) error {
	if !q.Ascending {
		return nil
	}
	return s.store.ConfirmReads(ctx)
}

// auditPage is one page of the log.
type auditPage struct {
	Page[audit.Event]
	truncated bool // it is short because as many events were examined as may be
}

func (s *Service) auditPage(ctx context.Context, by Caller, q AuditQuery) (auditPage, error) {
	if err := by.Access.audit(q.GroupID); err != nil {
		return auditPage{}, err
	}
	var err error
	if q.Position, err = q.cursorPosition(); err != nil {
		return auditPage{}, err
	}
	limit := q.Limit
	q.Limit++ // one more shows whether there are more
	rows, err := s.store.ListAuditEvents(ctx, q)
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		rows.Count = q.Bound() // who leaves before the answer pays for what may have been examined
	}
	s.shares.auditRows.Charge(by.holder(), int64(rows.Count))
	if err != nil {
		return auditPage{}, err
	}
	if len(rows.Items) == 0 && q.GroupID != nil {
		if err := s.knownGroup(ctx, *q.GroupID); err != nil {
			return auditPage{}, err
		}
	}
	page := auditPage{Page[audit.Event]{Items: rows.Items}, rows.Truncated}
	switch {
	case len(rows.Items) > limit:
		page.Items, page.truncated = rows.Items[:limit], false
		page.Next = strconv.FormatInt(q.PositionOf(page.Items[limit-1]), 10)
	case q.Ascending || rows.Truncated:
		page.Next = strconv.FormatInt(rows.Examined, 10)
	}
	return page, nil
}

// Event reads one event by its id, and records the read.
func (s *Service) Event(ctx context.Context, by Caller, id uuid.UUID) (audit.Event, error) {
	e, err := s.store.GetAuditEvent(ctx, id)
	if err == nil && by.Access.audit(&e.GroupID) != nil {
		err = ErrNotFound
	}
	if err != nil {
		return audit.Event{}, refuse(err, map[error]*Error{ErrNotFound: notFound(CodeEventNotFound, "audit event")})
	}
	s.security.LogRead(by, &e.GroupID)
	return e, nil
}

// knownGroup refuses a group that is no tenant and never had an event: the log of a deleted tenant stays readable.
func (s *Service) knownGroup(ctx context.Context, id uuid.UUID) error {
	if id == uuid.Nil {
		return nil
	}
	_, unknown := s.store.GetTenant(ctx, id)
	if !errors.Is(unknown, ErrNotFound) {
		return unknown
	}
	head, err := s.store.GetChainHead(ctx, id)
	if err != nil || head.Seq > 0 {
		return err
	}
	return inParameter(notFound(CodeTenantNotFound, "tenant"), "tenant_id")
}

// ActionFilter reads the text of an action filter, "a.b" or "a.*", into q. A '*' is allowed only after the first
// segment.
func (q *AuditQuery) ActionFilter(text string) error {
	area, isArea := strings.CutSuffix(text, ".*")
	switch {
	case isArea && actionPattern.MatchString(area) && !strings.Contains(area, ".") &&
		utf8.RuneCountInString(area) <= MaxID:
		q.Area = area
	case !isArea && actionPattern.MatchString(text) && len(text) <= MaxID:
		q.Action = text
	default:
		return errors.New(violation.ActionFilter)
	}
	return nil
}
