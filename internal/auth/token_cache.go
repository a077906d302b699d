package auth

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
)

const (
	maxCachedTokens = 10_000
	maxCachedFor    = 5 * time.Minute
)

// tokenCache caches verified tokens, by their SHA-256 alone. It is safe for concurrent use.
type tokenCache struct {
	tokens *otter.Cache[tokenHash, cachedToken]
}

type tokenHash [sha256.Size]byte

type cachedToken struct {
	principal *Principal
	until     time.Time
}

func newTokenCache() tokenCache {
	return tokenCache{otter.Must(&otter.Options[tokenHash, cachedToken]{MaximumSize: maxCachedTokens})}
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
func (c tokenCache) get(token tokenHash, now time.Time) *Principal {
	found, ok := c.tokens.GetIfPresent(token)
	if !ok || !now.Before(found.until) {
		return nil
	}
	return found.principal
}

// put caches a token until it expires, for maxCachedFor at most.
func (c tokenCache) put(token tokenHash, p *Principal, now, expires time.Time) {
	if most := now.Add(maxCachedFor); expires.After(most) {
		expires = most
	}
	if now.Before(expires) {
		c.tokens.Set(token, cachedToken{p, expires})
	}
}
