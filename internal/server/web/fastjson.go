package web

import (
	"encoding/hex"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/breakpilot/tenant-registry/internal/timestamp"
)

// What products and portals read on every request is written by appending, for a fraction of what reflection costs. The
// general encoder writes the same bytes, which a test holds, and whatever JSON cannot append.

// Appender is a body that can append itself.
type Appender interface {
	AppendJSON(*JSON)
	General() any // the same for the general encoder
}

// JSON is a JSON text being appended.
type JSON struct {
	b           []byte
	unsupported bool // a value was of a kind that JSON cannot append: b is of no use
}

var texts = sync.Pool{New: func() any { return &JSON{b: make([]byte, 0, 2<<10)} }}

// encode returns the text of a body, which its user releases.
func encode(body any) (*JSON, error) {
	j := texts.Get().(*JSON)
	j.b, j.unsupported = j.b[:0], false
	if a, ok := body.(Appender); ok {
		if a.AppendJSON(j); !j.unsupported {
			return j, nil
		}
		body = a.General()
	}
	var err error
	j.b, err = json.Marshal(body, json.Deterministic(true))
	return j, err
}

// Encode is the text of a body as an answer holds it.
func Encode(body any) ([]byte, error) {
	text, err := encode(body)
	defer text.release()
	return slices.Clone(text.b), err
}

// release gives the text's memory to the next answer, unless it is more than answers need as a rule.
func (j *JSON) release() {
	if cap(j.b) <= 64<<10 {
		texts.Put(j)
	}
}

// Raw appends JSON as it is.
func (j *JSON) Raw(s string) { j.b = append(j.b, s...) }

// String appends what stands before, such as a name and a colon, and a string.
func (j *JSON) String(before, s string) {
	j.Raw(before)
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, err := jsontext.AppendQuote(j.b, s)
			j.b, j.unsupported = quoted, j.unsupported || err != nil
			return
		}
	}
	j.b = append(append(append(j.b, '"'), s...), '"')
}

// StringOrNull is String, with null for "".
func (j *JSON) StringOrNull(before, s string) {
	if s == "" {
		j.Raw(before)
		j.Raw("null")
		return
	}
	j.String(before, s)
}

// Int appends what stands before, and a number.
func (j *JSON) Int(before string, n int64) {
	j.Raw(before)
	j.b = strconv.AppendInt(j.b, n, 10)
}

// Bool appends what stands before, and true or false.
func (j *JSON) Bool(before string, set bool) {
	j.Raw(before)
	j.b = strconv.AppendBool(j.b, set)
}

// UUID appends what stands before, and a UUID.
func (j *JSON) UUID(before string, id uuid.UUID) {
	j.Raw(before)
	j.b = append(appendUUID(append(j.b, '"'), id), '"')
}

// appendUUID appends what uuid.UUID.String returns.
func appendUUID(b []byte, id uuid.UUID) []byte {
	b = hex.AppendEncode(b, id[0:4])
	for _, i := range []int{4, 6, 8} {
		b = hex.AppendEncode(append(b, '-'), id[i:i+2])
	}
	return hex.AppendEncode(append(b, '-'), id[10:])
}

// Time appends what stands before, and a time as timestamp.Format writes it.
func (j *JSON) Time(before string, t time.Time) {
	j.Raw(before)
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	if year < 0 || year > timestamp.MaxYear { // in no store, and not in RFC 3339
		j.String("", timestamp.Format(t))
		return
	}
	j.b = append(j.b, '"')
	j.digits(year, 4, '-')
	j.digits(int(month), 2, '-')
	j.digits(day, 2, 'T')
	j.digits(hour, 2, ':')
	j.digits(minute, 2, ':')
	j.digits(second, 2, '.')
	j.digits(t.Nanosecond()/1000, 6, 'Z')
	j.b = append(j.b, '"')
}

// digits appends a number in so many digits, and what follows it.
func (j *JSON) digits(n, width int, then byte) {
	var buffer [6]byte
	for i := width - 1; i >= 0; i-- {
		buffer[i] = byte('0' + n%10)
		n /= 10
	}
	j.b = append(append(j.b, buffer[:width]...), then)
}

// TimeOrNull is Time, with null for nil.
func (j *JSON) TimeOrNull(before string, t *time.Time) {
	if t == nil {
		j.Raw(before)
		j.Raw("null")
		return
	}
	j.Time(before, *t)
}

// Strings appends what stands before, and an array of strings.
func (j *JSON) Strings(before string, list []string) {
	j.Raw(before)
	j.Raw("[")
	for i, s := range list {
		j.String(Comma(i), s)
	}
	j.Raw("]")
}

// Comma is what stands before member or element i.
func Comma(i int) string {
	if i == 0 {
		return ""
	}
	return ","
}

// AppendObject appends what stands before, and a map in the order of its names, each value by what is given.
func AppendObject[V any](j *JSON, before string, m map[string]V, value func(*JSON, V)) {
	j.Raw(before)
	if len(m) == 0 { // as most are
		j.Raw("{}")
		return
	}
	j.Raw("{")
	var few [8]string
	names := few[:0]
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		j.String(Comma(i), name)
		j.Raw(":")
		value(j, m[name])
	}
	j.Raw("}")
}

// OptionalInt appends a number, with null for nil.
func (j *JSON) OptionalInt(n *int64) {
	if n == nil {
		j.Raw("null")
		return
	}
	j.Int("", *n)
}

// PlainString appends a string.
func (j *JSON) PlainString(s string) { j.String("", s) }

// Any appends a value that came from JSON: null, a string, a flag or a whole number. Anything else is left to the
// general encoder.
func (j *JSON) Any(value any) {
	switch v := value.(type) {
	case nil:
		j.Raw("null")
	case string:
		j.String("", v)
	case bool:
		j.Bool("", v)
	case float64:
		if v == math.Trunc(v) && v > -MaxSafeInteger && v < MaxSafeInteger && !(v == 0 && math.Signbit(v)) {
			j.Int("", int64(v))
			return
		}
		j.unsupported = true
	default:
		j.unsupported = true
	}
}
