package registry

import (
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/timestamp"
	"github.com/breakpilot/tenant-registry/internal/violation"
)

// AuditFilter is one condition of a query: what it is on, and the value there.
type AuditFilter struct {
	On    FilterOn
	Value any // a string, a bool, a CRUD or a time.Time
}

// FilterOn is what a filter looks at.
type FilterOn string

// The filters. Those that can drive come first, in the order in which they are chosen; OnFailure does so only if it
// asks for failures. In the whole log only OnCorrelation and OnTarget do.
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

// drives reports whether the query can be driven by a filter: whether there is an index by it in the query's order. Of
// the whole log there is one by what operators look up.
func (q AuditQuery) drives(f AuditFilter) bool {
	switch f.On {
	case OnCorrelation, OnTarget:
		return true
	case OnActor, OnAction, OnArea:
		return q.GroupID != nil
	case OnFailure:
		return q.GroupID != nil && f.Value == true
	}
	return false
}

// Filters are the one that drives, if there is one, and those that narrow.
func (q AuditQuery) Filters() (driving, narrowing []AuditFilter) {
	given := q.given()
	if i := slices.IndexFunc(given, q.drives); i >= 0 {
		return given[i : i+1 : i+1], slices.Delete(slices.Clone(given), i, i+1)
	}
	return nil, given
}

// given are the filters that are set, in the order in which they are chosen to drive.
func (q AuditQuery) given() []AuditFilter {
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
	return given
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
		return e.Emitter.ID == f.Value
	case OnOwn:
		return !e.Has(audit.PartEmitter) == f.Value
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
