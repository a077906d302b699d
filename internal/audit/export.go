package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"

	"github.com/breakpilot/tenant-registry/internal/timestamp"
)

// ErrGap: a chain lacks an event.
var ErrGap = errors.New("the chain has a gap")

// An export is lines of canonical JSON (RFC 8785), each with its line feed: a header, the events, a trailer. An event
// is as its chain hashes it, and its chain_hash.
const (
	exportKind    = "tenant-registry/audit"
	exportVersion = 1
)

type exportHeader struct {
	Export        string     `json:"export"`
	Version       int        `json:"version"`
	GroupID       *uuid.UUID `json:"group_id"` // null: the platform's own
	FirstSeq      int64      `json:"first_seq"`
	PrevChainHash string     `json:"prev_chain_hash"` // of the event before the first
}

type exportTrailer struct {
	End           string  `json:"end"`
	Count         int64   `json:"count"`
	LastSeq       int64   `json:"last_seq"`
	ChainHash     string  `json:"chain_hash"` // of the last event
	HeadSeq       int64   `json:"head_seq"`   // of the whole chain when the export began
	HeadChainHash string  `json:"head_chain_hash"`
	HeadAt        string  `json:"head_at"` // when it began
	NextCursor    string  `json:"next_cursor"`
	Checkpoint    *string `json:"checkpoint"` // of the head and of the last event; null: there is no key
	// Digest is the SHA-256 of the header, a line feed and the trailer without this member. It detects damage there, as
	// the chain does in the events; it proves nothing against an attacker, who can compute it again.
	Digest string `json:"digest,omitzero"`
}

func (t exportTrailer) digest(header []byte) string {
	t.Digest = ""
	return sum(bytes.Join([][]byte{header, canonicalJSON(t)}, []byte("\n")))
}

// ExportWriter writes an export as NDJSON, one write for each batch of events.
type ExportWriter struct {
	out    io.Writer
	group  uuid.UUID
	first  int64
	header []byte
	head   ChainHead
	text   bytes.Buffer
}

// NewExportWriter begins an export of a group's chain at seq first, whose predecessor has the chain hash prev.
func NewExportWriter(out io.Writer, group uuid.UUID, first int64, prev string) *ExportWriter {
	h := exportHeader{Export: exportKind, Version: exportVersion, FirstSeq: first, PrevChainHash: prev}
	if group != uuid.Nil {
		h.GroupID = &group
	}
	w := &ExportWriter{
		out: out, group: group, first: first, header: canonicalJSON(h), head: ChainHead{Seq: first - 1, Hash: prev},
	}
	w.text.Write(w.header)
	w.text.WriteByte('\n')
	return w
}

// Write writes the next events of the chain. ErrGap if they do not continue it.
func (w *ExportWriter) Write(events []Event) error {
	for _, e := range events {
		if e.Seq != w.head.Seq+1 {
			return fmt.Errorf("%w after seq %d", ErrGap, w.head.Seq)
		}
		w.text.Write(e.canonicalWith(e.ChainHash))
		w.text.WriteByte('\n')
		w.head = ChainHead{Seq: e.Seq, Hash: e.ChainHash}
	}
	return w.flush()
}

// Head is the last event written: where the next export continues.
func (w *ExportWriter) Head() ChainHead { return w.head }

// Close writes the trailer, with a checkpoint unless signer is nil. chain is where the chain stood when the export
// began, which may be behind the last event written; nextCursor is the cursor with which another export continues.
func (w *ExportWriter) Close(nextCursor string, chain Checkpoint, signer note.Signer) error {
	t := exportTrailer{
		End: exportKind, Count: w.head.Seq - w.first + 1, LastSeq: w.head.Seq, ChainHash: w.head.Hash,
		HeadSeq: chain.Head.Seq, HeadChainHash: chain.Head.Hash, HeadAt: timestamp.Format(chain.At),
		NextCursor: nextCursor,
	}
	if signer != nil {
		signed, err := signExport(signer, w.group, chain, w.head)
		if err != nil {
			return err
		}
		t.Checkpoint = &signed
	}
	t.Digest = t.digest(w.header)
	w.text.Write(canonicalJSON(t))
	w.text.WriteByte('\n')
	return w.flush()
}

func (w *ExportWriter) flush() error {
	_, err := w.out.Write(w.text.Bytes())
	w.text.Reset()
	return err
}
