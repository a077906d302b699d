package audit

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/breakpilot/tenant-registry/internal/timestamp"
)

// acme is a tenant.
var acme = uuid.MustParse("00000000-0000-0000-0000-000000000001")

// wholeEvent has every member set.
func wholeEvent() Event {
	return Event{
		ID: uuid.MustParse("00000000-0000-4000-8000-000000000007"), Pos: 70, Seq: 7, GroupID: acme,
		GroupName: "Acme & Söhne",
		Action:    "document.share", CRUD: Update,
		Actor: Party{
			ID: "u-1", Name: "Acme admin", Href: "https://example.org/u-1?a=1&b=2", Type: "user",
			Fields: map[string]string{"role": "owner"},
		},
		Target: Party{
			ID: "d-1", Name: "<Plan>", Href: "https://example.org/d-1", Type: "document", Fields: map[string]string{},
		},
		SourceIP: "192.0.2.1", Description: "line\nline", IsFailure: true, IsAnonymous: true,
		Fields: map[string]string{"b": "2", "a": "1"}, Component: "portal", Version: "1.2.3", ExternalID: "x-1",
		Metadata: map[string]string{"m": "\u20ac"},
		Created:  time.Date(2026, 1, 2, 4, 4, 5, 678_900_000, time.FixedZone("CET", 3600)),
		Received: time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC), CorrelationID: "r-1", EmitterID: "svc-1",
		EmitterName: "portal",
		Hash:        "aa", PrevChainHash: "bb", ChainHash: "cc",
	}
}

