package web

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/timestamp"
	"github.com/breakpilot/tenant-registry/internal/violation"
)

// MaxSafeInteger bounds the whole numbers of the API: beyond it JSON readers lose digits.
const MaxSafeInteger = 1 << 53

// Query reads the parameters of a request and collects what is wrong with them; Err returns all of it.
type Query struct {
	values url.Values
	found  []violation.Violation
}

// ReadQuery reads the parameters that a route allows, each at most once and in valid UTF-8. A query of more than limit
// bytes is not looked at.
func ReadQuery(raw string, allowed []string, limit int) (*Query, error) {
	if raw == "" {
		return &Query{}, nil
	}
	if len(raw) > limit {
		return nil, NewProblem(CodeInvalidRequest, fmt.Sprintf("The query has more than %d bytes.", limit))
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, Invalid(violation.Violation{Parameter: badlyEncoded(raw), Message: violation.PercentEncoded})
	}
	q := &Query{values: values}
	for name, given := range values {
		switch {
		case !slices.Contains(allowed, name):
			q.Add(shortName(name), violation.UnknownParameter(allowed))
		case len(given) > 1:
			q.Add(name, violation.Duplicate)
		case !utf8.ValidString(given[0]) || strings.ContainsRune(given[0], 0):
			q.Add(name, violation.UTF8WithoutNUL)
		}
	}
	slices.SortFunc(q.found, func(a, b violation.Violation) int { return strings.Compare(a.Parameter, b.Parameter) })
	return q, q.Err()
}

// badlyEncoded is the name of the first parameter that is not well encoded.
func badlyEncoded(raw string) string {
	for pair := range strings.SplitSeq(raw, "&") {
		if _, err := url.ParseQuery(pair); err != nil {
			name, _, _ := strings.Cut(pair, "=")
			if decoded, err := url.QueryUnescape(name); err == nil && !strings.Contains(name, ";") {
				return shortName(decoded)
			}
			break
		}
	}
	return "(unreadable)"
}

// shortName cuts an unknown name, and makes it fit for a JSON text.
func shortName(name string) string {
	runes := []rune(strings.ToValidUTF8(name, "\uFFFD"))
	if len(runes) > 64 {
		return string(runes[:64]) + "…"
	}
	return cmp.Or(string(runes), "(empty)")
}

// Add adds a violation of a parameter.
func (q *Query) Add(name, message string) {
	q.found = append(q.found, violation.Violation{Parameter: name, Message: message})
}

// Err is the problem of all violations; nil if there are none.
func (q *Query) Err() error {
	if len(q.found) == 0 {
		return nil
	}
	return Invalid(q.found...)
}

// Has reports whether a parameter is present.
func (q *Query) Has(name string) bool { return q.values.Has(name) }

// Get is a parameter as it was sent; empty if it is absent.
func (q *Query) Get(name string) string { return q.values.Get(name) }

// UUID reads an optional UUID; nil if it is absent.
func (q *Query) UUID(name string) *uuid.UUID {
	if !q.Has(name) {
		return nil
	}
	id, ok := ParseUUID(q.Get(name))
	if !ok {
		q.Add(name, violation.UUID)
	}
	return &id
}

// RequiredUUID reads a UUID that must be present.
func (q *Query) RequiredUUID(name string) uuid.UUID {
	id := q.UUID(name)
	if id == nil {
		q.Add(name, violation.Required)
		return uuid.Nil
	}
	return *id
}

// Limit reads how many items a page may have: 1 to 100, 50 if it is absent.
func (q *Query) Limit() int {
	const most, standard = 100, 50
	if !q.Has("limit") {
		return standard
	}
	return int(q.Int("limit", 1, most))
}

// OneOf reads a parameter that has a few values. The first, which may be empty and is no value then, is the default.
func (q *Query) OneOf(name string, values ...string) string {
	if !q.Has(name) {
		return values[0]
	}
	value, allowed := q.Get(name), values
	if values[0] == "" {
		allowed = values[1:]
	}
	if !slices.Contains(allowed, value) {
		q.Add(name, violation.OneOf(allowed...))
	}
	return value
}

// Int reads an optional whole number from least to most; 0 if it is absent.
func (q *Query) Int(name string, least, most int64) int64 {
	if !q.Has(name) {
		return 0
	}
	n, ok := wholeNumber(q.Get(name), least, most)
	if !ok {
		q.Add(name, violation.Range(least, most))
	}
	return n
}

// wholeNumber reads a number in its one form.
func wholeNumber(text string, least, most int64) (int64, bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && n >= least && n <= most && text == strconv.FormatInt(n, 10)
}

// Time reads an optional time; zero if it is absent.
func (q *Query) Time(name string) time.Time {
	if !q.Has(name) {
		return time.Time{}
	}
	text := q.Get(name)
	at, ok := timestamp.Parse(text)
	_, withPlus := timestamp.Parse(strings.ReplaceAll(text, " ", "+"))
	switch {
	case !ok && withPlus: // which stands for a space there
		q.Add(name, violation.TimestampPlus)
	case !ok:
		q.Add(name, violation.Timestamp)
	case at.UTC().Year() < 1970 || at.UTC().Year() > timestamp.MaxYear:
		q.Add(name, violation.Years)
	}
	return at
}

// OptionalTime is Time, but nil if it is absent.
func (q *Query) OptionalTime(name string) *time.Time {
	if !q.Has(name) {
		return nil
	}
	at := q.Time(name)
	return &at
}

// Flag reads an optional true or false; nil if it is absent.
func (q *Query) Flag(name string) *bool {
	if !q.Has(name) {
		return nil
	}
	set := q.OneOf(name, "true", "false") == "true"
	return &set
}

// Text reads an optional text of 1 to most characters; empty if it is absent.
func (q *Query) Text(name string, most int) string {
	value := q.Get(name)
	if q.Has(name) && (value == "" || utf8.RuneCountInString(value) > most) {
		q.Add(name, violation.Length(most))
	}
	return value
}

// Cursor reads the position after which a page of this list begins; empty for the first page.
func (q *Query) Cursor(list string) string {
	if !q.Has("cursor") {
		return ""
	}
	position, ok := OpenCursor(q.Get("cursor"), list)
	if !ok {
		q.Add("cursor", violation.OwnCursor)
	}
	return position
}

// CursorInt is Cursor for a list whose positions are whole numbers; 0 for the first page.
func (q *Query) CursorInt(list string) int64 {
	text := q.Cursor(list)
	n, ok := wholeNumber(text, 0, MaxSafeInteger)
	if text != "" && !ok {
		q.Add("cursor", violation.OwnCursor)
	}
	return n
}
