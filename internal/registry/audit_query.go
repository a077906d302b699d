package registry

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/audit"
)

// MaxExamined bounds how many events a store examines for one page.
const MaxExamined = 10_000

// AuditReader reads the audit log.
type AuditReader interface {
	// GetAuditEvent returns ErrNotFound if there is no event with this id.
	GetAuditEvent(ctx context.Context, id uuid.UUID) (audit.Event, error)
	// ListAuditEvents examines, in the order of q and after q.Position, the events of its group (of all if it names
	// none) that its driving filter selects, and returns those that match the others too. It ends when it has q.Limit
	// of them or has examined q.Bound(). An event is never before one that could be read earlier: ascending order from
	// the position examined is a tail that skips nothing.
	ListAuditEvents(ctx context.Context, q AuditQuery) (AuditRows, error)
	// GetNewestPosition is the Pos of the newest event of the whole log; 0 if there is none.
	GetNewestPosition(ctx context.Context) (int64, error)
	// ListGroupsAfter looks at the next events of the whole log after a position, at most limit of them, and returns
	// the groups that they belong to, each one time.
	ListGroupsAfter(ctx context.Context, position int64, limit int) (GroupsAfter, error)
	// GetChainHead is where a group's chain stands; of a group without events the zero ChainHead.
	GetChainHead(ctx context.Context, group uuid.UUID) (audit.ChainHead, error)
}

// AuditQuery selects events. Empty filters select everything; all given must match.
//
// One filter drives: the events that it selects are examined one by one, in the query's order. The others only narrow
// what is found among these, and after MaxExamined events the page ends, whatever it has.
type AuditQuery struct {
	PageRequest
	GroupID       *uuid.UUID // one tenant's chain, in the order of seq; nil: the whole log, in the order of pos
	Ascending     bool       // oldest first
	Action        string     // exactly this action
	Area          string     // any action whose first segment this is
	ActorID       string
	TargetID      string
	CorrelationID string
	IsFailure     *bool
	CRUD          audit.CRUD
	EmitterID     string    // who reported the event
	Own           *bool     // this service wrote it, or a caller reported it
	CreatedFrom   time.Time // what occurred then or later; zero: at any time
	CreatedBefore time.Time // what occurred before; zero: at any time

	// Set by the use case, for the store.
	Position int64    // of Cursor: the seq (or pos) after which the page begins, in its order; 0: the beginning
	at       logPlace // of Cursor

	MaxExamined int // events examined at most; 0: MaxExamined
}

// Bound is how many events may be examined.
func (q AuditQuery) Bound() int { return cmp.Or(q.MaxExamined, MaxExamined) }

// PositionOf is the place of an event in the order of the query.
func (q AuditQuery) PositionOf(e audit.Event) int64 {
	if q.GroupID != nil {
		return e.Seq
	}
	return e.Pos
}

// GroupsAfter are the groups of some events.
type GroupsAfter struct {
	Groups []uuid.UUID
	// of the last event looked at; if there was none, where the look began, or the newest position if that is before
	Position int64
	More     bool // limit events were looked at: there may be more
}

// AuditRows is what a store finds for a query.
type AuditRows struct {
	Items []audit.Event
	Count int // events examined
	// Examined is the position after which a search continues: that of the last item if the limit was reached, else of
	// the last event examined, else where the query began.
	Examined     int64
	ExaminedHash string // the chain hash of the event at Examined; empty if that is where the query began
	Truncated    bool   // as many were examined as may be before the limit was reached, and there are more
}

// Audit reads a page of the log, and records the read. In ascending order there is always a next page, which may be
// empty now: that is how to follow the log, and it skips nothing.
func (s *Service) Audit(ctx context.Context, by Caller, q AuditQuery) (Page[audit.Event], error) {
	release, err := s.takeAuditRead(by, s.shares.wideReads)
	if err != nil {
		return Page[audit.Event]{}, err
	}
	defer release()
	if err := s.beginAt(ctx, by, &q); err != nil {
		return Page[audit.Event]{}, err
	}
	page, err := s.auditPage(ctx, by, q)
	if err != nil {
		return Page[audit.Event]{}, err
	}
	if err := s.confirmFollowed(ctx, q); err != nil {
		return Page[audit.Event]{}, err
	}
	s.security.LogRead(by, q.GroupID)
	return page.Page, nil
}

