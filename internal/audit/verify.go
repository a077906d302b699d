package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"
)

const (
	maxExportLine = 1 << 20  // bytes of a line of an export, with its line feed
	exportBuffer  = 64 << 10 // bytes read at a time; maxExportLine is a multiple of it
)

// Proof is what an export is verified against besides itself.
type Proof struct {
	// must have signed the trailer's checkpoint, and Checkpoint; nil: no checkpoint is looked at
	Key        note.Verifier
	Checkpoint string // one that was stored apart; empty: none
}

// VerifiedExport is what an export was found to hold.
type VerifiedExport struct {
	GroupID     uuid.UUID
	Count       int64
	First, Last int64  // Last is First - 1 if Count is 0
	Head        string // the chain hash of Last, in hex
	// Chain is where the chain stood when the export began, which is behind Last if a part was exported. Without a Key
	// it is only what the file says.
	Chain Checkpoint
}

// VerifyExport reads an export as NDJSON writes it and checks every line of it, in constant memory. Its error names the
// line, and the first event that is changed, missing, doubled or out of order; it repeats nothing of the file but
// numbers. What it returns has one form each, too: every hash of the file is 64 lower-case hexadecimal digits.
//
// Without a Key it proves that the file is whole and consistent. A file whose hashes were all computed again is
// detected by a checkpoint only.
func VerifyExport(r io.Reader, p Proof) (VerifiedExport, error) {
	v := &verification{exportLines: exportLines{in: bufio.NewReaderSize(r, exportBuffer)}, proof: p}
	if err := v.readHeader(); err != nil {
		return VerifiedExport{}, err
	}
	for {
		line, err := v.next()
		if err != nil {
			return VerifiedExport{}, err
		}
		var kind struct {
			End *string `json:"end"`
		}
		if json.Unmarshal(line, &kind) == nil && kind.End != nil {
			if err := v.readTrailer(line); err != nil {
				return VerifiedExport{}, err
			}
			return v.found, nil
		}
		if err := v.readEvent(line); err != nil {
			return VerifiedExport{}, err
		}
	}
}

// exportLines reads a file line by line.
type exportLines struct {
	in    *bufio.Reader
	long  []byte // a line that does not fit into the buffer of in
	n     int    // of the line that was read last
	ended bool   // there is no more
}

// next reads a line, which must be canonical JSON, without its line feed. It is valid until the next call.
func (l *exportLines) next() ([]byte, error) {
	line, err := l.read()
	l.ended = err != nil && !errors.Is(err, bufio.ErrBufferFull)
	switch {
	case errors.Is(err, io.EOF) && l.n == 0 && len(line) == 0:
		return nil, errors.New("the file is empty")
	case errors.Is(err, io.EOF) && len(line) == 0:
		return nil, fmt.Errorf("truncated: there is no trailer after line %d", l.n)
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("truncated: line %d does not end", l.n+1)
	}
	l.n++
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, l.fault("is longer than %d bytes", maxExportLine)
	case err != nil:
		return nil, fmt.Errorf("line %d cannot be read: %w", l.n, err)
	}
	line = line[:len(line)-1]
	canonical := jsontext.Value(bytes.Clone(line))
	switch {
	case canonical.Kind() != '{' || canonical.Canonicalize() != nil:
		return nil, l.fault("is not a JSON object")
	case !bytes.Equal(canonical, line):
		return nil, l.fault("is changed: it is not in canonical form (RFC 8785)")
	}
	return line, nil
}

// read reads to the next line feed: bufio.ErrBufferFull if that is not among the next maxExportLine bytes.
func (l *exportLines) read() ([]byte, error) {
	line, err := l.in.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	l.long = append(l.long[:0], line...)
	for errors.Is(err, bufio.ErrBufferFull) && len(l.long) < maxExportLine {
		line, err = l.in.ReadSlice('\n')
		l.long = append(l.long, line...)
	}
	return l.long, err
}

func (l *exportLines) fault(format string, args ...any) error {
	return fmt.Errorf("line %d %s", l.n, fmt.Sprintf(format, args...))
}

// verification is one run of VerifyExport.
type verification struct {
	exportLines
	proof  Proof
	header []byte
	found  VerifiedExport // up to the last line that was read
	known  ChainHead      // of proof.Checkpoint
	seen   bool           // the export has passed it
}

func (v *verification) readHeader() error {
	line, err := v.next()
	if err != nil {
		return err
	}
	var h exportHeader
	if json.Unmarshal(line, &h) != nil || h.Export != exportKind {
		return v.fault("is no header of an export of the audit log")
	}
	switch {
	case h.Version != exportVersion:
		return v.fault("is a header of another version than %d", exportVersion)
	case h.FirstSeq < 1 || !bytes.Equal(canonicalJSON(h), line):
		return v.fault("is changed: no header is written like this")
	case !isHash(h.PrevChainHash):
		return v.fault("is changed: %s", notAHash)
	case h.FirstSeq == 1 && h.PrevChainHash != ZeroHash:
		return v.fault("is changed: nothing precedes the first event of a chain, and the header has a hash of it")
	}
	v.header = bytes.Clone(line)
	v.found = VerifiedExport{First: h.FirstSeq, Last: h.FirstSeq - 1, Head: h.PrevChainHash}
	if h.GroupID != nil {
		v.found.GroupID = *h.GroupID
	}
	if v.proof.Checkpoint == "" || v.proof.Key == nil {
		return nil
	}
	known, err := openCheckpoint(v.proof.Checkpoint, v.proof.Key, v.found.GroupID)
	if err != nil {
		return fmt.Errorf("the checkpoint %w", err)
	}
	v.known = known.Head
	if v.known.Seq < v.found.Last {
		return fmt.Errorf("the checkpoint is of seq %d, and the export begins after seq %d", v.known.Seq, v.found.Last)
	}
	return v.compare()
}

