package migrate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"github.com/golang-migrate/migrate/v4/database"
	pgxdriver "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/breakpilot/tenant-registry/internal/dsn"
)

const (
	connectTimeout = 10 * time.Second // for one address, unless the DSN says otherwise
	pollInterval   = 100 * time.Millisecond
)

// LockKey is the advisory lock that a change holds, and nothing else may use. Advisory locks belong to one database, so
// a constant will do; these are the letters "trmigrat".
const LockKey int64 = 0x7472_6d69_6772_6174

// session is one change, or one look, at a database. Its connection holds our lock; golang-migrate works on another.
type session struct {
	conn     *pgx.Conn
	config   *pgx.ConnConfig
	files    fs.FS
	lockWait time.Duration
	database string
	schema   string // where the migrations make their tables
	table    string // golang-migrate's table, qualified and quoted
	// golang-migrate's advisory lock, held by the process that runs a file, even if that process is gone
	theirKey int64
}

// connect opens a session without any lock.
func (s Schema) connect(ctx context.Context) (*session, error) {
	config, err := dsn.Parse(s.DSN)
	if err != nil {
		return nil, ErrDSN // its own text may hold the password
	}
	sess := &session{config: config, files: s.Files, lockWait: s.LockWait}
	if sess.lockWait == 0 {
		sess.lockWait = DefaultLockWait
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	dsn.ProtectPassword(config)
	hosts := dsn.Follow(config, s.DSN, pgconn.ValidateConnectTargetSessionAttrsReadWrite)
	if config.ValidateConnect == nil { // a single host, or one that target_session_attrs=any would take
		config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	// The wait that golang-migrate begins at once, when it opens, has no other bound than lock_timeout.
	config.RuntimeParams["lock_timeout"] = strconv.FormatInt(max(1, sess.lockWait.Milliseconds()), 10)
	config.RuntimeParams["statement_timeout"] = "0"
	if sess.conn, err = pgx.ConnectConfig(ctx, config); err != nil {
		return nil, connectError(ctx, config, err)
	}
	hosts.Sort(config) // for golang-migrate's connection
	if err := sess.refusePooler(ctx); err != nil {
		sess.close()
		return nil, err
	}
	if err := sess.identify(ctx); err != nil {
		sess.close()
		return nil, err
	}
	return sess, nil
}

// refusePooler refuses a session that does not have the parameters that it was opened with: a pooler ignored them, and
// would give our locks to others.
func (s *session) refusePooler(ctx context.Context) error {
	var kept bool
	err := s.conn.QueryRow(ctx, `SELECT setting = $1 FROM pg_settings WHERE name = 'lock_timeout'`,
		pgx.QueryExecModeExec, s.config.RuntimeParams["lock_timeout"]).Scan(&kept)
	if err != nil {
		return errors.New(sentence(err))
	}
	if !kept {
		return fmt.Errorf("%w at %s: it ignores lock_timeout; this looks like a connection pooler, "+
			"and migrations need Postgres itself: name its DSN in MIGRATE_DATABASE_URL",
			ErrConnect, addresses(s.config))
	}
	return nil
}

// identify finds the table and the lock that golang-migrate will use.
func (s *session) identify(ctx context.Context) error {
	var schema *string
	err := s.conn.QueryRow(ctx, `SELECT current_database(), current_schema()`).Scan(&s.database, &schema)
	if err != nil {
		return errors.New(sentence(err))
	}
	if schema == nil {
		return errors.New(
			"the search_path of this role names no schema that exists, so there is nowhere to create tables",
		)
	}
	s.schema = *schema
	s.table = pgx.Identifier{s.schema, pgxdriver.DefaultMigrationsTable}.Sanitize()
	id, err := database.GenerateAdvisoryLockId(s.database, s.schema, pgxdriver.DefaultMigrationsTable)
	if err != nil {
		return err
	}
	s.theirKey, err = strconv.ParseInt(id, 10, 64)
	return err
}

// open connects and waits, within LockWait, until no other change is under way.
func (s Schema) open(ctx context.Context) (*session, error) {
	sess, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := sess.lock(ctx); err != nil {
		sess.close()
		return nil, err
	}
	return sess, nil
}

func (s *session) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.conn.Close(ctx) // our lock ends with the session, closed politely or not
}

// lock takes our lock and then waits for golang-migrate's to be free: a killed process leaves it to a backend that
// still runs its file. Both are polled: a waiting pg_advisory_lock would hold a snapshot, and CREATE INDEX CONCURRENTLY
// waits for those.
func (s *session) lock(ctx context.Context) error {
	deadline := time.Now().Add(s.lockWait)
	if err := s.await(ctx, deadline, LockKey, s.tryLock); err != nil {
		return err
	}
	return s.await(ctx, deadline, s.theirKey, s.idle)
}

func (s *session) await(
	ctx context.Context, deadline time.Time, key int64, try func(context.Context) (bool, error),
) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		free, err := try(ctx)
		if err != nil || free {
			return err
		}
		if time.Now().After(deadline) {
			return s.lockError(ctx, key)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w while waiting for another migration to end; nothing was changed", ErrInterrupted)
		case <-tick.C:
		}
	}
}

func (s *session) tryLock(ctx context.Context) (bool, error) {
	return s.ask(ctx, `SELECT pg_try_advisory_lock($1)`, LockKey)
}

// idle reports whether no process runs a file: golang-migrate's lock can be had. It is given back at once.
func (s *session) idle(ctx context.Context) (bool, error) {
	free, err := s.ask(ctx, `SELECT pg_try_advisory_lock($1)`, s.theirKey)
	if err != nil || !free {
		return false, err
	}
	return s.ask(ctx, `SELECT pg_advisory_unlock($1)`, s.theirKey)
}

func (s *session) ask(ctx context.Context, query string, key int64) (answer bool, err error) {
	if err = s.conn.QueryRow(ctx, query, key).Scan(&answer); err != nil {
		err = s.lost(ctx, err)
	}
	return answer, err
}

// lockError says who holds a lock.
func (s *session) lockError(ctx context.Context, key int64) error {
	var pid int
	err := s.conn.QueryRow(ctx, `SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
		AND (classid::bigint << 32) + objid::bigint = $1`, key).Scan(&pid)
	if err != nil {
		return fmt.Errorf("%w within %v", ErrLocked, s.lockWait)
	}
	return fmt.Errorf("%w within %v: its backend is %d; try again when it is done", ErrLocked, s.lockWait, pid)
}

// state reads version and dirty; a table that is not there yet is the empty schema.
func (s *session) state(ctx context.Context) (State, error) {
	var version int64
	var state State
	err := s.conn.QueryRow(ctx, `SELECT version, dirty FROM `+s.table+` LIMIT 1`).Scan(&version, &state.Dirty)
	var pgErr *pgconn.PgError
	if errors.Is(err, pgx.ErrNoRows) || errors.As(err, &pgErr) && pgErr.Code == "42P01" {
		return State{}, nil
	}
	if errors.As(err, &pgErr) && pgErr.Code == "42703" {
		return State{}, fmt.Errorf("%w: %s has other columns than these migrations give it: it belongs to another "+
			"service, so use another database, or another schema by search_path", ErrForeign, s.table)
	}
	if err != nil {
		return State{}, s.lost(ctx, err)
	}
	state.Version = uint(max(version, 0))
	return state, nil
}
