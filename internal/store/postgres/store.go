// Package postgres is a registry.Store in PostgreSQL, through a pool of connections. The SQL stands beside the method
// that runs it, one file for each aggregate; the schema is the one of the migrations folder.
//
// # Locks
//
// Transactions are READ COMMITTED, and every one takes its locks in the same order: its tenant's row (FOR NO KEY UPDATE
// to change it or something of it, FOR KEY SHARE to keep it from being deleted), then other rows, and last, directly
// before the commit, the one advisory lock of the audit log. Under that lock an event gets its place, so the order of
// the numbers is the order of the commits. UpdateAPIKeyUsage alone locks keys without their tenant; it skips those that
// are locked, so it waits for no lock. None of these row locks conflicts with the foreign key check that an event's
// insert makes while it holds the audit lock.
//
// # Limits
//
// Whatever happens to the database or to another replica, a call ends: a wait for a free connection after
// Config.AcquireTimeout, a wait for a lock after three seconds, a statement after four, each call after
// Config.CallTimeout. The server ends a session that has been idle in a transaction for two seconds, so a replica that
// stops while it holds the audit lock blocks the others for no longer. What ends this way is registry.ErrUnavailable.
package postgres

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// Config says where the database is and what this program needs of it. Only DSN is required.
type Config struct {
	// DSN in either form of libpq. What it sets wins over everything that this package would set: session limits, the
	// mode of execution, pgx's pool_ settings. Of several hosts the primary is used; the last good one is tried first.
	DSN           string
	Reload        func() (string, error) // the DSN for each new connection; nil: DSN
	MaxConns      int32                  // of the pool; the DSN's pool_max_conns or 10 if 0. Ping and Confirm have two.
	SchemaVersion uint                   // the oldest version of the schema that this program works with
	Tracer        pgx.QueryTracer        // of every statement but those of Ping and Confirm; nil: none
	Logger        *slog.Logger           // of warnings at the start; nil: none

	ConnectTimeout time.Duration // for one host; 3 s, or the DSN's connect_timeout
	AcquireTimeout time.Duration // how long a call waits for a connection; 1 s
	CallTimeout    time.Duration // for one call, unless its context ends earlier; 5 s
	PingTimeout    time.Duration // for one Ping; 200 ms
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	for _, d := range []struct {
		value     *time.Duration
		otherwise time.Duration
	}{
		{&c.ConnectTimeout, 3 * time.Second},
		{&c.AcquireTimeout, time.Second},
		{&c.CallTimeout, 5 * time.Second},
		{&c.PingTimeout, 200 * time.Millisecond},
	} {
		if *d.value == 0 {
			*d.value = d.otherwise
		}
	}
	return c
}

// Store is a registry.Store in PostgreSQL. It is safe for concurrent use.
type Store struct {
	reader
	pool      *pool
	config    *pgxpool.Config
	confirmer *confirmer
	confirmed atomic.Pointer[incarnation] // of the server, by ConfirmReads
	readiness *readiness
	stop      func() // ends the writing probe
	ping      time.Duration
	log       *slog.Logger

	heartbeatTimeout time.Duration // of Listen
	stopListening    func()
}

var _ registry.Store = (*Store)(nil)

// Open connects to the database. It fails, with one sentence that names the host and the next step and never the
// password, if the DSN makes no sense (ErrDSN) or the database cannot be reached. A database that is reached but not
// ready (in recovery, read-only, without a clean schema that is new enough) is a warning in the log: the store opens,
// Ping says what is wrong, and it works as soon as that is fixed. So is a session without the limits that this package
// counts on, as behind a pooler that refuses them, and a role that owns the audit log or may update it.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	pc, err := poolConfig(cfg)
	if err != nil {
		return nil, err
	}
	first, err := connect(ctx, pc, cfg)
	if err != nil {
		return nil, unreached(pc.ConnConfig, err)
	}
	warnOfSession(ctx, first, pc.MaxConns, cfg)
	closeConn(first)
	inner, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, unreached(pc.ConnConfig, err)
	}
	p := newPool(inner, cfg)
	s := &Store{reader: reader{p}, pool: p, config: pc, ping: cfg.PingTimeout, log: cfg.Logger}
	s.heartbeatTimeout, s.stopListening = heartbeatTimeout, func() {}
	if err := s.startProbes(ctx, cfg); err != nil {
		inner.Close()
		return nil, unreached(pc.ConnConfig, err)
	}
	switch status, err := s.Ping(ctx); {
	case err != nil:
		cfg.Logger.WarnContext(ctx, "database not ready", "error", err)
	case status.WritesUnavailable != "":
		cfg.Logger.WarnContext(ctx, "database takes no changes", "reason", status.WritesUnavailable)
	}
	return s, nil
}

// startProbes opens the pool of the probes and of Confirm, and begins to probe for writes.
func (s *Store) startProbes(ctx context.Context, cfg Config) error {
	pc := s.config.Copy()
	pc.MaxConns, pc.MinConns, pc.MinIdleConns = probeConns, 0, 0
	pc.ConnConfig.Tracer = nil
	inner, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return err
	}
	p := newPool(inner, cfg)
	p.lost = s.pool.inner.Reset // sessions of that server that the pool still has are dead, or began read-only
	life, end := context.WithCancel(context.Background())
	s.confirmer = &confirmer{life: life, commit: func(ctx context.Context) error {
		err := p.commitMessage(ctx)
		if err == nil {
			s.pool.turns.confirmed()
		}
		return err
	}}
	s.readiness = &readiness{
		pool: p, needs: cfg.SchemaVersion, ttl: probeTTL, observe: s.pool.observe, refused: s.pool.refused,
		writes: writeProbe{confirm: s.confirmer.confirm}, schema: schemaCheck{faults: s.pool.faults.Load},
	}
	var running sync.WaitGroup
	running.Go(func() { s.readiness.writes.run(life) })
	s.stop = func() {
		end()
		running.Wait()
		s.confirmer.close()
		inner.Close()
		s.readiness.forget()
	}
	return nil
}

// Ping reports whether the database can be read now, is the primary, and holds a schema that is clean and new enough;
// and whether changes can be committed, as of the last second. It has connections of its own, so that it can answer
// when the pool is exhausted, waits for no write, and always returns within Config.PingTimeout. Calls within 250 ms
// share one answer.
func (s *Store) Ping(ctx context.Context) (registry.StoreStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, s.ping)
	defer cancel()
	return s.readiness.ask(ctx)
}

// Pool is the pool that all calls but Ping and Confirm share, for measuring.
func (s *Store) Pool() *pgxpool.Pool { return s.pool.inner }

// Close waits for the calls that are under way and closes all connections. Later calls are ErrUnavailable.
func (s *Store) Close() {
	s.stopListening()
	s.stop()
	s.pool.inner.Close()
	s.pool.commits.close()
}
