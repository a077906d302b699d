package telemetry

import (
	"context"
	"io"
	"log/slog"
	"math"
	"strconv"
	"sync"
	"time"
)

// plainJSON writes records of plain texts, numbers and flags, which nearly all are, for a fraction of what slog's handler takes. The
// bytes are that handler's, which a test holds; whatever is beyond plainLine is left to it.
type plainJSON struct {
	slog.Handler // slog's, to the same output
	out          io.Writer
}

// Handle implements slog.Handler.
func (h plainJSON) Handle(ctx context.Context, r slog.Record) error {
	line := plainLines.Get().(*plainLine)
	defer plainLines.Put(line)
	if !line.write(r) {
		return h.Handler.Handle(ctx, r)
	}
	_, err := h.out.Write(line.b)
	return err
}

// plainLine is a line of JSON in the making.
type plainLine struct {
	b      []byte
	beyond bool // something was not of the kinds that are known here: b is of no use
}

var plainLines = sync.Pool{New: func() any { return &plainLine{b: make([]byte, 0, 512)} }}

// write makes the line of a record, or tells that it is beyond this.
func (l *plainLine) write(r slog.Record) bool {
	year := r.Time.Year()
	l.b, l.beyond = append(l.b[:0], `{"time":`...), r.Time.IsZero() || year < 0 || year > 9999
	l.b = append(r.Time.AppendFormat(append(l.b, '"'), time.RFC3339Nano), `","level":`...)
	l.text(r.Level.String())
	l.b = append(l.b, `,"msg":`...)
	l.text(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		l.b = append(l.b, ',')
		l.text(a.Key)
		l.b = append(l.b, ':')
		l.value(a.Value)
		l.beyond = l.beyond || a.Key == ""
		return !l.beyond
	})
	l.b = append(l.b, "}\n"...)
	return !l.beyond
}

func (l *plainLine) value(v slog.Value) {
	switch v.Kind() {
	case slog.KindString:
		l.text(v.String())
	case slog.KindInt64:
		l.b = strconv.AppendInt(l.b, v.Int64(), 10)
	case slog.KindBool:
		l.b = strconv.AppendBool(l.b, v.Bool())
	case slog.KindFloat64:
		size := math.Abs(v.Float64())
		l.beyond = l.beyond || !(size == 0 || (size >= 1e-6 && size < 1e21)) // those are written with an exponent, or not at all
		l.b = strconv.AppendFloat(l.b, v.Float64(), 'f', -1, 64)
	default:
		l.beyond = true
	}
}

// text appends a string that needs no escape.
func (l *plainLine) text(s string) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			l.beyond = true
			return
		}
	}
	l.b = append(append(append(l.b, '"'), s...), '"')
}
