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
	ofMine, ofOther, ofAll := f.next(mine), f.next(other), f.next(allGroups)
	f.wake(mine)
	if !woken(ofMine) || woken(ofOther) || !woken(ofAll) {
		t.Errorf(
			"an event of one group wakes its own: %t, another's: %t, those of all: %t", woken(ofMine), woken(ofOther),
			woken(ofAll),
		)
	}
	ofMine, ofAll = f.next(mine), f.next(allGroups)
	f.wakeAll()
	if !woken(ofMine) || !woken(ofOther) || !woken(ofAll) {
		t.Error("news of an unknown group does not wake every long poll")
	}
}

// What is remembered of a group goes with its last long poll. The control is a group that is still followed.
func TestFollower_forgetsGroups(t *testing.T) {
	t.Parallel()
	f := newFollower(nil, time.Second)
	f.polls, f.stop = 1, func() {} // no goroutine begins
	mine := uuid.New()
	f.join(mine)
	f.next(mine)
	for range 1000 {
		other := uuid.New()
		f.join(other)
		f.next(other)
		f.leave(other)
	}
	if len(f.news) != 1 || len(f.of) != 1 {
		t.Errorf("%d groups are remembered, and %d followed; want one", len(f.news), len(f.of))
	}
}
