package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/breakpilot/tenant-registry/internal/server"
	"github.com/breakpilot/tenant-registry/internal/telemetry"
)

// What the end of the program may take, after DRAIN_DELAY: within the ten seconds that operators are told of. The steps
// follow each other, each bounded so that some time is left for the last ones.
const (
	requestGrace = 5500 * time.Millisecond // requests that are running: each has five seconds for its work
	recordGrace  = 3 * time.Second         // queued security events and times of use
	closeGrace   = 400 * time.Millisecond  // connections of the database
	stepsGrace   = 9500 * time.Millisecond // all steps, the last telemetry among them
	forceAfter   = 9750 * time.Millisecond
)

// ending is the time that is left for the steps of the end. It begins with the first step.
type ending struct{ by time.Time }

// within bounds one step by its own time, and by what is left for all.
func (e *ending) within(most time.Duration) (context.Context, context.CancelFunc) {
	now := time.Now()
	if e.by.IsZero() {
		e.by = now.Add(stepsGrace)
	}
	at := now.Add(most)
	if at.After(e.by) {
		at = e.by
	}
	return context.WithDeadline(context.Background(), at)
}

// drain first makes /readyz say no, so that new traffic goes elsewhere, and only then stops listening; what has begun
// is finished, or cut off when its time is over.
func drain(api *server.Server, web *http.Server, delay time.Duration, e *ending, log *slog.Logger) {
	log.Info("draining", "delay", delay.String())
	api.Drain()
	time.Sleep(delay)
	api.GiveUpStalled()
	ctx, cancel := e.within(requestGrace)
	defer cancel()
	if err := web.Shutdown(ctx); err != nil {
		log.Warn("requests cut off", "after", requestGrace.String())
		_ = web.Close()
	}
	log.Info("drained")
}

// waitFor waits for a step that has no time limit of its own, and reports whether it ended before ctx.
func waitFor(ctx context.Context, step func()) bool {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		step()
	}()
	select {
	case <-ended:
		return true
	case <-ctx.Done():
		return false
	}
}

// flush sends what telemetry is left.
func flush(tel *telemetry.Telemetry, e *ending) {
	ctx, cancel := e.within(5 * time.Second)
	defer cancel()
	if err := tel.Shutdown(ctx); err != nil {
		tel.Logger().Warn("telemetry was not flushed", "error", err)
	}
}

// endBy ends the program by force, some time after ctx, if it still runs then: something does not keep to its time,
// such as a log that no one reads. The function returned calls that off.
func endBy(ctx context.Context, after time.Duration, stderr io.Writer) (stop func()) {
	returned := make(chan struct{})
	go func() {
		select {
		case <-ctx.Done():
		case <-returned:
			return
		}
		select {
		case <-time.After(after):
		case <-returned:
			return
		}
		go fmt.Fprintln(stderr, "tenant-registry: the end took too long and was forced")
		time.Sleep(10 * time.Millisecond) // no longer: that may be what does not end
		os.Exit(1)
	}()
	return func() { close(returned) }
}
