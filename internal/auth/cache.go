package auth

import (
	"crypto/sha256"
	"sync"
	"time"
)

const (
	maxCached = 10_000 // verified tokens that are kept
	maxKept   = 5 * time.Minute
)

// tokenCache keeps verified tokens, by their SHA-256 alone, in two generations: when the young one is full the old one goes, and what
// was asked for meanwhile has moved to the young one. The zero value is ready; it is safe for concurrent use.
type tokenCache struct {
	mu         sync.RWMutex
	young, old map[tokenHash]cached
}

type tokenHash [sha256.Size]byte

type cached struct {
	principal *Principal
	until     time.Time
}

// buffers save hashToken the allocation that most of its time would go into.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

func hashToken(token string) tokenHash {
	b := buffers.Get().(*[]byte)
	defer buffers.Put(b)
	*b = append((*b)[:0], token...)
	return sha256.Sum256(*b)
}

// get returns the principal of a token that was verified, or nil.
func (c *tokenCache) get(token tokenHash, now time.Time) *Principal {
	c.mu.RLock()
	found, young := c.young[token]
	if !young {
		found = c.old[token]
	}
	c.mu.RUnlock()
	if found.principal == nil || !now.Before(found.until) {
		return nil
	}
	if !young {
		c.keep(token, found)
	}
	return found.principal
}

// put keeps a token until it expires, at most for maxKept.
func (c *tokenCache) put(token tokenHash, p *Principal, now, expires time.Time) {
	if most := now.Add(maxKept); expires.After(most) {
		expires = most
	}
	if now.Before(expires) {
		c.keep(token, cached{p, expires})
	}
}

func (c *tokenCache) keep(token tokenHash, one cached) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.young) >= maxCached/2 {
		c.young, c.old = nil, c.young
	}
	if c.young == nil {
		c.young = make(map[tokenHash]cached)
	}
	c.young[token] = one
}
