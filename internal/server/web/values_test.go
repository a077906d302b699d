package web

import (
	"testing"

	"github.com/go-json-experiment/json"
)

// Times are those of RFC 3339 and no others, however well they could be guessed.
func TestTime(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`"2031-01-01T01:00:00Z"`:      "2031-01-01T01:00:00Z",
		`"2031-01-01T01:00:00+02:00"`: "2030-12-31T23:00:00Z",
		`"2031-01-01T1:00:00Z"`:       "",
		`"2031-01-01T01:00:00+24:00"`: "",
		`"2031-01-01T01:00:00+00:60"`: "",
		`"2031-01-01T01:00:00,5Z"`:    "",
		`"2031-02-29T01:00:00Z"`:      "",
		`"2031-01-01"`:                "",
		`5`:                           "",
	} {
		var got Time
		err := json.Unmarshal([]byte(text), &got)
		switch {
		case want == "" && err == nil:
			t.Errorf("%s is taken for %s", text, got.Time)
		case want != "" && (err != nil || got.UTC().Format("2006-01-02T15:04:05Z07:00") != want):
			t.Errorf("%s is %v, %v", text, got.Time, err)
		}
	}
}

// Whole numbers have neither a point nor an exponent, however whole their value is.
func TestInt(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"0": true, "-5": true, "9007199254740993": true, "null": true,
		"1.0": false, "1e3": false, "9223372036854775808": false, `"1"`: false, "true": false, "[]": false,
	} {
		var got Int
		if err := json.Unmarshal([]byte(text), &got); (err == nil) != want {
			t.Errorf("%s: %v", text, err)
		} else if (got.Value() == nil) != (!want || text == "null") {
			t.Errorf("%s is %v", text, got.Value())
		}
	}
}
