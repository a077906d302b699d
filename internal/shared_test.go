package internal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// shared lists, by file, everything that callers may have to wait for or that holds what they sent: each buffered
// channel, pool, limiter and share, and what keeps one caller from taking all of it. Two queues have no such form: that
// of appends, in turn by caller (internal/registry/audit_appender.go), and the turns of a tenant's changes
// (internal/share/turns.go). What is not here is new: enter it, and if callers share it, take it through a share and
// give it a hostile caller in internal/server/shares_test.go.
var shared = map[string]place{
	"internal/registry/shares.go":          {10, "the shares themselves"},
	"internal/registry/audit_security.go":  {1, "one event a second for each refusal, one an hour for a reader"},
	"internal/server/ratelimits.go":        {3, "buckets by principal and by address"},
	"internal/server/web/ratelimit.go":     {1, "a bounded number of buckets"},
	"internal/store/postgres/turns.go":     {1, "transactions, a third of the pool: the share changes"},
	"internal/store/postgres/pool.go":      {1, "wide reads: the shares wide_reads, exports and long_polls"},
	"internal/store/postgres/store.go":     {2, "the pools: a third for changes, a third for wide reads"},
	"internal/store/postgres/commit.go":    {1, "one outcome for each COMMIT"},
	"internal/store/memory/audit_erase.go": {1, "a chain's erasures, one after the other: the share erasures"},
	"internal/store/memory/tables.go":      {1, "the writer's slot of the store for development"},
	"internal/telemetry/telemetry.go":      {1, "the end of the program, not its callers"},
	"cmd/server/main.go":                   {1, "signals, not callers"},
	"cmd/server/connections.go":            {2, "connections: the longest idle one makes room; its listener's end"},
}

// place is how many of these a file has, and what keeps one caller from taking all of them.
type place struct {
	count int
	why   string
}

// TestShared_isListed finds what callers share by its form, so that a new queue, semaphore or pool is thought about.
func TestShared_isListed(t *testing.T) {
	t.Parallel()
	found := map[string]int{}
	sources(t, func(path string, text []byte) {
		file := filepath.ToSlash(strings.TrimPrefix(path, "../"))
		if strings.HasPrefix(file, "cmd/bench/") || strings.HasPrefix(file, "cmd/migrate/") {
			return
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			return
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			call, is := n.(*ast.CallExpr)
			if is && isShared(call) {
				if found[file]++; found[file] > shared[file].count {
					t.Errorf("%s has a queue, semaphore, pool or limiter that is not listed: %s", file, describe(call))
				}
			}
			return true
		})
	})
	for file, is := range shared {
		if found[file] < is.count {
			t.Errorf("%s has %d of what callers share, the list says %d", file, found[file], is.count)
		}
	}
}

// isShared reports whether a call makes something that callers share: a buffered channel, a pool, a limiter or a share.
func isShared(call *ast.CallExpr) bool {
	if name, is := call.Fun.(*ast.Ident); is && name.Name == "make" && len(call.Args) == 2 {
		_, channel := call.Args[0].(*ast.ChanType)
		return channel
	}
	switch describe(call) {
	case "pgxpool.NewWithConfig", "pgxpool.New", "share.New", "share.NewRate", "rate.NewLimiter", "web.NewRateLimiter",
		"netutil.LimitListener", "semaphore.NewWeighted":
		return true
	}
	return false
}

// describe is the name of what is called, with its package.
func describe(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		if of, is := f.X.(*ast.Ident); is {
			return of.Name + "." + f.Sel.Name
		}
	}
	return ""
}
