package server

import (
	"container/list"
	"net/netip"
	"sync"

	"golang.org/x/time/rate"
)

// Of each table: how many principals, or addresses, are remembered, and how often an address may fail to authenticate.
const (
	tableSize    = 10_000
	failureRate  = rate.Limit(10) // a second
	failureBurst = 100

	holderRate  = rate.Limit(1) // self-revocations a second of one address
	holderBurst = 20
)

// limits are the rate limits of one replica. The zero value limits nothing.
type limits struct {
	principals *buckets
	addresses  *buckets
	holders    *buckets
}

// newLimits allows each principal so many requests a second, and twice as many at once; 0 is no limit at all.
func newLimits(perSecond int) limits {
	if perSecond == 0 {
		return limits{}
	}
	return limits{
		principals: newBuckets(rate.Limit(perSecond), 2*perSecond), addresses: newBuckets(failureRate, failureBurst),
		holders: newBuckets(holderRate, holderBurst),
	}
}

// principal counts a request of a principal, and tells whether it may go on.
func (l limits) principal(id string) bool { return l.principals == nil || l.principals.of(id).Allow() }

// failure counts a failed authentication, and tells whether it is worth an answer and a line of log of its own. A good
// credential is never refused for the failures of others behind its address.
func (l limits) failure(address string) bool {
	return l.addresses == nil || l.addresses.of(network(address)).Allow()
}

// holder counts a self-revocation from an address, and tells whether it may go on.
func (l limits) holder(address string) bool {
	return l.holders == nil || l.holders.of(network(address)).Allow()
}

// network is whom an address stands for: of IPv6 one customer has at least 2^64.
func network(address string) string {
	if addr, err := netip.ParseAddr(address); err == nil && addr.Is6() {
		if customer, err := addr.Prefix(64); err == nil {
			return customer.String()
		}
	}
	return address
}

var tooMany error = edgeProblem("too_many_requests", "The caller asks too often.")

// buckets is a bounded table of token buckets; the one that was used longest ago goes first.
type buckets struct {
	rate   rate.Limit
	burst  int
	mu     sync.Mutex
	byName map[string]*list.Element
	recent *list.List
}

type bucket struct {
	name    string
	limiter *rate.Limiter
}

func newBuckets(r rate.Limit, burst int) *buckets {
	return &buckets{rate: r, burst: burst, byName: map[string]*list.Element{}, recent: list.New()}
}

func (b *buckets) of(name string) *rate.Limiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	if known, ok := b.byName[name]; ok {
		b.recent.MoveToFront(known)
		return known.Value.(bucket).limiter
	}
	if b.recent.Len() == tableSize {
		oldest := b.recent.Back()
		delete(b.byName, b.recent.Remove(oldest).(bucket).name)
	}
	made := bucket{name, rate.NewLimiter(b.rate, b.burst)}
	b.byName[name] = b.recent.PushFront(made)
	return made.limiter
}
