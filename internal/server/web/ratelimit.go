package web

import (
	"time"

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

// Take counts an event of a name and returns 0 if that is within the limit. Otherwise it counts nothing, and returns
// how long it takes until one is within the limit: never 0.
func (l *RateLimiter) Take(name string) time.Duration {
	if l == nil {
		return 0
	}
	bucket, now := l.bucket(name), time.Now()
	if bucket.AllowN(now, 1) {
		return 0
	}
	missing := 1 - bucket.TokensAt(now)
	return max(time.Nanosecond, time.Duration(missing/float64(l.rate)*float64(time.Second)))
}

// Refund takes back an event of a name that Take counted.
func (l *RateLimiter) Refund(name string) {
	if l != nil {
		l.bucket(name).AllowN(time.Now(), -1) // a bucket never holds more than its burst
	}
}

func (l *RateLimiter) bucket(name string) *rate.Limiter {
	bucket, _ := l.buckets.ComputeIfAbsent(name, func() (*rate.Limiter, bool) {
		return rate.NewLimiter(l.rate, l.burst), false
	})
	return bucket
}
