package postgres

import (
	"context"
	"encoding/hex"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/breakpilot/tenant-registry/internal/audit"
)

// eventColumns are an event's. Of the marks those that have effect are read, each as the seq of its erasure's event.
// OFFSET has that event looked up by its id, and not by group_id and seq, among all later ones.
const eventColumns = `
	a.pos, a.id, a.group_id, a.seq, coalesce(a.group_name, ''), a.action, a.crud,
	coalesce(a.actor_id, ''), coalesce(a.actor_name, ''), coalesce(a.actor_href, ''), coalesce(a.actor_type, ''),
		a.actor_fields, coalesce(a.on_behalf_of_id, ''), coalesce(a.on_behalf_of_name, ''),
	coalesce(a.target_id, ''), coalesce(a.target_name, ''), coalesce(a.target_href, ''), coalesce(a.target_type, ''),
		a.target_fields,
	coalesce(a.source_ip, ''), coalesce(a.description, ''), a.is_failure, a.is_anonymous, a.fields,
	coalesce(a.component, ''), coalesce(a.version, ''), coalesce(a.external_id, ''), a.metadata, a.created, a.received,
	coalesce(a.correlation_id, ''), coalesce(a.emitter_id, ''), coalesce(a.emitter_name, ''),
	coalesce(encode(a.hash, 'hex'), ''), encode(a.prev_chain_hash, 'hex'), encode(a.chain_hash, 'hex'), a.erase,
	a.actor_salt, a.emitter_salt, a.fields_salt, a.group_salt, a.hash_salt, a.metadata_salt, a.on_behalf_of_salt,
		a.source_salt, a.target_salt, a.text_salt,
	CASE WHEN a.marks IS NOT NULL THEN (
		SELECT jsonb_object_agg(m.key, e.seq) FROM jsonb_each_text(a.marks) AS m
		CROSS JOIN LATERAL (SELECT * FROM audit_log WHERE id = m.value::uuid OFFSET 0) AS e
		WHERE e.group_id = a.group_id AND e.seq > a.seq AND e.erase IS NOT NULL) END, a.digests`

// scanEvent scans eventColumns, and into more what is selected after them.
func scanEvent(row pgx.CollectableRow, more ...any) (e audit.Event, err error) {
	var actor, target, fields, metadata, erasure, marks, digests []byte
	columns := []any{
		&e.Pos, &e.ID, &e.GroupID, &e.Seq, &e.GroupName, &e.Action, &e.CRUD,
		&e.Actor.ID, &e.Actor.Name, &e.Actor.Href, &e.Actor.Type, &actor, &e.OnBehalfOf.ID, &e.OnBehalfOf.Name,
		&e.Target.ID, &e.Target.Name, &e.Target.Href, &e.Target.Type, &target,
		&e.SourceIP, &e.Description, &e.IsFailure, &e.IsAnonymous, &fields,
		&e.Component, &e.Version, &e.ExternalID, &metadata, &e.Created, &e.Received,
		&e.CorrelationID, &e.Emitter.ID, &e.Emitter.Name,
		&e.Hash, &e.PrevChainHash, &e.ChainHash, &erasure,
	}
	var salts [len(audit.Salts{})][]byte
	for i := range salts {
		columns = append(columns, &salts[i])
	}
	if err = row.Scan(append(append(columns, &marks, &digests), more...)...); err != nil {
		return e, err
	}
	for i, salt := range salts {
		copy(e.Salts[i][:], salt)
	}
	for _, m := range []struct {
		text  []byte
		value *map[string]string
	}{{actor, &e.Actor.Fields}, {target, &e.Target.Fields}, {fields, &e.Fields}, {metadata, &e.Metadata}} {
		if *m.value, err = parse[map[string]string](m.text); err != nil {
			return e, err
		}
	}
	if e.Erasure, err = parseErasure(erasure); err != nil || marks == nil {
		return e, err
	}
	return e, eraseParts(&e, marks, digests)
}

// eraseParts takes the marked parts from an event. The digest of one is stored if it was deleted.
func eraseParts(e *audit.Event, marks, digests []byte) error {
	by, err := parse[map[string]int64](marks)
	if err != nil {
		return err
	}
	stored, err := parse[map[string]string](digests)
	if err != nil {
		return err
	}
	for name, seq := range by {
		part, known := audit.ParsePart(name)
		if !known {
			return fmt.Errorf("event %s: the part %q is unknown", e.ID, name)
		}
		left := audit.ErasedPart{By: seq}
		if digest, deleted := stored[name]; deleted {
			left.Deleted = true
			if _, err := hex.Decode(left.Digest[:], []byte(digest)); err != nil {
				return err
			}
		} else {
			left.Digest = e.DigestOf(part)
		}
		e.Erase(part, left)
	}
	return nil
}

// erasureJSON is an audit.Erasure as it is stored.
type erasureJSON struct {
	Events int64  `json:"events"`
	First  int64  `json:"first"`
	Parts  int64  `json:"parts"`
	Set    string `json:"set"` // in hexadecimal digits
}

func parseErasure(text []byte) (*audit.Erasure, error) {
	if text == nil {
		return nil, nil
	}
	stored, err := parse[erasureJSON](text)
	if err != nil {
		return nil, err
	}
	erasure := audit.Erasure{Events: stored.Events, First: stored.First, Parts: stored.Parts}
	_, err = hex.Decode(erasure.Set[:], []byte(stored.Set))
	return &erasure, err
}

func erasureOrNull(e *auditEvent) (*string, error) {
	if e.Erasure == nil {
		return nil, nil
	}
	text, err := json.Marshal(erasureJSON{
		e.Erasure.Events, e.Erasure.First, e.Erasure.Parts, hex.EncodeToString(e.Erasure.Set[:]),
	})
	return new(string(text)), err
}

// GetAuditEvent implements registry.AuditReader.
func (r reader) GetAuditEvent(ctx context.Context, id uuid.UUID) (audit.Event, error) {
	const sql = `SELECT` + eventColumns + ` FROM audit_log a WHERE a.id = $1`
	return one(ctx, r, query{"read event", sql, []any{id}}, func(row pgx.CollectableRow) (audit.Event, error) {
		return scanEvent(row)
	})
}
