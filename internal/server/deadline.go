package server

import (
	"context"
	"sync/atomic"
	"time"
)

// deadline is a context that ends at an instant, as context.WithDeadline's does. Its timer starts when somebody first waits for it, which
// nobody does for an answer that is at hand. Its user calls stop at the end.
type deadline struct {
	context.Context
	at    time.Time
	begun atomic.Pointer[begun]
}

// begun is what a deadline becomes.
type begun struct {
	context.Context
	cancel context.CancelFunc
}

// begin starts the timer, once.
func (d *deadline) begin() *begun {
	if b := d.begun.Load(); b != nil {
		return b
	}
	ctx, cancel := context.WithDeadline(d.Context, d.at)
	if !d.begun.CompareAndSwap(nil, &begun{ctx, cancel}) {
		cancel()
	}
	return d.begun.Load()
}

// stop ends the context.
func (d *deadline) stop() {
	if !d.begun.CompareAndSwap(nil, ended) {
		d.begun.Load().cancel()
	}
}

// ended is a deadline that was stopped and never waited for: nobody may start a timer that nobody stops.
var ended = func() *begun {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return &begun{ctx, cancel}
}()

// Deadline implements context.Context.
func (d *deadline) Deadline() (time.Time, bool) {
	if earlier, ok := d.Context.Deadline(); ok && earlier.Before(d.at) {
		return earlier, true
	}
	return d.at, true
}

// Done implements context.Context.
func (d *deadline) Done() <-chan struct{} { return d.begin().Done() }

// Err implements context.Context.
func (d *deadline) Err() error {
	if b := d.begun.Load(); b != nil {
		return b.Err()
	}
	if time.Now().Before(d.at) {
		return d.Context.Err()
	}
	return d.begin().Err()
}

// Value implements context.Context: contexts made from this one look there for what ends them.
func (d *deadline) Value(key any) any {
	if b := d.begun.Load(); b != nil && b != ended {
		return b.Value(key)
	}
	return d.Context.Value(key)
}
