package registry

import (
	"context"
	"errors"
	"time"

	"github.com/breakpilot/tenant-registry/internal/audit"
)

// enqueue queues an event to be written; it is lost if the queue is full.
func (l *SecurityLog) enqueue(e securityEvent) {
	if l.queued(e) {
		return
	}
	if l.lost(errSecurityQueueFull); e.read != (logRead{}) {
		l.mu.Lock()
		delete(l.pending, e.read)
		l.mu.Unlock()
	}
}

func (l *SecurityLog) queued(e securityEvent) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	select {
	case l.queue <- e:
		return true
	default:
		return false
	}
}

// Close writes what is queued until ctx ends, and how many refusals were suppressed since the last event of their kind.
// It returns how many events were left then. Those are lost, without a call each, and so is what is recorded
// afterwards.
func (l *SecurityLog) Close(ctx context.Context) (lost int) {
	if l == nil {
		return 0
	}
	l.recordSuppressed()
	l.mu.Lock()
	l.closed = true
	close(l.queue)
	l.mu.Unlock()
	stop := context.AfterFunc(ctx, l.end)
	defer stop()
	<-l.done
	l.end()
	return l.unsaved
}

func (l *SecurityLog) write() {
	defer close(l.done)
	for e := range l.queue {
		l.writeBatch(l.collect(e))
	}
}

// collect takes what else is queued, to be written with an event.
func (l *SecurityLog) collect(first securityEvent) []securityEvent {
	batch := []securityEvent{first}
	for len(batch) < securityBatch {
		select {
		case e, open := <-l.queue:
			if !open {
				return batch
			}
			batch = append(batch, e)
		default:
			return batch
		}
	}
	return batch
}

// writeBatch writes events together and, if that fails by one of them, each alone.
func (l *SecurityLog) writeBatch(batch []securityEvent) {
	err := l.writePatiently(batch)
	if err != nil && l.life.Err() == nil && len(batch) > 1 {
		for i := range batch {
			l.writeBatch(batch[i : i+1])
		}
		return
	}
	for _, e := range batch {
		l.settle(e, err)
	}
}

// writePatiently tries again while the store is unavailable. An event that is there already was written by an attempt
// whose outcome was unknown.
func (l *SecurityLog) writePatiently(batch []securityEvent) error {
	events := make([]audit.Event, len(batch))
	for i, e := range batch {
		events[i] = e.Event
	}
	for {
		err := l.writeTogether(events)
		switch {
		case errors.Is(err, ErrDuplicate) && len(batch) == 1:
			return nil
		case !errors.Is(err, ErrUnavailable):
			return err
		}
		select {
		case <-time.After(securityRetryPause):
		case <-l.life.Done():
			return err
		}
	}
}

func (l *SecurityLog) writeTogether(events []audit.Event) error {
	ctx, cancel := context.WithTimeout(l.life, securityWriteTimeout)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return err
	}
	return recoverToError(func() error { return l.service.appendOwnEvents(ctx, events...) })
}

// settle notes what came of an event: a read counts as recorded when it was.
func (l *SecurityLog) settle(e securityEvent, err error) {
	if e.read != (logRead{}) {
		l.mu.Lock()
		if delete(l.pending, e.read); err == nil {
			l.reads.Set(e.read, e.Created)
		}
		l.mu.Unlock()
	}
	switch {
	case err == nil:
	case l.life.Err() != nil:
		l.unsaved++
	default:
		l.lost(err)
	}
}
