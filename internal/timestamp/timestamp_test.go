package timestamp_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/breakpilot/tenant-registry/internal/timestamp"
)

func TestFormat_isUTCWithSixDecimals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		at   time.Time
		want string
	}{
		{time.Date(2026, 3, 1, 0, 30, 0, 0, time.FixedZone("", 3600)), "2026-02-28T23:30:00.000000Z"},
		{time.Date(2026, 3, 1, 0, 0, 0, 1_999, time.UTC), "2026-03-01T00:00:00.000001Z"},
		{time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC), "9999-12-31T23:59:59.999999Z"},
	} {
		if got := timestamp.Format(c.at); got != c.want {
			t.Errorf("Format(%v) = %s, want %s", c.at, got, c.want)
		}
	}
}

func TestParse_acceptsRFC3339(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Time{
		"2026-03-01T12:00:00Z":                time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		"2026-03-01t12:00:00z":                time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		"2026-03-01T12:00:00.5z":              time.Date(2026, 3, 1, 12, 0, 0, 500_000_000, time.UTC),
		"2026-03-01t12:00:00+02:00":           time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC),
		"2026-03-01T12:00:00.5Z":              time.Date(2026, 3, 1, 12, 0, 0, 500_000_000, time.UTC),
		"2026-03-01T12:00:00.123456789Z":      time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, time.UTC),
		"2026-03-01T12:00:00.1234567890123Z":  time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, time.UTC),
		"2026-03-01T12:00:00+02:00":           time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC),
		"2026-03-01T12:00:00-23:59":           time.Date(2026, 3, 2, 11, 59, 0, 0, time.UTC),
		"2026-03-01T12:00:00-00:00":           time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		"2024-02-29T00:00:00Z":                time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC),
		"0000-01-01T00:00:00Z":                time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC),
		"9999-12-31T23:59:59.999999999-23:59": time.Date(10000, 1, 1, 23, 58, 59, 999_999_999, time.UTC),
	} {
		if got, ok := timestamp.Parse(text); !ok || !got.Equal(want) {
			t.Errorf("Parse(%q) = %v, %t, want %v", text, got, ok, want)
		}
	}
}

func TestParse_isStrict(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "now", "2026-03-01", "12:00:00Z", "1772366400", "2026-03-01T12:00Z", "2026-03-01T12:00:00",
		"2026-03-01 12:00:00Z", "2026-03-01t12:00:00", "2026-03-01t12:00:00cet",
		" 2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z ",
		"2026-03-01T12:00:00Z\n",
		"2026-3-1T12:00:00Z", "2026-03-01T1:00:00Z", "2026-03-01T12:00:0Z", "02026-03-01T12:00:00Z",
		"+2026-03-01T12:00:00Z",
		"-2026-03-01T12:00:00Z", "26-03-01T12:00:00Z", "10000-01-01T00:00:00Z",
		"2026-03-01T12:00:00,5Z", "2026-03-01T12:00:00.Z", "2026-03-01T12:00:00.5.5Z",
		"2026-03-01T12:00:00+0200", "2026-03-01T12:00:00+02", "2026-03-01T12:00:00+2:00", "2026-03-01T12:00:00+24:00",
		"2026-03-01T12:00:00+02:60", "2026-03-01T12:00:00 +02:00", "2026-03-01T12:00:00CET",
		"2026-03-01T12:00:00Z+02:00",
		"2026-00-01T12:00:00Z", "2026-13-01T12:00:00Z", "2026-03-00T12:00:00Z", "2026-02-29T12:00:00Z",
		"2026-04-31T12:00:00Z",
		"2026-03-01T24:00:00Z", "2026-03-01T12:60:00Z", "2026-03-01T12:00:60Z", "２026-03-01T12:00:00Z",
		"2026-03-01T12:00:00\u2212 02:00",
	} {
		if got, ok := timestamp.Parse(text); ok {
			t.Errorf("Parse(%q) = %v", text, got)
		}
	}
}

func TestParse_readsWhatFormatWrites(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at := anyTime(t)
		if got, ok := timestamp.Parse(timestamp.Format(at)); !ok || got != timestamp.Truncate(at) {
			t.Fatalf("%s is read as %v, %t", timestamp.Format(at), got, ok)
		}
	})
}

// anyTime is a time of the years 1970 to 9999 in some zone, in nanoseconds.
func anyTime(t *rapid.T) time.Time {
	zone := time.FixedZone("", rapid.IntRange(-86_399, 86_399).Draw(t, "offset"))
	seconds := rapid.Int64Range(0, 253_402_300_799).Draw(t, "seconds")
	return time.Unix(seconds, rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds")).In(zone)
}

func TestTruncate_isTheLastMicrosecondInUTC(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at := anyTime(t)
		got := timestamp.Truncate(at)
		if early := at.Sub(got); got.Location() != time.UTC || got.Nanosecond()%1000 != 0 || early < 0 ||
			early >= time.Microsecond {
			t.Fatalf("%v is truncated to %v", at, got)
		}
		if again := timestamp.Truncate(got); again != got {
			t.Fatalf("%v is truncated to %v", got, again)
		}
	})
	withMonotonic := time.Now()
	if got := timestamp.Truncate(withMonotonic); got != got.Round(0) {
		t.Errorf("%v has a monotonic clock reading", got)
	}
}

func TestTruncateOptional_leavesItsInputAlone(t *testing.T) {
	t.Parallel()
	if got := timestamp.TruncateOptional(nil); got != nil {
		t.Errorf("unset is truncated to %v", got)
	}
	at := time.Date(2026, 3, 1, 1, 0, 0, 1_999, time.FixedZone("", 3600))
	before := at
	if got := timestamp.TruncateOptional(&at); *got != time.Date(2026, 3, 1, 0, 0, 0, 1_000, time.UTC) || at != before {
		t.Errorf("%v is truncated to %v", before, got)
	}
}

func TestRoundUp_isTheNextMicrosecondInUTC(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at := anyTime(t)
		got := timestamp.RoundUp(at)
		if late := got.Sub(at); got.Location() != time.UTC || got.Nanosecond()%1000 != 0 || late < 0 ||
			late >= time.Microsecond {
			t.Fatalf("%v is rounded up to %v", at, got)
		}
		if again := timestamp.RoundUp(got); again != got {
			t.Fatalf("%v is rounded up to %v", got, again)
		}
	})
	for nanoseconds, want := range map[int]int{0: 0, 1: 1000, 999: 1000, 1000: 1000, 1001: 2000} {
		at := time.Date(2026, 3, 1, 0, 0, 0, nanoseconds, time.UTC)
		if got := timestamp.RoundUp(at); got != time.Date(2026, 3, 1, 0, 0, 0, want, time.UTC) {
			t.Errorf("%d ns are rounded up to %v", nanoseconds, got)
		}
	}
}
