package storetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

func auditQueries(t *testing.T, s suite) {
	s.test(t, "find what matches, in order, page by page", pagesOfEvents)
	s.test(t, "begin behind a position, whether it is there or not", pagesBehind)
}

func pagesOfEvents(w *world) {
	all, groups := variedLog(w)
	for name, filter := range filters(all) {
		for _, group := range groups {
			for _, ascending := range []bool{true, false} {
				for _, limit := range []int{1, 3, 1000} {
					q := filter
					q.GroupID, q.Ascending, q.Limit = group, ascending, limit
					want := selected(all, q)
					if got := w.events(q); show(got) != show(want) {
						w.Errorf("%s, group %v, ascending %v, limit %d:\ngot  %s\nwant %s", name, group, ascending, limit, places(got), places(want))
					}
				}
			}
		}
	}
}

func pagesBehind(w *world) {
	tenant := minimalTenant("tenant")
	w.insert(tenant)
	var all []registry.AuditEvent
	for range 3 {
		all = append(all, w.append(minimalEvent(tenant.ID), minimalEvent(uuid.Nil))...)
	}
	for after := range int64(9) {
		for _, ascending := range []bool{true, false} {
			for _, group := range []*uuid.UUID{nil, {}, &tenant.ID} {
				q := registry.AuditQuery{GroupID: group, Ascending: ascending, After: after, Limit: 100}
				got, err := w.store.Events(w.ctx, q)
				w.must(err)
				w.equal(got, selected(all, q))
			}
		}
	}
	got, err := w.store.Events(w.ctx, registry.AuditQuery{Limit: 0})
	w.must(err)
	w.equal(got, []registry.AuditEvent{})
}

// variedLog commits events that differ in everything that a query can ask for, of two tenants and the platform, and returns them
// with the groups that can be asked for: nil for the whole log, and one without events.
func variedLog(w *world) ([]registry.AuditEvent, []*uuid.UUID) {
	one, two, silent := minimalTenant("one"), minimalTenant("two"), minimalTenant("silent")
	w.insert(one, two, silent)
	var all []registry.AuditEvent
	for i := range 48 {
		e := minimalEvent([]uuid.UUID{one.ID, two.ID, uuid.Nil, one.ID}[i%4])
		e.Action = []string{"area.one", "area.two", "area", "area.one.more", "other.one", "areas.one", "Area.one"}[i%7]
		e.Actor.ID = []string{"", "u-1", "U-1", "u-2", "u-1 ", "u-"}[i%6]
		e.Target.ID = []string{"u-1", "", "thing"}[i%3]
		e.CorrelationID = []string{"", "c-1", "c-2", "C-1", "c-1"}[i%5]
		e.IsFailure = i%8 == 3 || i%9 == 1
		all = append(all, w.append(e)...)
	}
	missing := newID()
	return all, []*uuid.UUID{nil, {}, &one.ID, &two.ID, &silent.ID, &missing}
}

// filters are queries with each filter alone, with some together, and with values that nothing has.
func filters(all []registry.AuditEvent) map[string]registry.AuditQuery {
	return map[string]registry.AuditQuery{
		"everything":                    {},
		"action":                        {Action: "area.one"},
		"action of one segment":         {Action: "area"},
		"action with a wildcard's sign": {Action: "area%"},
		"area":                          {Area: "area"},
		"area in upper case":            {Area: "Area"},
		"action in area":                {Action: "area.two", Area: "area"},
		"action outside area":           {Action: "area.two", Area: "other"},
		"actor":                         {ActorID: "u-1"},
		"actor with a blank":            {ActorID: "u-1 "},
		"target":                        {TargetID: "u-1"},
		"correlation":                   {CorrelationID: "c-1"},
		"failures":                      {IsFailure: new(true)},
		"successes":                     {IsFailure: new(false)},
		"actor and target":              {ActorID: "u-2", TargetID: "u-1"},
		"all together": {
			Action: all[1].Action, Area: all[1].Area(), ActorID: all[1].Actor.ID, CorrelationID: all[1].CorrelationID, IsFailure: new(true),
		},
		"unknown": {ActorID: "nobody"},
		"later":   {After: 5, Area: "area"},
	}
}

// selected is what a query should find among all events, which are in the order of their positions.
func selected(all []registry.AuditEvent, q registry.AuditQuery) []registry.AuditEvent {
	found := []registry.AuditEvent{}
	for _, e := range all {
		at := q.Position(e)
		switch {
		case q.GroupID != nil && e.GroupID != *q.GroupID:
		case q.Ascending && at <= q.After:
		case !q.Ascending && q.After != 0 && at >= q.After:
		case q.Action != "" && e.Action != q.Action:
		case q.Area != "" && e.Area() != q.Area:
		case q.ActorID != "" && e.Actor.ID != q.ActorID:
		case q.TargetID != "" && e.Target.ID != q.TargetID:
		case q.CorrelationID != "" && e.CorrelationID != q.CorrelationID:
		case q.IsFailure != nil && e.IsFailure != *q.IsFailure:
		default:
			found = append(found, e)
		}
	}
	if !q.Ascending {
		slices.Reverse(found)
	}
	return found
}

func places(events []registry.AuditEvent) string {
	return fmt.Sprint(each(events, func(e registry.AuditEvent) string { return fmt.Sprintf("%d/%d", e.Pos, e.Seq) }))
}
