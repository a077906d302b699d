package server

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"
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

// oneOf reads a parameter that has a few values; the first is meant if it is absent.
func (q *query) oneOf(name string, values ...string) string {
	if !q.values.Has(name) {
		return values[0]
	}
	value := q.values.Get(name)
	if !slices.Contains(values, value) {
		q.add(name, "must be one of "+strings.Join(values, ", "))
	}
	return value
}

// flag reads an optional true or false; nil if it is absent.
func (q *query) flag(name string) *bool {
	if !q.values.Has(name) {
		return nil
	}
	set := q.oneOf(name, "true", "false") == "true"
	return &set
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

func (q *query) badCursor() {
	q.add("cursor", "must be the next_cursor of a page of this very list, in this order")
}
