package telemetry

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

const (
	flushDelay  = 50 * time.Millisecond // how long a line may wait to be written with others
	maxBuffered = 4 << 20               // bytes of lines that wait for an output that is stuck
)

// logBuffer writes lines of log together, so that a request pays for its line and not for a write. It never waits for
// the output: a line for which it has no room is dropped, and counted in a line of its own. After flush everything
// written before is in the output.
type logBuffer struct {
	out  io.Writer
	lost slog.Handler // writes how many lines were dropped

	writing sync.Mutex // held while out is written to, and taken before mu
	spare   []byte

	mu       sync.Mutex
	buffered []byte
	dropped  int
	timed    bool // a flush is scheduled
	direct   bool // from now on each line is written at once
}

// Write implements io.Writer. It takes whole lines.
func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.direct {
		return l.out.Write(p)
	}
	if len(l.buffered)+len(p) > maxBuffered {
		l.dropped++
		return len(p), nil
	}
	l.buffered = append(l.buffered, p...)
	if !l.timed {
		l.timed = true
		time.AfterFunc(flushDelay, l.flush)
	}
	return len(p), nil
}

// flush returns when what is buffered is written.
func (l *logBuffer) flush() {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	text, dropped := l.take()
	l.mu.Unlock()
	l.put(text, dropped)
	l.spare = text
}

// take empties the buffer; both locks are held.
func (l *logBuffer) take() (text []byte, dropped int) {
	text, dropped = l.buffered, l.dropped
	l.buffered, l.spare, l.dropped, l.timed = l.spare[:0], nil, 0, false
	return text, dropped
}

// put writes what was taken; writing is held.
func (l *logBuffer) put(text []byte, dropped int) {
	if len(text) > 0 {
		_, _ = l.out.Write(text) // there is nowhere to report that the log cannot be written
	}
	if dropped > 0 {
		r := slog.NewRecord(time.Now(), slog.LevelWarn, "log lines dropped", 0)
		r.AddAttrs(slog.Int("lines", dropped))
		_ = l.lost.Handle(context.Background(), r)
	}
}

// end flushes, and from then on nothing is buffered.
func (l *logBuffer) end() {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.put(l.take())
	l.direct = true
}

// flushing makes warnings and errors appear at once, with everything before them: a program that ends badly has said
// why.
type flushing struct {
	slog.Handler
	buffer *logBuffer
}

// Handle implements slog.Handler.
func (h flushing) Handle(ctx context.Context, r slog.Record) error {
	err := h.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		h.buffer.flush()
	}
	return err
}

// WithAttrs implements slog.Handler.
func (h flushing) WithAttrs(attrs []slog.Attr) slog.Handler {
	return flushing{h.Handler.WithAttrs(attrs), h.buffer}
}

// WithGroup implements slog.Handler.
func (h flushing) WithGroup(name string) slog.Handler {
	return flushing{h.Handler.WithGroup(name), h.buffer}
}
