package registry

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"
)

func TestDiff_listsChangedMembers(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	later := at.Add(time.Microsecond)
	fits, over := strings.Repeat("x", 1022), strings.Repeat("x", 1023) // in quotes 1,024 and 1,025 bytes
	for name, c := range map[string]struct {
		before, after map[string]any
		want          map[string]string
	}{
		"nothing": {nil, map[string]any{}, map[string]string{}},
		"the same": {
			map[string]any{"a": "x", "m": map[string]string{"k": "v"}, "t": &at},
			map[string]any{"a": "x", "m": map[string]string{"k": "v"}, "t": new(at)}, map[string]string{},
		},
		"new": {
			nil, map[string]any{"a": "x", "n": 14, "b": true},
			map[string]string{"after.a": `"x"`, "after.n": "14", "after.b": "true"},
		},
		"unset, created": {
			nil,
			map[string]any{
				"a": "", "n": 0, "t": (*time.Time)(nil), "m": map[string]string{}, "l": []string{}, "nil": nil,
			},
			map[string]string{},
		},
		"switched off": {
			map[string]any{"b": true}, map[string]any{"b": false},
			map[string]string{"before.b": "true", "after.b": "false"},
		},
		"changed": {
			map[string]any{"a": "x", "b": "same"}, map[string]any{"a": "y", "b": "same"},
			map[string]string{"before.a": `"x"`, "after.a": `"y"`},
		},
		"set":           {map[string]any{"a": ""}, map[string]any{"a": "y"}, map[string]string{"after.a": `"y"`}},
		"unset":         {map[string]any{"a": "x"}, map[string]any{"a": ""}, map[string]string{"before.a": `"x"`}},
		"empty and nil": {map[string]any{"l": []string(nil)}, map[string]any{"l": []string{}}, map[string]string{}},
		"times": {
			map[string]any{"t": &at}, map[string]any{"t": &later},
			map[string]string{"before.t": `"2026-05-04T12:00:00.000000Z"`, "after.t": `"2026-05-04T12:00:00.000001Z"`},
		},
		"time as value": {
			nil, map[string]any{"t": at.In(time.FixedZone("", 7200))},
			map[string]string{"after.t": `"2026-05-04T12:00:00.000000Z"`},
		},
		"sorted, plain": {
			nil, map[string]any{"m": map[string]string{"b": "<&>", "a": "ä"}},
			map[string]string{"after.m": `{"a":"ä","b":"<&>"}`},
		},
		"limits": {
			nil, map[string]any{"l": Limits{"a": limit(1), "b": nil}}, map[string]string{"after.l": `{"a":1,"b":null}`},
		},
		"1 KiB": {nil, map[string]any{"a": fits}, map[string]string{"after.a": `"` + fits + `"`}},
		"over 1 KiB": {
			map[string]any{"a": over}, map[string]any{"a": "x"},
			map[string]string{
				"before.a": fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(`"`+over+`"`))), "after.a": `"x"`,
			},
		},
	} {
		if got := diff(c.before, c.after); !maps.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, c.want)
		}
	}
}
