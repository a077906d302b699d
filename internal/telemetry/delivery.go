package telemetry

import (
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// warnEvery is how often a collector that cannot be reached is worth a line in the log, for each signal.
const warnEvery = time.Minute

// delivery records the outcome of the exports of one signal.
type delivery struct {
	signal string
	log    *slog.Logger

	mu     sync.Mutex
	warned time.Time
	silent int   // failures since then
	last   error // of the last export
}

// ended takes note of how an export went and warns of a failure, at most once a minute.
func (d *delivery) ended(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = err
	if err == nil {
		return
	}
	if !d.warned.IsZero() && time.Since(d.warned) < warnEvery {
		d.silent++
		return
	}
	d.log.Warn("telemetry could not be exported", "signal", d.signal, "error", err, "failures_not_logged", d.silent)
	d.warned, d.silent = time.Now(), 0
}

// lost is the failure of the last export, if it failed.
func (d *delivery) lost() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last == nil {
		return nil
	}
	return fmt.Errorf("%s were not delivered: %w", d.signal, d.last)
}
