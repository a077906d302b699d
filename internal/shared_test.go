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
// channel, pool, limiter and share, and what keeps one caller from taking all of it. What is not here is new: enter it,
// and if callers share it, take it through a share and give it a hostile caller in internal/server/shares_test.go.
var shared = map[string]string{
	"internal/registry/shares.go":         "the shares themselves",
	"internal/registry/audit_security.go": "one event a second for each kind of refusal, one an hour for a reader",
	"internal/server/ratelimits.go":       "buckets by principal and by address",
	"internal/server/web/ratelimit.go":    "a bounded number of buckets",
	"internal/store/postgres/turns.go":    "transactions, a third of the pool: the share changes",
	"internal/store/postgres/pool.go":     "wide reads: the shares wide_reads, exports and long_polls",
	"internal/store/postgres/store.go":    "the pools: a third for changes, a third for wide reads",
	"internal/store/postgres/commit.go":   "one outcome for each COMMIT",
	"internal/store/memory/tables.go":     "the writer's slot of the store for development",
	"internal/telemetry/telemetry.go":     "the end of the program, not its callers",
	"cmd/server/main.go":                  "signals, not callers",
	"cmd/server/serve.go":                 "the end of the listener, not its callers",
	"cmd/server/connections.go":           "connections: the longest idle one makes room",
}

// TestShared_isListed finds what callers share by its form, so that a new queue, semaphore or pool is thought about.
func TestShared_isListed(t *testing.T) {
	t.Parallel()
	found := map[string]bool{}
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
				if found[file] = true; shared[file] == "" {
					t.Errorf("%s has a queue, semaphore, pool or limiter that is not listed: %s", file, describe(call))
				}
			}
			return true
		})
	})
	for file := range shared {
		if !found[file] {
			t.Errorf("%s has nothing that callers share any more: take it off the list", file)
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
