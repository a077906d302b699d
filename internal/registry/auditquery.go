package registry

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// MaxExamined bounds how many events a store looks at for one page.
const MaxExamined = 10_000

// AuditQuery selects events. Empty filters select everything; all given must match.
//
// One filter drives: the events that it selects are looked at one by one, in the query's order. The others only narrow what is
// found among these, and after MaxExamined events the page ends, whatever it has.
type AuditQuery struct {
	GroupID       *uuid.UUID // one tenant's chain, in the order of seq; nil: the whole log, in the order of pos
	Ascending     bool       // oldest first
	After         int64      // the seq (or pos) behind which the page begins, in its order; 0: from the beginning
	Limit         int
	Action        string // exactly this action
	Area          string // any action whose first segment this is
	ActorID       string
	TargetID      string
	CorrelationID string
	IsFailure     *bool
	CRUD          CRUD
	CreatedFrom   time.Time // what occurred then or later; zero: at any time
	CreatedBefore time.Time // what occurred before; zero: at any time
	Examine       int       // how many events may be looked at; 0: MaxExamined
}

// AuditFilter is one condition of a query: what it is on, and the value there.
type AuditFilter struct {
	On    FilterOn
	Value any // a string, a bool, a CRUD or a time.Time
}

// FilterOn is what a filter looks at.
type FilterOn string

// The filters. Those that can drive come first, in the order in which they are chosen; OnFailure does so only if it asks for failures.
const (
	OnCorrelation   FilterOn = "correlation_id"
	OnTarget        FilterOn = "target_id"
	OnActor         FilterOn = "actor_id"
	OnAction        FilterOn = "action"
	OnArea          FilterOn = "area"
	OnFailure       FilterOn = "is_failure"
	OnCRUD          FilterOn = "crud"
	OnCreatedFrom   FilterOn = "created_from"
	OnCreatedBefore FilterOn = "created_before"
)

// Filters are the one that drives, if there is one, and those that narrow.
func (q AuditQuery) Filters() (driving, narrowing []AuditFilter) {
	var given []AuditFilter
	for _, f := range []AuditFilter{
		{OnCorrelation, q.CorrelationID}, {OnTarget, q.TargetID}, {OnActor, q.ActorID}, {OnAction, q.Action}, {OnArea, q.Area},
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
	if !q.CreatedFrom.IsZero() {
		given = append(given, AuditFilter{OnCreatedFrom, roundUp(q.CreatedFrom)})
	}
	if !q.CreatedBefore.IsZero() {
		given = append(given, AuditFilter{OnCreatedBefore, roundUp(q.CreatedBefore)})
	}
	return driving, given
}

// roundUp is the first whole microsecond that is not before t: what lies in between no store can hold.
func roundUp(t time.Time) time.Time {
	return t.UTC().Add(time.Microsecond - time.Nanosecond).Truncate(time.Microsecond)
}

// Matches tells whether an event passes the filter.
func (f AuditFilter) Matches(e *AuditEvent) bool {
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
	case OnCreatedFrom:
		return !e.Created.Before(f.Value.(time.Time))
	case OnCreatedBefore:
		return e.Created.Before(f.Value.(time.Time))
	}
	return false
}

// MatchesAll tells whether an event passes all filters.
func MatchesAll(filters []AuditFilter, e *AuditEvent) bool {
	return !slices.ContainsFunc(filters, func(f AuditFilter) bool { return !f.Matches(e) })
}

// Bound is how many events may be looked at.
func (q AuditQuery) Bound() int { return cmp.Or(q.Examine, MaxExamined) }

// Position is the place of an event in the order of the query.
func (q AuditQuery) Position(e AuditEvent) int64 {
	if q.GroupID != nil {
		return e.Seq
	}
	return e.Pos
}

// AuditRows is what a store finds for a query.
type AuditRows struct {
	Items []AuditEvent
	// Examined is the position behind which a search goes on: that of the last item if the limit was reached, else of the last event
	// looked at, else where the query began.
	Examined int64
	Cut      bool // as many were looked at as may be, before the limit was reached, and there are more
}

// AuditPage is one page of the log.
type AuditPage struct {
	Items []AuditEvent
	More  bool  // there is a next page, if only later
	Next  int64 // behind which position it begins
	Cut   bool  // it is short because as many events were looked at as may be
}

// Audit reads a page of the log. In ascending order there is always a next page, which may be empty now: that is how to follow
// the log, and it skips nothing.
func (s *Service) Audit(ctx context.Context, by Caller, q AuditQuery) (AuditPage, error) {
	if err := by.Scope.audit(q.GroupID); err != nil {
		return AuditPage{}, err
	}
	limit := q.Limit
	q.Limit++ // one more tells whether there are more
	rows, err := s.store.Events(ctx, q)
	if err != nil {
		return AuditPage{}, err
	}
	if len(rows.Items) == 0 && q.GroupID != nil {
		if err := s.knownGroup(ctx, *q.GroupID); err != nil {
			return AuditPage{}, err
		}
	}
	page := AuditPage{Items: rows.Items, More: q.Ascending || rows.Cut, Next: rows.Examined, Cut: rows.Cut}
	if len(rows.Items) > limit {
		page.Items, page.More, page.Cut = rows.Items[:limit], true, false
		page.Next = q.Position(page.Items[limit-1])
	}
	return page, nil
}

// knownGroup refuses a group that is neither a tenant nor has ever had an event: a deleted tenant's log stays readable.
func (s *Service) knownGroup(ctx context.Context, id uuid.UUID) error {
	if id == uuid.Nil {
		return nil
	}
	_, unknown := s.store.Tenant(ctx, id)
	if !errors.Is(unknown, ErrNotFound) {
		return unknown
	}
	head, err := s.store.AuditChain(ctx, id)
	if err != nil || head.Seq > 0 {
		return err
	}
	return inParameter(notFound(CodeTenantNotFound, "tenant"), "tenant_id")
}

// ActionFilter reads the text of an action filter, "a.b" or "a.*", into q. A '*' stands only behind the first segment.
func (q *AuditQuery) ActionFilter(text string) error {
	area, isArea := strings.CutSuffix(text, ".*")
	switch {
	case isArea && actionPattern.MatchString(area) && !strings.Contains(area, ".") && utf8.RuneCountInString(area) <= MaxID:
		q.Area = area
	case !isArea && actionPattern.MatchString(text) && len(text) <= MaxID:
		q.Action = text
	default:
		return errors.New("must be an action, or its first segment and '.*'")
	}
	return nil
}
