package server

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

	"github.com/breakpilot/tenant-registry/internal/registry"
)

// query reads the parameters of a request and collects what is wrong with them; err says all of it.
type query struct {
	values url.Values
	found  []registry.Violation
}

// readQuery takes the parameters that a route allows, each at most once and in valid UTF-8.
func readQuery(raw string, allowed []string) (*query, error) {
	if raw == "" {
		return &query{}, nil
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, invalid(registry.Violation{Parameter: badlyEncoded(raw), Message: "must be percent-encoded, and joined to the next by '&'"})
	}
	q := &query{values: values}
	for name, given := range values {
		switch {
		case !slices.Contains(allowed, name):
			q.add(shortName(name), "is no parameter here; "+allowedParameters(allowed))
		case len(given) > 1:
			q.add(name, "must not be there twice")
		case !utf8.ValidString(given[0]) || strings.ContainsRune(given[0], 0):
			q.add(name, "must be valid UTF-8 without NUL")
		}
	}
	slices.SortFunc(q.found, func(a, b registry.Violation) int { return strings.Compare(a.Parameter, b.Parameter) })
	return q, q.err()
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

func allowedParameters(allowed []string) string {
	if len(allowed) == 0 {
		return "this path takes none"
	}
	return "these are: " + strings.Join(allowed, ", ")
}

// shortName cuts a name that somebody invented, and makes it fit for a JSON text.
func shortName(name string) string {
	runes := []rune(strings.ToValidUTF8(name, "�"))
	if len(runes) > 64 {
		return string(runes[:64]) + "…"
	}
	return cmp.Or(string(runes), "(empty)")
}

func (q *query) add(name, message string) {
	q.found = append(q.found, registry.Violation{Parameter: name, Message: message})
}

func (q *query) err() error {
	if len(q.found) == 0 {
		return nil
	}
	return invalid(q.found...)
}

// id reads an optional UUID; nil if it is absent.
func (q *query) id(name string) *uuid.UUID {
	if !q.values.Has(name) {
		return nil
	}
	id, ok := parseID(q.values.Get(name))
	if !ok {
		q.add(name, idRule)
	}
	return &id
}

// requiredID reads a UUID that must be there.
func (q *query) requiredID(name string) uuid.UUID {
	id := q.id(name)
	if id == nil {
		q.add(name, "is required")
		return uuid.Nil
	}
	return *id
}

// limit reads how many items a page may have.
func (q *query) limit() int {
	const most, usual = 100, 50
	if !q.values.Has("limit") {
		return usual
	}
	text := q.values.Get("limit")
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most || text != strconv.Itoa(n) {
		q.add("limit", "must be a whole number from 1 to 100")
	}
	return n
}

// oneOf reads a parameter that has a few values; the first, which may be empty and is no value then, is meant if it is absent.
func (q *query) oneOf(name string, values ...string) string {
	if !q.values.Has(name) {
		return values[0]
	}
	value, allowed := q.values.Get(name), values
	if values[0] == "" {
		allowed = values[1:]
	}
	if !slices.Contains(allowed, value) {
		q.add(name, "must be one of "+strings.Join(allowed, ", "))
	}
	return value
}

// wait reads for how long to wait for an event, in whole seconds, which only a tail can.
func (q *query) wait(tail bool) time.Duration {
	if !q.values.Has("wait") {
		return 0
	}
	most := int64(registry.MaxWait / time.Second)
	seconds, ok := wholeNumber(q.values.Get("wait"), 0, most)
	switch {
	case !ok:
		q.add("wait", fmt.Sprintf("must be a whole number from 0 to %d", most))
	case !tail:
		q.add("wait", "must stand beside order=asc")
	}
	return time.Duration(seconds) * time.Second
}

// maxSeq bounds a place in the log: beyond it JSON has no whole numbers.
const maxSeq = 1 << 53

// seq reads an optional place in a chain; 0 if it is absent.
func (q *query) seq(name string) int64 {
	if !q.values.Has(name) {
		return 0
	}
	n, ok := wholeNumber(q.values.Get(name), 1, maxSeq)
	if !ok {
		q.add(name, fmt.Sprintf("must be a whole number from 1 to %d", int64(maxSeq)))
	}
	return n
}

// wholeNumber reads a number in its one form.
func wholeNumber(text string, least, most int64) (int64, bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && n >= least && n <= most && text == strconv.FormatInt(n, 10)
}

// time reads an optional time; zero if it is absent.
func (q *query) time(name string) time.Time {
	if !q.values.Has(name) {
		return time.Time{}
	}
	at, ok := parseTime(q.values.Get(name))
	switch {
	case !ok:
		q.add(name, timeRule)
	case at.UTC().Year() < 1970 || at.UTC().Year() > 9999:
		q.add(name, "must lie in the years 1970 to 9999")
	}
	return at
}

// flag reads an optional true or false; nil if it is absent.
func (q *query) flag(name string) *bool {
	if !q.values.Has(name) {
		return nil
	}
	set := q.oneOf(name, "true", "false") == "true"
	return &set
}

// optionalTime is time, but nil if it is absent.
func (q *query) optionalTime(name string) *time.Time {
	if !q.values.Has(name) {
		return nil
	}
	at := q.time(name)
	return &at
}

// text reads an optional text of 1 to max characters; empty if it is absent.
func (q *query) text(name string, max int) string {
	value := q.values.Get(name)
	if q.values.Has(name) && (value == "" || utf8.RuneCountInString(value) > max) {
		q.add(name, "must have 1 to "+strconv.Itoa(max)+" characters")
	}
	return value
}

// cursor reads where a page of this list begins; empty at the first. Check it against the list with openCursor's arguments.
func (q *query) cursor(list string) string {
	if !q.values.Has("cursor") {
		return ""
	}
	position, ok := openCursor(q.values.Get("cursor"), list)
	if !ok {
		q.badCursor()
	}
	return position
}

// position reads where a page of this list begins, for lists whose positions are numbers up to most; 0 at the first.
func (q *query) position(list string, most int64) int64 {
	text := q.cursor(list)
	n, ok := wholeNumber(text, 0, most)
	if text != "" && !ok {
		q.badCursor()
	}
	return n
}

func (q *query) badCursor() {
	q.add("cursor", "must be the next_cursor of a page of this very list, in this order")
}
