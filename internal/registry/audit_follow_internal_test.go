package registry

import (
	"testing"
	"time"

	"github.com/google/uuid"
)

// A long poll of one group is not woken by another's events, and one of all groups by any.
func TestFollower_wakesByGroup(t *testing.T) {
	t.Parallel()
	f := newFollower(nil, time.Second)
	f.polls = 1
	mine, other := uuid.New(), uuid.New()
	woken := func(news <-chan struct{}) bool {
		select {
		case <-news:
			return true
		default:
			return false
		}
	}
	ofMine, ofOther, ofAll := f.next(&mine), f.next(&other), f.next(nil)
	f.wake(mine)
	if !woken(ofMine) || woken(ofOther) || !woken(ofAll) {
		t.Errorf(
			"an event of one group wakes its own: %t, another's: %t, those of all: %t", woken(ofMine), woken(ofOther),
			woken(ofAll),
		)
	}
	ofMine, ofAll = f.next(&mine), f.next(nil)
	f.wakeAll()
	if !woken(ofMine) || !woken(ofOther) || !woken(ofAll) {
		t.Error("news of an unknown group does not wake every long poll")
	}
}

// One replica holds maxLongPolls; one that ends makes room for the next.
func TestFollower_longPollsAreBounded(t *testing.T) {
	t.Parallel()
	f := newFollower(nil, time.Second)
	f.polls = maxLongPolls - 1
	if !f.join() || f.join() {
		t.Errorf("%d long polls", f.polls)
	}
	f.leave()
	if !f.join() {
		t.Error("no long poll joins after one has ended")
	}
}
