package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

const (
	probeConnects = 10 * time.Second // on all hosts together, in the background
	probeReads    = time.Second      // after which the connection is given up
)

// errReadOnly marks the answer of a server that takes no writes.
var errReadOnly = &registry.UnreadyError{
	Reason: "the database is read-only: point this program at the primary, or make it writable",
}

// probe checks the database over one connection that is used for nothing else. A check that takes longer than a caller
// waits goes on in the background, so that a connection that is slow to make is available to the next caller.
type probe struct {
	config *pgx.ConnConfig
	needs  uint           // version of the schema
	fresh  func()         // called when a new connection was made that works, before its answer is returned
	idle   chan *pgx.Conn // has the connection, or nil for none, while it is not in use
	life   context.Context
	end    context.CancelFunc
}

type probeAnswer struct {
	status registry.StoreStatus
	err    error
}

func newProbe(first *pgx.Conn, config *pgx.ConnConfig, needs uint, fresh func()) *probe {
	p := &probe{config: config, needs: needs, fresh: fresh, idle: make(chan *pgx.Conn, 1)}
	p.life, p.end = context.WithCancel(context.Background())
	p.idle <- first
	return p
}

// ask returns when there is an answer or ctx ends.
func (p *probe) ask(ctx context.Context) (registry.StoreStatus, error) {
	const op = "ping"
	answered := make(chan probeAnswer, 1)
	select {
	case conn := <-p.idle:
		go func() {
			conn, a := p.check(conn)
			p.idle <- conn
			answered <- a
		}()
	case <-ctx.Done():
		return registry.StoreStatus{}, failure(op, fmt.Errorf("an earlier one is not answered yet: %w", ctx.Err()))
	}
	select {
	case a := <-answered:
		return a.status, failure(op, a.err)
	case <-ctx.Done():
		return registry.StoreStatus{}, failure(op, ctx.Err())
	}
}

// check reads the state over the connection given or, if that is nil or broke since it was last used, over a new one,
// and returns the connection to use next.
func (p *probe) check(conn *pgx.Conn) (*pgx.Conn, probeAnswer) {
	for used := conn != nil; ; used = false {
		if !used {
			ctx, cancel := context.WithTimeout(p.life, probeConnects)
			defer cancel()
			var err error
			if conn, err = connectUntraced(ctx, p.config); err != nil {
				return nil, probeAnswer{err: fmt.Errorf("%w: no connection: %w", registry.ErrUnavailable, err)}
			}
		}
		status, err := p.read(conn)
		if errors.Is(err, errReadOnly) {
			_ = conn.Close(p.life) // the next one may find another server
		}
		if !conn.IsClosed() {
			if !used {
				p.fresh()
			}
			return conn, probeAnswer{status, err}
		}
		if !used || !isLost(err) {
			return nil, probeAnswer{status, err}
		}
	}
}

func (p *probe) read(conn *pgx.Conn) (registry.StoreStatus, error) {
	ctx, cancel := context.WithTimeout(p.life, probeReads)
	defer cancel()
	status := registry.StoreStatus{Store: "postgres"}
	var writable bool
	err := conn.QueryRow(ctx, `SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'`).
		Scan(&writable)
	if err != nil {
		return status, err
	}
	var version int64
	var dirty bool
	err = conn.QueryRow(ctx, `SELECT version, dirty FROM schema_migrations LIMIT 1`).Scan(&version, &dirty)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) && !hasCode(err, undefinedTable) {
		return status, err
	}
	status.SchemaVersion = uint(max(version, 0))
	switch {
	case !writable:
		return status, errReadOnly
	case dirty:
		return status, &registry.UnreadyError{Reason: fmt.Sprintf(
			"the migration of the schema to version %d did not end: "+
				"run the migrations, which report its state and how to fix it",
			version,
		)}
	case status.SchemaVersion < p.needs:
		return status, &registry.UnreadyError{Reason: fmt.Sprintf(
			"the schema is at version %d, this program needs %d: run the migrations", version, p.needs)}
	}
	return status, nil
}

// close waits for what is under way, which ends at once, and closes the connection. No other one is made.
func (p *probe) close() {
	p.end()
	if conn := <-p.idle; conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), probeReads)
		defer cancel()
		_ = conn.Close(ctx)
	}
	p.idle <- nil
}
