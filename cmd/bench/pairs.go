package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/jackc/pgx/v5"
)

// pair is two things that are compared. The goals are those of the README.
type pair struct {
	name   string // for -only
	title  string
	rate   float64 // the least that ours may do of theirs; 0: no goal
	cpu    float64 // the most that a request may cost of theirs; 0: no goal, or not comparable
	memory bool    // needs no Postgres
	open   func(*bench, context.Context) (ours, theirs side, err error)
	alone  func(*bench, context.Context) ([]row, error) // instead of open: no pair
}

var pairs = []pair{
	{
		name: "verify-cached", title: "verify, cached / bare", rate: 0.75, cpu: 1.5, memory: true,
		open: (*bench).verifyCached,
	},
	{name: "by-slug-cached", title: "by-slug, cached / bare", rate: 0.8, memory: true, open: (*bench).slugCached},
	{name: "by-slug-304", title: "by-slug, 304 / bare", rate: 0.8, memory: true, open: (*bench).slugUnchanged},
	{name: "verify-uncached", title: "verify, no-cache / pgbench", rate: 0.6, open: (*bench).verifyUncached},
	{name: "audit-single", title: "audit event / pgbench", rate: 1.3, open: (*bench).auditSingle},
	{name: "audit-bulk", title: "audit events, bulk of 100 / pgbench", rate: 10, open: (*bench).auditBulk},
	{name: "verify-million", title: "verify, all keys cached / 1,000 keys", rate: 0.9, open: (*bench).verifyMillion},
	{name: "memory", title: "memory per cached key, beyond the row", alone: (*bench).memoryPerKey},
}

const verifyPath = "POST /v1/internal/api-keys/verify"

func (b *bench) verify(keys string, headers ...string) request {
	return b.request(verifyPath, `{"key":"{`+keys+`}","product":"`+product+`","scopes":["reports:read"]}`, headers...)
}

func (b *bench) verifyCached(ctx context.Context) (ours, theirs side, err error) {
	return b.againstBare(ctx, b.verify("few"))
}

func (b *bench) slugCached(ctx context.Context) (ours, theirs side, err error) {
	return b.againstBare(ctx, b.request("GET /v1/tenants/by-slug/{slug}", ""))
}

func (b *bench) slugUnchanged(ctx context.Context) (ours, theirs side, err error) {
	return b.againstBare(ctx, b.request("GET /v1/tenants/by-slug/{slug}", "", "If-None-Match: {tag}"))
}

// againstBare sends the same requests to the server and to a bare one that answers what the server did.
func (b *bench) againstBare(ctx context.Context, r request) (ours, theirs side, err error) {
	a, err := r.ask(b.server.addr)
	if err != nil {
		return nil, nil, err
	}
	if a.Status >= http.StatusBadRequest {
		return nil, nil, fmt.Errorf("the server answers %d: %s", a.Status, a.Body)
	}
	bare, err := startBare(ctx, *a)
	if err != nil {
		return nil, nil, err
	}
	b.later(bare.stop)
	left, err := r.open(b.server, a, 1)
	if err != nil {
		return nil, nil, err
	}
	if r.many <= 10_000 { // each of them once, so that they are cached
		if _, err := left.each(ctx); err != nil {
			return nil, nil, err
		}
	}
	right, err := r.open(bare, a, 1)
	return left, right, err
}

func (b *bench) verifyUncached(ctx context.Context) (ours, theirs side, err error) {
	script, err := b.verifyScript(ctx)
	if err != nil {
		return nil, nil, err
	}
	return b.againstPgbench(b.verify("key", "Cache-Control: no-cache"), 1, b.db.dsn, script)
}

// againstPgbench sends requests to the server, each worth so much, and lets pgbench run a script.
func (b *bench) againstPgbench(r request, worth int, dsn, script string) (ours, theirs side, err error) {
	a, err := r.ask(b.server.addr)
	if err != nil {
		return nil, nil, err
	}
	if a.Status >= http.StatusBadRequest {
		return nil, nil, fmt.Errorf("the server answers %d: %s", a.Status, a.Body)
	}
	theirs, err = b.newPgbench(dsn, "script", script)
	if err != nil {
		return nil, nil, err
	}
	ours, err = r.open(b.server, a, worth)
	return ours, theirs, err
}

