package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

const (
	probeTTL   = 250 * time.Millisecond // for how long an answer is good for further callers
	probeReads = time.Second            // for one probe
	writePause = time.Second            // between the beginnings of two writing probes
	slowWrite  = time.Second            // for one writing probe; then changes are said to be unavailable
	probeConns = 2                      // one reads, one writes
)

// Why changes are unavailable.
const (
	refusedReadOnly = "the database is read-only"
	refusedDiskFull = "the disk of the database is full"
	refusedStalled  = "no commit is confirmed: a synchronous standby does not answer"
)

// errRecovery marks the answer of a server in recovery, whose rows may be older than what was acknowledged.
var errRecovery = &registry.UnreadyError{
	Reason: "the database is in recovery, so its rows may be old: point this program at the primary, or promote it",
}

// readiness answers Ping. One probe at a time reads, over connections that are used for nothing else, and all who ask
// meanwhile share its answer. Another one writes in the background, and no one waits for it.
type readiness struct {
	pool    *pool // of probeConns connections, which age as those of the store do
	needs   uint  // version of the schema
	ttl     time.Duration
	observe func(readOnly bool) // called with what each probe reads
	refused func() string       // why changes were refused last; empty: they are not
	writes  writeProbe
	schema  schemaCheck

	mu     sync.Mutex
	latest *probe
}

// probe is one look at the database.
type probe struct {
	done   chan struct{} // closed when what follows is set
	ended  time.Time
	status registry.StoreStatus
	err    error
}

// ask returns when there is an answer or ctx ends.
func (r *readiness) ask(ctx context.Context) (registry.StoreStatus, error) {
	p := r.current()
	select {
	case <-p.done:
	case <-ctx.Done():
	}
	if err := ctx.Err(); err != nil {
		return registry.StoreStatus{}, failure("ping", err)
	}
	return p.status, p.err
}

// current is the probe under way, the last one if its answer is still good, or a new one.
func (r *readiness) current() *probe {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.latest; p != nil {
		select {
		case <-p.done:
			if time.Since(p.ended) < r.ttl {
				return p
			}
		default:
			return p
		}
	}
	p := &probe{done: make(chan struct{})}
	r.latest = p
	go func() {
		defer close(p.done)
		p.status, p.err = r.read()
		p.ended = time.Now()
	}()
	return p
}

// forget makes the next call look at the database.
func (r *readiness) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.latest = nil
}

// read reads whether the database can be used. One that takes no writes loses these connections: the next ones may find
// another server.
func (r *readiness) read() (registry.StoreStatus, error) {
	ctx, cancel := context.WithTimeout(context.Background(), probeReads)
	defer cancel()
	status := registry.StoreStatus{Store: "postgres"}
	var s serverState
	var problem string // of the schema
	err := r.pool.call(ctx, "ping", func(ctx context.Context, on querier) (err error) {
		if s, err = inTransaction(ctx, on); err == nil && !s.recovery && !s.dirty {
			problem, err = r.schema.compare(ctx, on, s)
		}
		return err
	})
	switch {
	case hasCode(err, protocolViolation):
		return status, unready("a connection pooler refuses transactions: set pool_mode = transaction or session there")
	case err != nil:
		return status, err
	}
	if r.observe(s.recovery || s.readOnly); s.recovery || s.readOnly {
		r.pool.inner.Reset() // a session that began read-only stays so
	}
	status.SchemaVersion = uint(max(s.version, 0))
	switch {
	case s.recovery:
		return status, fmt.Errorf("postgres: ping: %w: %w", registry.ErrUnavailable, errRecovery)
	case s.dirty:
		return status, unready("the migration of the schema to version %d did not end: "+
			"run the migrations, which report its state and how to fix it", s.version)
	case problem != "":
		return status, unready("%s", problem)
	case status.SchemaVersion < r.needs:
		return status, unready("the schema is at version %d, this program needs %d: run the migrations",
			status.SchemaVersion, r.needs)
	case s.readOnly:
		status.WritesUnavailable = refusedReadOnly
	case s.missing != "":
		status.WritesUnavailable = "the role of this program lacks " + s.missing
	default:
		status.WritesUnavailable = r.writes.unavailable(r.refused)
	}
	return status, nil
}

