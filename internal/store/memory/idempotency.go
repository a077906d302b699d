package memory

import (
	"context"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

// ReserveIdempotencyKey implements registry.IdempotencyStore. The key's lock is the writer slot.
func (t *tx) ReserveIdempotencyKey(ctx context.Context, key audit.Digest) ([]registry.EarlierEvent, error) {
	return lock(ctx, t, func() ([]registry.EarlierEvent, error) { return t.db.earlierEvents(key), nil })
}

// earlierEvents are the events of an idempotency key as the holder of the writer slot sees them.
func (db *tables) earlierEvents(key audit.Digest) []registry.EarlierEvent {
	found := []registry.EarlierEvent{}
	for ordinal := 0; ; ordinal++ {
		e := find(db.idempotency, idempotencyIndex{key, ordinal}, true)
		if e == nil {
			return found
		}
		earlier := registry.EarlierEvent{
			IdempotencyRecord: e.Idempotency, ID: e.ID, Hash: e.Hash, TargetID: e.Target.ID,
		}
		if len(db.withoutErased(e, true).Erased) > 0 {
			earlier.Fingerprint = audit.Fingerprint{}
		}
		found = append(found, earlier)
	}
}

// idempotencyIndex is the key of an event in the unique index of idempotency records.
type idempotencyIndex struct {
	key     audit.Digest
	ordinal int
}
