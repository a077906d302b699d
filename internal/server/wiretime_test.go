package server

import (
	"testing"

	"github.com/go-json-experiment/json"
)

// Times are those of RFC 3339 and no others, however well they could be guessed.
func TestWireTime(t *testing.T) {
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
		var got wireTime
		err := json.Unmarshal([]byte(text), &got)
		switch {
		case want == "" && err == nil:
			t.Errorf("%s is taken for %s", text, got.Time)
		case want != "" && (err != nil || got.UTC().Format("2006-01-02T15:04:05Z07:00") != want):
			t.Errorf("%s is %v, %v", text, got.Time, err)
		}
	}
}