func unready(format string, args ...any) error {
	return fmt.Errorf("postgres: ping: %w", &registry.UnreadyError{Reason: fmt.Sprintf(format, args...)})
}

// inTransaction reads the state in a transaction, as every change is one: a pooler may refuse them.
func inTransaction(ctx context.Context, on querier) (serverState, error) {
	if _, err := on.Exec(ctx, `BEGIN`); err != nil {
		return serverState{}, err
	}
	s, err := readServerState(ctx, on)
	if _, end := on.Exec(ctx, `ROLLBACK`); err == nil {
		err = end
	}
	return s, err
}

// serverState is what a probe reads.
type serverState struct {
	recovery, readOnly bool
	missing            string // privileges that changes need and the role lacks
	version            int64  // of the schema; 0 if there is none
	dirty              bool
	foreign            bool // schema_migrations has other columns
}

func readServerState(ctx context.Context, on querier) (s serverState, err error) {
	const state = `
		SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on', coalesce((
			SELECT string_agg(missing.privilege || ' on ' || missing.name, ', ') FROM (
				SELECT * FROM unnest($1::text[], $2::text[]) AS needed (name, privilege)
				WHERE NOT has_table_privilege(to_regclass(needed.name), needed.privilege)
				UNION ALL
				SELECT needed.name, 'EXECUTE' FROM unnest($3::text[]) AS needed (name)
				WHERE NOT has_function_privilege(to_regprocedure(needed.name), 'EXECUTE')
			) AS missing
		), '')`
	const schema = `SELECT version, dirty FROM schema_migrations LIMIT 1`
	tables, privileges, functions := changePrivileges()
	rows, _ := on.Query(ctx, state, tables, privileges, functions)
	if s, err = pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (s serverState, err error) {
		err = row.Scan(&s.recovery, &s.readOnly, &s.missing)
		return s, err
	}); err != nil {
		return s, err
	}
	rows, _ = on.Query(ctx, schema)
	_, err = pgx.ForEachRow(rows, []any{&s.version, &s.dirty}, func() error { return nil })
	if s.foreign = hasCode(err, undefinedColumn); s.foreign || hasCode(err, undefinedTable) {
		err = nil
	}
	return s, err
}

// writeProbe knows whether changes can be committed, from commits of its own.
type writeProbe struct {
	confirm func(ctx context.Context) error

	mu     sync.Mutex
	since  time.Time // of the one under way; zero: none is
	reason string    // why the last one failed; empty: it did not
}

// run commits at intervals, one after the other, until ctx ends.
func (w *writeProbe) run(ctx context.Context) {
	tick := time.NewTicker(writePause)
	defer tick.Stop()
	for ctx.Err() == nil {
		w.begin()
		err := w.confirm(ctx)
		if ctx.Err() == nil {
			w.end(err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func (w *writeProbe) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.since = time.Now()
}

func (w *writeProbe) end(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.since, w.reason = time.Time{}, refusal(err)
}

// unavailable is why changes cannot be committed; empty if they can.
func (w *writeProbe) unavailable(refused func() string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.since.IsZero() && time.Since(w.since) > slowWrite {
		return refusedStalled
	}
	if w.reason != "" {
		return w.reason
	}
	return refused()
}

// refusal is why a server commits nothing, in words that name no host and nothing of a statement; empty without an
// error.
func refusal(err error) string {
	switch {
	case err == nil:
		return ""
	case isReadOnly(err):
		return refusedReadOnly
	case hasCode(err, diskFull):
		return refusedDiskFull
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return refusedStalled
	}
	return "changes cannot be committed: see the log of the database"
}
