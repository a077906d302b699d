package registry

import (
	"testing"
	"time"

	"github.com/google/uuid"
)

// Whoever waits for one group is not woken by another's events, and whoever waits for all of them by any.
func TestTail_wakesByGroup(t *testing.T) {
	t.Parallel()
	tail := newTail(nil, time.Second)
	tail.waiting = 1
	mine, other := uuid.New(), uuid.New()
	woken := func(news <-chan struct{}) bool {
		select {
		case <-news:
			return true
		default:
			return false
		}
	}
	ofMine, ofOther, ofAll := tail.next(&mine), tail.next(&other), tail.next(nil)
	tail.wake(mine)
	if !woken(ofMine) || woken(ofOther) || !woken(ofAll) {
		t.Errorf("an event of one group wakes its own: %t, another's: %t, those of all: %t", woken(ofMine), woken(ofOther), woken(ofAll))
	}
	ofMine, ofAll = tail.next(&mine), tail.next(nil)
	tail.wakeAll()
	if !woken(ofMine) || !woken(ofOther) || !woken(ofAll) {
		t.Error("news of an unknown group do not wake everybody")
	}
}

// One replica holds so many waits and no more; who leaves makes room.
func TestTail_waitsAreBounded(t *testing.T) {
	t.Parallel()
	tail := newTail(nil, time.Second)
	tail.waiting = maxWaiting - 1
	if !tail.join() || tail.join() {
		t.Errorf("%d wait", tail.waiting)
	}
	tail.leave()
	if !tail.join() {
		t.Error("there is no room for who comes after one has left")
	}
}
