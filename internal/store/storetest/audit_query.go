package storetest

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/audit"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

func auditQueries(t *testing.T, s suite) {
	s.test(t, "find what matches, in order, page by page", pagesOfEvents)
	s.test(t, "begin after a position, whether it is there or not", pagesAfter)
	s.test(t, "examine no more than the bound", boundedPages)
	s.test(t, "name the groups of what is new", groupsAfter)
}

func groupsAfter(f *fixture) {
	one, two := minimalTenant("one"), minimalTenant("two")
	f.insert(one, two)
	look := func(position int64, limit int) registry.GroupsAfter {
		found, err := f.store.ListGroupsAfter(f.ctx, position, limit)
		f.must(err)
		found.Groups = sortedIDs(found.Groups)
		return found
	}
	f.equal(look(0, 10), registry.GroupsAfter{})
	f.equal(look(7, 10), registry.GroupsAfter{}) // as after a restore: the position goes back
	f.append(minimalEvent(one.ID), minimalEvent(one.ID), minimalEvent(uuid.Nil), minimalEvent(two.ID))
	groups := func(ids ...uuid.UUID) []uuid.UUID { return sortedIDs(ids) }
	f.equal(look(0, 10), registry.GroupsAfter{Groups: groups(one.ID, two.ID, uuid.Nil), Position: 4})
	f.equal(look(0, 2), registry.GroupsAfter{Groups: groups(one.ID), Position: 2, More: true})
	f.equal(look(2, 2), registry.GroupsAfter{Groups: groups(uuid.Nil, two.ID), Position: 4, More: true})
	f.equal(look(4, 2), registry.GroupsAfter{Position: 4})
	f.equal(look(9, 2), registry.GroupsAfter{Position: 4})
}

func pagesOfEvents(f *fixture) {
	all, groups := variedLog(f)
	for name, filter := range filters(all) {
		for _, group := range groups {
			for _, ascending := range []bool{true, false} {
				for _, limit := range []int{1, 3, 1000} {
					q := filter
					q.GroupID, q.Ascending, q.Limit = group, ascending, limit
					want := selected(all, q)
					if got := f.events(q); !reflect.DeepEqual(got, want) {
						f.Errorf(
							"%s, group %v, ascending %v, limit %d:\ngot  %s\nwant %s", name, group, ascending, limit,
							places(got), places(want),
						)
					}
				}
			}
		}
	}
}

func pagesAfter(f *fixture) {
	tenant := minimalTenant("tenant")
	f.insert(tenant)
	var all []audit.Event
	for range 3 {
		all = append(all, f.append(minimalEvent(tenant.ID), minimalEvent(uuid.Nil))...)
	}
	for after := range int64(9) {
		for _, ascending := range []bool{true, false} {
			for _, group := range []*uuid.UUID{nil, {}, &tenant.ID} {
				q := registry.AuditQuery{
					GroupID:     group,
					Ascending:   ascending,
					Position:    after,
					PageRequest: firstPage(100),
				}
				got, err := f.store.ListAuditEvents(f.ctx, q)
				f.must(err)
				f.equal(got.Items, selected(all, q))
			}
		}
	}
	got, err := f.store.ListAuditEvents(f.ctx, registry.AuditQuery{PageRequest: firstPage(0)})
	f.must(err)
	f.equal(got.Items, []audit.Event{})
}

// driving are queries with the one filter that selects what is examined, by the fixed order of the filters.
func driving(q registry.AuditQuery) registry.AuditQuery {
	alone := registry.AuditQuery{GroupID: q.GroupID, Ascending: q.Ascending, Position: q.Position}
	switch {
	case q.CorrelationID != "":
		alone.CorrelationID = q.CorrelationID
	case q.TargetID != "":
		alone.TargetID = q.TargetID
	case q.GroupID == nil: // there are no others for the whole log
	case q.ActorID != "":
		alone.ActorID = q.ActorID
	case q.Action != "":
		alone.Action = q.Action
	case q.Area != "":
		alone.Area = q.Area
	case q.IsFailure != nil && *q.IsFailure:
		alone.IsFailure = q.IsFailure
	}
	return alone
}

