package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"
)

// ExportRange is a part of one chain.
type ExportRange struct {
	GroupID *uuid.UUID // nil: the platform's own, for an operator
	From    int64      // the first seq; 0: 1
	To      int64      // the last seq; 0, or beyond the newest: the newest
	Behind  int64      // the export begins behind this seq, where an earlier one ended; instead of From
}

// Export is a part of a chain that is about to be written out. Its end was fixed when it began.
type Export struct {
	GroupID     uuid.UUID
	First, Last int64  // Last is First - 1 if it has no events
	prev        string // the chain hash of First - 1
	begun       []AuditEvent
	s           *Service
}

// exportPage is how many events are in memory at a time.
const exportPage = 200

// Export begins an export: what fails before the first event fails here.
func (s *Service) Export(ctx context.Context, by Caller, r ExportRange) (*Export, error) {
	ctx, cancel := context.WithTimeout(ctx, s.callTimeout)
	defer cancel()
	head, err := s.Chain(ctx, by, r.GroupID)
	if err != nil {
		return nil, err
	}
	x := &Export{GroupID: groupOf(r.GroupID), First: max(r.From, r.Behind+1), Last: head.Seq, s: s}
	switch {
	case x.First > head.Seq+1 && r.Behind > 0:
		return nil, outOfRange("cursor", "must be the next_cursor of an export of this chain")
	case x.First > head.Seq+1:
		return nil, outOfRange("from_seq", "must not lie beyond the end of the chain")
	case r.To > 0 && r.To < x.First-1: // one before it is an export without events: there is no more
		return nil, outOfRange("to_seq", "must not lie before the beginning of the export")
	case r.To > 0:
		x.Last = min(r.To, head.Seq)
	}
	if x.prev, err = x.chainHash(ctx, x.First-1); err == nil {
		x.begun, err = x.page(ctx, x.First)
	}
	return x, err
}

func outOfRange(parameter, rule string) *Error {
	return &Error{Kind: Invalid, Code: CodeInvalid, Detail: "The request breaks a rule; errors says which.",
		Violations: []Violation{{Parameter: parameter, Message: rule}}}
}

// chainHash is the chain hash of one event.
func (x *Export) chainHash(ctx context.Context, seq int64) (string, error) {
	if seq == 0 {
		return zeroHash, nil
	}
	rows, err := x.s.store.Events(ctx, AuditQuery{GroupID: &x.GroupID, Ascending: true, After: seq - 1, Limit: 1})
	if err == nil && len(rows.Items) == 0 {
		err = errGap
	}
	if err != nil {
		return "", err
	}
	return rows.Items[0].ChainHash, nil
}

var errGap = errors.New("the chain has a gap")

// page reads the events from a seq on, as many as are read at a time.
func (x *Export) page(ctx context.Context, from int64) ([]AuditEvent, error) {
	ctx, cancel := context.WithTimeout(ctx, x.s.callTimeout)
	defer cancel()
	want := min(exportPage, x.Last-from+1)
	rows, err := x.s.store.Events(ctx, AuditQuery{GroupID: &x.GroupID, Ascending: true, After: from - 1, Limit: int(want)})
	if err == nil && int64(len(rows.Items)) < want {
		err = errGap
	}
	return rows.Items, err
}

// Pages calls write with the events of the export, page by page. It can be called once.
func (x *Export) Pages(ctx context.Context, write func([]AuditEvent) error) error {
	events := x.begun
	for x.begun = nil; len(events) > 0; {
		if err := write(events); err != nil {
			return err
		}
		next := events[len(events)-1].Seq + 1
		if next > x.Last {
			return nil
		}
		var err error
		if events, err = x.page(ctx, next); err != nil {
			return err
		}
	}
	return nil
}

// An export is lines of canonical JSON (RFC 8785), each with its line feed: a header, the events, a trailer. An event is as its chain
// hashes it, and its chain_hash.
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
	End        string  `json:"end"`
	Count      int64   `json:"count"`
	LastSeq    int64   `json:"last_seq"`
	ChainHash  string  `json:"chain_hash"` // of the last event
	NextCursor string  `json:"next_cursor"`
	Checkpoint *string `json:"checkpoint"` // null: there is no key
	// Digest is the SHA-256 of the header, a line feed and the trailer without this member. It tells of damage there, as the chain
	// does of the events; it is no proof, since whoever changes a file can compute it anew.
	Digest string `json:"digest,omitzero"`
}

func (t exportTrailer) digest(header []byte) string {
	t.Digest = ""
	return sum(bytes.Join([][]byte{header, canonicalJSON(t)}, []byte("\n")))
}

// NDJSON writes the export, one write for each page. cursor makes the text by which another export goes on behind a seq.
func (x *Export) NDJSON(ctx context.Context, w io.Writer, cursor func(seq int64) string) error {
	h := exportHeader{Export: exportKind, Version: exportVersion, FirstSeq: x.First, PrevChainHash: x.prev}
	if x.GroupID != uuid.Nil {
		h.GroupID = &x.GroupID
	}
	header := canonicalJSON(h)
	head := ChainHead{Seq: x.First - 1, Hash: x.prev}
	text := bytes.NewBuffer(append(bytes.Clone(header), '\n'))
	err := x.Pages(ctx, func(events []AuditEvent) error {
		for _, e := range events {
			if e.Seq != head.Seq+1 {
				return fmt.Errorf("%w behind seq %d", errGap, head.Seq)
			}
			text.Write(append(e.canonicalWith(e.ChainHash), '\n'))
			head = ChainHead{Seq: e.Seq, Hash: e.ChainHash}
		}
		_, err := w.Write(text.Bytes())
		text.Reset()
		return err
	})
	if err != nil {
		return err
	}
	t := exportTrailer{
		End: exportKind, Count: head.Seq - x.First + 1, LastSeq: head.Seq, ChainHash: head.Hash, NextCursor: cursor(head.Seq),
	}
	if x.s.signer != nil {
		signed, err := x.s.sign(x.GroupID, head)
		if err != nil {
			return err
		}
		t.Checkpoint = &signed
	}
	t.Digest = t.digest(header)
	text.Write(append(canonicalJSON(t), '\n'))
	_, err = w.Write(text.Bytes())
	return err
}