const auditEvent = `{"action":"document.share","crud":"u","group":{"id":"{tenant}"},` +
	`"actor":{"id":"user-17","name":"A person","type":"user"},"target":{"id":"document-4711","type":"document"},` +
	`"source_ip":"192.0.2.10","fields":{"channel":"web","recipients":"3"}}`

func (b *bench) auditSingle(ctx context.Context) (ours, theirs side, err error) {
	return b.againstInsert(ctx, b.request("POST /v1/audit", auditEvent), 1)
}

func (b *bench) auditBulk(ctx context.Context) (ours, theirs side, err error) {
	const many = 100
	events := strings.TrimSuffix(strings.Repeat(auditEvent+",", many), ",")
	return b.againstInsert(ctx, b.request("POST /v1/audit/bulk", `{"events":[`+events+`]}`), many)
}

// againstInsert compares appends with pgbench inserting the row that such an event becomes.
func (b *bench) againstInsert(ctx context.Context, r request, worth int) (ours, theirs side, err error) {
	if _, err := r.ask(b.server.addr); err != nil {
		return nil, nil, err
	}
	script, err := b.insertScript(ctx)
	if err != nil {
		return nil, nil, err
	}
	return b.againstPgbench(r, worth, b.db.yardstick, script)
}

// verifyMillion compares two loads of one server: all keys, which are all asked for once before, and a thousand of
// them.
func (b *bench) verifyMillion(ctx context.Context) (ours, theirs side, err error) {
	all, few := b.verify("key"), b.verify("few")
	a, err := all.ask(b.server.addr)
	if err != nil {
		return nil, nil, err
	}
	left, err := all.open(b.server, a, 1)
	if err != nil {
		return nil, nil, err
	}
	s, err := left.each(ctx)
	if err != nil {
		return nil, nil, err
	}
	b.say("all keys asked for once, %.0f a second", s.Rate)
	right, err := few.open(b.server, a, 1)
	return left, right, err
}

// mostMeasured bounds how many keys memoryPerKey lets the server cache: the heap grows by the same for each.
const mostMeasured = 200_000

// memoryPerKey compares the live heap of a server of its own before and after it cached keys, and takes off what the
// table's row has. The server's ADMIN_ADDR is set, which no other pair's is, because measuring costs time.
func (b *bench) memoryPerKey(ctx context.Context) ([]row, error) {
	p, err := b.start(ctx, "ADMIN_ADDR=127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b.named["some"] = b.named["key"].first(mostMeasured)
	before, err := b.heapAfter(ctx, p, b.verify("few")) // what does not grow with the keys is there from now on
	if err != nil {
		return nil, err
	}
	after, err := b.heapAfter(ctx, p, b.verify("some"))
	if err != nil {
		return nil, err
	}
	var rowSize float64
	err = connected(ctx, b.db.dsn, func(conn *pgx.Conn) error {
		const size = `SELECT avg(pg_column_size(k.*))::float8 FROM (SELECT * FROM api_keys LIMIT 1000) k`
		return conn.QueryRow(ctx, size).Scan(&rowSize)
	})
	more := b.named["some"].len() - b.named["few"].len()
	each := (after - before) / float64(max(more, 1))
	return []row{{
		Pair: "memory", Title: "memory per cached key, beyond the row", What: "bytes",
		Value: each - rowSize, AtMost: 600,
		Note: fmt.Sprintf("%.0f of live heap for each of %d keys; its row has %.0f", each, more, rowSize),
	}}, err
}

// heapAfter is the live heap, in bytes, after every one of these requests was answered.
func (b *bench) heapAfter(ctx context.Context, p *process, r request) (float64, error) {
	a, err := r.ask(p.addr)
	if err != nil {
		return 0, err
	}
	l, err := r.open(p, a, 1)
	if err != nil {
		return 0, err
	}
	defer l.close()
	if _, err := l.each(ctx); err != nil {
		return 0, err
	}
	const heap = "GET /debug/pprof/heap?gc=1&debug=1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
	profile, err := request{text: []byte(heap)}.ask(p.admin)
	if err != nil {
		return 0, err
	}
	var bytes float64
	_, rest, _ := strings.Cut(profile.Body, "# HeapAlloc = ")
	_, err = fmt.Sscan(rest, &bytes)
	return bytes, err
}
