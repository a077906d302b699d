package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/timestamp"
)

// Sealed is the text of an event that the chain hashes, in its RFC 8785 form, but for what its place in the chain gives
// it: it is cut where prev_chain_hash and seq stand. So all of it is computed before the audit lock is taken.
type Sealed struct{ untilPrev, untilSeq, rest []byte }

// chainHash is the SHA-256 of the text, in hex.
func (s Sealed) chainHash(prev string, seq int64) string {
	digest := sha256.New()
	for _, part := range [][]byte{s.untilPrev, []byte(prev), s.untilSeq, strconv.AppendInt(nil, seq, 10), s.rest} {
		digest.Write(part)
	}
	return hex.EncodeToString(digest.Sum(nil))
}

// value writes the value of a part that the event holds.
func (c *canon) value(e *Event, p Part) {
	switch p {
	case PartActor:
		c.party(e.Actor)
	case PartEmitter:
		c.named(e.Emitter)
	case PartFields:
		c.fields(e.Fields)
	case PartGroup:
		c.raw(`{`)
		c.member("name", e.GroupName)
		c.end()
	case PartHash:
		c.quote(e.Hash)
	case PartMetadata:
		c.fields(e.Metadata)
	case PartOnBehalfOf:
		c.named(e.OnBehalfOf)
	case PartSource:
		c.raw(`{`)
		c.member("ip", e.SourceIP)
		c.end()
	case PartTarget:
		c.party(e.Target)
	case PartText:
		c.raw(`{`)
		c.optional("component", e.Component)
		c.optional("correlation_id", e.CorrelationID)
		c.optional("description", e.Description)
		c.optional("external_id", e.ExternalID)
		c.optional("version", e.Version)
		c.end()
	}
}

// appendDisclosure appends a part's salt and value: what its digest is of.
func (e *Event) appendDisclosure(text []byte, p Part) []byte {
	c := canon{text: text}
	c.raw(`["`)
	c.text = appendBase64(c.text, e.Salts[p][:])
	c.raw(`",`)
	c.value(e, p)
	c.raw(`]`)
	return c.text
}

// partDigests are the digests of an event's parts.
type partDigests struct {
	of  [partCount]Digest
	has [partCount]bool
}

// disclose writes the parts that the event holds, with their salts, and computes the digests of all that it has.
func (c *canon) disclose(e *Event) (d partDigests) {
	for _, p := range AllParts {
		if erased, ok := e.Erased[p]; ok {
			d.of[p], d.has[p] = erased.Digest, true
			continue
		}
		if !e.holds(p) {
			continue
		}
		c.raw(`"` + p.String() + `":`)
		from := len(c.text)
		c.text = e.appendDisclosure(c.text, p)
		d.of[p], d.has[p] = sha256.Sum256(c.text[from:]), true
		c.raw(`,`)
	}
	return d
}

// skeleton writes what the chain hashes of an event: never what may name a person, but the digests of that. A member
// or a part that is added later needs a new version of the format.
func (c *canon) skeleton(e *Event, d *partDigests) (prev, seq int) {
	c.raw(`{`)
	c.member("action", e.Action)
	c.raw(`"created":"`)
	c.raw(timestamp.Format(e.Created))
	c.raw(`",`)
	c.member("crud", string(e.CRUD))
	c.raw(`"digests":{`)
	for _, p := range AllParts {
		if d.has[p] {
			c.base64(p.String(), d.of[p][:])
		}
	}
	c.end()
	c.raw(`,`)
	if e.Erasure != nil {
		c.raw(`"erase":{`)
		c.number("events", e.Erasure.Events)
		c.number("first", e.Erasure.First)
		c.number("parts", e.Erasure.Parts)
		c.base64("set", e.Erasure.Set[:])
		c.end()
		c.raw(`,`)
	}
	if e.GroupID != uuid.Nil {
		c.member("group", e.GroupID.String())
	}
	c.raw(`"id":"`)
	c.raw(e.ID.String())
	c.raw(`","is_anonymous":`)
	c.raw(strconv.FormatBool(e.IsAnonymous))
	c.raw(`,"is_failure":`)
	c.raw(strconv.FormatBool(e.IsFailure))
	c.raw(`,"prev_chain_hash":"`)
	prev = len(c.text)
	c.raw(`","received":"`)
	c.raw(timestamp.Format(e.Received))
	c.raw(`","seq":`)
	seq = len(c.text)
	c.raw(`,"v":2}`)
	return prev, seq
}

// Seal computes what does not depend on the event's place in its chain: Retraced's hash, unless the event has it, fresh
// salts for its parts, and the text that the chain hashes.
func (e *Event) Seal() Sealed {
	if e.Hash == "" {
		e.Hash = e.RetracedHash()
	}
	e.salt()
	return e.seal()
}

// seal is Seal for an event that has its salts.
func (e *Event) seal() Sealed {
	c := canon{text: make([]byte, 0, 2048)}
	d := c.disclose(e)
	from := len(c.text)
	prev, seq := c.skeleton(e, &d)
	return Sealed{c.text[from:prev], c.text[prev:seq], c.text[seq:]}
}

// appendLine appends the event's line of an export, without its line feed.
func (e *Event) appendLine(text []byte) []byte {
	c := canon{text: text}
	c.raw(`{"chain_hash":"`)
	c.raw(e.ChainHash)
	c.raw(`",`)
	from := len(c.text)
	c.raw(`"disclosed":{`)
	empty := len(c.text)
	d := c.disclose(e)
	if len(c.text) == empty {
		c.text = c.text[:from]
	} else {
		c.end()
		c.raw(`,`)
	}
	if len(e.Erased) > 0 {
		c.raw(`"erased":[`)
		for _, p := range AllParts {
			if erased, ok := e.Erased[p]; ok {
				c.raw(`{`)
				c.number("by", erased.By)
				c.member("part", p.String())
				c.end()
				c.raw(`,`)
			}
		}
		c.text[len(c.text)-1] = ']'
		c.raw(`,`)
	}
	c.raw(`"event":`)
	c.text = e.appendSkeleton(c.text, &d)
	c.raw(`}`)
	return c.text
}

// appendSkeleton appends the text that the chain hashes.
func (e *Event) appendSkeleton(text []byte, d *partDigests) []byte {
	c := canon{text: make([]byte, 0, 1024)}
	prev, seq := c.skeleton(e, d)
	text = append(append(text, c.text[:prev]...), e.PrevChainHash...)
	text = strconv.AppendInt(append(text, c.text[prev:seq]...), e.Seq, 10)
	return append(text, c.text[seq:]...)
}

// Skeleton is the text of the event that the chain hashes, in its RFC 8785 form.
func (e Event) Skeleton() []byte {
	var c canon
	d := c.disclose(&e)
	return e.appendSkeleton(nil, &d)
}
