package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// verification is one run of VerifyExport: what it keeps of the lines that were found good. A line with a fault leaves
// it as it was.
type verification struct {
	proof  Proof
	known  *Checkpoint // proof.Checkpoint; nil: there is none
	origin string      // of known

	lines    int64 // that were found good
	ended    bool  // by the trailer
	content  hash.Hash
	header   headerLine
	group    uuid.UUID
	lastSeq  int64
	lastHash [hashLength]byte
	erased   int64
	early    int64             // erasures that began before the file
	open     map[int64]*marked // by the seq of the erasure, which is still to come
}

// newVerification returns an error that reads on from "the checkpoint".
func newVerification(p Proof) (*verification, error) {
	v := &verification{proof: p, content: sha256.New(), open: map[int64]*marked{}}
	switch {
	case p.Checkpoint == "":
		return v, nil
	case p.Key == nil:
		return nil, errors.New("needs the key that signed it")
	}
	origin, known, err := openCheckpoint(p.Checkpoint, p.Key)
	v.origin, v.known = origin, &known
	return v, err
}

// line verifies the next line, which has its line feed. Its error reads on from the line's number.
func (v *verification) line(line []byte) (err error) {
	switch {
	case v.ended:
		return errors.New("stands behind the trailer")
	case v.lines == 0:
		err = v.begin(line)
	case isEvent(line):
		err = v.event(line)
	default:
		err = v.end(line)
	}
	if err == nil {
		v.lines++
		v.content.Write(line)
	}
	return err
}

func (v *verification) begin(line []byte) error {
	if !isHeader(line) {
		return unreadable{errors.New("line 1 is no header of version 2 of an export")}
	}
	h, err := scanHeader(bytes.Clone(line))
	if err != nil {
		return err
	}
	group, last := groupID(h.group), h.first-1
	switch {
	case h.first < 1:
		return errors.New("has a first_seq of 0, and seq counts from 1")
	case last == 0 && string(h.prev) != ZeroHash:
		return errors.New("has the hash of an event before the first of the chain")
	case v.known == nil:
	case v.origin != checkpointOrigin(group):
		return errors.New("is of another chain than the checkpoint")
	case v.known.Head.Seq == last && v.known.Head.Hash != string(h.prev),
		v.known.Head.Seq == h.headSeq && v.known.Head.Hash != string(h.headHash):
		return v.anotherHash()
	}
	v.header, v.group, v.lastSeq = h, group, last
	copy(v.lastHash[:], h.prev)
	return nil
}

// anotherHash is the fault of a chain that is not the one of the checkpoint.
func (v *verification) anotherHash() error {
	return fmt.Errorf("is changed, or one before it: at seq %d the checkpoint has another hash", v.known.Head.Seq)
}

// groupID is the id of a header's group; uuid.Max if its text is no id in the one form of ids.
func groupID(text []byte) uuid.UUID {
	if text == nil {
		return uuid.Nil
	}
	id, err := uuid.ParseBytes(text)
	if err != nil || id.String() != string(text) {
		return uuid.Max
	}
	return id
}

func (v *verification) event(line []byte) error {
	e, err := scanEvent(line)
	if err != nil {
		return err
	}
	switch {
	case sum(e.event) != string(e.chainHash):
		return errors.New("is changed: chain_hash is of another event")
	case e.seq != v.lastSeq+1:
		return fmt.Errorf("has seq %d, and %d comes next", e.seq, v.lastSeq+1)
	case !bytes.Equal(e.prev, v.lastHash[:]):
		return errors.New("does not follow the event before it")
	case e.version != exportVersion:
		return fmt.Errorf("is an event of another version than %d", exportVersion)
	case !bytes.Equal(e.group, v.header.group) || (e.group == nil) != (v.header.group == nil):
		return errors.New("is an event of another chain")
	case v.known != nil && v.known.Head.Seq == e.seq && v.known.Head.Hash != string(e.chainHash):
		return v.anotherHash()
	}
	if err := e.checkParts(); err != nil {
		return err
	}
	if err := v.checkErasure(&e); err != nil {
		return err
	}
	v.lastSeq, v.erased = e.seq, v.erased+e.marks
	copy(v.lastHash[:], e.chainHash)
	v.collect(&e)
	return nil
}

func (v *verification) end(line []byte) error {
	t, err := scanTrailer(line)
	if err != nil {
		return err
	}
	all, err := v.content.(hash.Cloner).Clone()
	if err != nil {
		return err
	}
	all.Write(t.digested)
	h := v.header
	switch {
	case hex.EncodeToString(all.Sum(nil)) != string(t.sha256):
		return errors.New("is changed, or one before it: sha256 is of other bytes")
	case t.count != v.count() || t.last != v.lastSeq || !bytes.Equal(t.chainHash, v.lastHash[:]):
		return errors.New("is the trailer of other events")
	case h.headSeq < v.lastSeq || h.headSeq == v.lastSeq && !bytes.Equal(h.headHash, v.lastHash[:]):
		return errors.New("stands at another head than the header's")
	}
	if err := v.checkCheckpoint(t.checkpoint); err != nil {
		return err
	}
	v.ended = true
	return nil
}

// checkCheckpoint verifies the trailer's checkpoint, which is as it stands in the line; nil: there is none.
func (v *verification) checkCheckpoint(text []byte) error {
	head := ChainHead{Seq: v.header.headSeq, Hash: string(v.header.headHash)}
	if text == nil {
		if v.proof.Key != nil && v.known == nil {
			return errors.New("has no checkpoint that the key could have signed")
		}
		return nil
	}
	group := []byte(uuid.Nil.String())
	if v.header.group != nil {
		group = v.header.group
	}
	begins := fmt.Appendf(nil, `tenant-registry/%s\n%d\n%s\n`, group, head.Seq, base64Hash(head.Hash))
	if !bytes.HasPrefix(text, begins) {
		return errors.New("has a checkpoint of another head")
	}
	if v.proof.Key == nil {
		return nil
	}
	note, err := jsontext.AppendUnquote(nil, slices.Concat([]byte(`"`), text, []byte(`"`)))
	if err != nil {
		return errors.New("has a checkpoint that is no text")
	}
	origin, signed, err := openCheckpoint(string(note), v.proof.Key)
	switch {
	case err != nil:
		return fmt.Errorf("has a checkpoint that %w", err)
	case origin != checkpointOrigin(v.group) || signed.Head != head:
		return errors.New("has a checkpoint of another head")
	}
	return nil
}

func (v *verification) count() int64 { return v.lastSeq - v.header.first + 1 }
