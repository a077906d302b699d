package web

import (
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/breakpilot/tenant-registry/internal/timestamp"
)

// appended is a body with one member of each kind.
type appended struct {
	Text    string           `json:"a_text"`
	Unset   *string          `json:"b_unset"`
	Number  int64            `json:"c_number"`
	Flag    bool             `json:"d_flag"`
	ID      uuid.UUID        `json:"e_id"`
	At      time.Time        `json:"-"`
	AtText  string           `json:"f_at"`
	Strings []string         `json:"g_strings"`
	Limits  map[string]int64 `json:"h_limits"`
	Value   any              `json:"i_value"`
}

func (a appended) General() any {
	a.AtText = timestamp.Format(a.At)
	return a
}

func (a appended) AppendJSON(j *JSON) {
	j.String(`{"a_text":`, a.Text)
	if a.Unset == nil {
		j.StringOrNull(`,"b_unset":`, "")
	} else {
		j.String(`,"b_unset":`, *a.Unset)
	}
	j.Int(`,"c_number":`, a.Number)
	j.Bool(`,"d_flag":`, a.Flag)
	j.UUID(`,"e_id":`, a.ID)
	j.Time(`,"f_at":`, a.At)
	j.Strings(`,"g_strings":`, a.Strings)
	AppendObject(j, `,"h_limits":`, a.Limits, func(j *JSON, n int64) { j.OptionalInt(&n) })
	j.Raw(`,"i_value":`)
	j.Any(a.Value)
	j.Raw("}")
}

// What is appended is what the general encoder writes, byte for byte.
func TestEncode_appendsWhatTheGeneralEncoderWrites(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(rapid.StringMatching(`[a-z0-9 :._-]{0,12}`), rapid.String(), rapid.SampledFrom([]string{
		"", `"`, `\`, "a\"b", "<&>", "\n\t\x00\x1f\x7f", "é", "\u2028\u2029", "🔑", "\ufffd", "~", " ",
	}))
	value := rapid.OneOf(
		rapid.Just[any](nil), text.AsAny(), rapid.Bool().AsAny(), rapid.Float64Range(-1e300, 1e300).AsAny(),
		rapid.SliceOf(text.AsAny()).AsAny(),
		rapid.SampledFrom([]float64{0, 1 << 53, -1 << 53, 1e21, 1e-7, 0.5}).AsAny(),
	)
	rapid.Check(t, func(t *rapid.T) {
		body := appended{
			Text: text.Draw(t, "text"), Unset: rapid.Ptr(text, true).Draw(t, "unset"),
			Number: rapid.Int64().Draw(t, "number"),
			Flag:   rapid.Bool().Draw(t, "flag"), ID: uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")),
			At:      time.UnixMicro(rapid.Int64Range(-62135596800_000000, 253402300799_999999).Draw(t, "µs")),
			Strings: rapid.SliceOfN(text, 0, 4).Draw(t, "strings"),
			Limits:  rapid.MapOf(text, rapid.Int64()).Draw(t, "limits"),
			Value:   value.Draw(t, "value"),
		}
		want, err := json.Marshal(body.General(), json.Deterministic(true))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Encode(body); err != nil || string(got) != string(want) {
			t.Errorf("appended %s\nencoded  %s\n%v", got, want, err)
		}
	})
}

// A value that the appender does not know is written all the same, and plain ones are not left to the general encoder.
func TestJSON_any(t *testing.T) {
	t.Parallel()
	for unsupported, values := range map[bool][]any{
		false: {nil, true, "text", 365.0, -1.0, 0.0},
		true:  {0.5, 1e21, 1 << 53, []any{"a"}, map[string]any{"a": 1.0}},
	} {
		for _, value := range values {
			var j JSON
			if j.Any(value); j.unsupported != unsupported {
				t.Errorf("%v: left to the general encoder is %t, want %t", value, j.unsupported, unsupported)
			}
		}
	}
}