// rowsOf is what a store should answer: of the first events that the driving filter selects, as many as may be
// examined, those that match, and how far that was.
func rowsOf(all []audit.Event, q registry.AuditQuery) registry.AuditRows {
	rows := registry.AuditRows{Items: []audit.Event{}, Examined: q.Position}
	for i, e := range selected(all, driving(q)) {
		switch {
		case len(rows.Items) == q.Limit:
			return rows
		case i == q.Bound():
			rows.Truncated = true
			return rows
		}
		rows.Items = append(rows.Items, selected([]audit.Event{e}, q)...)
		rows.Examined, rows.ExaminedHash, rows.Count = q.PositionOf(e), e.ChainHash, i+1
	}
	return rows
}

// boundedPages follows every query to its end, with bounds that it meets, and finds what it finds without.
func boundedPages(f *fixture) {
	all, groups := variedLog(f)
	for name, filter := range filters(all) {
		for _, group := range groups {
			for i, bound := range []int{1, 4, 5, 6, 48} {
				q := filter
				q.GroupID, q.MaxExamined, q.Ascending, q.Limit = group, bound, i%2 == 0, 1+i
				what := fmt.Sprintf(
					"%s, group %v, ascending %v, limit %d, bound %d", name, group, q.Ascending, q.Limit, bound,
				)
				whole, got := selected(all, q), []audit.Event{}
				for more := true; more; {
					rows, err := f.store.ListAuditEvents(f.ctx, q)
					f.must(err)
					if want := rowsOf(all, q); !reflect.DeepEqual(rows, want) {
						f.Fatalf("%s, after %d:\ngot  %s\nwant %s", what, q.Position, show(rows), show(want))
					}
					got = append(got, rows.Items...)
					more, q.Position = rows.Truncated || len(rows.Items) == q.Limit, rows.Examined
				}
				if !reflect.DeepEqual(got, whole) {
					f.Errorf("%s, page by page:\ngot  %s\nwant %s", what, places(got), places(whole))
				}
			}
		}
	}
}

// variedLog commits events that differ in everything that a query can ask for, of two tenants and the platform, and
// returns them with the groups that can be asked for: nil for the whole log, and one without events.
func variedLog(f *fixture) ([]audit.Event, []*uuid.UUID) {
	one, two, silent := minimalTenant("one"), minimalTenant("two"), minimalTenant("silent")
	f.insert(one, two, silent)
	var all []audit.Event
	for i := range 48 {
		e := minimalEvent([]uuid.UUID{one.ID, two.ID, uuid.Nil, one.ID}[i%4])
		e.Action = []string{"area.one", "area.two", "area", "area.one.more", "other.one", "areas.one", "Area.one"}[i%7]
		e.Actor.ID = []string{"", "u-1", "U-1", "u-2", "u-1 ", "u-", `u\-_1%`}[i%7]
		e.Target.ID = []string{"u-1", "", "thing"}[i%3]
		e.CorrelationID = []string{"", "c-1", "c-2", "C-1", "c-1"}[i%5]
		e.IsFailure = i%8 == 3 || i%9 == 1
		e.Emitter.ID = []string{"svc-1", "", "svc-2", ""}[i%4]
		e.CRUD = []audit.CRUD{audit.Create, audit.Read, audit.Update, audit.Delete, audit.Read}[i%5]
		e.Created = noon.Add(time.Duration(i*7%48) * time.Microsecond)
		all = append(all, f.append(e)...)
	}
	missing := newID()
	return all, []*uuid.UUID{nil, {}, &one.ID, &two.ID, &silent.ID, &missing}
}

