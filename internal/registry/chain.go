package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// TimeLayout is how times are written wherever they leave the service: UTC, exactly six decimals.
const TimeLayout = "2006-01-02T15:04:05.000000Z"

// canonicalEvent is an event as its chain hashes it. A member that is added later must be left out when unset, so that it changes
// no old hash; the order here does not matter.
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

// canonical is the event in canonical JSON (RFC 8785), without pos, which never leaves the service, and without chain_hash.
func (e AuditEvent) canonical() []byte { return e.canonicalWith("") }

// canonicalWith is the event in canonical JSON with a chain_hash, unless that is empty.
func (e AuditEvent) canonicalWith(chainHash string) []byte {
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

// canonicalJSON writes a value in canonical JSON (RFC 8785).
func canonicalJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err == nil {
		err = (*jsontext.Value)(&text).Canonicalize()
	}
	if err != nil { // strings that are not UTF-8, which the edge refuses
		panic(err)
	}
	return text
}

func (p Party) canonical() *canonicalParty {
	if p.ID == "" {
		return nil
	}
	return &canonicalParty{ID: p.ID, Name: p.Name, Href: p.Href, Type: p.Type, Fields: p.Fields}
}

// retracedHash is the hash that Retraced gives an event: over id, action, target, actor, group, address and the two flags, then
// the fields, and the external id and metadata if there are any.
func (e AuditEvent) retracedHash() string {
	group := ""
	if e.GroupID != uuid.Nil {
		group = e.GroupID.String()
	}
	return sum([]byte(retracedText(e.ID.String(), group, e)))
}

// retracedText is what retracedHash hashes. The ids are apart from the event because Retraced's may be any text.
func retracedText(id, group string, e AuditEvent) string {
	var b strings.Builder
	for _, part := range []string{id, e.Action, e.Target.ID, e.Actor.ID, group, e.SourceIP, flag(e.IsFailure), flag(e.IsAnonymous)} {
		b.WriteString(escapePart(part) + ":")
	}
	if e.Fields == nil {
		b.WriteString(":")
	}
	b.WriteString(pairs(e.Fields))
	if e.ExternalID != "" {
		b.WriteString(":" + escapePart(e.ExternalID))
	}
	if len(e.Metadata) > 0 {
		b.WriteString(":" + pairs(e.Metadata))
	}
	return b.String()
}

func pairs(m map[string]string) string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(m)) {
		b.WriteString(escapePair(key) + "=" + escapePair(m[key]) + ";")
	}
	return b.String()
}

// A Replacer goes over a text once, so the percent signs that it writes are not escaped again.
var (
	escapePart = strings.NewReplacer("%", "%25", ":", "%3A").Replace
	escapePair = strings.NewReplacer("%", "%25", ":", "%3A", "=", "%3D", ";", "%3B").Replace
)

func flag(set bool) string {
	if set {
		return "1"
	}
	return "0"
}

// sum is the SHA-256 of a text, in hex.
func sum(text []byte) string {
	digest := sha256.Sum256(text)
	return hex.EncodeToString(digest[:])
}

// FormatTime writes a time as it leaves the service.
func FormatTime(t time.Time) string { return t.UTC().Format(TimeLayout) }
