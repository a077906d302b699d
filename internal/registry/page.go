package registry

import (
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/violation"
)

// PageRequest selects one page of a list.
type PageRequest struct {
	Cursor string // Next of the page before; empty: the first page
	Limit  int    // items at most; required
}

// Page is one page of a list.
type Page[T any] struct {
	Items []T
	Next  string // the Cursor of the next page; empty: this is the last
}

// pageOf cuts a page out of a list that is in memory and ordered by key.
func pageOf[T any](r PageRequest, all []T, key func(T) string) Page[T] {
	page := Page[T]{Items: []T{}}
	for _, item := range all {
		switch {
		case key(item) <= r.Cursor:
		case len(page.Items) == r.Limit:
			page.Next = key(page.Items[r.Limit-1])
			return page
		default:
			page.Items = append(page.Items, item)
		}
	}
	return page
}

// cursorID reads a cursor that is the id of the last item of the page before; the nil UUID for the first page.
func (r PageRequest) cursorID() (uuid.UUID, error) {
	if r.Cursor == "" {
		return uuid.Nil, nil
	}
	id, err := uuid.Parse(r.Cursor)
	if err != nil || id.String() != r.Cursor { // which has one form
		return uuid.Nil, errCursor
	}
	return id, nil
}

// logPlace is a place in the log, and the beginning of the chain hash of the event there: after a restore, or in
// another database, another event may be at the same place. The zero value is before the first event.
type logPlace struct {
	position int64
	hash     string
}

// placeHash is how much of a chain hash a place has: 8 bytes, in hex.
const placeHash = 16

func placeOf(position int64, chainHash string) logPlace {
	return logPlace{position, chainHash[:placeHash]}
}

func (p logPlace) String() string {
	return strconv.FormatInt(p.position, 10) + "." + p.hash
}

// cursorPlace reads a cursor that is a place in the audit log.
func (r PageRequest) cursorPlace() (logPlace, error) {
	if r.Cursor == "" {
		return logPlace{}, nil
	}
	text, hash, _ := strings.Cut(r.Cursor, ".")
	position, err := strconv.ParseInt(text, 10, 64)
	p := logPlace{position, hash}
	if err != nil || position < 0 || p.String() != r.Cursor || (position > 0) != (len(hash) == placeHash) {
		return logPlace{}, errCursor
	}
	return p, nil
}

var errCursorGone = &Error{
	Kind: Gone, Code: CodeCursorGone,
	Detail: "The log has no event, or another one, at the place of this cursor, as after a restore: begin without a " +
		"cursor.",
	Violations: []violation.Violation{{Parameter: "cursor", Message: violation.CursorGone}},
}

var errCursor = invalidParameter("cursor", violation.OwnCursor)

// ReadOptions say how a read is answered.
type ReadOptions struct {
	Fresh bool // from the store, never from a cache
}
