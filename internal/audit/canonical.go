package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/timestamp"
)

// Sealed is an event's canonical text (RFC 8785), but for what its place in the chain gives it: it is cut where
// prev_chain_hash and seq stand. So all of it is computed before the audit lock is taken.
type Sealed struct{ untilPrev, untilSeq, rest []byte }

// text is the whole of it.
func (s Sealed) text(prev string, seq int64) []byte {
	return slices.Concat(s.untilPrev, []byte(prev), s.untilSeq, strconv.AppendInt(nil, seq, 10), s.rest)
}

// chainHash is the SHA-256 of the text, in hex.
func (s Sealed) chainHash(prev string, seq int64) string {
	digest := sha256.New()
	for _, part := range [][]byte{s.untilPrev, []byte(prev), s.untilSeq, strconv.AppendInt(nil, seq, 10), s.rest} {
		digest.Write(part)
	}
	return hex.EncodeToString(digest.Sum(nil))
}

// canon writes members, each with a comma after it.
type canon struct{ text []byte }

func (c *canon) raw(s string) { c.text = append(c.text, s...) }

// end takes the last comma back and closes the object.
func (c *canon) end() {
	if last := len(c.text) - 1; c.text[last] == ',' {
		c.text = c.text[:last]
	}
	c.raw(`}`)
}

// quote writes a string as RFC 8785 wants it.
func (c *canon) quote(s string) {
	text, err := jsontext.AppendQuote(c.text, s)
	if err != nil { // strings that are not UTF-8, which the edge refuses
		panic(err)
	}
	c.text = text
}

func (c *canon) member(name, value string) {
	c.raw(`"` + name + `":`)
	c.quote(value)
	c.raw(`,`)
}

func (c *canon) optional(name, value string) {
	if value != "" {
		c.member(name, value)
	}
}

func (c *canon) party(name string, p Party) {
	if p.ID == "" {
		return
	}
	c.raw(`"` + name + `":{`)
	c.fields("fields", p.Fields)
	c.optional("href", p.Href)
	c.optional("id", p.ID)
	c.optional("name", p.Name)
	c.optional("type", p.Type)
	c.end()
	c.raw(`,`)
}

func (c *canon) fields(name string, m map[string]string) {
	if m == nil {
		return
	}
	c.raw(`"` + name + `":{`)
	for _, key := range slices.SortedFunc(maps.Keys(m), compareUTF16) {
		c.quote(key)
		c.raw(`:`)
		c.quote(m[key])
		c.raw(`,`)
	}
	c.end()
	c.raw(`,`)
}

// compareUTF16 is the order of UTF-16 code units, which is that of bytes but for characters beyond the basic plane.
func compareUTF16(a, b string) int {
	for a != "" && b != "" {
		ra, na := utf8.DecodeRuneInString(a)
		rb, nb := utf8.DecodeRuneInString(b)
		if ra != rb {
			return slices.Compare(utf16.AppendRune(nil, ra), utf16.AppendRune(nil, rb))
		}
		a, b = a[na:], b[nb:]
	}
	return strings.Compare(a, b)
}

// Canonical is the event in its RFC 8785 form without chain_hash: the text that the chain hashes.
func (e Event) Canonical() []byte { return e.canonicalWith("") }

// canonicalWith is the event in canonical JSON with a chain_hash, unless that is empty.
func (e Event) canonicalWith(chainHash string) []byte {
	return e.seal(chainHash).text(e.PrevChainHash, e.Seq)
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

// seal writes the members in their order, without those that are unset; chainHash is one of them only where an event is
// shown with its hash. A member that is added later must be left out when unset, so that it changes no old hash.
func (e *Event) seal(chainHash string) Sealed {
	c := canon{text: make([]byte, 0, 1024)}
	c.raw(`{`)
	c.member("action", e.Action)
	c.party("actor", e.Actor)
	c.optional("chain_hash", chainHash)
	c.optional("component", e.Component)
	c.optional("correlation_id", e.CorrelationID)
	c.raw(`"created":"`)
	c.raw(timestamp.Format(e.Created))
	c.raw(`",`)
	c.member("crud", string(e.CRUD))
	c.optional("description", e.Description)
	c.party("emitter", Party{ID: e.EmitterID, Name: e.EmitterName})
	c.optional("external_id", e.ExternalID)
	c.fields("fields", e.Fields)
	if e.GroupID != uuid.Nil {
		c.party("group", Party{ID: e.GroupID.String(), Name: e.GroupName})
	}
	c.raw(`"hash":"`)
	c.raw(e.Hash)
	c.raw(`","id":"`)
	c.raw(e.ID.String())
	c.raw(`","is_anonymous":`)
	c.raw(strconv.FormatBool(e.IsAnonymous))
	c.raw(`,"is_failure":`)
	c.raw(strconv.FormatBool(e.IsFailure))
	c.raw(`,`)
	c.fields("metadata", e.Metadata)
	c.raw(`"prev_chain_hash":"`)
	prev := len(c.text)
	c.raw(`","received":"`)
	c.raw(timestamp.Format(e.Received))
	c.raw(`","seq":`)
	seq := len(c.text)
	c.raw(`,`)
	c.optional("source_ip", e.SourceIP)
	c.party("target", e.Target)
	c.optional("version", e.Version)
	c.end()
	return Sealed{c.text[:prev], c.text[prev:seq], c.text[seq:]}
}
