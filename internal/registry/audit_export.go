package registry

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/violation"
)

// Chain is where a group's chain stands, with 64 zeros for the hash if it is empty; the read is recorded. No group
// means the platform's, for an operator.
func (s *Service) Chain(ctx context.Context, by Caller, group *uuid.UUID) (audit.ChainHead, error) {
	head, err := s.chainHead(ctx, by, group)
	if err != nil {
		return audit.ChainHead{}, err
	}
	id := groupOf(group)
	s.security.LogRead(by, &id)
	return head, nil
}

func (s *Service) chainHead(ctx context.Context, by Caller, group *uuid.UUID) (audit.ChainHead, error) {
	if err := by.Access.audit(group); err != nil {
		return audit.ChainHead{}, err
	}
	id := groupOf(group)
	head, err := s.store.GetChainHead(ctx, id)
	if err == nil && head.Seq == 0 {
		err = s.knownGroup(ctx, id)
	}
	if err == nil { // what is signed, exported or compared later must be in every later primary
		err = s.store.ConfirmReads(ctx)
	}
	if err != nil {
		return audit.ChainHead{}, err
	}
	return audit.ChainHead{Seq: head.Seq, Hash: head.HashOrZero()}, nil
}

// groupOf is the group that was asked for; the platform's if none was.
func groupOf(group *uuid.UUID) uuid.UUID {
	if group == nil {
		return uuid.Nil
	}
	return *group
}

// Checkpoint is where a group's chain stands, signed as audit.SignCheckpoint does; the read is recorded.
// CodeNoCheckpoints if the service has no key.
func (s *Service) Checkpoint(ctx context.Context, by Caller, group *uuid.UUID) (string, error) {
	at := s.clock() // not after the head is read: all that was written before is covered
	head, err := s.chainHead(ctx, by, group)
	if err != nil {
		return "", err
	}
	if s.signer == nil {
		return "", &Error{
			Kind: NotFound, Code: CodeNoCheckpoints, Detail: "This service has no key to sign checkpoints with.",
		}
	}
	id := groupOf(group)
	text, err := audit.SignCheckpoint(s.signer, id, audit.Checkpoint{Head: head, At: at})
	if err != nil {
		return "", err
	}
	s.security.LogRead(by, &id)
	return text, nil
}

// ExportRequest asks for a part of one chain.
type ExportRequest struct {
	GroupID *uuid.UUID // nil: the platform's, for an operator
	From    int64      // the first seq; 0: 1
	To      int64      // the last seq; 0, or beyond the newest: the newest
	Cursor  string     // where an earlier export ended, after which this one begins; instead of From
	Format  string     // recorded
	Head    bool       // only where the export would begin and end: recorded as a read
}

// Export is a part of a chain that is about to be written. Its end was fixed when it began.
type Export struct {
	GroupID     uuid.UUID
	First, Last int64            // Last is First - 1 if it has no events
	prev        string           // the chain hash of First - 1
	chain       audit.Checkpoint // where the chain stood when the export began
	begun       []audit.Event
	next        int // events of the next page
	release     func()
	s           *Service
}

// What an export has in memory at a time: about so many bytes, of events whose number is chosen by the size of those
// before.
const (
	exportPageBytes = 256 << 10
	firstExportPage = 15
	maxExportPage   = 500
	minExportPage   = 10

	exportEventBytes = 1000 // of an event besides its texts
)

// Export begins an export: what fails before the first event fails here. Its event is written before it begins, and
// without that there is no export. It takes a share, and must be closed.
func (s *Service) Export(ctx context.Context, by Caller, r ExportRequest) (*Export, error) {
	ctx, cancel := context.WithTimeout(ctx, s.callTimeout)
	defer cancel()
	if err := by.Access.audit(r.GroupID); err != nil {
		return nil, err
	}
	release, err := s.shares.exports.Take(by.holder(), 1)
	if err != nil {
		return nil, err
	}
	begun := false
	defer func() {
		if !begun {
			release()
		}
	}()
	x, err := s.beginExport(ctx, by, r)
	if err == nil {
		err = s.recordExport(ctx, by, r, x)
	}
	if err != nil {
		return nil, err
	}
	begun, x.release = true, release
	return x, nil
}

// Close gives back what the export has taken of the share.
func (x *Export) Close() { x.release() }

