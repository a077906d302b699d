package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"

	"github.com/breakpilot/tenant-registry/internal/timestamp"
)

// ErrGap: a chain lacks an event.
var ErrGap = errors.New("the chain has a gap")

// exportVersion is the version of the format: of an export, of its lines, and of what the chain hashes.
const exportVersion = 2

// The lines of an export in canonical JSON, but for the events: see Event.

type exportHead struct {
	ChainHash string `json:"chain_hash"`
	Seq       int64  `json:"seq"`
}

type exportHeader struct {
	FirstSeq      int64      `json:"first_seq"`
	Group         string     `json:"group,omitzero"` // absent: the platform's own
	Head          exportHead `json:"head"`
	PrevChainHash string     `json:"prev_chain_hash"` // of the event before the first
	Time          string     `json:"time"`
	Version       int        `json:"version"`
}

type exportTrailer struct {
	ChainHash  string `json:"chain_hash"` // of the last event
	Checkpoint string `json:"checkpoint,omitzero"`
	Count      int64  `json:"count"`
	LastSeq    int64  `json:"last_seq"`
	NextCursor string `json:"next_cursor"`
}

// ExportWriter writes an export as NDJSON, one write for each batch of events.
type ExportWriter struct {
	out   io.Writer
	group uuid.UUID
	first int64
	chain ChainHead // when the export began
	last  ChainHead // that was written
	text  bytes.Buffer
	sum   hash.Hash // over all bytes before those of text
}

// NewExportWriter begins an export of a group's chain at seq first, whose predecessor has the chain hash prev. chain is
// where the chain stands, which may be behind the last event that is written.
func NewExportWriter(out io.Writer, group uuid.UUID, first int64, prev string, chain Checkpoint) *ExportWriter {
	h := exportHeader{
		FirstSeq: first, Head: exportHead{chain.Head.HashOrZero(), chain.Head.Seq}, PrevChainHash: prev,
		Time: timestamp.Format(chain.At), Version: exportVersion,
	}
	if group != uuid.Nil {
		h.Group = group.String()
	}
	w := &ExportWriter{
		out: out, group: group, first: first, chain: chain.Head, last: ChainHead{Seq: first - 1, Hash: prev},
		sum: sha256.New(),
	}
	w.text.Write(canonicalJSON(h))
	w.text.WriteByte('\n')
	return w
}

// Write writes the next events of the chain. ErrGap if they do not continue it.
func (w *ExportWriter) Write(events []Event) error {
	for i := range events {
		e := &events[i]
		if e.Seq != w.last.Seq+1 {
			return fmt.Errorf("%w after seq %d", ErrGap, w.last.Seq)
		}
		w.text.Write(AppendLine(w.text.AvailableBuffer(), e))
		w.last = ChainHead{Seq: e.Seq, Hash: e.ChainHash}
	}
	return w.flush()
}

// AppendLine appends an event's line of an export, with its line feed.
func AppendLine(text []byte, e *Event) []byte { return append(e.appendLine(text), '\n') }

// Head is the last event written: where the next export continues.
func (w *ExportWriter) Head() ChainHead { return w.last }

// Close writes the trailer, with a checkpoint of where the chain stood unless signer is nil. nextCursor is the cursor
// with which another export continues.
func (w *ExportWriter) Close(nextCursor string, signer note.Signer) error {
	t := exportTrailer{
		ChainHash: w.last.Hash, Count: w.last.Seq - w.first + 1, LastSeq: w.last.Seq, NextCursor: nextCursor,
	}
	if signer != nil {
		signed, err := SignHead(signer, w.group, w.chain)
		if err != nil {
			return err
		}
		t.Checkpoint = signed
	}
	line := canonicalJSON(t)
	w.text.Write(line[:len(line)-1]) // without its brace
	w.sum.Write(w.text.Bytes())
	fmt.Fprintf(&w.text, `,"sha256":"%s"}`+"\n", hex.EncodeToString(w.sum.Sum(nil)))
	_, err := w.out.Write(w.text.Bytes())
	return err
}

func (w *ExportWriter) flush() error {
	w.sum.Write(w.text.Bytes())
	_, err := w.out.Write(w.text.Bytes())
	w.text.Reset()
	return err
}
