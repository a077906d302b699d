package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/migrate"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/postgres"
	"github.com/breakpilot/tenant-registry/internal/store/postgres/postgrestest"
	"github.com/breakpilot/tenant-registry/migrations"
)

// database is the server's, and beside it one with the same schema and tenants in which pgbench writes, so that neither
// finds the other's rows.
type database struct {
	dsn, yardstick string
	pgbench        string // the program
}

// durable are the options of our own cluster: everything is written through, and nothing runs that would disturb one
// round only.
const durable = "-c max_connections=250 -c shared_buffers=1GB -c max_wal_size=16GB -c checkpoint_timeout=1h" +
	" -c autovacuum=off"

func (b *bench) openDatabase(ctx context.Context) error {
	dsn := b.database
	if dsn == "" {
		own, about, stop, err := postgrestest.Lasting(ctx, durable)
		if err != nil {
			return err
		}
		b.later(stop)
		b.say("%s, fsync on", about)
		dsn = own
	}
	programs, err := postgrestest.Programs()
	if err != nil {
		return fmt.Errorf("pgbench: %w", err)
	}
	b.db = &database{pgbench: filepath.Join(programs, "pgbench")}
	name := "tr_bench_" + strings.ToLower(rand.Text())
	if b.db.dsn, err = b.createDatabase(ctx, dsn, name); err != nil {
		return err
	}
	if b.db.yardstick, err = b.createDatabase(ctx, dsn, name+"_pgbench"); err != nil {
		return err
	}
	if err := b.fill(ctx, b.db.yardstick, 0); err != nil {
		return err
	}
	if err := execute(ctx, b.db.yardstick, benchLog); err != nil {
		return err
	}
	if err := b.fill(ctx, b.db.dsn, b.keys); err != nil {
		return err
	}
	b.say("%d tenants and %d keys", b.tenants, b.keys)
	return nil
}

// createDatabase makes a migrated database on a server and returns its DSN.
func (b *bench) createDatabase(ctx context.Context, server, name string) (string, error) {
	at, err := url.Parse(server)
	if err != nil || at.Scheme == "" {
		return "", errors.New("BENCH_DATABASE_URL must be a URL, postgres://user:password@host:5432/database")
	}
	if err := execute(ctx, server, `CREATE DATABASE `+name+` TEMPLATE template0 ENCODING 'UTF8'`); err != nil {
		return "", err
	}
	b.later(func() error {
		return execute(context.WithoutCancel(ctx), server, `DROP DATABASE `+name+` WITH (FORCE)`)
	})
	at.Path = "/" + name
	_, err = migrate.Schema{DSN: at.String(), Files: migrations.FS}.Up(ctx)
	return at.String(), err
}

func execute(ctx context.Context, dsn string, statements ...string) error {
	return connected(ctx, dsn, func(conn *pgx.Conn) error {
		for _, sql := range statements {
			if _, err := conn.Exec(ctx, sql); err != nil {
				return fmt.Errorf("%w: %s", err, sql)
			}
		}
		return nil
	})
}

func connected(ctx context.Context, dsn string, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return do(conn)
}

// tenantID is the id of tenant n, in SQL.
const tenantID = `('00000000-0000-7000-8000-' || lpad(to_hex(%s), 12, '0'))::uuid`

// pgbenchHash is the hash of the key that pgbench looks for as number n, in SQL. No text has such a hash: pgbench
// cannot make one.
const pgbenchHash = `sha256(int4send(%s))`

// fill makes one tenant, one entitlement and one key by the use cases, and copies their rows. Beside every ten keys
// there is one for pgbench. Columns that are not named here are those of the first.
func (b *bench) fill(ctx context.Context, dsn string, keys int) error {
	first, err := firstTenant(ctx, dsn)
	if err != nil {
		return err
	}
	var hashes strings.Builder
	err = connected(ctx, dsn, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, `CREATE TEMP TABLE made (n int, text text, hash bytea)`); err != nil {
			return err
		}
		n := 0
		next := func() ([]any, error) {
			if n == keys {
				return nil, nil
			}
			text := keyText(n)
			hashes.WriteString(text)
			hash, ok := apikey.Parse(text)
			if n++; !ok {
				return nil, fmt.Errorf("%q is not a key", text)
			}
			return []any{n - 1, text, hash[:]}, nil
		}
		_, err := conn.CopyFrom(ctx, pgx.Identifier{"made"}, []string{"n", "text", "hash"}, pgx.CopyFromFunc(next))
		if err != nil {
			return err
		}
		for _, sql := range copies(b.tenants, first) {
			if _, err := conn.Exec(ctx, sql); err != nil {
				return fmt.Errorf("%w: %s", err, sql)
			}
		}
		_, err = conn.Exec(ctx, `VACUUM ANALYZE`)
		return cmp.Or(err, execute(ctx, dsn, `CHECKPOINT`))
	})
	if keys > 0 {
		b.named = named(b.tenants, texts{hashes.String(), keyLength})
	}
	return err
}

