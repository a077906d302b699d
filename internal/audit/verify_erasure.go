package audit

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strconv"
)

// marked is what the marks of one erasure that is still to come have shown.
type marked struct {
	events, first, parts, last int64 // first and last are seqs
	set                        hash.Hash
}

// add takes up the next mark.
func (m *marked) add(seq int64, part string, digest []byte) {
	if m.parts == 0 {
		m.first, m.set = seq, sha256.New()
	}
	if m.last != seq {
		m.events++
	}
	m.parts++
	m.last = seq
	text := append(strconv.AppendInt(make([]byte, 0, 128), seq, 10), ' ')
	text = append(append(text, part...), ' ')
	m.set.Write(append(append(text, digest...), '\n'))
}

// is reports whether an erasure says what was marked.
func (m *marked) is(e *statedErasure) bool {
	return m.events == e.events && m.first == e.first && m.parts == e.parts &&
		base64.RawURLEncoding.EncodeToString(m.set.Sum(nil)) == string(e.set)
}

// checkParts verifies that each part of the event is disclosed as its digest has it, or marked, and that there is no
// other.
func (e *eventLine) checkParts() error {
	for i, form := range partForms {
		digest, shown, by := e.digests[i], e.shown[i], e.by[i]
		switch {
		case digest == nil && (shown != nil || by != 0):
			return fmt.Errorf("has %s, of which there is no digest", form.name)
		case by != 0 && shown != nil:
			return fmt.Errorf("has a mark of %s, which is disclosed", form.name)
		case by != 0 && by <= e.seq:
			return fmt.Errorf("has a mark of %s by an event that is not later: seq %d", form.name, by)
		case shown != nil && !digests(digest, shown):
			return fmt.Errorf("is changed: %s is not what its digest is of", form.name)
		case digest != nil && shown == nil && by == 0:
			return fmt.Errorf("has %s missing without an erasure", form.name)
		}
	}
	return nil
}

// digests reports whether a digest is of a salt and value.
func digests(digest, shown []byte) bool {
	of := sha256.Sum256(shown)
	var text [digestLength]byte
	base64.RawURLEncoding.Encode(text[:], of[:])
	return string(text[:]) == string(digest)
}

// checkErasure compares what the event says of its erasure with the marks by it. Where the erasure began before the
// file, the file has only some of its marks.
func (v *verification) checkErasure(e *eventLine) error {
	found, says := v.open[e.seq], e.erase
	switch {
	case says == nil && found != nil:
		return errors.New("is no erasure, though marks before it say so")
	case says == nil:
		return nil
	case says.first == 0:
		return errors.New("has an erasure from seq 0, and seq counts from 1")
	case says.first >= v.header.first:
		if found == nil || !found.is(says) {
			return errors.New("erased other parts than are missing")
		}
		return nil
	}
	if found == nil {
		found = &marked{}
	}
	if found.events >= says.events || found.parts >= says.parts || says.events > says.parts {
		return errors.New("erased fewer parts than are missing")
	}
	return nil
}

// collect takes up the event's marks. The marks by the event itself have been compared.
func (v *verification) collect(e *eventLine) {
	if e.erase != nil && e.erase.first < v.header.first {
		v.early++
	}
	delete(v.open, e.seq)
	if e.marks == 0 {
		return
	}
	for i, by := range e.by {
		if by == 0 {
			continue
		}
		if v.open[by] == nil {
			v.open[by] = &marked{}
		}
		v.open[by].add(e.seq, partForms[i].name, e.digests[i])
	}
}
