package audit

import (
	"strings"
)

// Exceeds reports whether the parts of an event have more than limit bytes, each in its RFC 8785 form.
func (e Event) Exceeds(limit int) bool {
	if fixedSize+6*e.Size() <= limit { // each byte of a text takes six at most, member names less than fixedSize
		return false
	}
	var c canon
	for _, p := range AllParts {
		if e.holds(p) {
			c.value(&e, p)
		}
	}
	return len(c.text) > limit
}

// fixedSize is more than the members of an event take besides its texts, in bytes.
const fixedSize = 1000

// Size is how many bytes the texts of an event have, with a little for each field.
func (e Event) Size() int {
	const perField = len(`"":"",`)
	bytes := 0
	for _, text := range []string{
		e.GroupName, e.Action, e.Actor.ID, e.Actor.Name, e.Actor.Href, e.Actor.Type, e.Target.ID, e.Target.Name,
		e.Target.Href, e.Target.Type, e.SourceIP, e.Description, e.Component, e.Version, e.ExternalID,
		e.CorrelationID, e.OnBehalfOf.ID, e.OnBehalfOf.Name,
	} {
		bytes += len(text)
	}
	for _, fields := range []map[string]string{e.Fields, e.Metadata, e.Actor.Fields, e.Target.Fields} {
		for name, value := range fields {
			bytes += len(name) + len(value) + perField
		}
	}
	return bytes
}

// ChainHead is where one group's chain stands.
type ChainHead struct {
	Seq  int64  // of the newest event; 0 if there is none
	Hash string // its chain hash, in hex; empty if there is none
}

// After is the event at the next place of a chain that stands at head. s is what Seal returned for it.
func (e Event) After(head ChainHead, s Sealed) Event {
	e.Seq, e.PrevChainHash = head.Seq+1, head.HashOrZero()
	e.ChainHash = s.chainHash(e.PrevChainHash, e.Seq)
	return e
}

// ZeroHash is the prev_chain_hash of a chain's first event.
var ZeroHash = strings.Repeat("0", 64)

// HashOrZero is the hash of the newest event, or 64 zeros for an empty chain: the prev_chain_hash of the next event.
func (h ChainHead) HashOrZero() string {
	if h.Seq == 0 {
		return ZeroHash
	}
	return h.Hash
}
