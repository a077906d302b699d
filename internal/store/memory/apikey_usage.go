package memory

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/timestamp"
)

// UpdateAPIKeyUsage implements registry.APIKeyWriter.
func (t *tx) UpdateAPIKeyUsage(ctx context.Context, uses []registry.APIKeyUse) error {
	return t.write(ctx, func() error {
		newest := map[uuid.UUID]*usage{}
		for _, use := range uses {
			r := t.db.keys[use.ID]
			if r == nil {
				continue
			}
			if newest[use.ID] == nil {
				newest[use.ID] = &usage{}
			}
			at := timestamp.Truncate(use.At)
			newest[use.ID].at = later(newest[use.ID].at, at)
			if use.Hash == r.newest().PreviousHash {
				newest[use.ID].previous = later(newest[use.ID].previous, at)
			}
		}
		for id, used := range newest {
			r := t.db.keys[id]
			k := copyKey(*r.newest())
			k.LastUsedAt, k.PreviousUsedAt = worth(k.LastUsedAt, used.at), worth(k.PreviousUsedAt, used.previous)
			set(t, r, k)
		}
		return nil
	})
}

// usage is when a key was used last, and when by its previous secret; nil if it was not.
type usage struct{ at, previous *time.Time }

func later(a *time.Time, b time.Time) *time.Time {
	if a == nil || b.After(*a) {
		return &b
	}
	return a
}

// worth is the time of use to be stored: a new one counts if it is later by registry.UsageResolution.
func worth(stored, used *time.Time) *time.Time {
	if used == nil || (stored != nil && used.Before(stored.Add(registry.UsageResolution))) {
		return stored
	}
	return used
}
