package web

import (
	"github.com/maypok86/otter/v2"
	"golang.org/x/time/rate"
)

// rateLimiterSize bounds how many names a RateLimiter remembers.
const rateLimiterSize = 10_000

// RateLimiter is a token bucket for each of a bounded number of names. A nil RateLimiter limits nothing. It is safe for
// concurrent use.
type RateLimiter struct {
	rate    rate.Limit
	burst   int
	buckets *otter.Cache[string, *rate.Limiter]
}

// NewRateLimiter allows each name so many events a second, and burst at once.
func NewRateLimiter(perSecond float64, burst int) *RateLimiter {
	return &RateLimiter{
		rate: rate.Limit(perSecond), burst: burst,
		buckets: otter.Must(&otter.Options[string, *rate.Limiter]{MaximumSize: rateLimiterSize}),
	}
}

// Allow counts an event of a name, and reports whether it is within the limit.
func (l *RateLimiter) Allow(name string) bool {
	if l == nil {
		return true
	}
	bucket, _ := l.buckets.ComputeIfAbsent(name, func() (*rate.Limiter, bool) {
		return rate.NewLimiter(l.rate, l.burst), false
	})
	return bucket.Allow()
}
