package registry

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
)

// chainTx is a transaction that knows nothing but an audit log.
type chainTx struct {
	Tx
	pos    int64
	chains map[uuid.UUID]audit.ChainHead
	log    []audit.Event
}

func (tx *chainTx) LockAuditLog(_ context.Context, groups []uuid.UUID, _ []audit.Digest) (AuditHeads, error) {
	heads := AuditHeads{Pos: tx.pos, Chains: map[uuid.UUID]audit.ChainHead{}}
	for _, group := range groups {
		heads.Chains[group] = tx.chains[group]
	}
	return heads, nil
}

func (tx *chainTx) InsertAuditEvents(_ context.Context, events []audit.Event) error {
	for _, e := range events {
		tx.log = append(tx.log, e)
		tx.pos, tx.chains[e.GroupID] = e.Pos, audit.ChainHead{Seq: e.Seq, Hash: e.ChainHash}
	}
	return nil
}

func TestAppendEvents_placesAndHashes(t *testing.T) {
	t.Parallel()
	tx := &chainTx{pos: 41, chains: map[uuid.UUID]audit.ChainHead{}}
	for range 3 {
		// with a place and chain hashes of its author's own, which must not count
		forged := audit.Event{
			ID: newID(), Pos: 70, Seq: 7, GroupID: AcmeID, Action: "a.b", CRUD: audit.Update, PrevChainHash: "bb",
			ChainHash: "cc",
		}
		if err := appendEvents(t.Context(), tx, []audit.Event{forged}); err != nil {
			t.Fatal(err)
		}
	}
	prev := strings.Repeat("0", 64)
	for i, e := range tx.log {
		if e.Seq != int64(i+1) || e.Pos != int64(42+i) {
			t.Errorf("event %d is at seq %d, pos %d", i, e.Seq, e.Pos)
		}
		if e.PrevChainHash != prev {
			t.Errorf("event %d follows %s, want %s", i, e.PrevChainHash, prev)
		}
		if e.Hash != e.RetracedHash() || e.ChainHash != ChainHash(e) {
			t.Errorf("event %d has the hashes %s and %s", i, e.Hash, e.ChainHash)
		}
		var members map[string]any
		if err := json.Unmarshal(e.Skeleton(), &members); err != nil || members["seq"] != float64(i+1) ||
			members["prev_chain_hash"] != prev {
			t.Errorf("event %d hashes %v (%v)", i, members, err)
		}
		prev = e.ChainHash
	}
}

func TestReported_completesTheEvent(t *testing.T) {
	t.Parallel()
	berlin := time.FixedZone("CET", 3600)
	now := time.Date(2026, 5, 4, 13, 0, 0, 1999, berlin)
	s := New(nil, Options{Now: func() time.Time { return now }})
	by := Caller{Actor: audit.Party{ID: "svc", Name: "Portal"}, RequestID: "r-1", SourceIP: "192.0.2.9"}
	received := time.Date(2026, 5, 4, 12, 0, 0, 1000, time.UTC)

	e := s.reported(reportedEvent(), by)
	if e.ID == uuid.Nil || e.Received != received || e.Created != received || e.CorrelationID != "r-1" ||
		e.Emitter.ID != "svc" || e.Emitter.Name != "Portal" {
		t.Errorf("what the caller left out: %+v", e)
	}
	if e.Actor.ID != "u" || e.SourceIP != "" || e.Component != "" {
		t.Errorf("what the caller said was changed: %+v", e)
	}
	for text, want := range map[string]string{
		"2001:0DB8:0:0:0:0:0:1": "2001:db8::1", "::FFFF:c000:201": "::ffff:192.0.2.1", "192.0.2.1": "192.0.2.1",
		"::1": "::1",
	} {
		given := reportedEvent()
		given.SourceIP = text
		if got := s.reported(given, by).SourceIP; got != want {
			t.Errorf("source_ip %s becomes %q, want %q", text, got, want)
		}
	}
	for _, created := range []time.Time{
		time.Date(1999, 1, 1, 0, 30, 0, 123_456_789, berlin), now.Add(100 * 365 * 24 * time.Hour),
	} {
		given := reportedEvent()
		given.Created, given.CorrelationID, given.Emitter.ID = created, "mine", "forged"
		e := s.reported(given, by)
		if want := created.UTC().Truncate(time.Microsecond); e.Created != want || e.Received != received {
			t.Errorf("created %v, received %v; want %v, %v", e.Created, e.Received, want, received)
		}
		if e.CorrelationID != "mine" || e.Emitter.ID != "svc" {
			t.Errorf("correlation %q, emitter %q", e.CorrelationID, e.Emitter.ID)
		}
	}
}
