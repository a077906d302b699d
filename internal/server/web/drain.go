package web

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"
)

// stallTimeout is how long a client may take to read one part of a long answer once stalled readers are given up.
const stallTimeout = 2 * time.Second

// Drain is the end of a server's connections. A nil Drain never begins.
type Drain struct {
	begun  atomic.Bool
	waits  context.Context // until stalled readers are given up
	giveUp context.CancelFunc
}

// NewDrain makes a Drain that has not begun.
func NewDrain() *Drain {
	waits, giveUp := context.WithCancel(context.Background())
	return &Drain{waits: waits, giveUp: giveUp}
}

// Begin makes every answer whose header is not written yet the last one of its connection, so that the client's next
// request goes where new connections go.
func (d *Drain) Begin() { d.begun.Store(true) }

// Begun reports whether the drain has begun.
func (d *Drain) Begun() bool { return d != nil && d.begun.Load() }

// GiveUpStalled cuts off clients that take longer than two seconds to read one part of a long answer, from now on.
func (d *Drain) GiveUpStalled() { d.giveUp() }

// watch shortens the deadline of a write that is under way when stalled readers are given up. It must be stopped.
func (d *Drain) watch(w http.ResponseWriter) (stop func() bool) {
	if d == nil {
		return func() bool { return true }
	}
	return context.AfterFunc(d.waits, func() { SetWriteDeadline(w, stallTimeout) })
}

// limit sets the deadline of the next write. The short one is set last: GiveUpStalled may be called meanwhile.
func (d *Drain) limit(w http.ResponseWriter, timeout time.Duration) {
	SetWriteDeadline(w, timeout)
	if d != nil && d.waits.Err() != nil {
		SetWriteDeadline(w, stallTimeout)
	}
}