// filters are queries with each filter alone, with some together, and with values that nothing has.
func filters(all []audit.Event) map[string]registry.AuditQuery {
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
		"actor with signs":              {ActorID: `u\-_1%`},
		"actor with a wildcard":         {ActorID: "u%"},
		"actor with another wildcard":   {ActorID: "u__"},
		"actor with a backslash":        {ActorID: `\u-1`},
		"target":                        {TargetID: "u-1"},
		"correlation":                   {CorrelationID: "c-1"},
		"failures":                      {IsFailure: new(true)},
		"successes":                     {IsFailure: new(false)},
		"actor and target":              {ActorID: "u-2", TargetID: "u-1"},
		"all together": {
			Action: all[1].Action, Area: all[1].Area(), ActorID: all[1].Actor.ID, CorrelationID: all[1].CorrelationID,
			IsFailure: new(true),
		},
		"unknown": {ActorID: "nothing"},
		"later":   {Position: 5, Area: "area"},

		"emitter":                  {EmitterID: "svc-1"},
		"emitter of an actor":      {EmitterID: "svc-2", ActorID: "u-1"},
		"own":                      {Own: new(true)},
		"reported":                 {Own: new(false)},
		"own of an emitter":        {Own: new(true), EmitterID: "svc-1"},
		"crud":                     {CRUD: audit.Read},
		"crud of an actor":         {CRUD: audit.Update, ActorID: "u-1"},
		"created from":             {CreatedFrom: noon.Add(20 * time.Microsecond)},
		"created from a bit later": {CreatedFrom: noon.Add(20*time.Microsecond + 1)},
		"created before":           {CreatedBefore: noon.Add(20 * time.Microsecond)},
		"created before, elsewhere": {
			CreatedBefore: noon.Add(20*time.Microsecond + 1).In(time.FixedZone("west", -3600)),
		},
		"created between": {
			CreatedFrom:   noon.Add(9 * time.Microsecond),
			CreatedBefore: noon.Add(30 * time.Microsecond),
			Area:          "area",
		},
		"created in no time": {
			CreatedFrom:   noon.Add(9 * time.Microsecond),
			CreatedBefore: noon.Add(9 * time.Microsecond),
		},
		"failures of a kind":  {IsFailure: new(true), CRUD: audit.Read},
		"successes of a kind": {IsFailure: new(false), CRUD: audit.Read},
	}
}

// selected is what a query should find among all events, which are in the order of their positions.
func selected(all []audit.Event, q registry.AuditQuery) []audit.Event {
	found := []audit.Event{}
	for _, e := range all {
		at := q.PositionOf(e)
		switch {
		case q.GroupID != nil && e.GroupID != *q.GroupID:
		case q.Ascending && at <= q.Position:
		case !q.Ascending && q.Position != 0 && at >= q.Position:
		case q.Action != "" && e.Action != q.Action:
		case q.Area != "" && e.Area() != q.Area:
		case q.ActorID != "" && e.Actor.ID != q.ActorID:
		case q.TargetID != "" && e.Target.ID != q.TargetID:
		case q.CorrelationID != "" && e.CorrelationID != q.CorrelationID:
		case q.IsFailure != nil && e.IsFailure != *q.IsFailure:
		case q.CRUD != "" && e.CRUD != q.CRUD:
		case q.EmitterID != "" && e.Emitter.ID != q.EmitterID:
		case q.Own != nil && (e.Emitter.ID == "") != *q.Own:
		case !q.CreatedFrom.IsZero() && e.Created.Before(q.CreatedFrom):
		case !q.CreatedBefore.IsZero() && !e.Created.Before(q.CreatedBefore):
		default:
			found = append(found, e)
		}
	}
	if !q.Ascending {
		slices.Reverse(found)
	}
	return found
}

func places(events []audit.Event) string {
	return fmt.Sprint(each(events, func(e audit.Event) string { return fmt.Sprintf("%d/%d", e.Pos, e.Seq) }))
}

// events is everything that a query finds, read in pages of limit.
func (f *fixture) events(q registry.AuditQuery) []audit.Event {
	f.Helper()
	got := []audit.Event{}
	for {
		rows, err := f.store.ListAuditEvents(f.ctx, q)
		f.must(err)
		page := rows.Items
		if len(page) > q.Limit {
			f.Errorf("%d events with limit %d", len(page), q.Limit)
		}
		if len(page) == 0 || len(got) > 1000 {
			f.equal(page, []audit.Event{})
			return got
		}
		got = append(got, page...)
		q.Position = q.PositionOf(page[len(page)-1])
	}
}
