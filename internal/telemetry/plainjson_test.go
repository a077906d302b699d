package telemetry

import (
	"bytes"
	"log/slog"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// TestPlainJSON_writesWhatSlogWrites compares lines of random records with those of slog's handler, whichever of the two wrote them.
func TestPlainJSON_writesWhatSlogWrites(t *testing.T) {
	t.Parallel()
	var want, got bytes.Buffer
	slogs := slog.NewJSONHandler(&want, nil)
	ours := plainJSON{slog.NewJSONHandler(&got, nil), &got}
	source := rand.New(rand.NewPCG(1, 2))
	plain := 0
	for range 20_000 {
		want.Reset()
		got.Reset()
		r := randomRecord(source)
		wanted, failed := slogs.Handle(t.Context(), r), ours.Handle(t.Context(), r)
		if got.String() != want.String() || (wanted == nil) != (failed == nil) {
			t.Fatalf("%q, %v, want %q, %v", got.String(), failed, want.String(), wanted)
		}
		if new(plainLine).write(r) {
			plain++
		}
	}
	if plain < 1000 {
		t.Errorf("%d of the lines were plain ones", plain)
	}
}

func randomRecord(from *rand.Rand) slog.Record {
	at := time.Unix(from.Int64N(250_000_000_000), from.Int64N(2)*from.Int64N(1e9)) // to the year 9892
	switch from.IntN(10) {
	case 0:
		at = at.UTC()
	case 1:
		at = at.In(time.FixedZone("", from.IntN(86_400)-43_200))
	case 2:
		at = [...]time.Time{{}, time.Now(), time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC)}[from.IntN(4)]
	}
	r := slog.NewRecord(at, slog.Level(from.IntN(16)-5), randomText(from), 0)
	for range from.IntN(10) {
		r.AddAttrs(slog.Attr{Key: randomText(from), Value: randomValue(from)})
	}
	return r
}

func randomValue(from *rand.Rand) slog.Value {
	switch from.IntN(40) {
	case 0:
		return slog.AnyValue([]any{nil, t0, []string{"a"}, slog.LevelInfo}[from.IntN(4)])
	case 1:
		return slog.DurationValue(time.Duration(from.Int64()))
	case 2:
		return slog.GroupValue(slog.Int("inside", 1))
	case 3:
		return slog.Value{}
	case 4:
		return slog.Float64Value(math.Float64frombits(from.Uint64()))
	case 5:
		return slog.Float64Value([]float64{0, math.Copysign(0, -1), 1e-6, 9.99e-7, 1e21, -1e20, math.NaN(), math.Inf(1)}[from.IntN(8)])
	case 6, 7, 8, 9, 10:
		return slog.Float64Value(float64(from.IntN(10_000_000)) / 1000)
	case 11, 12, 13, 14, 15:
		return slog.Int64Value(from.Int64() >> from.IntN(64))
	case 16, 17, 18:
		return slog.BoolValue(from.IntN(2) == 0)
	default:
		return slog.StringValue(randomText(from))
	}
}

var t0 = time.Unix(0, 0)

// randomText is ASCII as a rule.
func randomText(from *rand.Rand) string {
	text := make([]byte, from.IntN(20))
	for i := range text {
		text[i] = byte(' ' + from.IntN('~'-' '+1))
		for text[i] == '"' || text[i] == '\\' {
			text[i]++
		}
	}
	if from.IntN(60) == 0 {
		text = append(text, []string{`"`, `\`, "\x7f", "\n", "\x00", "é", "\xff", "\u2028", "<&>"}[from.IntN(9)]...)
	}
	return string(text)
}
