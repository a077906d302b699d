package registry

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// canonicalEvent is an event as its chain hashes it, for the general encoder.
type canonicalEvent struct {
	ID            string            `json:"id"`
	Seq           int64             `json:"seq"`
	Group         *canonicalGroup   `json:"group,omitzero"`
	Action        string            `json:"action"`
	CRUD          CRUD              `json:"crud"`
	Actor         *canonicalParty   `json:"actor,omitzero"`
	Target        *canonicalParty   `json:"target,omitzero"`
	SourceIP      string            `json:"source_ip,omitzero"`
	Description   string            `json:"description,omitzero"`
	IsFailure     bool              `json:"is_failure"`
	IsAnonymous   bool              `json:"is_anonymous"`
	Fields        map[string]string `json:"fields,omitzero"`
	Component     string            `json:"component,omitzero"`
	Version       string            `json:"version,omitzero"`
	ExternalID    string            `json:"external_id,omitzero"`
	Metadata      map[string]string `json:"metadata,omitzero"`
	Created       string            `json:"created"`
	Received      string            `json:"received"`
	CorrelationID string            `json:"correlation_id,omitzero"`
	Emitter       *canonicalParty   `json:"emitter,omitzero"`
	Hash          string            `json:"hash"`
	PrevChainHash string            `json:"prev_chain_hash"`
	ChainHash     string            `json:"chain_hash,omitzero"` // not part of what is hashed
}

type canonicalGroup struct {
	ID   string `json:"id"`
	Name string `json:"name,omitzero"`
}

type canonicalParty struct {
	ID     string            `json:"id"`
	Name   string            `json:"name,omitzero"`
	Href   string            `json:"href,omitzero"`
	Type   string            `json:"type,omitzero"`
	Fields map[string]string `json:"fields,omitzero"`
}

func (p Party) canonical() *canonicalParty {
	if p.ID == "" {
		return nil
	}
	return &canonicalParty{ID: p.ID, Name: p.Name, Href: p.Href, Type: p.Type, Fields: p.Fields}
}

func generally(e AuditEvent, chainHash string) []byte {
	c := canonicalEvent{
		ID: e.ID.String(), Seq: e.Seq, Action: e.Action, CRUD: e.CRUD, Actor: e.Actor.canonical(), Target: e.Target.canonical(),
		SourceIP: e.SourceIP, Description: e.Description, IsFailure: e.IsFailure, IsAnonymous: e.IsAnonymous, Fields: e.Fields,
		Component: e.Component, Version: e.Version, ExternalID: e.ExternalID, Metadata: e.Metadata,
		Created: FormatTime(e.Created), Received: FormatTime(e.Received),
		CorrelationID: e.CorrelationID, Emitter: Party{ID: e.EmitterID, Name: e.EmitterName}.canonical(), Hash: e.Hash, PrevChainHash: e.PrevChainHash,
		ChainHash: chainHash,
	}
	if e.GroupID != uuid.Nil {
		c.Group = &canonicalGroup{ID: e.GroupID.String(), Name: e.GroupName}
	}
	return canonicalJSON(c)
}

func TestSeal_asTheGeneralEncoder(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(rapid.Just(""), rapid.String(), rapid.SampledFrom([]string{
		"a", "\x00\x1f\x7f\b\f\n\r\t\"\\/", "\u2028<>&\u00e9", "\ue000", "\ufb33", "\U0001f600", "\U00010000a",
	}))
	fields := rapid.OneOf(rapid.Just(map[string]string(nil)), rapid.MapOfN(text, text, 0, 6))
	party := rapid.Custom(func(t *rapid.T) Party {
		return Party{ID: text.Draw(t, "id"), Name: text.Draw(t, "name"), Href: text.Draw(t, "href"), Type: text.Draw(t, "type"), Fields: fields.Draw(t, "fields")}
	})
	at := rapid.Custom(func(t *rapid.T) time.Time { return time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, "at")) })
	rapid.Check(t, func(t *rapid.T) {
		e := AuditEvent{
			ID: uuid.New(), Seq: rapid.Int64Range(1, 1<<53).Draw(t, "seq"), GroupName: text.Draw(t, "group"), Action: rapid.StringMatching("[a-z.]+").Draw(t, "action"),
			CRUD: rapid.SampledFrom([]CRUD{Create, Read, Update, Delete}).Draw(t, "crud"), Actor: party.Draw(t, "actor"), Target: party.Draw(t, "target"),
			SourceIP: text.Draw(t, "ip"), Description: text.Draw(t, "description"), IsFailure: rapid.Bool().Draw(t, "failure"),
			IsAnonymous: rapid.Bool().Draw(t, "anonymous"), Fields: fields.Draw(t, "fields"), Component: text.Draw(t, "component"),
			Version: text.Draw(t, "version"), ExternalID: text.Draw(t, "external"), Metadata: fields.Draw(t, "metadata"),
			Created: at.Draw(t, "created"), Received: at.Draw(t, "received"), CorrelationID: text.Draw(t, "correlation"),
			EmitterID: text.Draw(t, "emitter"), EmitterName: text.Draw(t, "emitter name"), PrevChainHash: sum([]byte("prev")), Hash: sum([]byte("hash")),
		}
		if rapid.Bool().Draw(t, "of a tenant") {
			e.GroupID = uuid.New()
		}
		for _, chainHash := range []string{"", sum(nil)} {
			if got, want := string(e.canonicalWith(chainHash)), string(generally(e, chainHash)); got != want {
				t.Fatalf("got  %s\nwant %s", got, want)
			}
		}
		if got, want := e.seal("").chainHash(e.PrevChainHash, e.Seq), sum(generally(e, "")); got != want {
			t.Fatalf("the hash is %s, not %s", got, want)
		}
	})
}
