package postgres_test

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/testkit"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/postgres"
)

// operator may do everything.
var operator = registry.Caller{Actor: audit.Party{ID: "tester", Type: "user"}, Access: registry.FullAccess}

// open opens a store that is closed when the test ends. Each Ping looks at the database. Unless cfg says otherwise Ping
// has time, as the machine may be busy.
func open(t *testing.T, cfg postgres.Config) *postgres.Store {
	t.Helper()
	cfg.PingTimeout = cmp.Or(cfg.PingTimeout, 10*time.Second)
	store, err := postgres.Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	store.ProbeAlways()
	return store
}

// with sets a parameter of a DSN in URL form.
func with(dsn, name, value string) string {
	parsed, err := url.Parse(dsn)
	if err != nil {
		panic(err)
	}
	query := parsed.Query()
	query.Set(name, value)
	parsed.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20") // libpq knows no other blank
	return parsed.String()
}

// database is the test's own way into a database, beside the store.
type database struct {
	*pgx.Conn
	t *testing.T
}

func connect(t *testing.T, dsn string) database {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return database{conn, t}
}

func (db database) run(sql string, args ...any) {
	db.t.Helper()
	if _, err := db.Exec(db.t.Context(), sql, args...); err != nil {
		db.t.Fatal(err)
	}
}

// drop drops a role, with what it was granted in this database.
func (db database) drop(role string) {
	_, err := db.Exec(context.Background(), `DROP OWNED BY `+role+`; DROP ROLE `+role)
	if err != nil {
		db.t.Error(err)
	}
}

// value reads the one value that a statement returns.
func value[T any](db database, sql string, args ...any) T {
	db.t.Helper()
	rows, _ := db.Query(db.t.Context(), sql, args...)
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	if err != nil {
		db.t.Fatal(err)
	}
	return v
}

// name is the database's, quoted.
func (db database) name() string {
	return pgx.Identifier{value[string](db, `SELECT current_database()`)}.Sanitize()
}

// until polls for what happens in its own time.
func until(t *testing.T, what string, within time.Duration, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(within); !done(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, err, expected error) {
	t.Helper()
	if !errors.Is(err, expected) {
		t.Fatalf("error is %v, want %v", err, expected)
	}
}

// took checks for how long something went on.
func took(t *testing.T, since time.Time, atLeast, atMost time.Duration) {
	t.Helper()
	if d := time.Since(since); d < atLeast || d > atMost {
		t.Errorf("it took %v, want %v to %v", d.Round(time.Millisecond), atLeast, atMost)
	}
}

func codeOf(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return ""
}

// codes is a tracer that counts the SQLSTATEs of statements, those of transactions that were retried included.
type codes struct {
	mu   sync.Mutex
	seen map[string]int
}

func (c *codes) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

func (c *codes) TraceQueryEnd(_ context.Context, _ *pgx.Conn, end pgx.TraceQueryEndData) {
	c.note(end.Err)
}

func (c *codes) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

func (c *codes) TraceBatchQuery(_ context.Context, _ *pgx.Conn, query pgx.TraceBatchQueryData) {
	c.note(query.Err)
}

func (c *codes) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

func (c *codes) note(err error) {
	if code := codeOf(err); code != "" {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.seen == nil {
			c.seen = map[string]int{}
		}
		c.seen[code]++
	}
}

func (c *codes) count(code string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[code]
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newTenant(slug string) registry.Tenant {
	return registry.Tenant{
		ID: uuid.Must(uuid.NewV7()), Slug: slug, Name: "n", Status: registry.StatusTrial, Metadata: map[string]string{},
		Version:   1,
		CreatedAt: noon, UpdatedAt: noon,
	}
}

func newProduct(key string) registry.Product {
	return registry.Product{Key: key, Name: "n", Audience: registry.Public, CreatedAt: noon, UpdatedAt: noon}
}

func insertTenant(t *testing.T, store registry.Store, slug string) registry.Tenant {
	t.Helper()
	tenant := newTenant(slug)
	must(t, store.Tx(t.Context(), func(tx registry.Tx) error { return tx.InsertTenant(t.Context(), tenant) }))
	return tenant
}

// appendTo appends an event to a group, as the last thing of a transaction. Its own hashes are any.
func appendTo(ctx context.Context, tx registry.Tx, group uuid.UUID) (audit.Event, error) {
	head, err := testkit.LockAuditHead(ctx, tx, group)
	if err != nil {
		return audit.Event{}, err
	}
	e := audit.Event{
		ID: uuid.Must(uuid.NewV7()), GroupID: group, Action: "test.append", CRUD: audit.Create, IsAnonymous: true,
		Created: noon, Received: noon, Pos: head.Pos + 1, Seq: head.Seq + 1,
		Hash: strings.Repeat("a", 64), Salts: audit.Salts{audit.PartHash: {1}}, ChainHash: strings.Repeat("c", 64),
		PrevChainHash: cmp.Or(head.ChainHash, audit.ZeroHash),
	}
	return e, testkit.InsertAuditEvent(ctx, tx, e)
}

// appendOne appends an event to the platform's own chain.
func appendOne(ctx context.Context, store registry.Store) error {
	return store.Tx(ctx, func(tx registry.Tx) error {
		_, err := appendTo(ctx, tx, uuid.Nil)
		return err
	})
}
