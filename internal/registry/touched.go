package registry

import (
	"context"

	"github.com/google/uuid"
)

// Touched names what a change may have altered, for whoever keeps what was read earlier: nothing that was read before the change and
// is of one of these may be used after it.
type Touched struct {
	Tenants  []uuid.UUID
	Keys     []uuid.UUID
	Hashes   []Hash   // of secrets that have become, or ceased to be, those of a key
	Products []string // keys of products
	Slugs    []string // old ones and new ones
	All      bool     // everything: there is too much to name
}

// Empty tells whether nothing is named.
func (t Touched) Empty() bool {
	return !t.All && len(t.Tenants)+len(t.Keys)+len(t.Hashes)+len(t.Products)+len(t.Slugs) == 0
}

type withoutCache struct{}

// WithoutCache asks a Store that keeps what it read not to answer from that: what it answers was read after it was asked.
func WithoutCache(ctx context.Context) context.Context {
	return context.WithValue(ctx, withoutCache{}, true)
}

// MayCache tells whether an answer to ctx may be one that was read earlier.
func MayCache(ctx context.Context) bool { return ctx.Value(withoutCache{}) == nil }
