package memory

import (
	"context"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

// LockAuditLog implements registry.AuditWriter. The audit lock is the writer slot.
func (t *tx) LockAuditLog(ctx context.Context, groups []uuid.UUID, keys []audit.Digest) (registry.AuditHeads, error) {
	return lock(ctx, t, func() (registry.AuditHeads, error) {
		heads := registry.AuditHeads{
			Chains:  map[uuid.UUID]audit.ChainHead{},
			Earlier: map[audit.Digest][]registry.EarlierEvent{},
		}
		if last := t.db.log.last(); last != nil {
			heads.Pos = last.Pos
		}
		for _, group := range groups {
			if last := t.db.chains[group].last(); last != nil {
				heads.Chains[group] = audit.ChainHead{Seq: last.Seq, Hash: last.ChainHash}
			}
		}
		for _, key := range keys {
			if earlier := t.db.earlierEvents(key); len(earlier) > 0 {
				heads.Earlier[key] = earlier
			}
		}
		return heads, nil
	})
}

// LockForAppend implements registry.AuditWriter.
func (t *tx) LockForAppend(
	ctx context.Context, tenants []uuid.UUID, skipLocked bool, groups []uuid.UUID, keys []audit.Digest,
) (map[uuid.UUID]bool, registry.AuditHeads, error) {
	locked, err := t.LockTenantsShared(ctx, tenants, skipLocked)
	if err != nil {
		return nil, registry.AuditHeads{}, err
	}
	heads, err := t.LockAuditLog(ctx, groups, keys)
	return locked, heads, err
}

// InsertAuditEvents implements registry.AuditWriter.
func (t *tx) InsertAuditEvents(ctx context.Context, events []audit.Event) error {
	return t.write(ctx, func() error {
		for _, e := range events {
			if err := t.insertEvent(e); err != nil {
				return err
			}
		}
		for _, e := range events {
			if !t.db.follows(e) {
				return registry.ErrDuplicate
			}
		}
		return nil
	})
}

// follows reports whether an event has its predecessors: that of its place, and that of its chain, whose hash it
// carries.
func (db *tables) follows(e audit.Event) bool {
	if e.Pos > 1 && !db.log.has(&audit.Event{Pos: e.Pos - 1}) {
		return false
	}
	before := db.chains[e.GroupID].find(&audit.Event{Seq: e.Seq - 1})
	if before == nil {
		return e.Seq == 1 && e.PrevChainHash == audit.ZeroHash
	}
	return e.PrevChainHash == before.ChainHash
}

func (t *tx) insertEvent(e audit.Event) error {
	e, err := storedEvent(e)
	if err != nil {
		return err
	}
	chain, index := t.db.chains[e.GroupID], idempotencyIndex{e.Idempotency.Key, e.Idempotency.Ordinal}
	switch {
	case t.db.events[e.ID] != nil || t.db.log.has(&e) || chain.has(&e):
		return registry.ErrDuplicate
	case t.db.idempotency[index] != nil:
		return registry.ErrIdempotencyKeyUsed
	case e.GroupID != uuid.Nil && !e.GroupDeleted && t.db.tenants[e.GroupID] == nil:
		return registry.ErrNoParent
	}
	if chain == nil {
		chain = newChain()
		add(t, t.db.chains, e.GroupID, chain)
	}
	r := &row[audit.Event]{}
	set(t, r, e)
	add(t, t.db.events, e.ID, r)
	if e.Idempotency != (audit.IdempotencyRecord{}) {
		add(t, t.db.idempotency, index, r)
	}
	t.db.log.insert(t, r)
	chain.insert(t, r)
	return nil
}

var cruds = []audit.CRUD{audit.Create, audit.Read, audit.Update, audit.Delete}

// storedEvent is an event as its row holds it.
func storedEvent(e audit.Event) (audit.Event, error) {
	e = copyEvent(e)
	for _, p := range audit.AllParts {
		if e.Has(p) != (e.Salts[p] != audit.Salt{}) {
			return e, broken("event salts")
		}
	}
	micros(&e.Created, &e.Received)
	switch {
	case !slices.Contains(cruds, e.CRUD):
		return e, broken("event crud")
	case e.Pos < 1 || e.Seq < 1:
		return e, broken("event numbers")
	case e.Erased != nil || (e.Erasure != nil) != (e.Action == "audit.erase"):
		return e, broken("event erasure")
	case !isHash(e.Hash) || !isHash(e.PrevChainHash) || !isHash(e.ChainHash):
		return e, broken("event hashes")
	}
	text := texts{
		e.GroupName, e.Action, e.SourceIP, e.Description, e.Component, e.Version, e.ExternalID, e.CorrelationID,
		e.Emitter.ID, e.Emitter.Name, e.OnBehalfOf.ID, e.OnBehalfOf.Name,
	}
	for _, p := range []audit.Party{e.Actor, e.Target} {
		text = append(text, p.ID, p.Name, p.Href, p.Type).and(p.Fields)
	}
	return e, text.and(e.Fields).and(e.Metadata).check()
}

// copyEvent copies nil maps, which are absent, as nil, and empty ones as empty.
func copyEvent(e audit.Event) audit.Event {
	e.Fields, e.Metadata = maps.Clone(e.Fields), maps.Clone(e.Metadata)
	e.Actor.Fields, e.Target.Fields = maps.Clone(e.Actor.Fields), maps.Clone(e.Target.Fields)
	e.Erasure, e.Erased = copyOf(e.Erasure), maps.Clone(e.Erased)
	return e
}

// shownEvent is a copy for readers: without what was erased, its idempotency record and what only its author says.
func (db *tables) shownEvent(e *audit.Event, own bool) audit.Event {
	shown := copyEvent(*db.withoutErased(e, own))
	shown.Idempotency, shown.GroupDeleted = audit.IdempotencyRecord{}, false
	return shown
}
