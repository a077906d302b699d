package memory

import (
	"context"
	"math"
	"slices"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

// GetAuditEvent implements registry.AuditReader.
func (r reader) GetAuditEvent(ctx context.Context, id uuid.UUID) (audit.Event, error) {
	return read(ctx, r, func(own bool) (audit.Event, error) {
		e := find(r.db.events, id, own)
		if e == nil {
			return audit.Event{}, registry.ErrNotFound
		}
		return r.db.shownEvent(e, own), nil
	})
}

// ListAuditEvents implements registry.AuditReader. There are no indexes: a row that the driving filter passes over
// costs time, and does not count as examined.
func (r reader) ListAuditEvents(ctx context.Context, q registry.AuditQuery) (registry.AuditRows, error) {
	found := registry.AuditRows{Items: []audit.Event{}, Examined: q.Position}
	if err := (texts{q.Action, q.Area, q.ActorID, q.TargetID, q.CorrelationID, q.EmitterID}).check(); err != nil {
		return registry.AuditRows{}, err
	}
	driving, narrowing := q.Filters()
	return read(ctx, r, func(own bool) (registry.AuditRows, error) {
		examined := 0
		rows := r.db.after(q)
		for i := range rows {
			if len(found.Items) >= q.Limit {
				break
			}
			if !q.Ascending {
				i = len(rows) - 1 - i
			}
			e := rows[i].seen(own)
			if e == nil {
				continue
			}
			if e = r.db.withoutErased(e, own); !registry.MatchesAll(driving, e) {
				continue
			}
			if examined++; examined > q.Bound() {
				found.Truncated = true
				break
			}
			found.Examined, found.ExaminedHash, found.Count = q.PositionOf(*e), e.ChainHash, examined
			if registry.MatchesAll(narrowing, e) {
				found.Items = append(found.Items, r.db.shownEvent(e, own))
			}
		}
		return found, nil
	})
}

// GetNewestPosition implements registry.AuditReader.
func (r reader) GetNewestPosition(ctx context.Context) (int64, error) {
	return read(ctx, r, func(own bool) (int64, error) {
		if e := newest(r.db.log.rows, own); e != nil {
			return e.Pos, nil
		}
		return 0, nil
	})
}

// ListGroupsAfter implements registry.AuditReader.
func (r reader) ListGroupsAfter(ctx context.Context, position int64, limit int) (registry.GroupsAfter, error) {
	return read(ctx, r, func(own bool) (registry.GroupsAfter, error) {
		found, looked := registry.GroupsAfter{Position: position}, 0
		for _, row := range r.db.after(registry.AuditQuery{Ascending: true, Position: position}) {
			e := row.seen(own)
			if e == nil {
				continue
			}
			if looked == limit {
				break
			}
			looked++
			if found.Position = e.Pos; !slices.Contains(found.Groups, e.GroupID) {
				found.Groups = append(found.Groups, e.GroupID)
			}
		}
		if e := newest(r.db.log.rows, own); looked == 0 && (e == nil || e.Pos < position) {
			found.Position = 0
			if e != nil {
				found.Position = e.Pos
			}
		}
		found.More = looked == limit
		return found, nil
	})
}

// GetChainHead implements registry.AuditReader.
func (r reader) GetChainHead(ctx context.Context, group uuid.UUID) (audit.ChainHead, error) {
	return read(ctx, r, func(own bool) (audit.ChainHead, error) {
		if chain := r.db.chains[group]; chain != nil {
			if e := newest(chain.rows, own); e != nil {
				return audit.ChainHead{Seq: e.Seq, Hash: e.ChainHash}, nil
			}
		}
		return audit.ChainHead{}, nil
	})
}

// newest is the last visible event; nil: there is none.
func newest(rows []*row[audit.Event], own bool) *audit.Event {
	for _, r := range slices.Backward(rows) {
		if e := r.seen(own); e != nil {
			return e
		}
	}
	return nil
}

// after are the rows of the query's log that come after q.Position in its order.
func (db *tables) after(q registry.AuditQuery) []*row[audit.Event] {
	log := &db.log
	if q.GroupID != nil {
		if log = db.chains[*q.GroupID]; log == nil {
			return nil
		}
	}
	switch {
	case q.Ascending && q.Position == math.MaxInt64:
		return nil
	case q.Ascending:
		return log.rows[log.search(&audit.Event{Pos: q.Position + 1, Seq: q.Position + 1}):]
	case q.Position == 0:
		return log.rows
	}
	return log.rows[:log.search(&audit.Event{Pos: q.Position, Seq: q.Position})]
}
