package server

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/postgres"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
)

// database is one on Postgres, with a store on it. Tests use it one after the other; each finds it empty.
type database struct {
	dsn   string
	store *postgres.Store
	conn  *pgx.Conn // beside the store
}

// databases are the idle ones. There are as many as tests run at once.
var databases = &databasePool{}

type databasePool struct {
	mu       sync.Mutex
	idle     []*database
	cleanups []func()
}

// lend gives a database to a test. One whose test failed, or that cannot be emptied, is not lent again.
func (p *databasePool) lend(t *testing.T) *database {
	t.Helper()
	d := p.pop()
	if d == nil {
		d = p.open(t)
	}
	t.Cleanup(func() {
		if t.Failed() {
			return
		}
		if err := d.empty(); err != nil {
			t.Errorf("the database cannot be emptied: %v", err)
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.idle = append(p.idle, d)
	})
	return d
}

func (p *databasePool) pop() *database {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return nil
	}
	d := p.idle[len(p.idle)-1]
	p.idle = p.idle[:len(p.idle)-1]
	return d
}

// open makes a database that lasts until close.
func (p *databasePool) open(t *testing.T) *database {
	t.Helper()
	lasting := outliving{t, p}
	d := &database{dsn: patient(postgrestest.New(lasting))}
	var err error
	if d.store, err = postgres.Open(t.Context(), postgres.Config{
		DSN: d.dsn, AcquireTimeout: patience, CallTimeout: patience, PingTimeout: patience, MaxConns: 4,
	}); err != nil {
		t.Fatal(err)
	}
	lasting.Cleanup(d.store.Close)
	if d.conn, err = pgx.Connect(t.Context(), d.dsn); err != nil {
		t.Fatal(err)
	}
	lasting.Cleanup(func() { _ = d.conn.Close(context.Background()) })
	return d
}

// close ends all stores and drops all databases.
func (p *databasePool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.cleanups) - 1; i >= 0; i-- {
		p.cleanups[i]()
	}
}

// patient is a DSN whose sessions the server gives as much time as a busy machine may need: its usual limits, of two to
// four seconds, end the transaction of a test that was not scheduled for so long.
func patient(dsn string) string {
	milliseconds := strconv.FormatInt(patience.Milliseconds(), 10)
	limits := url.Values{}
	for _, name := range []string{"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"} {
		limits.Set(name, milliseconds)
	}
	switch {
	case !strings.Contains(dsn, "://"):
		return dsn + " " + strings.ReplaceAll(limits.Encode(), "&", " ")
	case strings.Contains(dsn, "?"):
		return dsn + "&" + limits.Encode()
	}
	return dsn + "?" + limits.Encode()
}

// empty removes all rows. The log refuses that, so its trigger is off for as long.
func (d *database) empty() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := d.conn.Exec(ctx, `DO $$ BEGIN
		ALTER TABLE audit_log DISABLE TRIGGER audit_log_no_truncate;
		EXECUTE (SELECT 'TRUNCATE ' || string_agg(format('%I.%I', schemaname, tablename), ', ') FROM pg_tables
			WHERE schemaname = 'public' AND tablename <> 'schema_migrations');
		ALTER TABLE audit_log ENABLE TRIGGER audit_log_no_truncate;
	END $$`)
	return err
}

// outliving is a test whose clean-up waits for the end of all tests.
type outliving struct {
	testing.TB
	pool *databasePool
}

// Cleanup implements testing.TB.
func (o outliving) Cleanup(f func()) {
	o.pool.mu.Lock()
	defer o.pool.mu.Unlock()
	o.pool.cleanups = append(o.pool.cleanups, f)
}

// Errorf implements testing.TB: the test may have ended.
func (o outliving) Errorf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// patience is what a call may take on a busy test machine.
const patience = 20 * time.Second

// TestDatabases_areEmptied asserts that a test finds nothing of the one before it, and the log still append-only.
func TestDatabases_areEmptied(t *testing.T) {
	t.Parallel()
	pool := &databasePool{}
	t.Cleanup(pool.close)
	var first *database
	t.Run("first", func(t *testing.T) {
		first = pool.lend(t)
		newClient(t, first.store, registry.Options{}).examples()
	})
	second := pool.lend(t)
	if second != first {
		t.Fatal("the database is not lent again")
	}
	for row := range strings.Lines(dump(t, second.dsn)) {
		if !strings.HasPrefix(row, "public.schema_migrations ") {
			t.Errorf("a row of the first test is there: %s", row)
		}
	}
	api := newClient(t, second.store, registry.Options{})
	api.tenant("globex")
	if _, err := second.conn.Exec(t.Context(), "TRUNCATE audit_log"); err == nil ||
		!strings.Contains(err.Error(), "append-only") {
		t.Errorf("the log can be truncated: %v", err)
	}
}