// Every verifier of a chain hashes these texts, so they never change.
func TestCanonical_neverChanges(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		event Event
		want  string
	}{
		"every member": {wholeEvent(), `{"action":"document.share",` +
			`"actor":{"fields":{"role":"owner"},"href":"https://example.org/u-1?a=1&b=2","id":"u-1",` +
			`"name":"Acme admin","type":"user"},` +
			`"component":"portal","correlation_id":"r-1","created":"2026-01-02T03:04:05.678900Z","crud":"u",` +
			`"description":"line\nline",` +
			`"emitter":{"id":"svc-1","name":"portal"},"external_id":"x-1","fields":{"a":"1","b":"2"},` +
			`"group":{"id":"00000000-0000-0000-0000-000000000001","name":"Acme & Söhne"},` +
			`"hash":"aa","id":"00000000-0000-4000-8000-000000000007","is_anonymous":true,"is_failure":true,` +
			`"metadata":{"m":"€"},` +
			`"prev_chain_hash":"bb","received":"2026-01-02T03:04:06.000000Z","seq":7,"source_ip":"192.0.2.1",` +
			`"target":{"fields":{},"href":"https://example.org/d-1","id":"d-1","name":"<Plan>","type":"document"},` +
			`"version":"1.2.3"}`},
		"nothing": {Event{}, `{"action":"","created":"0001-01-01T00:00:00.000000Z","crud":"","hash":"",` +
			`"id":"00000000-0000-0000-0000-000000000000","is_anonymous":false,"is_failure":false,` +
			`"prev_chain_hash":"",` +
			`"received":"0001-01-01T00:00:00.000000Z","seq":0}`},
		"empty maps are there": {Event{Fields: map[string]string{}, Metadata: map[string]string{}},
			`{"action":"","created":"0001-01-01T00:00:00.000000Z","crud":"","fields":{},"hash":"",` +
				`"id":"00000000-0000-0000-0000-000000000000","is_anonymous":false,"is_failure":false,` +
				`"metadata":{},"prev_chain_hash":"",` +
				`"received":"0001-01-01T00:00:00.000000Z","seq":0}`},
	} {
		if got := string(c.event.Canonical()); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

// The members are in the order of UTF-16 code units, which is not the order of bytes: the example of RFC 8785, section
// 3.2.3.
func TestCanonical_membersAreInUTF16Order(t *testing.T) {
	t.Parallel()
	e := Event{Fields: map[string]string{
		"\u20ac": "5", "\r": "1", "\ufb33": "7", "1": "2", "\U0001f600": "6", "\u0080": "3", "\u00f6": "4",
	}}
	want := `"fields":{"\r":"1","1":"2","` + "\u0080" + `":"3","` + "\u00f6" + `":"4","` + "\u20ac" + `":"5","` +
		"\U0001f600" + `":"6","` + "\ufb33" + `":"7"}`
	if got := string(e.Canonical()); !strings.Contains(got, want) {
		t.Errorf("got %s\nwant %s in it", got, want)
	}
}

// Every member of an event, also one that is added later, is in the canonical text unless it is named here.
func TestCanonical_holdsEveryMember(t *testing.T) {
	t.Parallel()
	left := map[string]bool{"Pos": true, "ChainHash": true, "Idempotency": true}
	whole := wholeEvent()
	for i := range reflect.TypeFor[Event]().NumField() {
		field := reflect.TypeFor[Event]().Field(i)
		without := whole
		reflect.ValueOf(&without).Elem().Field(i).SetZero()
		if changes := !bytes.Equal(without.Canonical(), whole.Canonical()); changes == left[field.Name] {
			t.Errorf("%s is in the canonical text: %t", field.Name, changes)
		}
	}
	for i := range reflect.TypeFor[Party]().NumField() {
		without := whole
		reflect.ValueOf(&without.Target).Elem().Field(i).SetZero()
		if bytes.Equal(without.Canonical(), whole.Canonical()) {
			t.Errorf("the target's %s is not in the canonical text", reflect.TypeFor[Party]().Field(i).Name)
		}
	}
}

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

func generally(e Event, chainHash string) []byte {
	c := canonicalEvent{
		ID: e.ID.String(), Seq: e.Seq, Action: e.Action, CRUD: e.CRUD, Actor: e.Actor.canonical(),
		Target:   e.Target.canonical(),
		SourceIP: e.SourceIP, Description: e.Description, IsFailure: e.IsFailure, IsAnonymous: e.IsAnonymous,
		Fields:    e.Fields,
		Component: e.Component, Version: e.Version, ExternalID: e.ExternalID, Metadata: e.Metadata,
		Created: timestamp.Format(e.Created), Received: timestamp.Format(e.Received),
		CorrelationID: e.CorrelationID, Emitter: Party{ID: e.EmitterID, Name: e.EmitterName}.canonical(), Hash: e.Hash,
		PrevChainHash: e.PrevChainHash,
		ChainHash:     chainHash,
	}
	if e.GroupID != uuid.Nil {
		c.Group = &canonicalGroup{ID: e.GroupID.String(), Name: e.GroupName}
	}
	return canonicalJSON(c)
}

func TestSeal_matchesTheGeneralEncoder(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(rapid.Just(""), rapid.String(), rapid.SampledFrom([]string{
		"a", "\x00\x1f\x7f\b\f\n\r\t\"\\/", "\u2028<>&\u00e9", "\ue000", "\ufb33", "\U0001f600", "\U00010000a",
	}))
	fields := rapid.OneOf(rapid.Just(map[string]string(nil)), rapid.MapOfN(text, text, 0, 6))
	party := rapid.Custom(func(t *rapid.T) Party {
		return Party{
			ID: text.Draw(t, "id"), Name: text.Draw(t, "name"), Href: text.Draw(t, "href"), Type: text.Draw(t, "type"),
			Fields: fields.Draw(t, "fields"),
		}
	})
	at := rapid.Custom(func(t *rapid.T) time.Time { return time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, "at")) })
	rapid.Check(t, func(t *rapid.T) {
		e := Event{
			ID: uuid.New(), Seq: rapid.Int64Range(1, 1<<53).Draw(t, "seq"), GroupName: text.Draw(t, "group"),
			Action: rapid.StringMatching("[a-z.]+").Draw(t, "action"),
			CRUD:   rapid.SampledFrom([]CRUD{Create, Read, Update, Delete}).Draw(t, "crud"),
			Actor:  party.Draw(t, "actor"), Target: party.Draw(t, "target"),
			SourceIP: text.Draw(t, "ip"), Description: text.Draw(t, "description"),
			IsFailure:   rapid.Bool().Draw(t, "failure"),
			IsAnonymous: rapid.Bool().Draw(t, "anonymous"), Fields: fields.Draw(t, "fields"),
			Component: text.Draw(t, "component"),
			Version:   text.Draw(t, "version"), ExternalID: text.Draw(t, "external"),
			Metadata: fields.Draw(t, "metadata"),
			Created:  at.Draw(t, "created"), Received: at.Draw(t, "received"),
			CorrelationID: text.Draw(t, "correlation"),
			EmitterID:     text.Draw(t, "emitter"), EmitterName: text.Draw(t, "emitter name"),
			PrevChainHash: sum([]byte("prev")), Hash: sum([]byte("hash")),
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

func (p Party) canonical() *canonicalParty {
	if p.ID == "" {
		return nil
	}
	return &canonicalParty{ID: p.ID, Name: p.Name, Href: p.Href, Type: p.Type, Fields: p.Fields}
}
