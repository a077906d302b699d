package main

import (
	"context"
	_ "embed" // the table that pgbench inserts into
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/store/postgres"
	"github.com/breakpilot/tenant-registry/migrations"
)

// pgbench is a side that runs one script on as many connections as the load has.
type pgbench struct {
	program, dsn, script string
}

// newPgbench writes the script into a file.
func (b *bench) newPgbench(dsn, name, script string) (*pgbench, error) {
	file := filepath.Join(b.folder, name+".sql")
	return &pgbench{b.db.pgbench, dsn, file}, os.WriteFile(file, []byte(script), 0o600)
}

func (p *pgbench) close() {}

var (
	rateLine    = regexp.MustCompile(`(?m)^tps = ([0-9.]+)`)
	latencyLine = regexp.MustCompile(`(?m)^latency average = ([0-9.]+) ms`)
)

// measure implements side. pgbench takes whole seconds, or a number of transactions instead; it says the mean latency
// only.
func (p *pgbench) measure(ctx context.Context, length time.Duration) (sample, error) {
	clients := strconv.Itoa(connections)
	howLong := []string{"-T", strconv.Itoa(int(math.Ceil(length.Seconds())))}
	if length < time.Second {
		howLong = []string{"-t", "10"}
	}
	args := append(howLong, "-n", "-M", "prepared", "-c", clients, "-j", "2", "-f", p.script, p.dsn)
	out, err := exec.CommandContext(ctx, p.program, args...).CombinedOutput()
	rate, latency := rateLine.FindSubmatch(out), latencyLine.FindSubmatch(out)
	if err != nil || rate == nil || latency == nil {
		return sample{}, fmt.Errorf("pgbench: %w: %s", err, out)
	}
	perSecond, _ := strconv.ParseFloat(string(rate[1]), 64)
	mean, _ := strconv.ParseFloat(string(latency[1]), 64)
	return sample{Rate: perSecond, P50: time.Duration(mean * float64(time.Millisecond))}, nil
}

// heard is the statement that a store sent.
type heard struct {
	mu   sync.Mutex
	sql  string
	args []any
}

// TraceQueryStart implements pgx.QueryTracer.
func (h *heard) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	h.mu.Lock()
	defer h.mu.Unlock()
	if strings.Contains(data.SQL, "api_keys") {
		h.sql, h.args = data.SQL, data.Args
	}
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (h *heard) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// verifyScript lets the store verify a key and listens to the statement, so that pgbench runs the very same. Keys
// become those that pgbench can name.
func (b *bench) verifyScript(ctx context.Context) (string, error) {
	var h heard
	store, err := postgres.Open(ctx, postgres.Config{DSN: b.db.dsn, SchemaVersion: migrations.Latest(), Tracer: &h})
	if err != nil {
		return "", err
	}
	defer store.Close()
	hash, _ := apikey.Parse(keyText(0))
	if _, err := registry.GetKeyFacts(ctx, store, registry.KeyLookup{Hash: hash, Product: product}); err != nil {
		return "", err
	}
	key := fmt.Sprintf(pgbenchHash, ":n")
	sql := strings.Join(strings.Fields(h.sql), " ")
	number := len(h.args)
	for _, arg := range h.args {
		if _, mode := arg.(pgx.QueryExecMode); mode {
			number--
		}
	}
	for i := len(h.args) - 1; i >= 0; i-- { // $1 is the beginning of $10
		value, err := literal(h.args[i], key)
		if err != nil {
			return "", err
		}
		if value != "" {
			sql = strings.ReplaceAll(sql, "$"+strconv.Itoa(number), value)
			number--
		}
	}
	return fmt.Sprintf("\\set n random(0, %d)\n%s;\n", max(b.keys/10-1, 0), sql), nil
}

// literal is an argument in SQL; a key's hash becomes the expression key. It is empty for what is not an argument.
func literal(arg any, key string) (string, error) {
	switch v := arg.(type) {
	case pgx.QueryExecMode:
		return "", nil
	case []byte:
		return key, nil
	case [][]byte:
		return "ARRAY[" + key + "]", nil
	case string:
		return "'" + v + "'", nil
	case *string:
		return "'" + *v + "'", nil
	case []string:
		return "ARRAY['" + strings.Join(v, "', '") + "']", nil
	case []*string:
		return "ARRAY['" + *v[0] + "']", nil
	}
	if v, ok := arg.(interface{ Value() (any, error) }); ok {
		text, err := v.Value()
		return fmt.Sprintf("'%v'", text), err
	}
	return "", fmt.Errorf("the statement of verify has an argument of type %T, which pgbench cannot be given", arg)
}

// benchLog makes the table that pgbench inserts into.
//
//go:embed bench_log.sql
var benchLog string

// insertScript writes the last event of the log again and again into the benchmark's own table, each time for a tenant
// picked at random, with the numbers of two sequences in place of the chain's.
func (b *bench) insertScript(ctx context.Context) (string, error) {
	event, err := b.lastEvent(ctx)
	if err != nil {
		return "", err
	}
	var names, values []string
	err = connected(ctx, b.db.yardstick, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `
			SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
			WHERE attrelid = 'bench_log'::regclass AND attnum > 0 ORDER BY attnum`)
		if err != nil {
			return err
		}
		var name, kind string
		_, err = pgx.ForEachRow(rows, []any{&name, &kind}, func() error {
			names = append(names, name)
			values = append(values, insertValue(name, kind, event[name]))
			return nil
		})
		return err
	})
	return fmt.Sprintf("\\set n random(1, %d)\nINSERT INTO bench_log (%s) VALUES (%s);\n", b.tenants,
		strings.Join(names, ", "), strings.Join(values, ", ")), err
}

// lastEvent is the newest row of the server's log, as texts.
func (b *bench) lastEvent(ctx context.Context) (map[string]*string, error) {
	event := map[string]*string{}
	err := connected(ctx, b.db.dsn, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `
			SELECT key, value FROM jsonb_each_text((SELECT to_jsonb(a) FROM audit_log a ORDER BY pos DESC LIMIT 1))`)
		if err != nil {
			return err
		}
		var name string
		var value *string
		_, err = pgx.ForEachRow(rows, []any{&name, &value}, func() error {
			event[name] = value
			return nil
		})
		return err
	})
	if len(event) == 0 {
		err = errors.Join(err, errors.New("there is no event"))
	}
	return event, err
}

func insertValue(column, kind string, value *string) string {
	switch {
	case column == "pos" || column == "seq":
		return "nextval('bench_" + column + "')"
	case column == "id":
		return "gen_random_uuid()"
	case column == "group_id" || column == "tenant_id":
		return fmt.Sprintf(tenantID, ":n::int")
	case value == nil:
		return "NULL"
	}
	// pgbench takes a colon and a word for a variable, quoted or not.
	quoted := strings.ReplaceAll(strings.ReplaceAll(*value, "'", "''"), ":", "'||chr(58)||'")
	return "('" + quoted + "')::" + kind
}
