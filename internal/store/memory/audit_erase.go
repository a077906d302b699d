package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

// marks are those of an event: the id of the event of the erasure that takes a part.
type marks map[audit.Part]uuid.UUID

// erasureLock is the lock of a chain's erasures: a full channel.
type erasureLock chan struct{}

// Check implements registry.ErasureLock.
func (l erasureLock) Check(ctx context.Context) error { return ctx.Err() }

// Release implements registry.ErasureLock.
func (l erasureLock) Release() { <-l }

// LockErasures implements registry.ErasureStore.
func (s *Store) LockErasures(ctx context.Context, group uuid.UUID) (registry.ErasureLock, error) {
	s.db.mu.Lock()
	lock := s.db.erasures[group]
	if lock == nil {
		lock = make(chan struct{}, 1)
		s.db.erasures[group] = lock
	}
	s.db.mu.Unlock()
	select {
	case lock <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: waited for another erasure: %w", registry.ErrUnavailable, ctx.Err())
	}
	l := erasureLock(lock)
	if err := s.Tx(ctx, func(tx registry.Tx) error { return tx.LockErasureCommit(ctx, group) }); err != nil {
		l.Release()
		return nil, err
	}
	return l, nil
}

// erasedBy is the seq of the erasure's event that a mark of an event names; false if the mark has no effect.
func (db *tables) erasedBy(e *audit.Event, mark uuid.UUID, own bool) (int64, bool) {
	by := find(db.events, mark, own)
	if by == nil || by.Erasure == nil || by.GroupID != e.GroupID || by.Seq <= e.Seq {
		return 0, false
	}
	return by.Seq, true
}

// withoutErased is an event without the parts whose marks have effect: itself if there are none.
func (db *tables) withoutErased(e *audit.Event, own bool) *audit.Event {
	marked := find(db.marks, e.ID, own)
	if marked == nil {
		return e
	}
	shown := copyEvent(*e)
	for p, mark := range *marked {
		if by, erased := db.erasedBy(e, mark, own); erased && !shown.Erased[p].Deleted {
			shown.Erase(p, audit.ErasedPart{By: by, Digest: shown.DigestOf(p)})
		}
	}
	return &shown
}

// eventRow is the row of a chain's event; nil: there is none.
func (db *tables) eventRow(group uuid.UUID, seq int64) *row[audit.Event] {
	chain := db.chains[group]
	if chain == nil {
		return nil
	}
	e := chain.find(&audit.Event{Seq: seq})
	if e == nil {
		return nil
	}
	return db.events[e.ID]
}

// MarkEventParts implements registry.ErasureWriter.
func (t *tx) MarkEventParts(ctx context.Context, group, erasure uuid.UUID, parts []registry.EventParts) error {
	return t.write(ctx, func() error {
		if t.db.events[erasure] != nil {
			return broken("mark of an event that is written")
		}
		for _, given := range parts {
			r := t.db.eventRow(group, given.Seq)
			if r == nil {
				return broken("mark of no event")
			}
			if err := t.markEvent(r.newest(), erasure, given.Parts); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *tx) markEvent(e *audit.Event, erasure uuid.UUID, parts map[audit.Part]audit.Digest) error {
	r, marked := t.db.marks[e.ID], marks{}
	if r == nil {
		r = &row[marks]{}
		add(t, t.db.marks, e.ID, r)
	} else if before := r.newest(); before != nil {
		marked = maps.Clone(*before)
	}
	for p := range parts {
		if mark, is := marked[p]; is {
			if _, erased := t.db.erasedBy(e, mark, true); erased {
				return broken("mark of an erased part")
			}
		}
		if e.Salts[p] == (audit.Salt{}) {
			return broken("mark of a part that is not there")
		}
		marked[p] = erasure
	}
	set(t, r, marked)
	return nil
}

// LockErasureCommit implements registry.ErasureWriter. The lock is the writer slot.
func (t *tx) LockErasureCommit(ctx context.Context, _ uuid.UUID) error {
	return t.write(ctx, func() error { return nil })
}

// DeleteEventParts implements registry.ErasureWriter.
func (t *tx) DeleteEventParts(ctx context.Context, group uuid.UUID, parts []registry.EventParts) error {
	return t.write(ctx, func() error {
		for _, given := range parts {
			r := t.db.eventRow(group, given.Seq)
			if r == nil {
				return broken("deletion from no event")
			}
			if err := t.deleteParts(r, given.Parts); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *tx) deleteParts(r *row[audit.Event], parts map[audit.Part]audit.Digest) error {
	e := copyEvent(*r.newest())
	marked := find(t.db.marks, e.ID, true)
	for p, digest := range parts {
		if e.Erased[p].Deleted {
			continue
		}
		var by int64
		erased := false
		if marked != nil {
			by, erased = t.db.erasedBy(&e, (*marked)[p], true)
		}
		if !erased {
			return broken("deletion of a part that is not erased")
		}
		e.Erase(p, audit.ErasedPart{By: by, Digest: digest, Deleted: true})
	}
	set(t, r, e)
	if e.Idempotency == (audit.IdempotencyRecord{}) {
		return nil
	}
	for ordinal := 0; ; ordinal++ {
		r := t.db.idempotency[idempotencyIndex{e.Idempotency.Key, ordinal}]
		if r == nil {
			return nil
		}
		cleared := *r.newest()
		cleared.Idempotency.Fingerprint = audit.Fingerprint{}
		set(t, r, cleared)
	}
}

// EraseSubjects implements registry.ErasureWriter.
func (t *tx) EraseSubjects(
	ctx context.Context, tenant uuid.UUID, subjects []string, withTexts bool, now time.Time,
) (bool, error) {
	changed := false
	erase := func(name, text *string) bool {
		is := slices.ContainsFunc(subjects, func(subject string) bool {
			return *name == subject || strings.HasPrefix(*name, subject+registry.OnBehalfOf) ||
				strings.HasSuffix(*name, registry.OnBehalfOf+subject)
		})
		if *name == "" || *name == registry.ErasedName || !is {
			return false
		}
		if *name = registry.ErasedName; withTexts && text != nil {
			*text = ""
		}
		changed = true
		return true
	}
	err := t.write(ctx, func() error {
		micros(&now)
		if owner := t.db.tenants[tenant]; owner != nil {
			for _, r := range owner.keys.rows {
				k := copyKey(*r.newest())
				created, revoked := erase(&k.CreatedBy, nil), erase(&k.RevokedBy, &k.RevokeReason)
				if created || revoked {
					k.Version++
					k.UpdatedAt = latest(k.UpdatedAt, now)
					set(t, r, k)
				}
			}
		}
		for _, r := range t.db.requests {
			v := copyRequest(*r.newest())
			if v.TenantID != tenant {
				continue
			}
			requested, decided := erase(&v.RequestedBy, &v.Message), erase(&v.DecidedBy, &v.DecisionReason)
			if requested || decided {
				v.UpdatedAt = latest(v.UpdatedAt, now)
				set(t, r, v)
			}
		}
		return nil
	})
	return changed, err
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
