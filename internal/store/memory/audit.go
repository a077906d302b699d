package memory

import (
	"context"
	"maps"
	"math"
	"slices"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// Event implements registry.AuditReader.
func (r reader) Event(ctx context.Context, id uuid.UUID) (registry.AuditEvent, error) {
	return read(ctx, r, func(own bool) (registry.AuditEvent, error) {
		e := find(r.db.events, id, own)
		if e == nil {
			return registry.AuditEvent{}, registry.ErrNotFound
		}
		return shownEvent(*e), nil
	})
}

// Events implements registry.AuditReader. There are no indexes: what the driving filter passes over costs time, and does not count.
func (r reader) Events(ctx context.Context, q registry.AuditQuery) (registry.AuditRows, error) {
	found := registry.AuditRows{Items: []registry.AuditEvent{}, Examined: q.After}
	if err := (texts{q.Action, q.Area, q.ActorID, q.TargetID, q.CorrelationID}).check(); err != nil {
		return registry.AuditRows{}, err
	}
	driving, narrowing := q.Filters()
	return read(ctx, r, func(own bool) (registry.AuditRows, error) {
		examined := 0
		rows := r.db.behind(q)
		for i := range rows {
			if len(found.Items) >= q.Limit {
				break
			}
			if !q.Ascending {
				i = len(rows) - 1 - i
			}
			e := rows[i].seen(own)
			if e == nil || !registry.MatchesAll(driving, e) {
				continue
			}
			if examined++; examined > q.Bound() {
				found.Cut = true
				break
			}
			found.Examined = q.Position(*e)
			if registry.MatchesAll(narrowing, e) {
				found.Items = append(found.Items, shownEvent(*e))
			}
		}
		return found, nil
	})
}

// NewestPos implements registry.AuditReader.
func (r reader) NewestPos(ctx context.Context) (int64, error) {
	return read(ctx, r, func(own bool) (int64, error) {
		if e := newest(r.db.log.rows, own); e != nil {
			return e.Pos, nil
		}
		return 0, nil
	})
}

// AuditChain implements registry.AuditReader.
func (r reader) AuditChain(ctx context.Context, group uuid.UUID) (registry.ChainHead, error) {
	return read(ctx, r, func(own bool) (registry.ChainHead, error) {
		if chain := r.db.chains[group]; chain != nil {
			if e := newest(chain.rows, own); e != nil {
				return registry.ChainHead{Seq: e.Seq, Hash: e.ChainHash}, nil
			}
		}
		return registry.ChainHead{}, nil
	})
}

// newest is the last visible event; nil: there is none.
func newest(rows []*row[registry.AuditEvent], own bool) *registry.AuditEvent {
	for _, r := range slices.Backward(rows) {
		if e := r.seen(own); e != nil {
			return e
		}
	}
	return nil
}

// behind are the rows of the query's log that come after q.After in its order.
func (db *tables) behind(q registry.AuditQuery) []*row[registry.AuditEvent] {
	log := &db.log
	if q.GroupID != nil {
		if log = db.chains[*q.GroupID]; log == nil {
			return nil
		}
	}
	switch {
	case q.Ascending && q.After == math.MaxInt64:
		return nil
	case q.Ascending:
		return log.rows[log.place(&registry.AuditEvent{Pos: q.After + 1, Seq: q.After + 1}):]
	case q.After == 0:
		return log.rows
	}
	return log.rows[:log.place(&registry.AuditEvent{Pos: q.After, Seq: q.After})]
}

// AuditHead implements registry.AuditWriter. The audit lock is the writer slot.
func (t *tx) AuditHead(ctx context.Context, group uuid.UUID) (registry.AuditHead, error) {
	heads, err := t.AuditHeads(ctx, []uuid.UUID{group}, nil)
	head := heads.Chains[group]
	return registry.AuditHead{Pos: heads.Pos, Seq: head.Seq, ChainHash: head.Hash}, err
}

// AuditHeads implements registry.AuditWriter.
func (t *tx) AuditHeads(ctx context.Context, groups []uuid.UUID, keys []registry.Hash) (registry.AuditHeads, error) {
	return lock(ctx, t, func() (registry.AuditHeads, error) {
		heads := registry.AuditHeads{Chains: map[uuid.UUID]registry.ChainHead{}, Marked: map[registry.Hash][]registry.MarkedEvent{}}
		if last := t.db.log.last(); last != nil {
			heads.Pos = last.Pos
		}
		for _, group := range groups {
			if last := t.db.chains[group].last(); last != nil {
				heads.Chains[group] = registry.ChainHead{Seq: last.Seq, Hash: last.ChainHash}
			}
		}
		for _, key := range keys {
			if marked := t.db.marked(key); len(marked) > 0 {
				heads.Marked[key] = marked
			}
		}
		return heads, nil
	})
}

// Claim implements registry.AuditWriter. The key's lock is the writer slot.
func (t *tx) Claim(ctx context.Context, key registry.Hash) ([]registry.MarkedEvent, error) {
	return lock(ctx, t, func() ([]registry.MarkedEvent, error) { return t.db.marked(key), nil })
}

// marked are the events of an idempotency key as the holder of the writer slot sees them.
func (db *tables) marked(key registry.Hash) []registry.MarkedEvent {
	found := []registry.MarkedEvent{}
	for ordinal := 0; ; ordinal++ {
		e := find(db.marks, mark{key, ordinal}, true)
		if e == nil {
			return found
		}
		found = append(found, registry.MarkedEvent{OnceMark: e.Once, ID: e.ID, Hash: e.Hash, TargetID: e.Target.ID})
	}
}

// InsertEvents implements registry.AuditWriter.
func (t *tx) InsertEvents(ctx context.Context, events []registry.AuditEvent) error {
	return t.write(ctx, func() error {
		for _, e := range events {
			if err := t.insertEvent(e); err != nil {
				return err
			}
		}
		return nil
	})
}

// InsertEvent implements registry.AuditWriter.
func (t *tx) InsertEvent(ctx context.Context, e registry.AuditEvent) error {
	return t.InsertEvents(ctx, []registry.AuditEvent{e})
}

func (t *tx) insertEvent(e registry.AuditEvent) error {
	e, err := storedEvent(e)
	if err != nil {
		return err
	}
	chain, once := t.db.chains[e.GroupID], mark{e.Once.Key, e.Once.Ordinal}
	switch {
	case t.db.events[e.ID] != nil || t.db.log.has(&e) || chain.has(&e):
		return registry.ErrDuplicate
	case t.db.marks[once] != nil:
		return registry.ErrKeyUsed
	case e.GroupID != uuid.Nil && t.db.tenants[e.GroupID] == nil:
		return registry.ErrNoParent
	}
	if chain == nil {
		chain = newChain()
		add(t, t.db.chains, e.GroupID, chain)
	}
	r := &row[registry.AuditEvent]{}
	set(t, r, e)
	add(t, t.db.events, e.ID, r)
	if e.Once != (registry.OnceMark{}) {
		add(t, t.db.marks, once, r)
	}
	t.db.log.insert(t, r)
	chain.insert(t, r)
	return nil
}

var cruds = []registry.CRUD{registry.Create, registry.Read, registry.Update, registry.Delete}

// storedEvent is an event as its row holds it.
func storedEvent(e registry.AuditEvent) (registry.AuditEvent, error) {
	e = copyEvent(e)
	micros(&e.Created, &e.Received)
	switch {
	case !slices.Contains(cruds, e.CRUD):
		return e, broken("event crud")
	case e.Pos < 1 || e.Seq < 1:
		return e, broken("event numbers")
	case !isHash(e.Hash) || !isHash(e.PrevChainHash) || !isHash(e.ChainHash):
		return e, broken("event hashes")
	}
	text := texts{
		e.GroupName, e.Action, e.SourceIP, e.Description, e.Component, e.Version, e.ExternalID, e.CorrelationID, e.EmitterID, e.EmitterName,
	}
	for _, p := range []registry.Party{e.Actor, e.Target} {
		text = append(text, p.ID, p.Name, p.Href, p.Type).and(p.Fields)
	}
	return e, text.and(e.Fields).and(e.Metadata).check()
}

// copyEvent keeps nil maps, which are absent, apart from empty ones.
func copyEvent(e registry.AuditEvent) registry.AuditEvent {
	e.Fields, e.Metadata = maps.Clone(e.Fields), maps.Clone(e.Metadata)
	e.Actor.Fields, e.Target.Fields = maps.Clone(e.Actor.Fields), maps.Clone(e.Target.Fields)
	return e
}

// shownEvent is a copy for readers, who do not see its mark.
func shownEvent(e registry.AuditEvent) registry.AuditEvent {
	e.Once = registry.OnceMark{}
	return copyEvent(e)
}
