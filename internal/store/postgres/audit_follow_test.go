package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/audit"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/postgres"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
)

// follower is one reader that follows the log while it is written.
type follower struct {
	query registry.AuditQuery
	ids   []uuid.UUID
}

// read reads on, to the end as of now.
func (r *follower) read(ctx context.Context, s *registry.Service) error {
	for {
		page, err := s.Audit(ctx, operator, r.query)
		if err != nil {
			return err
		}
		for _, e := range page.Items {
			r.ids = append(r.ids, e.ID)
		}
		at := r.query.Cursor
		if r.query.Cursor = page.Next; len(page.Items) == 0 && page.Next == at {
			return nil
		}
	}
}

// createdFollower follows the log in the order of created, which is that of beginning and not of commit.
type createdFollower struct {
	at  time.Time
	id  uuid.UUID
	ids []uuid.UUID
}

func (r *createdFollower) read(ctx context.Context, conn *pgx.Conn) error {
	const sql = `SELECT created, id FROM audit_log WHERE (created, id) > ($1, $2) ORDER BY created, id`
	rows, _ := conn.Query(ctx, sql, r.at, r.id)
	_, err := pgx.ForEachRow(rows, []any{&r.at, &r.id}, func() error {
		r.ids = append(r.ids, r.id)
		return nil
	})
	return err
}

// queries are one with each filter, and some with several, of the whole log and of one tenant's. All but one select
// some of what write writes.
func queries(tenant uuid.UUID) map[string]registry.AuditQuery {
	all := map[string]registry.AuditQuery{}
	for scope, group := range map[string]*uuid.UUID{"all": nil, "tenant": &tenant, "platform": {}} {
		for name, q := range map[string]registry.AuditQuery{
			"everything": {}, "action": {Action: "area-1.write"}, "area": {Area: "area-2"},
			"actor": {ActorID: "actor-1"}, "target": {TargetID: "target-0"},
			"correlation": {CorrelationID: "request-1"}, "failures": {IsFailure: new(true)},
			"successes": {IsFailure: new(false)},
			"crud":      {CRUD: audit.Update}, "created": {CreatedFrom: noon}, "never": {ActorID: "unknown"},
			"several":          {ActorID: "actor-1", IsFailure: new(true)},
			"crud of an actor": {ActorID: "actor-0", CRUD: audit.Delete},
			"truncated":        {CRUD: audit.Delete, MaxExamined: 3},
		} {
			q.GroupID, q.Ascending, q.Limit = group, true, 7
			all[name+" of "+scope] = q
		}
	}
	return all
}

// write writes the j-th event of the i-th writer.
func write(ctx context.Context, s *registry.Service, tenant uuid.UUID, i, j int) error {
	_, err := s.RecordEvent(ctx, operator, audit.Event{
		GroupID: []uuid.UUID{tenant, uuid.Nil}[(i+j)%2], Action: fmt.Sprintf("area-%d.write", j%3),
		CRUD:  []audit.CRUD{audit.Create, audit.Read, audit.Update, audit.Delete}[(i+j/2)%4],
		Actor: audit.Party{ID: fmt.Sprintf("actor-%d", i%3)}, Target: audit.Party{ID: fmt.Sprintf("target-%d", j%2)},
		CorrelationID: fmt.Sprintf("request-%d", j%4), IsFailure: (i+j)%5 < 2,
	})
	return err
}

// commits wakes the readers with every tenth commit: woken more often they would only slow the writers down.
type commits struct {
	mu   sync.Mutex
	n    int
	next chan struct{} // closed by the next tenth commit
}

// wait returns a channel that is closed by a commit from now on.
func (c *commits) wait() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next
}

func (c *commits) committed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n++; c.n%10 == 0 {
		close(c.next)
		c.next = make(chan struct{})
	}
}

// TestFollow_everyFilter: sixteen replicas write, and under every filter a reader follows. Each sees every event that
// is for it, once, in order. The control follows the order of created and loses some.
func TestFollow_everyFilter(t *testing.T) {
	t.Parallel()
	const writers, each = 16, 40
	dsn := postgrestest.New(t)
	store := open(t, postgres.Config{DSN: dsn, MaxConns: 24, AcquireTimeout: 20 * time.Second})
	service := registry.New(store, registry.Options{Shares: &registry.ShareCaps{}})
	tenant, control := insertTenant(t, store, "tenant"), &createdFollower{}
	conn := connect(t, dsn)
	readers := map[string]*follower{}
	var steps []func() error
	for name, q := range queries(tenant.ID) {
		r := &follower{query: q}
		readers[name] = r
		steps = append(steps, func() error { return r.read(t.Context(), service) })
	}
	steps = append(steps, func() error { return control.read(t.Context(), conn.Conn) })

	var writing, reading sync.WaitGroup
	done, news := make(chan struct{}), &commits{next: make(chan struct{})}
	for i := range writers {
		// one replica would write all that waits in one transaction
		replica := registry.New(store, registry.Options{Shares: &registry.ShareCaps{}})
		writing.Go(func() {
			for j := range each {
				if err := write(t.Context(), replica, tenant.ID, i, j); err != nil {
					t.Error(err)
				}
				news.committed()
			}
		})
	}
	for _, read := range steps {
		reading.Go(func() {
			for finished := false; ; {
				more := news.wait()
				if err := read(); err != nil {
					t.Error(err)
					return
				}
				if finished {
					return
				}
				select { // what was written before done was closed is read once more
				case <-done:
					finished = true
				case <-more:
				}
			}
		})
	}
	writing.Wait()
	close(done)
	reading.Wait()

	for name, r := range readers {
		r.query.Cursor, r.query.MaxExamined = "", 0
		want := &follower{query: r.query}
		must(t, want.read(t.Context(), service))
		if !slices.Equal(r.ids, want.ids) {
			t.Errorf(
				"%s: the reader has %d events, afterwards there are %d, or in another order", name, len(r.ids),
				len(want.ids),
			)
		}
	}
	if n := len(readers["everything of all"].ids); n != writers*each {
		t.Errorf("the log has %d events of %d", n, writers*each)
	}
	missed := writers*each - len(control.ids)
	if missed == 0 {
		t.Error("the control misses nothing: this test shows nothing")
	}
}