// copies are the statements that copy the rows of the first tenant.
func copies(tenants int, first string) []string {
	id := fmt.Sprintf(tenantID, "n")
	owner := fmt.Sprintf(tenantID, fmt.Sprintf("1 + n %% %d", tenants))
	row := func(table, from, where, members string) string {
		return fmt.Sprintf(`INSERT INTO %s SELECT r.*
			FROM %s, %s f, LATERAL jsonb_populate_record(f, jsonb_build_object(%s)) r
			WHERE f.%s = '%s'`, table, from, table, members, where, first)
	}
	key := func(hash, more string) string {
		return row("api_keys", "made", "tenant_id",
			`'id', gen_random_uuid(), 'tenant_id', `+owner+`, 'hash', `+hash+more) + ` AND f.name = 'first'`
	}
	numbers := fmt.Sprintf("generate_series(1, %d) n", tenants)
	return []string{
		row("tenants", numbers, "id", `'id', `+id+`, 'slug', 'tenant-' || lpad(n::text, 7, '0')`),
		row("entitlements", numbers, "tenant_id", `'id', gen_random_uuid(), 'tenant_id', `+id),
		key("made.hash", ", 'prefix', left(text, 12)"),
		key(fmt.Sprintf(pgbenchHash, "n / 10"), "") + ` AND n % 10 = 0`,
	}
}

// firstTenant makes what is copied, and returns the tenant's id.
func firstTenant(ctx context.Context, dsn string) (string, error) {
	store, err := postgres.Open(ctx, postgres.Config{DSN: dsn, SchemaVersion: migrations.Latest()})
	if err != nil {
		return "", err
	}
	defer store.Close()
	s := registry.New(store, registry.Options{})
	by := registry.Caller{Access: registry.FullAccess, Actor: audit.Party{ID: "bench", Type: "system"}}
	seats := int64(25)
	_, err = s.CreateProduct(ctx, by, registry.Product{
		Key: product, Name: "Compliance Suite", Audience: registry.Public, TrialDays: registry.DefaultTrialDays,
		DefaultLimits: registry.Limits{"seats": &seats, "projects": nil},
		DefaultConfig: registry.Config{"retention_days": 365.0},
	})
	if err != nil {
		return "", err
	}
	made, err := s.CreateTenant(ctx, by, registry.TenantInput{
		Slug: "tenant-first", Name: "A tenant of the benchmark", Region: "eu-central",
	})
	if err != nil {
		return "", err
	}
	t := made.Value
	if _, err := s.ActivateTenant(ctx, by, t.ID); err != nil {
		return "", err
	}
	if _, err := s.Grant(ctx, by, t.ID, product, registry.SourcePlan); err != nil {
		return "", err
	}
	_, err = s.CreateAPIKey(ctx, by, registry.APIKeyInput{
		TenantID: t.ID, Name: "first", Scopes: []string{"reports:read", "reports:write"},
	})
	return t.ID.String(), err
}

// named are the texts of requests to a filled database.
func named(tenants int, keys texts) map[string]texts {
	var slugs, tags, ids strings.Builder
	for n := 1; n <= tenants; n++ {
		id := fmt.Sprintf("00000000-0000-7000-8000-%012x", n)
		fmt.Fprintf(&slugs, "tenant-%07d", n)
		fmt.Fprintf(&tags, `"%s-2"`, id)
		ids.WriteString(id)
	}
	return map[string]texts{
		"key": keys, "few": keys.first(1000), "slug": texts{slugs.String(), 14}.first(1000),
		"tag": texts{tags.String(), 40}.first(1000), "tenant": {ids.String(), 36},
	}
}

// keyLength is that of every key.
const keyLength = len("bp_live_") + 43 + 6

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// keyText is the text of key n, the same in every run.
func keyText(n int) string {
	text := []byte("bp_live_")
	for half := range 2 {
		for _, b := range sha256.Sum256(fmt.Appendf(nil, "key %d, half %d", n, half)) {
			if len(text) < keyLength-6 {
				text = append(text, base62[b%62])
			}
		}
	}
	sum := make([]byte, 6)
	for i, rest := 5, crc32.ChecksumIEEE(text); i >= 0; i, rest = i-1, rest/62 {
		sum[i] = base62[rest%62]
	}
	return string(append(text, sum...))
}

// post sends a body to the server as its caller does, and returns the object it answers.
func (b *bench) post(path, body string) (map[string]any, http.Header, error) {
	a, err := b.request("POST "+path, body).ask(b.server.addr)
	if err != nil {
		return nil, nil, err
	}
	if a.Status != http.StatusCreated {
		return nil, nil, fmt.Errorf("POST %s: %d %s", path, a.Status, a.Body)
	}
	var object map[string]any
	return object, a.Header, json.Unmarshal([]byte(a.Body), &object)
}
