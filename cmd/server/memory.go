package main

import (
	"fmt"
	"log/slog"
	"runtime/debug"
)

// keyBytes is what a cached API key takes at least.
const keyBytes = 400

// setMemory makes the collector run less often than Go's default of 100 percent, and more often near the memory limit
// of the container, 0 if it has none. GOGC and GOMEMLIMIT, where they are set, say otherwise.
func setMemory(percent int, limit int64, getenv func(string) string) {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
	if limit > 0 && getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit / 10 * 9) // the rest is for what the runtime does not count
	}
}

// warnOfMemory logs that a full cache does not fit the container.
func warnOfMemory(limit int64, cacheKeys int, log *slog.Logger) {
	if limit > 0 && int64(cacheKeys)*keyBytes > limit {
		log.Warn("a full cache exceeds the memory limit of the container", "limit_bytes", limit,
			"remedy", fmt.Sprintf("CACHE_KEYS=%d or less, or more memory", limit/3/keyBytes))
	}
}
