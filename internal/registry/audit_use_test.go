package registry_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/memory"
)

func reported(group uuid.UUID) registry.AuditEvent {
	return registry.AuditEvent{GroupID: group, Action: "document.share", CRUD: registry.Update, Actor: registry.Party{ID: "u"}, Target: registry.Party{ID: "d"}}
}

func TestRecordEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.tenant("acme", registry.StatusActive)
	for name, c := range map[string]struct {
		created time.Time
		want    time.Time
	}{
		"now": {time.Time{}, noon}, "long ago": {time.Date(1999, 1, 1, 1, 0, 0, 1999, time.FixedZone("", 3600)), time.Date(1999, 1, 1, 0, 0, 0, 1000, time.UTC)},
		"to come": {*at(1000 * time.Hour), *at(1000 * time.Hour)},
	} {
		e := reported(acme.ID)
		e.Created, e.SourceIP, e.Fields, e.Metadata = c.created, "2001:0DB8::1", map[string]string{"a": "1"}, map[string]string{}
		e.ID, e.Seq, e.Pos, e.Hash, e.ChainHash, e.PrevChainHash, e.Received = uuid.New(), 99, 99, "forged", "forged", "forged", *at(-time.Hour)
		written, err := w.s.RecordEvent(w.ctx, w.by, e)
		w.must(err)
		if written.ID == e.ID || written.Created != c.want || written.Received != noon || written.SourceIP != "2001:db8::1" || written.EmitterID != "op-1" || written.CorrelationID != "req-1" {
			t.Errorf("%s: %+v", name, written)
		}
		stored, err := w.s.Event(w.ctx, w.by, written.ID)
		if err != nil || !reflect.DeepEqual(stored, written) {
			t.Errorf("%s: stored  %+v (%v)\nwritten %+v", name, stored, err, written)
		}
	}
	platform, err := w.s.RecordEvent(w.ctx, w.by, reported(uuid.Nil))
	if err != nil || platform.Seq != 1 || platform.GroupID != uuid.Nil {
		t.Errorf("the platform's: %+v, %v", platform, err)
	}
	_, err = w.s.CancelTenant(w.ctx, w.by, acme.ID)
	w.must(err)
	if _, err := w.s.RecordEvent(w.ctx, w.by, reported(acme.ID)); err != nil {
		t.Errorf("of a frozen tenant: %v", err)
	}
	dense(t, w.log())
}

func TestRecordEvent_refused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.tenant("acme", registry.StatusActive)
	before := w.log()
	written, err := w.s.RecordEvent(w.ctx, w.by, reported(uuid.New()))
	w.blames(w.refusal(err, registry.Invalid, registry.CodeInvalid), "/group/id")
	if !reflect.DeepEqual(written, registry.AuditEvent{}) {
		t.Errorf("a refusal with %+v", written)
	}
	bad := reported(uuid.New())
	bad.CRUD = "x"
	_, err = w.s.RecordEvent(w.ctx, w.by, bad)
	w.blames(w.refusal(err, registry.Invalid, registry.CodeInvalid), "/crud")
	if !reflect.DeepEqual(w.log(), before) {
		t.Error("refusals left something in the log")
	}
	_, err = w.s.Event(w.ctx, w.by, uuid.New())
	w.refusal(err, registry.NotFound, registry.CodeEventNotFound)
}

// pages reads a log page by page until there is no more, or, oldest first, until a page is empty.
func (w *world) pages(q registry.AuditQuery) []registry.AuditEvent {
	w.t.Helper()
	var all []registry.AuditEvent
	for range 1000 {
		page, err := w.s.Audit(w.ctx, w.by, q)
		w.must(err)
		if len(page.Items) > q.Limit {
			w.t.Fatalf("a page of %d events, the limit being %d", len(page.Items), q.Limit)
		}
		if q.Ascending && !page.More {
			w.t.Fatal("oldest first there is always a next page, if only later")
		}
		all = append(all, page.Items...)
		if !page.More || (q.Ascending && len(page.Items) == 0) {
			return all
		}
		if page.Next == q.After {
			w.t.Fatalf("the page behind %d is followed by itself", q.After)
		}
		q.After = page.Next
	}
	w.t.Fatal("the pages do not end")
	return nil
}

func TestAudit_pages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme, other := w.tenant("acme", registry.StatusTrial), w.tenant("other", registry.StatusTrial)
	for i := range 9 {
		_, err := w.s.RecordEvent(w.ctx, w.by, reported([]uuid.UUID{acme.ID, other.ID, uuid.Nil}[i%3]))
		w.must(err)
	}
	whole := w.log()
	dense(t, whole)
	for name, group := range map[string]*uuid.UUID{"the whole log": nil, "acme": &acme.ID, "the platform": new(uuid.Nil)} {
		var want []registry.AuditEvent
		for _, e := range whole {
			if group == nil || e.GroupID == *group {
				want = append(want, e)
			}
		}
		for limit := 1; limit <= len(want)+1; limit++ {
			if got := w.pages(registry.AuditQuery{GroupID: group, Ascending: true, Limit: limit}); !reflect.DeepEqual(got, want) {
				t.Errorf("%s by pages of %d, oldest first: %d events, want %d", name, limit, len(got), len(want))
			}
			slices.Reverse(want)
			if got := w.pages(registry.AuditQuery{GroupID: group, Limit: limit}); !reflect.DeepEqual(got, want) {
				t.Errorf("%s by pages of %d, newest first: %d events, want %d", name, limit, len(got), len(want))
			}
			slices.Reverse(want)
		}
	}
}