// confirmFollowed confirms a page in ascending order: who follows the log must not see an event, or continue after a
// position, that a later primary does not have.
func (s *Service) confirmFollowed(ctx context.Context, q AuditQuery) error {
	if !q.Ascending {
		return nil
	}
	return s.store.ConfirmReads(ctx)
}

// auditPage is one page of the log.
type auditPage struct {
	Page[audit.Event]
	end       logPlace // of Next
	truncated bool     // it is short because as many events were examined as may be
}

// beginAt refuses a query outside of the caller's access, and has it begin at its cursor. CodeCursorGone if another
// event is there.
func (s *Service) beginAt(ctx context.Context, by Caller, q *AuditQuery) error {
	if err := by.Access.audit(q.GroupID); err != nil {
		return err
	}
	at, err := q.cursorPlace()
	if err == nil {
		err = s.checkPlace(ctx, q.GroupID, at)
	}
	q.Position, q.at = at.position, at
	return err
}

// checkPlace returns CodeCursorGone unless a log, or a group's chain, has the event of a place.
func (s *Service) checkPlace(ctx context.Context, group *uuid.UUID, at logPlace) error {
	if at.position == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.callTimeout)
	defer cancel()
	hash, err := s.chainHashAt(ctx, group, at.position)
	if errors.Is(err, ErrNotFound) || err == nil && !strings.HasPrefix(hash, at.hash) {
		return errCursorGone
	}
	return err
}

// chainHashAt is the chain hash of the event at a seq of a group's chain, or at a position of the whole log.
func (s *Service) chainHashAt(ctx context.Context, group *uuid.UUID, position int64) (string, error) {
	q := AuditQuery{
		GroupID: group, Ascending: true, Position: position - 1, PageRequest: PageRequest{Limit: 1},
	}
	rows, err := s.store.ListAuditEvents(ctx, q)
	if err == nil && (len(rows.Items) == 0 || q.PositionOf(rows.Items[0]) != position) {
		err = ErrNotFound
	}
	if err != nil {
		return "", err
	}
	return rows.Items[0].ChainHash, nil
}

func (s *Service) auditPage(ctx context.Context, by Caller, q AuditQuery) (auditPage, error) {
	limit := q.Limit
	q.Limit++ // one more shows whether there are more
	rows, err := s.store.ListAuditEvents(ctx, q)
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		rows.Count = q.Bound() // who leaves before the answer pays for what may have been examined
	}
	s.shares.auditRows.Charge(by.holder(), int64(rows.Count))
	if err != nil {
		return auditPage{}, err
	}
	if len(rows.Items) == 0 && q.GroupID != nil {
		if err := s.knownGroup(ctx, *q.GroupID); err != nil {
			return auditPage{}, err
		}
	}
	page := auditPage{Page: Page[audit.Event]{Items: rows.Items}, end: q.at, truncated: rows.Truncated}
	switch {
	case len(rows.Items) > limit:
		page.Items, page.truncated = rows.Items[:limit], false
		last := page.Items[limit-1]
		page.end = placeOf(q.PositionOf(last), last.ChainHash)
	case !q.Ascending && !rows.Truncated:
		return page, nil
	case rows.ExaminedHash != "":
		page.end = placeOf(rows.Examined, rows.ExaminedHash)
	}
	page.Next = page.end.String()
	return page, nil
}

// Event reads one event by its id, and records the read.
func (s *Service) Event(ctx context.Context, by Caller, id uuid.UUID) (audit.Event, error) {
	e, err := s.store.GetAuditEvent(ctx, id)
	if err == nil && by.Access.audit(&e.GroupID) != nil {
		err = ErrNotFound
	}
	if err != nil {
		return audit.Event{}, refuse(err, map[error]*Error{ErrNotFound: notFound(CodeEventNotFound, "audit event")})
	}
	s.security.LogRead(by, &e.GroupID)
	return e, nil
}

// knownGroup refuses a group that is no tenant and never had an event: the log of a deleted tenant stays readable.
func (s *Service) knownGroup(ctx context.Context, id uuid.UUID) error {
	if id == uuid.Nil {
		return nil
	}
	_, unknown := s.store.GetTenant(ctx, id)
	if !errors.Is(unknown, ErrNotFound) {
		return unknown
	}
	head, err := s.store.GetChainHead(ctx, id)
	if err != nil || head.Seq > 0 {
		return err
	}
	return inParameter(notFound(CodeTenantNotFound, "tenant"), "tenant_id")
}