// compare compares the chain with the checkpoint at the checkpoint's seq.
func (v *verification) compare() error {
	if v.proof.Checkpoint == "" || v.known.Seq != v.found.Last {
		return nil
	}
	if v.seen = true; v.known.Hash != v.found.Head {
		return v.fault("is changed, or something before it: at seq %d the checkpoint has another hash", v.known.Seq)
	}
	return nil
}

// exportedEvent is the part of an event on which its place in the chain depends.
type exportedEvent struct {
	Seq   int64 `json:"seq"`
	Group *struct {
		ID string `json:"id"`
	} `json:"group"`
	Hash          string `json:"hash"`
	PrevChainHash string `json:"prev_chain_hash"`
	ChainHash     string `json:"chain_hash"`
}

const notAHash = "a hash is not 64 lower-case hexadecimal digits"

// isHash reports whether a text is a SHA-256 in the one form in which it is written.
func isHash(text string) bool {
	return len(text) == 64 && strings.Trim(text, "0123456789abcdef") == ""
}

func (v *verification) readEvent(line []byte) error {
	var e exportedEvent
	if json.Unmarshal(line, &e) != nil || e.Seq < 1 || e.ChainHash == "" {
		return v.fault("is no event")
	}
	group := uuid.Nil.String()
	if e.Group != nil {
		group = e.Group.ID
	}
	expected := v.found.Last + 1
	switch {
	case !isHash(e.Hash) || !isHash(e.PrevChainHash) || !isHash(e.ChainHash):
		return v.fault("is changed: event seq %d, where %s", e.Seq, notAHash)
	case contentHash(line) != e.ChainHash:
		return v.fault("is changed: event seq %d is not what its chain_hash was computed of", e.Seq)
	case group != v.found.GroupID.String():
		return v.fault("is an event of another chain: seq %d", e.Seq)
	case e.Seq > expected:
		return v.absent(expected, e.Seq)
	case e.Seq < v.found.First:
		return v.fault("is out of order: event seq %d, and the export begins at seq %d", e.Seq, v.found.First)
	case e.Seq < expected:
		return v.fault("is a duplicate of event seq %d", e.Seq)
	case e.PrevChainHash != v.found.Head:
		return v.fault(
			"is changed, or the line before it: event seq %d does not follow the hash of seq %d", e.Seq, e.Seq-1,
		)
	}
	v.found.Count++
	v.found.Last, v.found.Head = e.Seq, e.ChainHash
	return v.compare()
}

// contentHash is the expected chain_hash of an event.
func contentHash(line []byte) string {
	var members map[string]jsontext.Value
	if json.Unmarshal(line, &members) != nil {
		return ""
	}
	delete(members, "chain_hash")
	return sum(canonicalJSON(members))
}

// absent is the fault of a gap: the event is missing, or out of order if it is in a later line.
func (v *verification) absent(seq, instead int64) error {
	fault := v.fault("has event seq %d, and seq %d is missing", instead, seq)
	for at := v.exportLines; !at.ended; {
		line, err := at.next()
		var e exportedEvent
		if err == nil && json.Unmarshal(line, &e) == nil && e.Seq == seq {
			return v.fault("has event seq %d, and seq %d is out of order: it stands in line %d", instead, seq, at.n)
		}
	}
	return fault
}

func (v *verification) readTrailer(line []byte) error {
	var t exportTrailer
	if json.Unmarshal(line, &t, json.RejectUnknownMembers(true)) != nil || t.End != exportKind {
		return v.fault("is no trailer of an export of the audit log")
	}
	at, timed := parseTime(t.HeadAt)
	v.found.Chain = Checkpoint{Head: ChainHead{Seq: t.HeadSeq, Hash: t.HeadChainHash}, At: at}
	switch {
	case t.LastSeq > v.found.Last:
		return v.fault("is the trailer, and event seq %d is missing", v.found.Last+1)
	case t.LastSeq != v.found.Last || t.Count != v.found.Count || t.ChainHash != v.found.Head || !v.endsWithin():
		return v.fault("is changed: the trailer is not of these events")
	case !timed || !bytes.Equal(canonicalJSON(t), line):
		return v.fault("is changed: no trailer is written like this")
	case t.Digest != t.digest(v.header):
		return v.fault("is changed, or the header: the trailer's digest is of others")
	}
	if _, err := v.in.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("line %d is trailing data: it is after the trailer", v.n+1)
	}
	return v.readCheckpoint(t)
}

// endsWithin reports whether the export ends at the head that its trailer names, or before it.
func (v *verification) endsWithin() bool {
	head := v.found.Chain.Head
	if head.Seq == v.found.Last {
		return head.Hash == v.found.Head
	}
	return head.Seq > v.found.Last && isHash(head.Hash)
}

func (v *verification) readCheckpoint(t exportTrailer) error {
	if v.proof.Key == nil {
		return nil
	}
	if v.proof.Checkpoint != "" && !v.seen {
		return fmt.Errorf("the checkpoint is of seq %d, and the export ends at seq %d", v.known.Seq, v.found.Last)
	}
	if t.Checkpoint == nil {
		if v.proof.Checkpoint != "" {
			return nil
		}
		return v.fault("has no checkpoint that the key could have signed")
	}
	signed, err := openCheckpoint(*t.Checkpoint, v.proof.Key, v.found.GroupID)
	if err != nil {
		return v.fault("has a checkpoint that %v", err)
	}
	last := ChainHead{Seq: v.found.Last, Hash: v.found.Head}
	if signed.Checkpoint != v.found.Chain || signed.exported == nil || *signed.exported != last {
		return v.fault("has a checkpoint of other events")
	}
	return nil
}
