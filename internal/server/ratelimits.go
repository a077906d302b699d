package server

import "github.com/breakpilot/tenant-registry/internal/server/web"

// Of one address, or one customer's network: failed authentications, and self-revocations that end nothing, a second
// and at once.
const (
	failureRate, failureBurst       = 10, 100
	selfRevokeRate, selfRevokeBurst = 1, 20
)

// rateLimits are the rate limits of one replica. The zero value limits nothing.
type rateLimits struct {
	principals  *web.RateLimiter // requests, by principal
	failures    *web.RateLimiter // failed authentications, by network: what is beyond is not worth a line of log
	selfRevokes *web.RateLimiter // by network
}

// newRateLimits allows each principal so many requests a second, and twice as many at once; 0 is no limit at all. A
// valid credential is never refused for the failures of others behind its address.
func newRateLimits(perSecond int) rateLimits {
	if perSecond == 0 {
		return rateLimits{}
	}
	return rateLimits{
		principals:  web.NewRateLimiter(float64(perSecond), 2*perSecond),
		failures:    web.NewRateLimiter(failureRate, failureBurst),
		selfRevokes: web.NewRateLimiter(selfRevokeRate, selfRevokeBurst),
	}
}
