package registry

import (
	"strconv"

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

// cursorPosition reads a cursor that is a place in the audit log; 0 for the first page.
func (r PageRequest) cursorPosition() (int64, error) {
	if r.Cursor == "" {
		return 0, nil
	}
	position, err := strconv.ParseInt(r.Cursor, 10, 64)
	if err != nil || position < 0 || strconv.FormatInt(position, 10) != r.Cursor {
		return 0, errCursor
	}
	return position, nil
}

var errCursor = invalidParameter("cursor", violation.OwnCursor)

// ReadOptions say how a read is answered.
type ReadOptions struct {
	Fresh bool // from the store, never from a cache
}