// Who follows a log from its very beginning misses nothing that is written between two looks.
func TestAudit_following(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	q, seen := registry.AuditQuery{Ascending: true, Limit: 2}, 0
	for i := range 5 {
		for range 10 {
			page, err := w.s.Audit(w.ctx, w.by, q)
			w.must(err)
			if !page.More {
				t.Fatalf("look %d: no next page", i)
			}
			seen, q.After = seen+len(page.Items), page.Next
			if len(page.Items) == 0 {
				break
			}
		}
		if seen != i*3 {
			t.Errorf("look %d: %d events seen, want %d", i, seen, i*3)
		}
		for range 3 {
			_, err := w.s.RecordEvent(w.ctx, w.by, reported(uuid.Nil))
			w.must(err)
		}
	}
}

func TestAudit_filters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.tenant("acme", registry.StatusTrial)
	for i := range 12 {
		e := reported(acme.ID)
		e.Action = []string{"doc.read", "doc.readx", "docs.read"}[i%3]
		e.Actor.ID, e.Target.ID, e.CorrelationID = fmt.Sprint("u", i%2), fmt.Sprint("t", i%4), fmt.Sprint("c", i%6)
		e.IsFailure = i%4 == 0
		_, err := w.s.RecordEvent(w.ctx, w.by, e)
		w.must(err)
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
		"all of them": {registry.AuditQuery{Area: "doc", ActorID: "u0", TargetID: "t0", IsFailure: new(true), CorrelationID: "c0"}, 1},
		"nothing":     {registry.AuditQuery{Action: "doc.re"}, 0},
	} {
		for _, group := range []*uuid.UUID{nil, &acme.ID} {
			for _, ascending := range []bool{false, true} {
				c.q.GroupID, c.q.Ascending, c.q.Limit = group, ascending, 2
				if got := w.pages(c.q); len(got) != c.want {
					t.Errorf("%s, group %v, ascending %t: %d events, want %d", name, group, ascending, len(got), c.want)
				}
			}
		}
	}
}

// gone is a store in which no tenant is found any more, as after a delete that kept its log.
type gone struct{ *watched }

func TestAudit_unknownTenant(t *testing.T) {
	t.Parallel()
	store := &watched{Store: memory.New()}
	w := worldOn(t, gone{store})
	acme := w.tenant("acme", registry.StatusTrial)
	nothing := registry.AuditQuery{GroupID: &acme.ID, Limit: 10, Action: "never.happened"}
	unknown := registry.AuditQuery{GroupID: new(uuid.New()), Limit: 10}

	if page, err := w.s.Audit(w.ctx, w.by, nothing); err != nil || len(page.Items) > 0 || page.More {
		t.Errorf("a tenant without such events: %+v, %v", page, err)
	}
	_, err := w.s.Audit(w.ctx, w.by, unknown)
	w.blames(w.refusal(err, registry.NotFound, registry.CodeTenantNotFound), "tenant_id")

	store.down = registry.ErrNotFound
	if page, err := w.s.Audit(w.ctx, w.by, nothing); err != nil || len(page.Items) > 0 {
		t.Errorf("a deleted tenant's log, none matching: %+v, %v", page, err)
	}
	if page, err := w.s.Audit(w.ctx, w.by, registry.AuditQuery{GroupID: &acme.ID, Limit: 10}); err != nil || len(page.Items) != 1 {
		t.Errorf("a deleted tenant's log: %+v, %v", page, err)
	}
	store.down = registry.ErrUnavailable
	for _, q := range []registry.AuditQuery{nothing, unknown} {
		if _, err := w.s.Audit(w.ctx, w.by, q); !errors.Is(err, registry.ErrUnavailable) {
			t.Errorf("a store that does not answer: %v", err)
		}
	}
}

// What travels through the whole service is stored and hashed as it is.
func TestRecordEvent_textsAndMaps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := reported(uuid.Nil)
	e.Fields = map[string]string{"k=;:%": "v=;:%", "e": "", "ü": "\u2028"}
	e.Actor.Fields, e.Target.Fields = map[string]string{}, nil
	e.Description = strings.Repeat("ä", 2000)
	written, err := w.s.RecordEvent(w.ctx, w.by, e)
	w.must(err)
	e.Fields["later"] = "by the caller"
	stored, err := w.s.Event(w.ctx, w.by, written.ID)
	w.must(err)
	if len(stored.Fields) != 3 || stored.Actor.Fields == nil || stored.Target.Fields != nil || stored.Metadata != nil {
		t.Errorf("stored %+v", stored)
	}
	dense(t, w.log())
}
