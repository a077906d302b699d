package registry_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

// pages reads a log page by page until there is no more, or, oldest first, until a page is empty.
func (f *fixture) pages(q registry.AuditQuery) []audit.Event {
	f.t.Helper()
	var all []audit.Event
	for range 1000 {
		page, err := f.s.Audit(f.ctx, f.by, q)
		f.must(err)
		if len(page.Items) > q.Limit {
			f.t.Fatalf("a page of %d events, the limit being %d", len(page.Items), q.Limit)
		}
		if q.Ascending && page.Next == "" {
			f.t.Fatal("oldest first there is always a next page, if only later")
		}
		all = append(all, page.Items...)
		if page.Next == "" || (q.Ascending && len(page.Items) == 0) {
			return all
		}
		if page.Next == q.Cursor {
			f.t.Fatalf("the page after %q is followed by itself", q.Cursor)
		}
		q.Cursor = page.Next
	}
	f.t.Fatal("the pages do not end")
	return nil
}

func TestAudit_pagesAreTheWholeLog(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme, other := f.tenant("acme", registry.StatusTrial), f.tenant("other", registry.StatusTrial)
	for i := range 9 {
		_, err := f.s.RecordEvent(f.ctx, f.by, reported([]uuid.UUID{acme.ID, other.ID, uuid.Nil}[i%3]))
		f.must(err)
	}
	whole := f.log()
	dense(t, whole)
	for name, group := range map[string]*uuid.UUID{
		"the whole log": nil, "acme": &acme.ID, "the platform": new(uuid.Nil),
	} {
		var want []audit.Event
		for _, e := range whole {
			if group == nil || e.GroupID == *group {
				want = append(want, e)
			}
		}
		for limit := 1; limit <= len(want)+1; limit++ {
			q := registry.AuditQuery{GroupID: group, Ascending: true, PageRequest: registry.PageRequest{Limit: limit}}
			if got := f.pages(q); !reflect.DeepEqual(got, want) {
				t.Errorf("%s by pages of %d, oldest first: %d events, want %d", name, limit, len(got), len(want))
			}
			slices.Reverse(want)
			q.Ascending = false
			if got := f.pages(q); !reflect.DeepEqual(got, want) {
				t.Errorf("%s by pages of %d, newest first: %d events, want %d", name, limit, len(got), len(want))
			}
			slices.Reverse(want)
		}
	}
}

// A reader that follows a log from its beginning misses nothing that is written between two reads.
func TestAudit_ascendingMissesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	q, seen := registry.AuditQuery{Ascending: true, PageRequest: registry.PageRequest{Limit: 2}}, 0
	for i := range 5 {
		for range 10 {
			page, err := f.s.Audit(f.ctx, f.by, q)
			f.must(err)
			if page.Next == "" {
				t.Fatalf("read %d: no next page", i)
			}
			seen, q.Cursor = seen+len(page.Items), page.Next
			if len(page.Items) == 0 {
				break
			}
		}
		if seen != i*3 {
			t.Errorf("read %d: %d events seen, want %d", i, seen, i*3)
		}
		for range 3 {
			_, err := f.s.RecordEvent(f.ctx, f.by, reported(uuid.Nil))
			f.must(err)
		}
	}
}

func TestAudit_filtersMustAllMatch(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	acme := f.tenant("acme", registry.StatusTrial)
	for i := range 12 {
		e := reported(acme.ID)
		e.Action = []string{"doc.read", "doc.readx", "docs.read"}[i%3]
		e.Actor.ID, e.Target.ID, e.CorrelationID = fmt.Sprint("u", i%2), fmt.Sprint("t", i%4), fmt.Sprint("c", i%6)
		e.IsFailure = i%4 == 0
		_, err := f.s.RecordEvent(f.ctx, f.by, e)
		f.must(err)
	}
	for name, c := range map[string]struct {
		q    registry.AuditQuery
		want int
	}{
		"everything":  {registry.AuditQuery{}, 13},
		"action":      {registry.AuditQuery{Action: "doc.read"}, 4},
		"area":        {registry.AuditQuery{Area: "doc"}, 8},
		"actor":       {registry.AuditQuery{ActorID: "u1"}, 6},
		"target":      {registry.AuditQuery{TargetID: "t3"}, 3},
		"correlation": {registry.AuditQuery{CorrelationID: "c5"}, 2},
		"failures":    {registry.AuditQuery{IsFailure: new(true)}, 3},
		"successes":   {registry.AuditQuery{IsFailure: new(false)}, 10},
		"all of them": {
			registry.AuditQuery{Area: "doc", ActorID: "u0", TargetID: "t0", IsFailure: new(true), CorrelationID: "c0"},
			1,
		},
		"nothing": {registry.AuditQuery{Action: "doc.re"}, 0},
	} {
		for _, group := range []*uuid.UUID{nil, &acme.ID} {
			for _, ascending := range []bool{false, true} {
				c.q.GroupID, c.q.Ascending, c.q.Limit = group, ascending, 2
				if got := f.pages(c.q); len(got) != c.want {
					t.Errorf("%s, group %v, ascending %t: %d events, want %d", name, group, ascending, len(got), c.want)
				}
			}
		}
	}
}

// gone is a store in which no tenant is found any more, as after a delete that leaves its log.
type gone struct{ *watched }

func TestAudit_unknownTenantIsNotFound(t *testing.T) {
	t.Parallel()
	store := &watched{Store: memory.New()}
	f := fixtureOn(t, gone{store})
	acme := f.tenant("acme", registry.StatusTrial)
	nothing := registry.AuditQuery{
		GroupID: &acme.ID, PageRequest: registry.PageRequest{Limit: 10}, Action: "never.happened",
	}
	unknown := registry.AuditQuery{GroupID: new(uuid.New()), PageRequest: registry.PageRequest{Limit: 10}}

	if page, err := f.s.Audit(f.ctx, f.by, nothing); err != nil || len(page.Items) > 0 || page.Next != "" {
		t.Errorf("a tenant without such events: %+v, %v", page, err)
	}
	_, err := f.s.Audit(f.ctx, f.by, unknown)
	f.blames(f.refusal(err, registry.NotFound, registry.CodeTenantNotFound), "tenant_id")

	store.down = registry.ErrNotFound
	if page, err := f.s.Audit(f.ctx, f.by, nothing); err != nil || len(page.Items) > 0 {
		t.Errorf("a deleted tenant's log, none matching: %+v, %v", page, err)
	}
	whole := registry.AuditQuery{GroupID: &acme.ID, PageRequest: registry.PageRequest{Limit: 10}}
	if page, err := f.s.Audit(f.ctx, f.by, whole); err != nil || len(page.Items) != 1 {
		t.Errorf("a deleted tenant's log: %+v, %v", page, err)
	}
	store.down = registry.ErrUnavailable
	for _, q := range []registry.AuditQuery{nothing, unknown} {
		if _, err := f.s.Audit(f.ctx, f.by, q); !errors.Is(err, registry.ErrUnavailable) {
			t.Errorf("a store that does not answer: %v", err)
		}
	}
}
