package audit

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"slices"
	"strconv"
)

// Part is a part of an event that may name a person: what the chain commits to by a salted digest, and what an erasure
// takes.
type Part uint8

// The parts, in the order of their names.
const (
	PartActor Part = iota
	PartEmitter
	PartFields
	PartGroup
	PartHash
	PartMetadata
	PartOnBehalfOf
	PartSource
	PartTarget
	PartText
	partCount = iota
)

var partNames = [partCount]string{
	"actor", "emitter", "fields", "group", "hash", "metadata", "on_behalf_of", "source", "target", "text",
}

// AllParts are all parts, in the order of their names.
var AllParts = []Part{
	PartActor, PartEmitter, PartFields, PartGroup, PartHash, PartMetadata, PartOnBehalfOf, PartSource, PartTarget,
	PartText,
}

// String is the name of the part in an export.
func (p Part) String() string { return partNames[p] }

// ParsePart is the part with a name; false if there is none.
func ParsePart(name string) (Part, bool) {
	i := slices.Index(partNames[:], name)
	return Part(max(i, 0)), i >= 0
}

// Salt makes the digest of a part, or of a command, tell nothing of it. Zero: there is none.
type Salt [16]byte

// Salts are those of an event's parts, by Part; zero where there is no such part, or where it was erased.
type Salts [partCount]Salt

// Erased are the parts of an event that erasures took.
type Erased map[Part]ErasedPart

// ErasedPart is a part whose value and salt were taken. Its digest remains, and holds its place in the chain.
type ErasedPart struct {
	By     int64 // seq of the erasure's event
	Digest Digest
	// Deleted: value and salt are no longer stored. Until then they are shown to no one.
	Deleted bool
}

// Erasure is what one erasure took from a chain, as its event records it.
type Erasure struct {
	Events, First, Parts int64  // how many events, the lowest seq of them, how many parts
	Set                  Digest // over all of these parts and their digests: see ErasureSet
}

// ErasureSet computes an Erasure from its parts, which are added in the order of seq.
type ErasureSet struct {
	erasure Erasure
	hash    hash.Hash
}

// Add adds parts of one event, with their digests.
func (s *ErasureSet) Add(seq int64, digests map[Part]Digest) {
	if len(digests) == 0 {
		return
	}
	if s.hash == nil {
		s.hash, s.erasure.First = sha256.New(), seq
	}
	s.erasure.Events++
	for _, p := range AllParts {
		if digest, ok := digests[p]; ok {
			s.erasure.Parts++
			line := append(strconv.AppendInt(nil, seq, 10), ' ')
			line = append(append(line, p.String()...), ' ')
			line = append(appendBase64(line, digest[:]), '\n')
			s.hash.Write(line)
		}
	}
}

// Clone is a set to which other parts can be added.
func (s *ErasureSet) Clone() *ErasureSet {
	c := *s
	if s.hash != nil {
		hash, err := s.hash.(hash.Cloner).Clone()
		if err != nil { // SHA-256 can be cloned
			panic(err)
		}
		c.hash = hash
	}
	return &c
}

// Erasure is the erasure of all parts that were added; nil if there are none.
func (s *ErasureSet) Erasure() *Erasure {
	if s.hash == nil {
		return nil
	}
	e := s.erasure
	e.Set = Digest(s.hash.Sum(nil))
	return &e
}

// Has reports whether the event has a part, erased or not.
func (e *Event) Has(p Part) bool {
	if _, erased := e.Erased[p]; erased {
		return true
	}
	return e.holds(p)
}

// holds reports whether the event has the value of a part.
func (e *Event) holds(p Part) bool {
	switch p {
	case PartActor:
		return e.Actor.ID != ""
	case PartEmitter:
		return e.Emitter.ID != ""
	case PartFields:
		return e.Fields != nil
	case PartGroup:
		return e.GroupName != ""
	case PartHash:
		return e.Hash != ""
	case PartMetadata:
		return e.Metadata != nil
	case PartOnBehalfOf:
		return e.OnBehalfOf.ID != ""
	case PartSource:
		return e.SourceIP != ""
	case PartTarget:
		return e.Target.ID != ""
	case PartText:
		return e.Description != "" || e.ExternalID != "" || e.CorrelationID != "" || e.Component != "" ||
			e.Version != ""
	}
	return false
}

// DigestOf is the digest of a part that the event has.
func (e *Event) DigestOf(p Part) Digest {
	if erased, ok := e.Erased[p]; ok {
		return erased.Digest
	}
	return sha256.Sum256(e.appendDisclosure(nil, p))
}

// Erase takes a part's value and salt from the event, and has what is left of it in their place. It changes no hash.
func (e *Event) Erase(p Part, left ErasedPart) {
	if e.Erased == nil {
		e.Erased = Erased{}
	}
	e.Erased[p], e.Salts[p] = left, Salt{}
	switch p {
	case PartActor:
		e.Actor = Party{}
	case PartEmitter:
		e.Emitter = Named{}
	case PartFields:
		e.Fields = nil
	case PartGroup:
		e.GroupName = ""
	case PartHash:
		e.Hash = ""
	case PartMetadata:
		e.Metadata = nil
	case PartOnBehalfOf:
		e.OnBehalfOf = Named{}
	case PartSource:
		e.SourceIP = ""
	case PartTarget:
		e.Target = Party{}
	case PartText:
		e.Description, e.ExternalID, e.CorrelationID, e.Component, e.Version = "", "", "", "", ""
	}
}

// salt gives each part that the event has a fresh salt.
func (e *Event) salt() {
	var random [partCount * len(Salt{})]byte
	fillRandom(random[:])
	for i, p := range AllParts {
		if e.Salts[p] = (Salt{}); e.holds(p) {
			copy(e.Salts[p][:], random[i*len(Salt{}):])
		}
	}
}

func fillRandom(into []byte) { _, _ = rand.Read(into) } // which never fails

func appendBase64(text, value []byte) []byte { return base64.RawURLEncoding.AppendEncode(text, value) }
