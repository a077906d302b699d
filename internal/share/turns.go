package share

import (
	"context"
	"sync"
)

// Turns lets one at a time of each name go on, in the order in which they came. How many wait is for a Share to bound.
// The zero value is ready.
type Turns struct {
	mu     sync.Mutex
	queues map[string][]chan struct{} // of those whose turn it is not yet; a name is there while one has its turn
}

// Wait waits for the turn of a name until ctx ends, whose error it returns. done ends the turn. An empty name has no
// turns and waits for nothing.
func (t *Turns) Wait(ctx context.Context, name string) (done func(), err error) {
	if name == "" {
		return func() {}, nil
	}
	done = func() { t.end(name) }
	mine := t.join(name)
	if mine == nil {
		return done, nil
	}
	select {
	case <-mine:
		return done, nil
	case <-ctx.Done():
	}
	if !t.leave(name, mine) { // it had just become its turn
		t.end(name)
	}
	return nil, ctx.Err()
}

// join returns nil if it is the caller's turn at once, and else what is closed when it is.
func (t *Turns) join(name string) chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.queues == nil {
		t.queues = map[string][]chan struct{}{}
	}
	queue, taken := t.queues[name]
	if !taken {
		t.queues[name] = nil
		return nil
	}
	mine := make(chan struct{})
	t.queues[name] = append(queue, mine)
	return mine
}

// leave gives up a place in the queue; false if it is not there any more.
func (t *Turns) leave(name string, mine chan struct{}) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, other := range t.queues[name] {
		if other == mine {
			t.queues[name] = append(t.queues[name][:i], t.queues[name][i+1:]...)
			return true
		}
	}
	return false
}

func (t *Turns) end(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	queue := t.queues[name]
	if len(queue) == 0 {
		delete(t.queues, name)
		return
	}
	t.queues[name] = queue[1:]
	close(queue[0])
}
