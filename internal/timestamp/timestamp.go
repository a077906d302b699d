// Package timestamp is the form of times that both stores hold and every answer shows: UTC, whole microseconds, RFC
// 3339.
package timestamp

import (
	"regexp"
	"strings"
	"time"
)

// Layout is how times are written wherever they leave the service: UTC, exactly six decimals.
const Layout = "2006-01-02T15:04:05.000000Z"

// MaxYear is the last year that RFC 3339 can write.
const MaxYear = 9999

// Format writes a time as it leaves the service.
func Format(t time.Time) string { return t.UTC().Format(Layout) }

// Truncate is the time as both stores hold it: UTC, in whole microseconds.
func Truncate(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// TruncateOptional is Truncate for a time that may be unset.
func TruncateOptional(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	at := Truncate(*t)
	return &at
}

// RoundUp is the first whole microsecond that is not before t.
func RoundUp(t time.Time) time.Time { return Truncate(t.Add(time.Microsecond - time.Nanosecond)) }

// pattern is what time.Parse does not insist on: two digits everywhere, a point before fractions, an offset that
// exists.
var pattern = regexp.MustCompile(`^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// Parse reads a time of RFC 3339, strictly, with T and Z in either case; false for every other text.
func Parse(s string) (time.Time, bool) {
	if !pattern.MatchString(s) {
		return time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339Nano, strings.ToUpper(s))
	return at, err == nil
}