// recordExport records an export, or a read if nothing leaves.
func (s *Service) recordExport(ctx context.Context, by Caller, r ExportRequest, x *Export) error {
	if r.Head || x.Last < x.First {
		s.security.LogRead(by, &x.GroupID)
		return nil
	}
	return s.security.RecordExport(ctx, by, x.GroupID, map[string]string{
		"format": r.Format, "from_seq": strconv.FormatInt(x.First, 10), "to_seq": strconv.FormatInt(x.Last, 10),
	})
}

func (s *Service) beginExport(ctx context.Context, by Caller, r ExportRequest) (*Export, error) {
	at := s.clock()
	head, err := s.chainHead(ctx, by, r.GroupID)
	if err != nil {
		return nil, err
	}
	after, err := PageRequest{Cursor: r.Cursor}.cursorPlace()
	if err != nil {
		return nil, err
	}
	if after.position > head.Seq {
		return nil, errCursorGone
	}
	x := &Export{
		GroupID: groupOf(r.GroupID), First: max(r.From, after.position+1), Last: head.Seq, next: firstExportPage, s: s,
	}
	x.chain = audit.Checkpoint{Head: head, At: at}
	switch {
	case x.First > head.Seq+1:
		return nil, invalidParameter("from_seq", violation.BeyondChain)
	case r.To > 0 && r.To < x.First-1: // one before it is an export without events
		return nil, invalidParameter("to_seq", violation.BeforeExport)
	case r.To > 0:
		x.Last = min(r.To, head.Seq)
	}
	if x.prev, err = x.chainHash(ctx, x.First-1); err == nil && !strings.HasPrefix(x.prev, after.hash) {
		err = errCursorGone
	}
	if err == nil {
		x.begun, err = x.page(ctx, x.First)
	}
	return x, err
}

// chainHash is the chain hash of one event.
func (x *Export) chainHash(ctx context.Context, seq int64) (string, error) {
	if seq == 0 {
		return audit.ZeroHash, nil
	}
	hash, err := x.s.chainHashAt(ctx, &x.GroupID, seq)
	if errors.Is(err, ErrNotFound) {
		err = audit.ErrGap
	}
	return hash, err
}

// query asks for events of the chain from a seq on.
func (x *Export) query(from int64, limit int) AuditQuery {
	return AuditQuery{GroupID: &x.GroupID, Ascending: true, Position: from - 1, PageRequest: PageRequest{Limit: limit}}
}

// page reads the events from a seq on, as many as are in memory at a time, and plans the next page by their size.
func (x *Export) page(ctx context.Context, from int64) ([]audit.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, x.s.callTimeout)
	defer cancel()
	want := min(int64(x.next), x.Last-from+1)
	rows, err := x.s.store.ListAuditEvents(ctx, x.query(from, int(want)))
	if err == nil && int64(len(rows.Items)) < want {
		err = audit.ErrGap
	}
	if err != nil {
		return nil, err
	}
	x.next = nextExportPage(rows.Items)
	return rows.Items, nil
}

// nextExportPage is how many events like these have exportPageBytes; more only by half, as the next may be larger.
func nextExportPage(events []audit.Event) int {
	size := 0
	for i := range events {
		size += events[i].Size() + exportEventBytes
	}
	return min(max(len(events)*exportPageBytes/max(size, 1), minExportPage), len(events)+len(events)/2+1, maxExportPage)
}

// NDJSON writes the export as audit.ExportWriter does. cursor makes the cursor with which another export continues of
// the place where this one ends, which is earlier if the service drains: then it returns ErrDraining after the trailer.
func (x *Export) NDJSON(ctx context.Context, out io.Writer, cursor func(place string) string) error {
	w := audit.NewExportWriter(out, x.GroupID, x.First, x.prev, x.chain)
	err := x.Pages(ctx, func(events []audit.Event) error {
		if err := w.Write(events); err != nil {
			return err
		}
		if x.s.follower.ended() {
			return ErrDraining
		}
		return nil
	})
	if err != nil && !errors.Is(err, ErrDraining) {
		return err
	}
	draining := err
	end := logPlace{}
	if last := w.Head(); last.Seq > 0 {
		end = placeOf(last.Seq, last.Hash)
	}
	return errors.Join(w.Close(cursor(end.String()), x.s.signer), draining)
}

// ErrDraining: an export ended before its last event, because the service drains.
var ErrDraining = errors.New("the service drains")

// Pages calls write with the events of the export, page by page. It must be called at most one time.
func (x *Export) Pages(ctx context.Context, write func([]audit.Event) error) error {
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
