package telemetry

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

const (
	lineDelay  = 50 * time.Millisecond // how long a line may wait to be written with others
	maxWaiting = 4 << 20               // bytes of lines that wait for an output that does not take them
)

// lines writes lines of log together, so that a request pays for its line and not for a write. It never waits for the output: what it
// has no room for is dropped, and counted in a line of its own. After flush everything written before is in the output.
type lines struct {
	out  io.Writer
	lost slog.Handler // tells the output how many lines were dropped

	writing sync.Mutex // is held while out is written to, and taken before mu
	spare   []byte

	mu      sync.Mutex
	waiting []byte
	dropped int
	timed   bool // a flush will come
	direct  bool // from now on each line is written at once
}

// Write implements io.Writer. It takes whole lines.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.direct {
		return l.out.Write(p)
	}
	if len(l.waiting)+len(p) > maxWaiting {
		l.dropped++
		return len(p), nil
	}
	l.waiting = append(l.waiting, p...)
	if !l.timed {
		l.timed = true
		time.AfterFunc(lineDelay, l.flush)
	}
	return len(p), nil
}

// flush returns when what waits is written.
func (l *lines) flush() {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	text, dropped := l.take()
	l.mu.Unlock()
	l.put(text, dropped)
	l.spare = text
}

// take empties the lines; both locks are held.
func (l *lines) take() (text []byte, dropped int) {
	text, dropped = l.waiting, l.dropped
	l.waiting, l.spare, l.dropped, l.timed = l.spare[:0], nil, 0, false
	return text, dropped
}

// put writes what was taken; writing is held.
func (l *lines) put(text []byte, dropped int) {
	if len(text) > 0 {
		_, _ = l.out.Write(text) // there is nowhere to tell that the log cannot be written
	}
	if dropped > 0 {
		r := slog.NewRecord(time.Now(), slog.LevelWarn, "lines of the log were dropped: the output does not take them", 0)
		r.AddAttrs(slog.Int("lines", dropped))
		_ = l.lost.Handle(context.Background(), r)
	}
}

// end flushes, and from then on nothing waits.
func (l *lines) end() {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.put(l.take())
	l.direct = true
}

// writtenThrough makes what matters appear at once, and everything before it: a program that ends badly has said why.
type writtenThrough struct {
	slog.Handler
	lines *lines
}

// Handle implements slog.Handler.
func (h writtenThrough) Handle(ctx context.Context, r slog.Record) error {
	err := h.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		h.lines.flush()
	}
	return err
}

// WithAttrs implements slog.Handler.
func (h writtenThrough) WithAttrs(attrs []slog.Attr) slog.Handler {
	return writtenThrough{h.Handler.WithAttrs(attrs), h.lines}
}

// WithGroup implements slog.Handler.
func (h writtenThrough) WithGroup(name string) slog.Handler {
	return writtenThrough{h.Handler.WithGroup(name), h.lines}
}
