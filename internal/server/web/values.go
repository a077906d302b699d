package web

import (
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/timestamp"
	"github.com/breakpilot/tenant-registry/internal/violation"
)

// valueError is a sentence about one member that holds nothing of its value.
type valueError string

func (e valueError) Error() string { return string(e) }

// Text is a string of a body where null is not the same as absent: in arrays and in objects of strings.
type Text string

// UnmarshalJSONFrom reads a string and nothing else.
func (t *Text) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	s, err := readString(d, violation.Type("a string"))
	*t = Text(s)
	return err
}

// isUnset reports whether a value of a body that is not null says that its member is unset, as an empty text does.
func isUnset(value any) bool {
	switch v := value.(type) {
	case string:
		return v == ""
	case UUID:
		return !v.Present
	case Time:
		return v.Time == nil
	}
	return false
}

// UUID is a UUID of a body, in its one form; null and an empty text are absent.
type UUID struct {
	uuid.UUID
	Present bool
	Sent    string // as it was written, which may be in upper case
}

// UnmarshalJSONFrom reads a UUID, an empty text or null.
func (i *UUID) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() == 'n' {
		return d.SkipValue()
	}
	s, err := readString(d, violation.UUID)
	if err != nil || s == "" {
		return err
	}
	var ok bool
	if i.UUID, ok = ParseUUID(s); !ok {
		return valueError(violation.UUID)
	}
	i.Present, i.Sent = true, s
	return nil
}

// Time is a time of a body (RFC 3339); null and an empty text are absent.
type Time struct{ *time.Time }

// UnmarshalJSONFrom reads a time, an empty text or null.
func (t *Time) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() == 'n' {
		return d.SkipValue()
	}
	s, err := readString(d, violation.Timestamp)
	if err != nil || s == "" {
		return err
	}
	at, ok := timestamp.Parse(s)
	if !ok {
		return valueError(violation.Timestamp)
	}
	t.Time = &at
	return nil
}

// Int is a whole number of a body; null is absent.
type Int struct{ *int64 }

// Value is the number; nil if it is absent.
func (n Int) Value() *int64 { return n.int64 }

// UnmarshalJSONFrom reads a number without a point or an exponent, or null.
func (n *Int) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	switch d.PeekKind() {
	case 'n':
		return d.SkipValue()
	case '0':
	default:
		if err := d.SkipValue(); err != nil {
			return err
		}
		return valueError(violation.WholeNumber)
	}
	token, err := d.ReadToken()
	if err != nil {
		return err
	}
	count, err := strconv.ParseInt(token.String(), 10, 64)
	if err != nil {
		return valueError(violation.WholeNumber)
	}
	n.int64 = &count
	return nil
}

func readString(d *jsontext.Decoder, rule string) (string, error) {
	if d.PeekKind() != '"' {
		if err := d.SkipValue(); err != nil {
			return "", err
		}
		return "", valueError(rule)
	}
	token, err := d.ReadToken()
	if err != nil {
		return "", err
	}
	return token.String(), nil
}

// Strings is a decoded array of strings.
func Strings(texts []Text) []string {
	out := make([]string, len(texts))
	for i, s := range texts {
		out[i] = string(s)
	}
	return out
}

// StringMap is a decoded object of strings; nil stays nil.
func StringMap(texts map[string]Text) map[string]string {
	if texts == nil {
		return nil
	}
	out := make(map[string]string, len(texts))
	for name, s := range texts {
		out[name] = string(s)
	}
	return out
}
